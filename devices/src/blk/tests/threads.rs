//! Requests that are under way side by side where the kernel has no io_uring. What keeps one of them
//! waiting, for as long as a test likes, is a page of guest memory that is not there yet (userfaultfd(2)).

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::thread;

use userfaultfd::{Event, Uffd, UffdBuilder};
use vm_memory::{GuestAddress, GuestMemoryBackend};

use super::engines::without_io_uring;
use super::pool::{CACHED_BYTES, THREADS};
use super::*;
use crate::event::wait_for;
use crate::virtio::VirtioTransport as _;

const PAGE_BYTES: u64 = 4096;

/// Where all but the last sector of a long read goes, which a thread of the pool does even if the host's
/// cache has it.
const BULK: u64 = 0x10_0000;

/// Where the pages are that are not there. Nothing else is near, so that no huge page brings them.
const WITHHELD: u64 = 0x3f_0000;

/// How long something that must not happen is waited for.
const WHILE: Duration = Duration::from_millis(50);

/// Pages that whoever touches waits for until this is dropped.
struct Withheld(Uffd);

impl Withheld {
    /// Keeps as many pages of the guest as there are threads from whoever touches them.
    fn new(driver: &FakeDriver<Blk>) -> Self {
        let address = GuestAddress(WITHHELD);
        let pages = driver.memory.get_host_address(address).unwrap();
        let uffd = open().unwrap();
        let len_bytes = THREADS * usize::try_from(PAGE_BYTES).unwrap();
        uffd.register(pages.cast(), len_bytes).unwrap();
        Self(uffd)
    }

    /// Waits until so many of them are waited for.
    fn wait_touched(&self, count: usize) {
        let mut touched = BTreeSet::new();
        while touched.len() < count {
            let comes = wait_for([Some(self.0.as_fd())], Some(PATIENCE)).unwrap();
            assert_eq!(comes, [true], "{touched:x?}, not {count}");
            match self.0.read_event().unwrap() {
                Some(Event::Pagefault { addr, .. }) => touched.insert(addr.addr()),
                other => panic!("{other:?}"),
            };
        }
    }
}

/// The touch of a system call counts.
fn open() -> Result<Uffd, userfaultfd::Error> {
    UffdBuilder::new()
        .non_blocking(true)
        .user_mode_only(false)
        .create()
}

/// Runs a test where disks have threads and pages can be withheld; says if they cannot, and panics if
/// they have to be.
fn with_threads(test: impl Fn() + Sync) {
    if let Err(error) = open() {
        assert_ne!(std::env::var("REQUIRE_KVM").as_deref(), Ok("1"), "{error}");
        eprintln!("skipped: {error}");
        return;
    }
    without_io_uring(test);
}

/// Its length.
fn bulk_bytes() -> u32 {
    u32::try_from(CACHED_BYTES).unwrap()
}

/// The bytes that are written into the chains of that many long reads.
fn used_by_long(count: usize) -> Vec<u32> {
    vec![bulk_bytes() + 512 + 1; count]
}

fn started_long() -> (NamedTempFile, FakeDriver<Blk>) {
    let file = file();
    for number in 0..THREADS {
        let sector = last_sector(number);
        write_sector(file.as_file(), sector, content(sector));
    }
    let driver = driver_of(disk(&file, Access::ReadWrite), ALL);
    (file, driver)
}

/// The last sector of a long read that begins at sector `number`.
fn last_sector(number: usize) -> u64 {
    number as u64 + CACHED_BYTES / SECTOR_BYTES
}

fn page(number: usize) -> u64 {
    WITHHELD + number as u64 * PAGE_BYTES
}

impl FakeDriver<Blk> {
    /// Asks for long reads, the last sector of each into a page that is withheld, and waits until all of
    /// them wait for that.
    fn begin_reads(&mut self, withheld: &Withheld, count: usize) {
        for number in 0..count {
            let data = [writable(BULK, bulk_bytes()), writable(page(number), 512)];
            self.ask_apart(number as u64, 0, number as u64, &data);
        }
        self.kick(QUEUE);
        withheld.wait_touched(count);
    }

