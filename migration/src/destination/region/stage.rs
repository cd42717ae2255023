//! Memory in which a huge page waits for its place in the guest.
#![expect(unsafe_code, reason = "mmap and madvise act on raw addresses")]

use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::error::{Error, Result};
use crate::page::{PAGE_BYTES, to_usize};

/// Pages of a huge page of x86-64.
pub(crate) const HUGE_PAGES: u64 = 512;

/// Room for one huge page, which the kernel makes where it can when it is written.
#[derive(Debug)]
pub(crate) struct Stage {
    mapping: NonNull<u8>,
    /// Inside the mapping, at a multiple of the size of a huge page.
    room: NonNull<u8>,
}

// SAFETY: the mapping belongs to this value alone, whatever thread it is in.
unsafe impl Send for Stage {}

impl Stage {
    /// Bytes of a huge page.
    pub(super) const BYTES: usize = to_usize(HUGE_PAGES) * PAGE_BYTES;

    /// Enough for one wherever the mapping begins.
    const MAPPED_BYTES: usize = 2 * Self::BYTES;

    /// An empty one.
    ///
    /// # Errors
    /// If there is no address space for it.
    pub(crate) fn new() -> Result<Self> {
        let (protection, flags) = (
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        );
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let mapped =
            unsafe { mmap_anonymous(ptr::null_mut(), Self::MAPPED_BYTES, protection, flags) }
                .map_err(failed)?;
        let mapping: NonNull<u8> =
            NonNull::new(mapped.cast()).expect("mmap without MAP_FIXED never returns null");
        let skipped = mapping.align_offset(Self::BYTES);
        // SAFETY: less than a huge page is skipped in a mapping that is twice as long.
        let room = unsafe { mapping.add(skipped) };
        let stage = Self { mapping, room };
        stage.advise();
        Ok(stage)
    }

    /// Makes it empty, once its pages were moved away. If the kernel moved them one by one, it has
    /// left a table for small pages behind, which would rule out huge ones from then on.
    ///
    /// # Errors
    /// If there is no address space for it.
    pub(super) fn clear(&mut self) -> Result<()> {
        let (protection, flags) = (
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED,
        );
        // SAFETY: the room is part of a mapping of ours, which no reference points into while `self`
        // is borrowed.
        unsafe { mmap_anonymous(self.room.as_ptr().cast(), Self::BYTES, protection, flags) }
            .map_err(failed)?;
        self.advise();
        Ok(())
    }

    fn advise(&self) {
        // SAFETY: the room lies in a mapping of ours; the advice changes no content. Where it cannot
        // be followed, small pages serve as well.
        let _ = unsafe {
            madvise(
                self.room.as_ptr().cast(),
                Self::BYTES,
                Advice::LinuxHugepage,
            )
        };
    }

    /// Room for `pages` pages, at most [`HUGE_PAGES`], with whatever is there.
    ///
    /// # Panics
    /// If there are more.
    pub(crate) fn pages_mut(&mut self, pages: u64) -> &mut [u8] {
        assert!(pages <= HUGE_PAGES, "the room is for one huge page");
        // SAFETY: the room is mapped, readable and writable, as long as `self` lives, is longer
        // than this (checked above) and borrowed from nowhere else; what the kernel moved away
        // reads as zeroes.
        unsafe { std::slice::from_raw_parts_mut(self.room.as_ptr(), to_usize(pages) * PAGE_BYTES) }
    }

    /// Address of the room.
    pub(super) fn address(&self) -> usize {
        self.room.addr().get()
    }
}

fn failed(errno: Errno) -> Error {
    Error::Stage {
        source: errno.into(),
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // SAFETY: the mapping is the one made in `new`, unmapped nowhere else.
        let unmapped = unsafe { munmap(self.mapping.as_ptr().cast(), Self::MAPPED_BYTES) };
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping of ours");
    }
}
