//! The first wrong word that any processor found.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::pure::pages::Corrupt;

/// A wrong word on its way to the boot processor.
///
/// ```text
/// NONE --(first report)--> BEING_WRITTEN --> WRITTEN --(taken)--> TAKEN
/// ```
#[derive(Debug)]
pub struct Damage {
    state: AtomicU32,
    gpa: AtomicU64,
    expected: AtomicU64,
    found: AtomicU64,
}

const NONE: u32 = 0;
const BEING_WRITTEN: u32 = 1;
const WRITTEN: u32 = 2;
const TAKEN: u32 = 3;

impl Damage {
    /// No damage yet.
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(NONE),
            gpa: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            found: AtomicU64::new(0),
        }
    }

    fn change(&self, from: u32, to: u32) -> bool {
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Notes a wrong word; the first one counts.
    pub fn report(&self, corrupt: Corrupt) {
        if self.change(NONE, BEING_WRITTEN) {
            let Corrupt {
                gpa,
                expected,
                found,
            } = corrupt;
            self.gpa.store(gpa, Ordering::Relaxed);
            self.expected.store(expected, Ordering::Relaxed);
            self.found.store(found, Ordering::Relaxed);
            self.state.store(WRITTEN, Ordering::Release);
        }
    }

    /// The first wrong word, once.
    pub fn take(&self) -> Option<Corrupt> {
        self.change(WRITTEN, TAKEN).then(|| Corrupt {
            gpa: self.gpa.load(Ordering::Relaxed),
            expected: self.expected.load(Ordering::Relaxed),
            found: self.found.load(Ordering::Relaxed),
        })
    }
}