    /// Checks that they were done.
    fn assert_read(&self, count: usize) {
        assert_eq!(
            self.get(STATUS, u32::try_from(count).unwrap()),
            vec![0; count]
        );
        for number in 0..count {
            let sector = content(last_sector(number));
            assert_eq!(self.get(page(number), 512), [sector; 512]);
        }
    }
}

#[test]
fn requests_of_one_disk_are_under_way_at_the_same_time() {
    const { assert!(THREADS > 1) };
    with_threads(|| {
        let (_file, mut driver) = started_long();
        let withheld = Withheld::new(&driver);
        driver.begin_reads(&withheld, THREADS);
        assert_eq!(driver.take_used(QUEUE), []);
        drop(withheld);
        assert_eq!(driver.wait_used(THREADS), used_by_long(THREADS));
        driver.assert_read(THREADS);
    });
}

#[test]
fn requests_that_wait_hold_up_no_others() {
    with_threads(|| {
        let (file, mut driver) = started_long();
        let withheld = Withheld::new(&driver);
        driver.begin_reads(&withheld, THREADS - 1);
        driver.put(DATA, &[0xdd; 512]);
        driver.ask_apart(10, 1, 77, &[readable(DATA, 512)]);
        driver.ask_apart(11, 4, 0, &[]);
        driver.ask_apart(12, 0, 90, &[writable(DATA + 512, 1024)]);
        let mut used = driver.wait_used(3);
        used.sort_unstable();
        assert_eq!(used, [1, 1, 1025]);
        assert_eq!(sector_of(&file, 77), [0xdd; 512]);
        assert_eq!(driver.get(STATUS + 10, 3), [0; 3]);
        drop(withheld);
        assert_eq!(driver.wait_used(THREADS - 1), used_by_long(THREADS - 1));
        driver.assert_read(THREADS - 1);
    });
}

#[test]
fn disk_told_to_stop_gives_back_all_that_it_has_taken() {
    with_threads(|| {
        let (file, mut driver) = started_long();
        let withheld = Withheld::new(&driver);
        driver.begin_reads(&withheld, THREADS);
        // The disk's thread takes this one, or leaves it in the ring; no thread is left to do it.
        driver.put(DATA, &[0xdd; 512]);
        driver.ask_apart(10, 1, 77, &[readable(DATA, 512)]);
        driver.kick(QUEUE);
        thread::sleep(WHILE);
        thread::scope(|scope| {
            let withheld = withheld;
            let pausing = scope.spawn(|| driver.transport.pause());
            thread::sleep(WHILE);
            assert!(!pausing.is_finished());
            drop(withheld);
        });
        driver.assert_read(THREADS);
        let queue = driver.transport.save().unwrap().queues[0];
        assert_eq!(queue.next_used, queue.next_available);
        let done = driver.take_used(QUEUE).len();
        assert_eq!(done, usize::from(queue.next_used));
        driver.transport.resume();
        let left = THREADS + 1 - done;
        assert_eq!(driver.wait_used(left), vec![1; left]);
        assert_eq!(sector_of(&file, 77), [0xdd; 512]);
    });
}

#[test]
fn disk_with_a_broken_queue_lets_go_of_memory_before_it_says_so() {
    with_threads(|| {
        let (_file, mut driver) = started_long();
        let withheld = Withheld::new(&driver);
        driver.begin_reads(&withheld, 1);
        driver.write_available_index(QUEUE, 1000);
        driver.kick(QUEUE);
        thread::sleep(WHILE);
        assert_eq!(driver.read(0x070), 0xf);
        drop(withheld);
        let began = Instant::now();
        while driver.read(0x070) != 0x4f {
            assert!(began.elapsed() < PATIENCE);
            thread::yield_now();
        }
        driver.assert_read(1);
        assert_eq!(driver.take_used(QUEUE), []);
    });
}
