//! Who installs pages and who gives them up wait for each other: whichever is first, a page that was
//! given up reads as zeroes.
#![expect(unsafe_code, reason = "the pages are those of a fresh mapping")]

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use crate::destination::attempt::{Arrived, Attempt};
use crate::destination::clock::Way;
use crate::destination::giving_up::GivesUp;
use crate::destination::region::{FaultRegion, check_userfaultfd};
use crate::destination::table::Use;
use crate::digest::Digest;
use crate::options::Mode;
use crate::page::{PAGE_BYTES, PageRange, to_usize};
use crate::ram::RamMapping;
use crate::wire::PagesPrefix;

/// How long who has to wait is watched: a thousand times what it takes who has not.
const WATCHED: Duration = Duration::from_millis(300);

/// How long who need not wait may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// All pages of a VM that arrives.
struct Pages {
    attempt: Attempt,
    ram: RamMapping,
    all: PageRange,
}

impl Pages {
    fn new(pages: u64) -> Self {
        let bytes = to_usize(pages) * PAGE_BYTES;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nobody's memory.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), bytes, access, MapFlags::PRIVATE) };
        let base = NonNull::new(base.unwrap()).unwrap();
        // SAFETY: the mapping is anonymous and private, as long as this says, and never unmapped.
        let ram = unsafe { RamMapping::new(Arc::new(()), base.cast(), pages) };
        let region = FaultRegion::register(ram.clone()).unwrap();
        Self {
            attempt: Attempt::new(region, 1, Mode::PostCopy, None).unwrap(),
            ram,
            all: PageRange::between(0, pages).unwrap(),
        }
    }

    /// What the source sends.
    fn content(&self) -> Vec<u8> {
        vec![0x5a; self.all.bytes()]
    }

    /// They come, as they were sent.
    fn come(&self) {
        let content = self.content();
        let digests: Vec<_> = Digest::of_each(self.all, &content).collect();
        let prefix = PagesPrefix {
            range: self.all,
            digest: Digest::sum(&digests),
            waited: Duration::ZERO,
        };
        let arrived = self
            .attempt
            .pages_came(&prefix, &content, Way::Pushed)
            .unwrap();
        assert_eq!(arrived, Arrived::Whole);
    }

    /// Has a thread do `act`, which must not come to its end before `release` has been called.
    fn waits(self: &Arc<Self>, act: fn(&Self), release: impl FnOnce()) {
        let (tell, told) = mpsc::channel();
        let pages = Arc::clone(self);
        thread::spawn(move || {
            tell.send("began").unwrap();
            act(&pages);
            tell.send("ended").unwrap();
        });
        assert_eq!(told.recv_timeout(DEADLINE), Ok("began"));
        assert_eq!(told.recv_timeout(WATCHED), Err(RecvTimeoutError::Timeout));
        release();
        assert_eq!(told.recv_timeout(DEADLINE), Ok("ended"));
    }

    /// The guest gets nothing of what was sent.
    fn assert_zero(&self) {
        // From now on what is missing reads as zeroes, and is not waited for.
        self.attempt.region.release().unwrap();
        let mut found = self.content();
        self.ram.read(self.all, &mut found);
        assert_eq!(found.iter().position(|&byte| byte != 0), None);
    }
}

/// Several pages for which nobody waits, and one that is waited for, where userfaultfd works.
fn background_and_urgent() -> Vec<Arc<Pages>> {
    if let Err(error) = check_userfaultfd() {
        assert_ne!(std::env::var("REQUIRE_KVM").as_deref(), Ok("1"), "{error}");
        eprintln!("skipped: {error}");
        return Vec::new();
    }
    let (background, urgent) = (Pages::new(4), Pages::new(1));
    let Pages { attempt, all, .. } = &urgent;
    attempt.clock.request(&attempt.table, all.first());
    [background, urgent].map(Arc::new).into()
}

#[test]
fn pages_that_come_while_they_are_given_up_are_not_installed() {
    for pages in background_and_urgent() {
        let Pages { attempt, all, .. } = &*pages;
        let giving_up = attempt.installing.write().unwrap();
        pages.waits(Pages::come, || {
            for page in all.iter() {
                attempt.table.give_up(page);
            }
            attempt.region.discard(*all).unwrap();
            drop(giving_up);
        });
        let counts = attempt.counts();
        assert_eq!((counts.received, counts.duplicate), (all.pages(), 0));
        pages.assert_zero();
    }
}

#[test]
fn pages_given_up_while_they_are_installed_are_discarded_after_that() {
    for pages in background_and_urgent() {
        let Pages { attempt, all, .. } = &*pages;
        let installing = attempt.installing.read().unwrap();
        assert_eq!(attempt.table.next_awaited(*all), Some((*all, Use::Install)));
        pages.waits(
            |pages| pages.attempt.give_up(pages.all).unwrap(),
            || {
                attempt.region.install(*all, &pages.content()).unwrap();
                for page in all.iter() {
                    attempt.table.set_present(page);
                }
                drop(installing);
            },
        );
        assert_eq!(attempt.given_up_pages(), 0);
        pages.assert_zero();
    }
}
