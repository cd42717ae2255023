//! Guest memory whose missing pages fault into user space: all dealings with userfaultfd(2).
#![expect(unsafe_code, reason = "userfaultfd and madvise act on raw addresses")]

use std::fmt;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{EAGAIN, EEXIST};
use rustix::mm::{Advice, madvise};
use userfaultfd::{Error as UffdError, Event, EventBuffer, Uffd, UffdBuilder};

use crate::error::{Error, Result};
use crate::page::{PAGE_BYTES, PageIndex, PageRange, to_u64};
use crate::ram::RamMapping;

/// RAM registered for missing-page faults, all pages of which are missing at first.
///
/// Dropping it without [`release`](Self::release) leaves the registration in place for the life of
/// the process, on purpose: memory that never arrived must freeze who touches it, and once a
/// userfaultfd is closed the kernel fills what is missing with zeroes.
pub(super) struct FaultRegion {
    uffd: ManuallyDrop<Uffd>,
    ram: RamMapping,
    released: AtomicBool,
}

/// What becomes of those who wait for pages that are being installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Woken,
    Asleep,
}

/// Opens a userfaultfd that also serves faults of the kernel, which those of vCPUs are.
fn open() -> Result<Uffd> {
    UffdBuilder::new()
        .close_on_exec(true)
        .non_blocking(true)
        .user_mode_only(false)
        .create()
        .map_err(|source| Error::Userfaultfd { source })
}

/// Checks that this process may serve the page faults of a guest.
///
/// # Errors
/// If it may not: it needs CAP_SYS_PTRACE, access to /dev/userfaultfd, or the sysctl
/// `vm.unprivileged_userfaultfd`.
pub fn check_userfaultfd() -> Result<()> {
    open().map(drop)
}

impl FaultRegion {
    /// Registers `ram` and empties it. Huge pages are ruled out before, since one fault would
    /// install zeroes for its neighbours as well.
    pub(super) fn register(ram: RamMapping) -> Result<Self> {
        let uffd = open()?;
        let (base, bytes) = (ram.base().as_ptr().cast(), ram.bytes());
        let advise = |advice| {
            // SAFETY: by the contract of `RamMapping` the whole range is one anonymous private
            // mapping; no Rust reference points into it, so its content may change.
            unsafe { madvise(base, bytes, advice) }.map_err(|errno| Error::Register {
                pages: ram.pages(),
                source: errno.into(),
            })
        };
        advise(Advice::LinuxNoHugepage)?;
        uffd.register(base, bytes)
            .map_err(|error| Error::Register {
                pages: ram.pages(),
                source: std::io::Error::other(error),
            })?;
        // What was touched before is a page that would never be asked for.
        advise(Advice::LinuxDontNeed)?;
        Ok(Self {
            uffd: ManuallyDrop::new(uffd),
            ram,
            released: AtomicBool::new(false),
        })
    }

    /// Number of pages.
    pub(super) fn pages(&self) -> u64 {
        self.ram.pages()
    }

    /// Installs `content` as the pages of `range` and wakes who waits for them. A page that is
    /// there already keeps its content.
    pub(super) fn install(&self, range: PageRange, content: &[u8]) -> Result<()> {
        self.copy_in(range, content, Waiting::Woken)
    }

    /// The same for one page, whose guest sleeps on until it is [woken](Self::wake).
    pub(super) fn install_without_waking(&self, page: PageIndex, content: &[u8]) -> Result<()> {
        let range = PageRange::within(page, 1, self.pages()).expect("the page exists");
        self.copy_in(range, content, Waiting::Asleep)
    }

    fn copy_in(&self, range: PageRange, content: &[u8], waiting: Waiting) -> Result<()> {
        assert_eq!(range.bytes(), content.len(), "each page has its content");
        let mut at = 0;
        while at < content.len() {
            let rest = &content[at..];
            let first = range.first().get() + to_u64(at / PAGE_BYTES);
            let target = PageRange::between(first, range.end()).expect("some content is left");
            let address = self.ram.address_of(target).as_ptr();
            // SAFETY: `rest` is readable and as long as the range of the mapping that begins at
            // `address`, which `address_of` checked; only pages that are missing are written.
            let copied = unsafe {
                self.uffd.copy(
                    rest.as_ptr().cast(),
                    address.cast(),
                    rest.len(),
                    waiting == Waiting::Woken,
                )
            };
            at += match copied {
                Ok(bytes) => bytes,
                // Carries a negative error number if nothing was copied.
                Err(UffdError::PartiallyCopied(bytes)) if bytes < rest.len() => bytes,
                Err(UffdError::PartiallyCopied(_)) => 0,
                Err(UffdError::CopyFailed(errno)) if errno as i32 == EEXIST => {
                    self.wake(PageIndex::new(first))?;
                    PAGE_BYTES
                }
                Err(source) => {
                    return Err(Error::Install {
                        page: first,
                        source,
                    });
                }
            };
        }
        Ok(())
    }

