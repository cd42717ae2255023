//! Page tables for RAM beyond the first GiB, which boot/tables.s maps: made by ring 3, a page
//! directory for each GiB, linked when it is complete.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::boot;

const GIB: u64 = 1 << 30;
const LARGE_PAGE_BYTES: usize = 2 << 20;
const ENTRIES: usize = 512;

/// Present, writable, user.
const DIRECTORY: u64 = 0x07;
/// Present, writable, user, 2 MiB.
const LARGE_PAGE: u64 = 0x87;

/// Our choice: because the directories below are 512 KiB then, and no host we know has more to give.
const DIRECTORIES: usize = 128;

/// First guest-physical address that cannot be mapped.
pub const END: u64 = DIRECTORIES as u64 * GIB;

#[repr(align(4096))]
struct Directory([AtomicU64; ENTRIES]);

static MADE: [Directory; DIRECTORIES] =
    [const { Directory([const { AtomicU64::new(0) }; ENTRIES]) }; DIRECTORIES];

/// Makes the GiB around `gpa` accessible; returns whether it is. Only for the boot processor.
pub fn map(gpa: u64) -> bool {
    let number = usize::try_from(gpa / GIB).expect("an address divided by 1 GiB");
    // SAFETY: the symbol is an array of that type and size (boot/tables.s), changed by atomics only.
    let pointers = unsafe { &boot::page_directory_pointers };
    let Some(Directory(entries)) = MADE.get(number) else {
        return false;
    };
    if pointers[number].load(Ordering::Relaxed) == 0 {
        let pages = (gpa / GIB * GIB..).step_by(LARGE_PAGE_BYTES);
        for (entry, page) in entries.iter().zip(pages) {
            entry.store(page | LARGE_PAGE, Ordering::Relaxed);
        }
        let directory = core::ptr::from_ref(entries).addr() as u64;
        pointers[number].store(directory | DIRECTORY, Ordering::Release);
    }
    true
}
