//! The host mapping of a guest's RAM, reached by copying as long as somebody may write it.
#![expect(
    unsafe_code,
    reason = "guest RAM is raw memory that others write at any time"
)]

mod frozen;

use std::any::Any;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bitmap::PageBitmap;
use crate::page::{PAGE_BYTES, PageIndex, PageRange, to_u64, to_usize};
use crate::snapshot::StoredMemory;

pub use frozen::FrozenRam;

/// All RAM of a VM, mapped in one piece: page `n` lies `n * 4096` bytes after the base.
///
/// Clones are cheap and share the mapping, which lives as long as the last of them. The guest, its
/// devices and the kernel may write the memory at any moment, so it is only ever copied: no
/// reference or slice into it is made, unless the VM stands still and it is [frozen](FrozenRam).
#[derive(Clone)]
pub struct RamMapping {
    /// Keeps the memory mapped.
    _owner: Arc<dyn Any + Send + Sync>,
    base: NonNull<u8>,
    pages: u64,
    /// The snapshot of which the mapping is a private one, if it is.
    stored: Option<Arc<StoredMemory>>,
}

// SAFETY: the pointer is used only for copies of bytes out of memory that `new`'s contract keeps
// mapped for as long as any clone lives, from whatever thread.
unsafe impl Send for RamMapping {}

// SAFETY: as for `Send`: nothing here is changed through a shared reference.
unsafe impl Sync for RamMapping {}

impl RamMapping {
    /// Wraps a mapping of `pages` pages that begins at `base`.
    ///
    /// # Safety
    /// `base` is aligned to a page, and until `owner` is dropped for good the `pages * 4096` bytes
    /// from it on are one private mapping of this process, readable and writable, that nobody unmaps
    /// or remaps; it is anonymous, unless the value is said to be [of a snapshot](Self::of_snapshot).
    pub unsafe fn new(owner: Arc<dyn Any + Send + Sync>, base: NonNull<u8>, pages: u64) -> Self {
        Self {
            _owner: owner,
            base,
            pages,
            stored: None,
        }
    }

    /// The same, where pages that nobody has written yet are those of a snapshot: its file is mapped,
    /// privately. Such memory can be given away, and cannot arrive.
    #[must_use]
    pub fn of_snapshot(self, stored: Arc<StoredMemory>) -> Self {
        Self {
            stored: Some(stored),
            ..self
        }
    }

    /// The pages that are not zero although they were never touched, if there are any.
    pub(crate) fn stored(&self) -> Option<&PageBitmap> {
        self.stored.as_deref().map(StoredMemory::present)
    }

    /// Number of pages mapped.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Copies one page out.
    ///
    /// # Panics
    /// If the page does not exist.
    pub fn read_page(&self, page: PageIndex, into: &mut [u8; PAGE_BYTES]) {
        let range = PageRange::within(page, 1, self.pages).expect("the page exists");
        self.read(range, into);
    }

    /// Copies the pages of `range` out, one after the other.
    ///
    /// Word by word: the processor sees that the next page is coming and fetches it ahead. Measured on
    /// memory that is in no cache, an AMD EPYC: 0.5 us for a page, and 2.2 us if `memcpy` does it, which
    /// is one string instruction (`rep movsb`) there.
    ///
    /// # Panics
    /// If a page does not exist or `into` has another length than the range.
    pub fn read(&self, range: PageRange, into: &mut [u8]) {
        assert_eq!(
            range.bytes(),
            into.len(),
            "the buffer is as long as the range"
        );
        let from = self.address_of(range).cast::<u64>();
        let (words, _) = into.as_chunks_mut();
        for (n, word) in words.iter_mut().enumerate() {
            // SAFETY: the word is aligned and one of the range's, which is as long as the buffer and
            // lies in the mapping (both checked above), readable and writable by the contract of `new`.
            // A guest, a device or the kernel may write it meanwhile: hence an atomic load.
            let word_there = unsafe { AtomicU64::from_ptr(from.add(n).as_ptr()) };
            *word = word_there.load(Ordering::Relaxed).to_ne_bytes();
        }
    }

    /// Copies `from` over the pages of `range`.
    ///
    /// # Panics
    /// If a page does not exist or `from` has another length than the range.
    pub(crate) fn write(&self, range: PageRange, from: &[u8]) {
        assert_eq!(range.bytes(), from.len(), "each page has its content");
        let into = self.address_of(range);
        // SAFETY: `address_of` checked that the range lies in the mapping, which is writable by the
        // contract of `new`; `from` is as long (checked above) and cannot overlap because there is no
        // reference into RAM that somebody writes.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), into.as_ptr(), from.len()) };
    }

    /// Host address of the first page of `range`.
    ///
    /// # Panics
    /// If a page of the range does not exist.
    pub(crate) fn address_of(&self, range: PageRange) -> NonNull<u8> {
        assert!(range.end() <= self.pages, "the range lies in the mapping");
        let offset_bytes = range.first().subscript() * PAGE_BYTES;
        // SAFETY: the offset stays inside the mapping (checked above), which is one allocation by
        // the contract of `new`.
        unsafe { self.base.add(offset_bytes) }
    }

    /// Host address of the mapping.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes.
    pub(crate) fn bytes(&self) -> usize {
        to_usize(self.pages) * PAGE_BYTES
    }

    /// The page that holds a host address, if the address lies in the mapping.
    pub(crate) fn page_at(&self, address: usize) -> Option<PageIndex> {
        let offset_bytes = address.checked_sub(self.base.addr().get())?;
        let page = to_u64(offset_bytes / PAGE_BYTES);
        (page < self.pages).then_some(PageIndex::new(page))
    }
}

impl fmt::Debug for RamMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            _owner,
            base,
            pages,
            stored,
        } = self;
        f.debug_struct("RamMapping")
            .field("base", base)
            .field("pages", pages)
            .field("stored", stored)
            .finish()
    }
}
