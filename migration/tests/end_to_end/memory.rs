//! Guest memory for tests, whose every page has a content that can be told from any other.
#![expect(
    unsafe_code,
    reason = "the tests play the guest, which works on raw memory"
)]

use std::ffi::c_void;
use std::fs;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex};

use migration::{FrozenRam, PAGE_BYTES, PageBitmap, PageIndex, RamMapping};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// The content of a page.
pub type Page = [u8; PAGE_BYTES];

/// An anonymous mapping.
pub struct Memory {
    base: NonNull<c_void>,
    pages: u64,
    /// Pages written since this was last taken.
    written: Mutex<PageBitmap>,
}

// SAFETY: the mapping belongs to nobody else, and is accessed by copies only.
unsafe impl Send for Memory {}
// SAFETY: as for `Send`.
unsafe impl Sync for Memory {}

impl Memory {
    pub fn new(pages: u64) -> Arc<Self> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nobody's memory.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), bytes(pages), access, flags) };
        Arc::new(Self {
            base: NonNull::new(base.unwrap()).unwrap(),
            pages,
            written: Mutex::new(PageBitmap::empty(pages)),
        })
    }

    /// Memory in which about a third of the pages is untouched, some are zero, and the others hold
    /// their [`content`].
    pub fn filled(pages: u64) -> Arc<Self> {
        let memory = Self::new(pages);
        for page in 0..pages {
            match kind(page) {
                Kind::Untouched => {}
                Kind::Zero => memory.write(page, &[0; PAGE_BYTES]),
                Kind::Content => memory.write(page, &content(page)),
            }
        }
        memory
    }

    pub fn mapping(self: &Arc<Self>) -> RamMapping {
        // SAFETY: the mapping is anonymous and private, as long as this says, and unmapped only
        // when the last owner is dropped.
        unsafe { RamMapping::new(Arc::clone(self) as _, self.base.cast(), self.pages) }
    }

    /// The same of a VM that stands still.
    pub fn frozen(self: &Arc<Self>) -> FrozenRam {
        // SAFETY: the tests that play a guest have it stop writing before its VM is paused.
        unsafe { FrozenRam::new(self.mapping()) }
    }

    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// How many huge pages it has, as the kernel says (proc_pid_smaps(5)).
    pub fn huge_pages(&self) -> u64 {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let here = self.base.addr().get();
        let mut lines = smaps.lines();
        let is_ours = |line: &&str| {
            let range = line.split(' ').next().and_then(|word| word.split_once('-'));
            let range = range.map(|(from, to)| [from, to].map(|at| usize::from_str_radix(at, 16)));
            matches!(range, Some([Ok(from), Ok(to)]) if (from..to).contains(&here))
        };
        lines.find(is_ours).unwrap();
        let huge = lines.find_map(|line| line.strip_prefix("AnonHugePages:"));
        let kib = huge.unwrap().trim_end_matches("kB").trim();
        kib.parse::<u64>().unwrap() / 2048
    }

    pub fn read(&self, page: u64) -> Page {
        let mut into = [0; PAGE_BYTES];
        // SAFETY: the page lies in the mapping (checked by `address`), and `into` is as long.
        unsafe { ptr::copy_nonoverlapping(self.address(page), into.as_mut_ptr(), PAGE_BYTES) };
        into
    }

    pub fn write(&self, page: u64, content: &Page) {
        // SAFETY: the page lies in the mapping (checked by `address`), and `content` is as long.
        unsafe { ptr::copy_nonoverlapping(content.as_ptr(), self.address(page), PAGE_BYTES) };
        self.written.lock().unwrap().insert(PageIndex::new(page));
    }

    /// Makes the page one of zeroes, as a balloon does.
    pub fn discard(&self, page: u64) {
        // SAFETY: the page lies in the mapping (checked by `address`), which is anonymous and
        // private; no reference points into it.
        unsafe { madvise(self.address(page).cast(), PAGE_BYTES, Advice::LinuxDontNeed) }.unwrap();
    }

    /// Adds the pages written since the last call.
    pub fn take_written(&self, into: &mut PageBitmap) {
        let none = PageBitmap::empty(self.pages);
        into.add_all(&std::mem::replace(&mut self.written.lock().unwrap(), none));
    }

    fn address(&self, page: u64) -> *mut u8 {
        assert!(page < self.pages);
        // SAFETY: the page lies in the mapping.
        unsafe { self.base.as_ptr().cast::<u8>().add(bytes(page)) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and nobody uses it any more.
        unsafe { munmap(self.base.as_ptr(), bytes(self.pages)).unwrap() };
    }
}

/// What a page of [`Memory::filled`] is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Untouched,
    Zero,
    Content,
}

/// Runs of untouched pages, among the others a zero page now and then.
pub fn kind(page: u64) -> Kind {
    match (page / 50 % 3, page % 13) {
        (1, _) => Kind::Untouched,
        (_, 5) => Kind::Zero,
        _ => Kind::Content,
    }
}

/// What a page holds at the source.
pub fn expected(page: u64) -> Page {
    if kind(page) == Kind::Content {
        content(page)
    } else {
        [0; PAGE_BYTES]
    }
}

/// A content of its own for each page.
pub fn content(page: u64) -> Page {
    let mut bytes = [0; PAGE_BYTES];
    let mut state = page + 1;
    for word in bytes.as_chunks_mut().0 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963);
        *word = state.to_le_bytes();
    }
    bytes
}

fn bytes(pages: u64) -> usize {
    usize::try_from(pages).unwrap() * PAGE_BYTES
}
