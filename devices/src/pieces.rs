//! Guest memory as the pieces that a vectored system call takes (readv(2)).

use smallvec::SmallVec;
use vm_memory::bitmap::{AtomicBitmap, BS, BitmapSlice};
use vm_memory::{GuestMemoryBackend, VolatileSlice};

use crate::virtio::GuestRange;
use crate::{DeviceError, GuestMemory};

/// Most pieces of one system call (UIO_MAXIOV).
pub(crate) const MAX_PIECES: usize = 1024;

/// A piece of guest memory, which knows where to note what is written to it.
pub(crate) type Slice<'a> = VolatileSlice<'a, BS<'a, AtomicBitmap>>;

/// Pieces of one request. Most have less, which takes no allocation.
pub(crate) type Slices<'a> = SmallVec<[Slice<'a>; 8]>;

/// The guest memory of `ranges`, each of which may lie in more than one piece.
pub(crate) fn each_slice<'a, 'r>(
    memory: &'a GuestMemory,
    ranges: impl IntoIterator<Item = &'r GuestRange>,
) -> impl Iterator<Item = Result<Slice<'a>, DeviceError>> {
    let slices = ranges.into_iter().flat_map(|range| {
        GuestMemoryBackend::get_slices(memory, range.address, range.len_bytes as usize)
    });
    slices.map(|slice| slice.map_err(DeviceError::AccessMemory))
}

/// All of them at once.
pub(crate) fn slices_of<'a, 'r>(
    memory: &'a GuestMemory,
    ranges: impl IntoIterator<Item = &'r GuestRange>,
) -> Result<Slices<'a>, DeviceError> {
    each_slice(memory, ranges).collect()
}

/// The same as the kernel wants it. The pointers are good as long as the slices are: the guards, which
/// this drops, only matter to mappings made on demand.
pub(crate) fn iovecs<B: BitmapSlice>(
    slices: &[VolatileSlice<'_, B>],
) -> SmallVec<[libc::iovec; 8]> {
    slices.iter().map(iovec).collect()
}

/// One of them.
pub(crate) fn iovec<B: BitmapSlice>(slice: &VolatileSlice<'_, B>) -> libc::iovec {
    libc::iovec {
        iov_base: slice.ptr_guard_mut().as_ptr().cast(),
        iov_len: slice.len(),
    }
}

/// How many pieces a system call is given.
pub(crate) fn count_of(pieces: &[libc::iovec]) -> libc::c_int {
    libc::c_int::try_from(pieces.len()).expect("they are at most 1024")
}
