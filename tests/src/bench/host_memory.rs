//! The host's free memory at hand. Hosts that are guests themselves may give free memory back to whoever
//! runs them within seconds, and get it again at several times the price, so that equal resumes and moves
//! differ by what the host did before. Memory that was in use a moment ago is still there, and is taken first.
#![expect(unsafe_code, reason = "mmap(2) and madvise(2) act on raw addresses")]

use std::ptr;
use std::time::{Duration, Instant};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::bench::BenchError;

/// Takes so much memory and gives it back, and says how long that took. It is taken in huge pages where
/// there are any, as a resume takes it.
pub(super) fn fetch(mib: u32) -> Result<Duration, BenchError> {
    let bytes = usize::try_from(mib).expect("32 bits fit") << 20;
    let failed = |errno| BenchError::system("take memory")(errno);
    let began = Instant::now();
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory.
    let base = unsafe { mmap_anonymous(ptr::null_mut(), bytes, protection, MapFlags::PRIVATE) }
        .map_err(failed)?;
    // A kernel without huge pages refuses, and gives small ones.
    // SAFETY: the range is the whole mapping made above, into which no reference points.
    let _ = unsafe { madvise(base, bytes, Advice::LinuxHugepage) };
    // SAFETY: as above.
    let taken = unsafe { madvise(base, bytes, Advice::LinuxPopulateWrite) };
    // SAFETY: the mapping is unmapped once, and not used any more.
    unsafe { munmap(base, bytes) }.map_err(failed)?;
    taken.map_err(failed)?;
    Ok(began.elapsed())
}
