//! Transfers between a disk and guest memory without a copy in between (preadv2(2), pwritev2(2)).
#![expect(
    unsafe_code,
    reason = "system calls on raw pieces of guest memory, into which no reference may point"
)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use vm_memory::VolatileSlice;
use vm_memory::bitmap::{Bitmap, BitmapSlice};

use crate::pieces::{MAX_PIECES, Slice, count_of, each_slice, iovecs, slices_of};
use crate::virtio::GuestRange;
use crate::{DeviceError, GuestMemory};

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// When the host has it; a flush follows.
    Cached,
    /// When it is on stable storage: its driver does not flush.
    Stable,
}

/// What a read may take its data from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The host's storage, which is waited for.
    Storage,
    /// The host's cache; without a wait it fails where that is not enough.
    Cache,
}

/// Fills `ranges` from `offset_bytes` on, and marks them as dirty whether that succeeds or not.
pub(super) fn read<'r>(
    file: &File,
    memory: &GuestMemory,
    ranges: impl IntoIterator<Item = &'r GuestRange>,
    (offset_bytes, source): (u64, Source),
) -> io::Result<()> {
    let flags = match source {
        Source::Storage => 0,
        Source::Cache => libc::RWF_NOWAIT,
    };
    let slices = slices_of(memory, ranges).map_err(io::Error::other)?;
    let done = transfer(&slices, offset_bytes, |pieces, offset| {
        let (count, fd) = (count_of(pieces), file.as_raw_fd());
        // SAFETY: the pieces are guest memory that stays mapped as long as `memory` is borrowed; that
        // others access it at the same time is what it is for, and no reference points into it.
        unsafe { libc::preadv2(fd, pieces.as_ptr(), count, offset, flags) }
    });
    slices.iter().for_each(mark);
    done
}

/// Notes that somebody else has written `ranges`.
pub(super) fn mark_dirty<'r>(
    memory: &GuestMemory,
    ranges: impl Iterator<Item = &'r GuestRange>,
) -> Result<(), DeviceError> {
    each_slice(memory, ranges).try_for_each(|slice| slice.map(|slice| mark(&slice)))
}

fn mark(slice: &Slice<'_>) {
    slice.bitmap().mark_dirty(0, slice.len());
}

/// Writes `ranges` from `offset_bytes` on.
pub(super) fn write<'r>(
    file: &File,
    memory: &GuestMemory,
    (ranges, offset_bytes): (impl IntoIterator<Item = &'r GuestRange>, u64),
    durability: Durability,
) -> io::Result<()> {
    let flags = match durability {
        Durability::Cached => 0,
        Durability::Stable => libc::RWF_DSYNC,
    };
    transfer(
        &slices_of(memory, ranges).map_err(io::Error::other)?,
        offset_bytes,
        |pieces, offset| {
            let (count, fd) = (count_of(pieces), file.as_raw_fd());
            // SAFETY: as above; the kernel only reads these.
            unsafe { libc::pwritev2(fd, pieces.as_ptr(), count, offset, flags) }
        },
    )
}

/// Calls `call` until all of `slices` is transferred.
fn transfer<B: BitmapSlice>(
    slices: &[VolatileSlice<'_, B>],
    mut offset_bytes: u64,
    call: impl Fn(&[libc::iovec], libc::off_t) -> libc::ssize_t,
) -> io::Result<()> {
    let mut pieces = iovecs(slices);
    let mut rest = &mut pieces[..];
    while !rest.is_empty() {
        let offset = libc::off_t::try_from(offset_bytes).map_err(io::Error::other)?;
        let now = rest.len().min(MAX_PIECES);
        match usize::try_from(call(&rest[..now], offset)) {
            // The file is shorter than it was.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                offset_bytes += bytes as u64;
                rest = advance(rest, bytes);
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// What is left of `pieces` after that many bytes.
fn advance(mut pieces: &mut [libc::iovec], mut bytes: usize) -> &mut [libc::iovec] {
    while let Some(first) = pieces.first_mut() {
        if bytes < first.iov_len {
            first.iov_base = first.iov_base.cast::<u8>().wrapping_add(bytes).cast();
            first.iov_len -= bytes;
            break;
        }
        bytes -= first.iov_len;
        pieces = &mut pieces[1..];
    }
    pieces
}
