//! Whether memory was touched.
#![expect(unsafe_code, reason = "mincore acts on raw addresses")]

use std::io;

use crate::page::PAGE_BYTES;
use crate::ram::RamMapping;

/// Pages asked about at a time. Our choice: the answer, a byte for each, stays in the processor's
/// nearest cache.
const PAGES: usize = 16 << 10;

/// Whether a page of `ram` is in memory, by mincore(2). What is swapped out is not seen, so it is for
/// memory that is a moment old.
///
/// # Errors
/// If the kernel does not tell.
pub(super) fn holds_pages(ram: &RamMapping) -> io::Result<bool> {
    let mut there = [0_u8; PAGES];
    let mut offset_bytes = 0;
    while offset_bytes < ram.bytes() {
        let bytes = (ram.bytes() - offset_bytes).min(PAGES * PAGE_BYTES);
        // SAFETY: the part lies in the mapping, by the loop and the contract of `RamMapping`.
        let address = unsafe { ram.base().add(offset_bytes) };
        // SAFETY: as above; there is a byte for each page of the part, and nothing else is written.
        if unsafe { libc::mincore(address.as_ptr().cast(), bytes, there.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The lowest bit says it; the others are reserved.
        if there[..bytes / PAGE_BYTES].iter().any(|byte| byte & 1 != 0) {
            return Ok(true);
        }
        offset_bytes += bytes;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::ptr::{self, NonNull};
    use std::sync::Arc;

    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

    use super::*;
    use crate::page::{PageIndex, PageRange};

    /// Memory that stays until the tests end.
    fn untouched(pages: u64) -> RamMapping {
        let bytes = usize::try_from(pages).unwrap() * PAGE_BYTES;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nobody's memory.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), bytes, access, flags) };
        let base = NonNull::new(base.unwrap()).unwrap().cast();
        // SAFETY: the mapping was made just now, as long as this says, and is never unmapped.
        unsafe { RamMapping::new(Arc::new(()), base, pages) }
    }

    #[test]
    fn single_page_that_was_written_is_found_wherever_it_is() {
        let pages = 2 * PAGES as u64 + 7;
        for touched in [0, PAGES as u64, pages - 1] {
            let ram = untouched(pages);
            assert!(!holds_pages(&ram).unwrap());
            let page = PageRange::within(PageIndex::new(touched), 1, pages).unwrap();
            ram.write(page, &[1; PAGE_BYTES]);
            assert!(holds_pages(&ram).unwrap(), "{touched}");
        }
    }
}
