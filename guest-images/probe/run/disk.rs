//! The disk: as many reads under way as wanted, each followed by the next as soon as it is back.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::Plan;
use super::board::BOARD;
use super::peripheral::Useless;
use crate::hw::virtio_mmio::Window;
use crate::pure::disk::{Read, Reads};
use crate::pure::options::{MOST_READS, PAGE_BYTES};
use crate::pure::pages::{Corrupt, Pages};
use crate::pure::virtio::Kind;
use crate::pure::virtqueue::{Buffer, Queue, Writer};

/// A read's descriptors: header, data, status.
const DESCRIPTORS: u16 = 3;

/// The next power of two above what all reads need.
const QUEUE_SIZE: usize = 128;

/// The status of a request that was served (VIRTIO_BLK_S_OK).
const SERVED: u8 = 0;

/// The one queue of requests.
const REQUESTS: u32 = 0;

/// What driver and device share.
struct Shared {
    queue: Queue<QUEUE_SIZE>,
    headers: [[AtomicU64; 2]; MOST_READS],
    statuses: [AtomicU8; MOST_READS],
}

static SHARED: Shared = Shared {
    queue: Queue::new(),
    headers: [const { [AtomicU64::new(0), AtomicU64::new(0)] }; MOST_READS],
    statuses: [const { AtomicU8::new(0) }; MOST_READS],
};

/// The driver of the one disk.
#[derive(Debug)]
pub struct Disk {
    window: Window,
    reads: Reads,
    under_way: [Read; MOST_READS],
    depth: usize,
    /// Address of the first page of the working set, where the data come.
    data_gpa: u64,
    seen: u16,
    served: u64,
}

impl Disk {
    /// Finds and starts the disk.
    ///
    /// # Errors
    /// There is none that can be used.
    pub fn open(plan: &Plan, command_line: &[u8]) -> Result<Self, Useless> {
        let options = &plan.options;
        let window = Window::find(Kind::Disk, command_line).ok_or(Useless::Absent)?;
        window.negotiate(Kind::Disk).ok_or(Useless::Unknown)?;
        if !window.set_queue(REQUESTS, &SHARED.queue) {
            return Err(Useless::Unknown);
        }
        let reads = Reads::new(options, window.capacity_sectors()).ok_or(Useless::Small)?;
        let pages = options.depth as u64 * reads.block_pages();
        let gpa_of = |index| plan.set.memory().gpa_of(index);
        let ends = gpa_of(0).zip(gpa_of(pages - 1));
        let is_one_piece = |&(first, last): &(u64, u64)| last - first == (pages - 1) * PAGE_BYTES;
        let (data_gpa, _) = ends
            .filter(|_| pages <= plan.set.pages())
            .filter(is_one_piece)
            .ok_or(Useless::NoRoom)?;
        window.start();
        let mut disk = Self {
            window,
            reads,
            under_way: [Read::default(); MOST_READS],
            depth: options.depth,
            data_gpa,
            seen: 0,
            served: 0,
        };
        (0..disk.depth).for_each(|slot| disk.ask(slot));
        disk.notify();
        Ok(disk)
    }

    /// Takes what is back, and asks for as much again.
    ///
    /// # Errors
    /// The disk has failed.
    pub fn turn(&mut self, pages: &mut impl Pages) -> Result<(), Useless> {
        let before = self.served;
        while let Some(first) = SHARED.queue.take_used(&mut self.seen) {
            let slot = usize::from(first / DESCRIPTORS);
            let status = SHARED.statuses.get(slot);
            let status = status.map_or(u8::MAX, |status| status.load(Ordering::Acquire));
            if status != SERVED {
                return Err(Useless::Status(status));
            }
            self.check(slot, pages);
            self.served += 1;
            self.ask(slot);
        }
        if self.served > before {
            self.notify();
            let passes = self.served / self.reads.per_pass();
            BOARD.desks[0].set_progress(self.served * self.reads.block_pages(), Some(passes));
        }
        Ok(())
    }

    /// Compares the first word of each page that was read.
    fn check(&self, slot: usize, pages: &mut impl Pages) {
        let read = self.under_way[slot];
        let block_pages = self.reads.block_pages();
        for place in 0..block_pages {
            let index = slot as u64 * block_pages + place;
            let (expected, found) = (read.first_word(place), pages.page(index)[0]);
            if expected != found {
                let gpa = pages.gpa(index);
                BOARD.report_damage(Corrupt {
                    gpa,
                    expected,
                    found,
                });
            }
        }
    }

    fn ask(&mut self, slot: usize) {
        let read = self.reads.next();
        self.under_way[slot] = read;
        let bytes = self.reads.block_pages() * PAGE_BYTES;
        let (header, status) = (&SHARED.headers[slot], &SHARED.statuses[slot]);
        for (place, word) in header.iter().zip(read.header()) {
            place.store(word, Ordering::Relaxed);
        }
        status.store(u8::MAX, Ordering::Relaxed);
        let buffers = [
            Buffer {
                gpa: header.as_ptr().expose_provenance() as u64,
                bytes: 16,
                writer: Writer::Driver,
            },
            Buffer {
                gpa: self.data_gpa + slot as u64 * bytes,
                bytes: u32::try_from(bytes).expect("a block is small"),
                writer: Writer::Device,
            },
            Buffer {
                gpa: core::ptr::from_ref(status).expose_provenance() as u64,
                bytes: 1,
                writer: Writer::Device,
            },
        ];
        let slot = u16::try_from(slot).expect("there are few reads");
        SHARED.queue.offer(slot * DESCRIPTORS, buffers.into_iter());
    }

    fn notify(&self) {
        if SHARED.queue.wants_notice() {
            self.window.notify(REQUESTS);
        }
    }
}
