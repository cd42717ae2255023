//! Guest RAM: one contiguous host mapping, cut into the regions of the guest-physical layout.
//!
//! RAM page `n` lives at `base + n * 4096` on the host, whatever hole the guest-physical layout
//! has. Everything that moves memory (migration, snapshot, balloon) works on that dense numbering;
//! KVM and the devices see the regions.
#![expect(unsafe_code, reason = "maps and unmaps the guest's RAM")]

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use devices::GuestMemory;
use migration::snapshot::StoredMemory;
use migration::{MemoryLayout, MemoryRegion, PageBitmap, PageRange, Pfn, RamMapping};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use vm_memory::bitmap::{AtomicBitmap, Bitmap};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryRegion, GuestRegionMmap, MmapRegion};

use crate::boot::RamLayout;
use crate::kvm::insert_dirty;

/// Bytes of one guest page: the unit of migration, ballooning and dirty tracking.
pub const PAGE_BYTES: u64 = 4096;

/// What can go wrong while RAM is mapped.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The host refused the mapping.
    #[error("cannot map {bytes} bytes of guest RAM")]
    Map {
        /// Size of the whole RAM.
        bytes: u64,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
    /// A layout no machine can have.
    #[error("impossible memory layout")]
    Layout(#[from] migration::MigrationError),
    /// A region of the layout cannot be expressed on this host.
    #[error("guest RAM region of {bytes} bytes at {start:#x} does not fit the address space")]
    Region {
        /// Guest-physical start of the region.
        start: u64,
        /// Length of the region.
        bytes: u64,
    },
    /// The kernel has no memory for pages.
    #[error("cannot have memory for {pages} pages of guest RAM from page {first}")]
    Populate {
        /// The first of them.
        first: u64,
        /// How many.
        pages: u64,
        /// Why not.
        source: rustix::io::Errno,
    },
    /// The kernel refused to take pages back.
    #[error("cannot discard {pages} pages of guest RAM from page {first}")]
    Discard {
        /// First RAM page.
        first: u64,
        /// Number of pages.
        pages: u64,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
}

/// One region of guest RAM as KVM wants to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RamRegion {
    /// Guest-physical address of the first byte.
    pub guest_start: u64,
    /// Host address of the first byte.
    pub host_start: u64,
    /// Length, a multiple of 4 KiB.
    pub bytes: u64,
}

/// The mapping; unmapped when the last user lets go.
#[derive(Debug)]
struct HostMapping {
    base: NonNull<c_void>,
    bytes: usize,
    /// The snapshot whose file it maps privately; else it is anonymous.
    stored: Option<Arc<StoredMemory>>,
}

// SAFETY: the mapping is plain memory without thread affinity; all access goes through volatile
// accessors of vm-memory, KVM or the migration crate, never through references.
unsafe impl Send for HostMapping {}
// SAFETY: as above.
unsafe impl Sync for HostMapping {}

impl Drop for HostMapping {
    fn drop(&mut self) {
        // SAFETY: base and bytes are those of the successful mmap in `GuestRam::map`, unmapped
        // nowhere else.
        let unmapped = unsafe { munmap(self.base.as_ptr(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping of ours");
    }
}

/// The RAM of one guest.
///
/// It must outlive every clone of [`GuestRam::guest`]; the machine, which owns both, drops it last.
#[derive(Debug, Clone)]
pub struct GuestRam {
    layout: MemoryLayout,
    guest: GuestMemory,
    host: Arc<HostMapping>,
}

impl GuestRam {
    /// Maps RAM as `layout` says, untouched: it costs address space only until the guest uses it.
    ///
    /// Transparent huge pages are off, because a page that arrives late must be the only one that
    /// its installation makes present (`Documentation/admin-guide/mm/userfaultfd.rst`).
    ///
    /// # Errors
    /// The host has no address space or commit limit for it, or a region does not fit.
    pub fn new(layout: RamLayout) -> Result<Self, MemoryError> {
        Self::map(layout, None)
    }

    /// Maps RAM that has the content of a snapshot, whose file it shares with whoever else maps it
    /// until a page is written.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    ///
    /// # Panics
    /// If the snapshot is of a memory of another size.
    pub fn of_snapshot(layout: RamLayout, stored: Arc<StoredMemory>) -> Result<Self, MemoryError> {
        Self::map(layout, Some(stored))
    }

    fn map(layout: RamLayout, stored: Option<Arc<StoredMemory>>) -> Result<Self, MemoryError> {
        let layout = frames_of(layout)?;
        let total_bytes = layout.pages() * PAGE_BYTES;
        let map_error = |source| MemoryError::Map {
            bytes: total_bytes,
            source,
        };
        let bytes =
            usize::try_from(total_bytes).map_err(|_| map_error(rustix::io::Errno::NOMEM))?;
        let (address, protection) = (ptr::null_mut(), ProtFlags::READ | ProtFlags::WRITE);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let mapped = match &stored {
            // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
            None => unsafe { mmap_anonymous(address, bytes, protection, flags) },
            Some(stored) => {
                assert_eq!(stored.pages(), layout.pages(), "the memory of this VM");
                // SAFETY: as above; the file is as long as the memory, and a private mapping never
                // changes it.
                unsafe { mmap(address, bytes, protection, flags, stored.file(), 0) }
            }
        };
        let base = NonNull::new(mapped.map_err(map_error)?)
            .expect("mmap without MAP_FIXED never returns null");
        let host = Arc::new(HostMapping {
            base,
            bytes,
            stored,
        });
        // SAFETY: the range is the whole mapping made above; the advice changes no content.
        unsafe { madvise(base.as_ptr(), bytes, Advice::LinuxNoHugepage) }.map_err(map_error)?;
        let guest = guest_view(&layout, &host)?;
        Ok(Self {
            layout,
            guest,
            host,
        })
    }

    /// Guest-physical layout of this RAM, by frames.
    #[must_use]
    pub fn layout(&self) -> &MemoryLayout {
        &self.layout
    }

    /// View of the RAM by guest-physical address, for the loader and the devices.
    #[must_use]
    pub fn guest(&self) -> &GuestMemory {
        &self.guest
    }

    /// View of the RAM by page number, for the migration engine.
    #[must_use]
    pub fn mapping(&self) -> RamMapping {
        let base = self.host.base.cast::<u8>();
        // SAFETY: `host` keeps all `layout.pages()` pages mapped readable and writable for as
        // long as the returned value lives.
        let mapping = unsafe { RamMapping::new(self.host.clone(), base, self.layout.pages()) };
        match &self.host.stored {
            Some(stored) => mapping.of_snapshot(Arc::clone(stored)),
            None => mapping,
        }
    }

    /// The regions in the order of guest-physical addresses.
    pub fn regions(&self) -> impl Iterator<Item = RamRegion> + '_ {
        let host_start = self.host.base.as_ptr().addr() as u64;
        self.layout
            .regions()
            .iter()
            .scan(host_start, |next, region| {
                let bytes = region.pages * PAGE_BYTES;
                let this = RamRegion {
                    guest_start: region.first.get() * PAGE_BYTES,
                    host_start: *next,
                    bytes,
                };
                *next += bytes;
                Some(this)
            })
    }

    /// Adds to `dirty` the pages that devices have written since the last call.
    ///
    /// A device marks a page after it has written it, so what is not in the set yet will be.
    pub fn take_written_by_devices(&self, dirty: &mut PageBitmap) {
        let mut first = 0;
        for region in self.guest.iter() {
            let written = MmapRegion::bitmap(region).get_and_reset();
            insert_dirty(dirty, first, &written);
            first += region.len() / PAGE_BYTES;
        }
    }

    /// The RAM pages of `pages` guest frames from `first` on; frames that are no RAM have none.
    pub fn pages_of(&self, first: Pfn, pages: u64) -> impl Iterator<Item = PageRange> + '_ {
        let wanted = first.get()..first.get().saturating_add(pages);
        self.layout.regions().iter().filter_map(move |region| {
            let start = wanted.start.max(region.first.get());
            let end = wanted.end.min(region.first.get() + region.pages);
            let pages = end.checked_sub(start)?;
            let index = self.layout.index_of(Pfn::new(start))?;
            PageRange::within(index, pages, self.layout.pages())
        })
    }

    /// Has `pages` among those that [devices have written](Self::take_written_by_devices).
    pub fn note_written(&self, pages: PageRange) {
        let mut first = 0;
        for region in self.guest.iter() {
            let end = first + region.len() / PAGE_BYTES;
            let start = pages.first().get().max(first);
            if let Some(count) = pages.end().min(end).checked_sub(start) {
                let bytes = |pages: u64| usize::try_from(pages * PAGE_BYTES).expect("it is mapped");
                let bitmap = MmapRegion::bitmap(region);
                bitmap.mark_dirty(bytes(start - first), bytes(count));
            }
            first = end;
        }
    }

    /// Has host memory behind `pages`, as if each had been written with what is in it.
    ///
    /// # Errors
    /// The kernel refuses, or has no memory.
    ///
    /// # Panics
    /// A page does not exist.
    pub fn populate(&self, pages: PageRange) -> Result<(), MemoryError> {
        let (address, bytes) = self.place(pages);
        // SAFETY: the range lies in the mapping; the advice changes no content.
        let populated = unsafe { madvise(address, bytes, Advice::LinuxPopulateWrite) };
        populated.map_err(|source| MemoryError::Populate {
            first: pages.first().get(),
            pages: pages.pages(),
            source,
        })
    }

    /// Where `pages` are in the mapping, and how many bytes.
    fn place(&self, pages: PageRange) -> (*mut c_void, usize) {
        assert!(pages.end() <= self.layout.pages(), "the pages are RAM");
        let to_usize = |value: u64| usize::try_from(value).expect("inside a mapping of ours");
        let offset = to_usize(pages.first().get() * PAGE_BYTES);
        let bytes = to_usize(pages.pages() * PAGE_BYTES);
        // SAFETY: offset and length lie in the mapping, which has all pages of the layout.
        (unsafe { self.host.base.as_ptr().byte_add(offset) }, bytes)
    }

    /// Gives the host memory of `pages` back; they read as zero after.
    ///
    /// # Errors
    /// The kernel refuses.
    ///
    /// # Panics
    /// A page does not exist.
    pub fn discard(&self, pages: PageRange) -> Result<(), MemoryError> {
        let (address, bytes) = self.place(pages);
        let discarded = match self.host.stored {
            // SAFETY: as above; no Rust reference points into the range, so its content may change.
            None => unsafe { madvise(address, bytes, Advice::LinuxDontNeed) },
            // SAFETY: as above.
            Some(_) => unsafe { make_anonymous(address, bytes) },
        };
        discarded.map_err(|source| MemoryError::Discard {
            first: pages.first().get(),
            pages: pages.pages(),
            source,
        })
    }
}

/// Makes a part of a private mapping of a file read as zeroes, which to discard it would not: then it
/// would have the content of the file again.
///
/// # Safety
/// The range lies in one mapping of ours, and no reference points into it.
unsafe fn make_anonymous(address: *mut c_void, bytes: usize) -> Result<(), Errno> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
    // SAFETY: the range is ours by the contract of this function.
    match unsafe { mmap_anonymous(address, bytes, protection, flags) } {
        // SAFETY: the range was mapped just now; the advice changes no content.
        Ok(_) => unsafe { madvise(address, bytes, Advice::LinuxNoHugepage) },
        // Each hole in the mapping costs an area of the address space, of which there are
        // `vm.max_map_count`. Without one the memory is not given back, but what is read is right.
        Err(Errno::NOMEM) => {
            // SAFETY: the range is mapped and writable by the contract of this function.
            unsafe { ptr::write_bytes(address.cast::<u8>(), 0, bytes) };
            Ok(())
        }
        Err(errno) => Err(errno),
    }
}

/// The layout in the terms of the migration engine.
///
/// # Errors
/// None for a layout that [`RamLayout`] has checked.
pub fn frames_of(layout: RamLayout) -> Result<MemoryLayout, MemoryError> {
    let regions = layout.regions().map(|region| MemoryRegion {
        first: Pfn::new(region.start.0 / PAGE_BYTES),
        pages: region.length_bytes / PAGE_BYTES,
    });
    Ok(MemoryLayout::new(regions.collect())?)
}

fn guest_view(layout: &MemoryLayout, host: &HostMapping) -> Result<GuestMemory, MemoryError> {
    let page_bytes = NonZeroUsize::new(4096).expect("not zero");
    let mut offset = 0_usize;
    let mut regions = Vec::with_capacity(layout.regions().len());
    for region in layout.regions() {
        let start = region.first.get() * PAGE_BYTES;
        let length = region.pages * PAGE_BYTES;
        let misfit = || MemoryError::Region {
            start,
            bytes: length,
        };
        let bytes = usize::try_from(length).map_err(|_| misfit())?;
        let dirty = AtomicBitmap::new(bytes, page_bytes);
        let builder = MmapRegionBuilder::new_with_bitmap(bytes, dirty)
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_ANONYMOUS | libc::MAP_PRIVATE | libc::MAP_NORESERVE);
        // SAFETY: the layout's regions add up to the mapping's size, so [offset, offset + bytes)
        // lies inside it; the mapping outlives the view (see `GuestRam`).
        let builder = unsafe {
            builder.with_raw_mmap_pointer(host.base.as_ptr().byte_add(offset).cast::<u8>())
        };
        let mapped = builder.build().map_err(|_| misfit())?;
        regions.push(GuestRegionMmap::new(mapped, GuestAddress(start)).ok_or_else(misfit)?);
        offset += bytes;
    }
    GuestMemory::from_regions(regions).map_err(|_| MemoryError::Region { start: 0, bytes: 0 })
}
