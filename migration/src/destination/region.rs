//! Guest memory whose missing pages fault into user space: all dealings with userfaultfd(2).
#![expect(unsafe_code, reason = "userfaultfd and madvise act on raw addresses")]

mod stage;

use std::fmt;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{EAGAIN, EEXIST};
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::mm::{Advice, madvise};
use userfaultfd::{Error as UffdError, Event, EventBuffer, Uffd, UffdBuilder};

use crate::error::{Error, Result};
use crate::page::{PAGE_BYTES, PageIndex, PageRange, to_u64, to_usize};
use crate::ram::RamMapping;
pub(crate) use stage::{HUGE_PAGES, Stage};

/// `UFFDIO_MOVE` of linux/userfaultfd.h, since Linux 6.8; the crate does not have it.
const MOVE_NUMBER: u8 = 0x05;
const MOVE: Opcode = opcode::read_write::<MoveRequest>(0xaa, MOVE_NUMBER);

/// `struct uffdio_move` of linux/userfaultfd.h.
#[derive(Debug)]
#[repr(C)]
struct MoveRequest {
    to: u64,
    from: u64,
    bytes: u64,
    mode: u64,
    /// Bytes that were moved, or a negative error number.
    moved: i64,
}

/// RAM registered for missing-page faults, all pages of which are missing at first.
///
/// Dropping it without [`release`](Self::release) leaves the registration in place for the life of
/// the process, on purpose: memory that never arrived must freeze who touches it, and once a
/// userfaultfd is closed the kernel fills what is missing with zeroes.
pub(crate) struct FaultRegion {
    uffd: ManuallyDrop<Uffd>,
    ram: RamMapping,
    /// Whether whole huge pages can be [moved in](Self::move_in).
    moves: bool,
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
    /// Registers `ram`, which is untouched: a page that is there would never be asked for. It is not
    /// emptied to make sure, because that takes 1 ms with the 8 GiB of a machine that is to resume
    /// within 10. Huge pages are ruled out before, since one fault would install zeroes for its
    /// neighbours as well.
    pub(crate) fn register(ram: RamMapping) -> Result<Self> {
        let uffd = open()?;
        let (base, bytes) = (ram.base().as_ptr().cast(), ram.bytes());
        // SAFETY: by the contract of `RamMapping` the whole range is one anonymous private mapping;
        // the advice changes no content.
        unsafe { madvise(base, bytes, Advice::LinuxNoHugepage) }.map_err(|errno| {
            Error::Register {
                pages: ram.pages(),
                source: errno.into(),
            }
        })?;
        let can = uffd
            .register(base, bytes)
            .map_err(|error| Error::Register {
                pages: ram.pages(),
                source: std::io::Error::other(error),
            })?;
        let is_aligned = ram.base().addr().get().is_multiple_of(Stage::BYTES);
        Ok(Self {
            uffd: ManuallyDrop::new(uffd),
            moves: is_aligned && can.bits() & 1 << MOVE_NUMBER != 0,
            ram,
            released: AtomicBool::new(false),
        })
    }

    /// Whether huge pages can be [moved in](Self::move_in).
    pub(crate) fn moves(&self) -> bool {
        self.moves
    }

    /// Number of pages.
    pub(crate) fn pages(&self) -> u64 {
        self.ram.pages()
    }

    /// Installs `content` as the pages of `range` and wakes who waits for them. A page that is
    /// there already keeps its content.
    pub(crate) fn install(&self, range: PageRange, content: &[u8]) -> Result<()> {
        self.copy_in(range, content, Waiting::Woken)
    }

    /// The same for one page, whose guest sleeps on until it is [woken](Self::wake).
    pub(super) fn install_without_waking(&self, page: PageIndex, content: &[u8]) -> Result<()> {
        let range = PageRange::within(page, 1, self.pages()).expect("the page exists");
        self.copy_in(range, content, Waiting::Asleep)
    }

    /// Installs the content of a full `stage` as the pages of `range`, which are a huge page and all
    /// missing, and wakes who waits for them. They are moved there as they are, so that the guest has a
    /// huge page if the kernel made one; what cannot be moved is copied.
    pub(crate) fn move_in(&self, range: PageRange, stage: &mut Stage) -> Result<()> {
        // Who waits for one of them has made a table for small pages, for the sake of which the kernel
        // would split the huge one. Since Linux 6.14 such a table goes with the pages that it lacks.
        self.discard(range)?;
        let mut request = MoveRequest {
            to: self.ram.address_of(range).addr().get() as u64,
            from: stage.address() as u64,
            bytes: range.bytes() as u64,
            mode: 0,
            moved: 0,
        };
        // SAFETY: the opcode belongs to the request, whose ranges lie in the mapping, which
        // `address_of` checked, and in the stage, which is borrowed for this call alone; only pages
        // that are missing are written.
        let moved = unsafe { ioctl(self.as_fd(), Updater::<MOVE, _>::new(&mut request)) };
        if moved.is_ok() {
            return stage.clear();
        }
        let moved_pages = u64::try_from(request.moved).unwrap_or(0) / to_u64(PAGE_BYTES);
        match PageRange::between(range.first().get() + moved_pages, range.end()) {
            Some(rest) => {
                let offset = to_usize(moved_pages) * PAGE_BYTES;
                self.install(rest, &stage.pages_mut(range.pages())[offset..])
            }
            None => Ok(()),
        }
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
    pub(crate) fn discard(&self, range: PageRange) -> Result<()> {
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
    pub(crate) fn install_zero(&self, page: PageIndex) -> Result<()> {
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
        self.wake_all(PageRange::within(page, 1, self.pages()).expect("the page exists"))
    }

    /// Has those who wait for pages of `range` look again.
    pub(crate) fn wake_all(&self, range: PageRange) -> Result<()> {
        self.uffd
            .wake(self.ram.address_of(range).as_ptr().cast(), range.bytes())
            .map_err(|source| Error::Install {
                page: range.first().get(),
                source,
            })
    }

    /// Reads the faults that have happened into `pages`, which is emptied first.
    pub(crate) fn read_faults(
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
    pub(crate) fn release(&self) -> Result<()> {
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
            moves,
            released,
        } = self;
        f.debug_struct("FaultRegion")
            .field("uffd", uffd)
            .field("ram", ram)
            .field("moves", moves)
            .field("released", released)
            .finish()
    }
}
