//! Memory whose missing pages fault into user space, for the floor probes.
#![expect(
    unsafe_code,
    reason = "mmap(2) and userfaultfd(2) act on raw addresses"
)]

use std::ffi::c_void;
use std::ptr;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use userfaultfd::{Event, Uffd, UffdBuilder};

use super::PAGE_BYTES;
use crate::bench::BenchError;

/// An anonymous mapping, all pages of which are missing at first. Unmapped when dropped.
pub(super) struct FaultMemory {
    base: *mut c_void,
    bytes: usize,
    uffd: Uffd,
}

// SAFETY: the mapping is plain memory without thread affinity, and no reference points into it.
unsafe impl Send for FaultMemory {}
// SAFETY: as above; all accesses are by the kernel or volatile reads.
unsafe impl Sync for FaultMemory {}

impl FaultMemory {
    /// Maps `bytes`, a multiple of a page.
    pub(super) fn new(bytes: usize) -> Result<Self, BenchError> {
        let uffd = UffdBuilder::new()
            .close_on_exec(true)
            .non_blocking(false)
            .user_mode_only(false)
            .create()
            .map_err(BenchError::userfault("open it"))?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), bytes, protection, MapFlags::PRIVATE) }
            .map_err(BenchError::system("map memory"))?;
        let memory = Self { base, bytes, uffd };
        // SAFETY: the range is the whole mapping made above; the advice changes no content.
        unsafe { madvise(base, bytes, Advice::LinuxNoHugepage) }
            .map_err(BenchError::system("rule out huge pages"))?;
        memory
            .uffd
            .register(base, bytes)
            .map_err(BenchError::userfault("watch memory"))?;
        Ok(memory)
    }

    /// Installs `content`, whole pages, at `offset`, and wakes who waits for it.
    pub(super) fn install(&self, offset: usize, content: &[u8]) -> Result<(), BenchError> {
        assert!(offset + content.len() <= self.bytes, "inside the mapping");
        let (from, bytes) = (content.as_ptr().cast(), content.len());
        let to = self.base.wrapping_byte_add(offset);
        // SAFETY: `content` is readable for its length, and the target lies in the mapping.
        let copied = unsafe { self.uffd.copy(from, to, bytes, true) };
        copied
            .map(drop)
            .map_err(BenchError::userfault("install pages"))
    }

    /// Waits for a fault and returns the offset of its page.
    pub(super) fn next_fault(&self) -> Result<usize, BenchError> {
        loop {
            let event = self
                .uffd
                .read_event()
                .map_err(BenchError::userfault("read faults"))?;
            if let Some(Event::Pagefault { addr, .. }) = event {
                let offset = addr.addr() - self.base.addr();
                return Ok(offset - offset % PAGE_BYTES);
            }
        }
    }

    /// Reads a byte at `offset`; waits until its page is there.
    pub(super) fn touch(&self, offset: usize) {
        assert!(offset < self.bytes, "inside the mapping");
        let address = self.base.wrapping_byte_add(offset).cast::<u8>();
        // SAFETY: the byte lies in the mapping, which is readable; any value is valid for a byte.
        unsafe { ptr::read_volatile(address) };
    }

    /// Lets the kernel fill with zeroes what is missing, and wakes everybody.
    pub(super) fn release(&self) -> Result<(), BenchError> {
        self.uffd
            .unregister(self.base, self.bytes)
            .map_err(BenchError::userfault("let go of memory"))
    }
}

impl Drop for FaultMemory {
    fn drop(&mut self) {
        // SAFETY: base and bytes are those of the mmap in `new`, unmapped nowhere else.
        let unmapped = unsafe { munmap(self.base, self.bytes) };
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping of ours");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_what_was_installed_and_a_touch_of_it_does_not_wait() {
        // Where userfaultfd is not allowed, there is nothing to test.
        let Ok(memory) = FaultMemory::new(4 * PAGE_BYTES) else {
            return;
        };
        memory.install(PAGE_BYTES, &[1; 2 * PAGE_BYTES]).unwrap();
        memory.touch(2 * PAGE_BYTES);
        std::thread::scope(|scope| {
            scope.spawn(|| memory.touch(3 * PAGE_BYTES + 17));
            assert_eq!(memory.next_fault().unwrap(), 3 * PAGE_BYTES);
            memory.release().unwrap();
        });
    }
}