    /// Overwrites the pages of `range`, which are there, before the guest runs here.
    pub(super) fn overwrite(&self, range: PageRange, content: &[u8]) {
        self.ram.write(range, content);
    }

    /// Makes the pages of `range` missing again.
    pub(super) fn discard(&self, range: PageRange) -> Result<()> {
        let address = self.ram.address_of(range).as_ptr();
        // SAFETY: the range lies in the mapping, which `address_of` checked, and that is anonymous
        // and private; no Rust reference points into it, so its content may change.
        unsafe { madvise(address.cast(), range.bytes(), Advice::LinuxDontNeed) }.map_err(|errno| {
            Error::Discard {
                first: range.first().get(),
                pages: range.pages(),
                source: errno.into(),
            }
        })
    }

    /// Makes the page one of zeroes and wakes who waits for it.
    pub(super) fn install_zero(&self, page: PageIndex) -> Result<()> {
        loop {
            let address = self.address_of(page);
            // SAFETY: the page lies in the mapping, which `address_of` checked; it is written only
            // if it is missing.
            match unsafe { self.uffd.zeropage(address, PAGE_BYTES, true) } {
                Ok(_) => return Ok(()),
                Err(UffdError::ZeropageFailed(errno)) if errno as i32 == EEXIST => {
                    return self.wake(page);
                }
                Err(UffdError::ZeropageFailed(errno)) if errno as i32 == EAGAIN => {}
                Err(source) => {
                    return Err(Error::Install {
                        page: page.get(),
                        source,
                    });
                }
            }
        }
    }

    /// Wakes who waits for the page, which is there.
    pub(super) fn wake(&self, page: PageIndex) -> Result<()> {
        self.uffd
            .wake(self.address_of(page), PAGE_BYTES)
            .map_err(|source| Error::Install {
                page: page.get(),
                source,
            })
    }

    /// Reads the faults that have happened into `pages`, which is emptied first.
    pub(super) fn read_faults(
        &self,
        events: &mut EventBuffer,
        pages: &mut Vec<PageIndex>,
    ) -> Result<()> {
        pages.clear();
        let failed = |source| Error::ReadFaults { source };
        for event in self.uffd.read_events(events).map_err(failed)? {
            if let Event::Pagefault { addr, .. } = event.map_err(failed)? {
                pages.extend(self.ram.page_at(addr.addr()));
            }
        }
        Ok(())
    }

    /// Ends the registration and wakes everyone: from now on the kernel makes what is missing, of
    /// zeroes. For memory that is complete, or that no guest will run on.
    pub(super) fn release(&self) -> Result<()> {
        if self.released.load(Ordering::Acquire) {
            return Ok(());
        }
        let (base, bytes) = (self.ram.base().as_ptr().cast(), self.ram.bytes());
        self.uffd
            .unregister(base, bytes)
            .map_err(|error| Error::Register {
                pages: self.ram.pages(),
                source: std::io::Error::other(error),
            })?;
        self.released.store(true, Ordering::Release);
        Ok(())
    }

    fn address_of(&self, page: PageIndex) -> *mut std::ffi::c_void {
        let range = PageRange::within(page, 1, self.pages()).expect("the page exists");
        self.ram.address_of(range).as_ptr().cast()
    }
}

impl AsFd for FaultRegion {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.uffd.as_fd()
    }
}

impl Drop for FaultRegion {
    fn drop(&mut self) {
        if self.released.load(Ordering::Acquire) {
            // SAFETY: this is the last use of the field, in `drop`.
            unsafe { ManuallyDrop::drop(&mut self.uffd) };
        } else {
            // The memory must stay as well, or its address would be given to something else.
            std::mem::forget(self.ram.clone());
        }
    }
}

impl fmt::Debug for FaultRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            uffd,
            ram,
            released,
        } = self;
        f.debug_struct("FaultRegion")
            .field("uffd", uffd)
            .field("ram", ram)
            .field("released", released)
            .finish()
    }
}
