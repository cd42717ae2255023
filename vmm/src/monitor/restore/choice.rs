//! How the memory of a snapshot gets to its guest, if nobody has said it.

use std::os::fd::AsFd;

use migration::snapshot::StoredMemory;
use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};

use crate::config::MemoryMode;
use crate::host::Userfault;
use crate::memory::PAGE_BYTES;

/// Pages that are looked at to learn whether a file is in the page cache. Our choice: less than half
/// a millisecond, and a cold tenth of a file is found all but once in a thousand times.
const SAMPLES: u64 = 64;

/// A mode, and why it is the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    /// Never [`MemoryMode::Auto`].
    pub(super) mode: MemoryMode,
    pub(super) reason: &'static str,
}

/// What is found of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Findings {
    is_cached: bool,
    serves_faults: bool,
}

/// Chooses by what is asked for and by what is found.
pub(super) fn choose(asked: MemoryMode, memory: &StoredMemory) -> Choice {
    if asked != MemoryMode::Auto {
        return Choice {
            mode: asked,
            reason: "as asked for",
        };
    }
    let serves_faults = Userfault::probe() == Userfault::Granted;
    decide(Findings {
        serves_faults,
        // Looked at only where it decides.
        is_cached: !serves_faults && is_cached(memory),
    })
}

/// Pure.
fn decide(found: Findings) -> Choice {
    let (mode, reason) = match found {
        Findings {
            serves_faults: true,
            ..
        } => (
            MemoryMode::Lazy,
            "page faults can be served here, and a guest is at full speed the soonest so",
        ),
        Findings {
            is_cached: true, ..
        } => (
            MemoryMode::Mapped,
            "page faults cannot be served here, and the memory file is in the page cache",
        ),
        _ => (
            MemoryMode::Eager,
            "page faults cannot be served here, and the memory file is not in the page cache",
        ),
    };
    Choice { mode, reason }
}

/// Whether the pages that are stored are in the page cache, as far as some of them tell. A file
/// system that does not say counts as cold.
fn is_cached(memory: &StoredMemory) -> bool {
    let (pages, present) = (memory.pages(), memory.present());
    (0..SAMPLES).all(|sample| {
        let from = pages * sample / SAMPLES;
        let Some(run) = present.next_run(from, pages) else {
            return true;
        };
        let mut byte = [0];
        let read = preadv2(
            memory.file().as_fd(),
            &mut [IoSliceMut::new(&mut byte)],
            run.first().get() * PAGE_BYTES,
            ReadWriteFlags::NOWAIT,
        );
        read == Ok(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_follows_from_permission_first_and_page_cache_second() {
        let mode = |is_cached, serves_faults| {
            decide(Findings {
                is_cached,
                serves_faults,
            })
            .mode
        };
        assert_eq!(mode(true, true), MemoryMode::Lazy);
        assert_eq!(mode(true, false), MemoryMode::Mapped);
        assert_eq!(mode(false, true), MemoryMode::Lazy);
        assert_eq!(mode(false, false), MemoryMode::Eager);
    }
}
