//! Guest-physical memory, which is mapped one to one: the monitor's tables for reading, the working
//! set for everything.

use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::AtomicU8;

use super::paging;
use crate::boot;
use crate::pure::boot_info::PhysicalMemory;
use crate::pure::memory_map::MemoryMap;
use crate::pure::options::PAGE_BYTES;
use crate::pure::pages::Pages;
use crate::pure::pattern::Page;

/// First address after this program.
pub fn image_end() -> u64 {
    core::ptr::addr_of!(boot::image_end).addr() as u64
}

fn address(gpa: u64) -> usize {
    usize::try_from(gpa).expect("an address of a 64-bit processor")
}

/// All of guest-physical memory, as the monitor left it.
#[derive(Debug)]
pub struct Monitors;

impl PhysicalMemory for Monitors {
    #[inline(never)]
    fn byte(&self, gpa: u64) -> u8 {
        if gpa == 0 || !paging::map(gpa) {
            return 0;
        }
        // SAFETY: the page is mapped, and reading it changes nothing.
        unsafe { with_exposed_provenance::<u8>(address(gpa)).read_volatile() }
    }
}

/// Where the working set lies.
#[derive(Clone, Debug)]
pub struct WorkingSet {
    pages: MemoryMap,
    count: u64,
    generations_gpa: u64,
    owners_gpa: u64,
}

impl WorkingSet {
    /// Takes `count` pages, and those for the tables of all pages, from the front of `memory`, or nothing
    /// if it has too few. Maps all of `memory`.
    pub fn take(mut memory: MemoryMap, count: u64) -> Option<Self> {
        let generations_gpa = memory.take(generation_pages(count))?;
        let owners_gpa = memory.take(owner_pages(memory.pages()))?;
        if memory.pages() < count {
            return None;
        }
        for extent in memory.extents() {
            let end = extent.gpa + extent.pages * PAGE_BYTES;
            (extent.gpa >> 30..=(end - 1) >> 30).for_each(|gib| _ = paging::map(gib << 30));
        }
        Some(Self {
            pages: memory,
            count,
            generations_gpa,
            owners_gpa,
        })
    }

    /// How many pages a working set in `memory` can have.
    pub fn most_pages(memory: &MemoryMap) -> u64 {
        memory
            .pages()
            .saturating_sub(generation_pages(memory.pages()) + owner_pages(memory.pages()))
    }

    /// How many pages there are.
    pub fn pages(&self) -> u64 {
        self.count
    }

    /// All memory: the pages of the set, and after them those that no work uses.
    pub fn memory(&self) -> &MemoryMap {
        &self.pages
    }

    /// A table with a byte for each page of [`Self::memory`]; what it holds at first is left open.
    pub fn owners(&self) -> &'static [AtomicU8] {
        let table = with_exposed_provenance(address(self.owners_gpa));
        // SAFETY: these are pages that were taken from the map for it, mapped, and only ever used as
        // atomics.
        unsafe { core::slice::from_raw_parts(table, address(self.pages.pages())) }
    }
}

fn generation_pages(count: u64) -> u64 {
    count
        .saturating_mul(size_of::<u32>() as u64)
        .div_ceil(PAGE_BYTES)
}

/// One byte for each page.
fn owner_pages(count: u64) -> u64 {
    count.div_ceil(PAGE_BYTES)
}

/// Has the pages that nobody works on.
pub trait Lender {
    /// Lends a page; comes back when it may be used. May `touch` it before, so that it is there.
    fn take(&self, index: u64, touch: impl FnOnce());
    /// Has a page back.
    fn give_back(&self, index: u64);
}

/// The part of the working set that one processor works on, and of the pages after the set those that
/// it takes from the lender.
#[derive(Debug)]
pub struct OwnPages<'a, L> {
    set: &'a WorkingSet,
    lender: L,
}

impl<'a, L> OwnPages<'a, L> {
    /// Access to `set` for one processor.
    ///
    /// # Safety
    /// No two processors may use the same page.
    pub unsafe fn new(set: &'a WorkingSet, lender: L) -> Self {
        Self { set, lender }
    }

    fn generation_place(&self, index: u64) -> *mut u32 {
        assert!(index < self.set.count, "a page of the working set");
        with_exposed_provenance_mut(address(self.set.generations_gpa + 4 * index))
    }
}

impl<L: Lender> Pages for OwnPages<'_, L> {
    fn page(&mut self, index: u64) -> &mut Page {
        let gpa = address(self.gpa(index));
        // The pointer passes through here so that nothing is assumed of what is behind it.
        let page = core::hint::black_box(with_exposed_provenance_mut::<Page>(gpa));
        // SAFETY: this is RAM that the map lists, mapped, above our image, on a page boundary, and used
        // by this processor only.
        unsafe { &mut *page }
    }

    fn gpa(&self, index: u64) -> u64 {
        self.set
            .pages
            .gpa_of(index)
            .expect("a page of the working set")
    }

    fn generation(&self, index: u64) -> u32 {
        // SAFETY: the table has `count` places, and each is used by the one that uses the page.
        unsafe { self.generation_place(index).read() }
    }

    fn set_generation(&mut self, index: u64, generation: u32) {
        // SAFETY: as above.
        unsafe { self.generation_place(index).write(generation) }
    }

    fn take(&mut self, index: u64) {
        let gpa = address(self.gpa(index));
        let word = with_exposed_provenance_mut::<u64>(gpa);
        // Written and not read, which would have the host map zeroes that it replaces later.
        // SAFETY: the lender calls this for a page that is this processor's by then; it is RAM, mapped,
        // and what it holds is not needed.
        let touch = || unsafe { word.write_volatile(0) };
        self.lender.take(index, touch);
    }

    fn give_back(&mut self, index: u64) {
        self.lender.give_back(index);
    }
}

/// The C library's part that the compiler calls for, in the processor's own instructions.
mod compiler_calls {
    use core::arch::asm;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's promise is that of memcpy; the direction flag is clear, as the ABI says.
        unsafe {
            asm!("rep movsb", inout("rcx") bytes => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags));
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
        if to.addr().wrapping_sub(from.addr()) >= bytes {
            // SAFETY: copied upwards, no byte is overwritten before it was read.
            return unsafe { memcpy(to, from, bytes) };
        }
        // SAFETY: the caller's promise is that of memmove; downwards, with the flag clear afterwards.
        unsafe {
            asm!("std", "rep movsb", "cld", inout("rcx") bytes => _,
                inout("rdi") to.wrapping_add(bytes).wrapping_sub(1) => _,
                inout("rsi") from.wrapping_add(bytes).wrapping_sub(1) => _, options(nostack));
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's promise is that of memset; the direction flag is clear, as the ABI says.
        unsafe {
            asm!("rep stosb", inout("rcx") bytes => _, inout("rdi") to => _, in("al") byte.to_le_bytes()[0],
                options(nostack, preserves_flags));
        }
        to
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, bytes: usize) -> i32 {
        for place in 0..bytes {
            // SAFETY: the caller's promise is that both have `bytes` bytes.
            let (a, b) = unsafe {
                (
                    one.add(place).read_volatile(),
                    other.add(place).read_volatile(),
                )
            };
            if a != b {
                return i32::from(a) - i32::from(b);
            }
        }
        0
    }
}
