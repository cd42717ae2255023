//! The log of guest pages that vCPUs write: `KVM_GET_DIRTY_LOG`, with manual protection.
//!
//! Documentation/virt/kvm/api.rst, 4.8 (KVM_GET_DIRTY_LOG), 4.117 (KVM_CLEAR_DIRTY_LOG) and 7.14
//! (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2): reading the log changes nothing, and clearing takes back
//! write access to the pages that are cleared and to no others, so that the guest stumbles only
//! over pages whose next write must be noticed.
//!
//! The log was chosen over the dirty ring (KVM_CAP_DIRTY_LOG_RING) by measurement, with an experiment
//! that was not kept: six pairs of pre-copies of 1 GiB over 1 Gb/s, 256 MiB of it written at full
//! speed. Reading the log took 32 to 50 ms in all, harvesting a ring of 65,536 entries 78 to 247 ms,
//! since it costs by the page; the guest kept as much of its speed (0.40 to 0.56 with the log, 0.37 to
//! 0.49 with the ring), since the protection it stumbles over is the same. Nor does a vCPU have to leave
//! the guest because a ring is full.
#![expect(
    unsafe_code,
    reason = "kvm-ioctls has no KVM_CLEAR_DIRTY_LOG, and memory slots are raw memory"
)]

use std::os::fd::AsRawFd;

use kvm_bindings::{
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
    KVM_MEM_LOG_DIRTY_PAGES, KVMIO, kvm_clear_dirty_log, kvm_clear_dirty_log__bindgen_ty_1,
    kvm_enable_cap, kvm_userspace_memory_region,
};
use migration::{PageBitmap, PageIndex};
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::{errno, ioctl_iowr_nr};

use super::{KvmError, KvmVm};
use crate::memory::{GuestRam, PAGE_BYTES};

ioctl_iowr_nr!(KVM_CLEAR_DIRTY_LOG, KVMIO, 0xc0, kvm_clear_dirty_log);

/// Words of the log whose pages lose write access at a time, while no vCPU can have a page fault
/// served. Our choice: 64 MiB of memory.
const CLEAR_WORDS: usize = 256;
/// The same in pages: a multiple of 64, as the call demands.
const CLEAR_PAGES: u32 = 256 * 64;

impl KvmVm {
    /// Begins to log the pages of `ram` that vCPUs write.
    ///
    /// # Errors
    /// The host's KVM cannot protect pages one by one, or refuses.
    pub fn start_dirty_log(&self, ram: &GuestRam) -> Result<(), KvmError> {
        let mut manual_protect = kvm_enable_cap {
            cap: KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
            ..kvm_enable_cap::default()
        };
        manual_protect.args[0] = u64::from(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
        self.fd()
            .enable_cap(&manual_protect)
            .map_err(KvmError::ioctl("KVM_ENABLE_CAP (manual dirty log)"))?;
        self.set_slots(ram, KVM_MEM_LOG_DIRTY_PAGES)
    }

    /// Ends what [`start_dirty_log`](Self::start_dirty_log) began.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn stop_dirty_log(&self, ram: &GuestRam) -> Result<(), KvmError> {
        self.set_slots(ram, 0)
    }

    /// Adds to `dirty` the pages that vCPUs have written since the last call, and begins anew for
    /// those: their next write is logged again.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take_dirty_log(&self, ram: &GuestRam, dirty: &mut PageBitmap) -> Result<(), KvmError> {
        let mut first_page = 0;
        for (slot, region) in (0_u32..).zip(ram.regions()) {
            let bytes = usize::try_from(region.bytes).expect("a region of a mapping of ours");
            let log = self
                .fd()
                .get_dirty_log(slot, bytes)
                .map_err(KvmError::ioctl("KVM_GET_DIRTY_LOG"))?;
            let pages = region.bytes / PAGE_BYTES;
            self.clear_dirty_log(slot, pages, &log)?;
            insert(dirty, first_page, &log);
            first_page += pages;
        }
        Ok(())
    }

    /// Takes write access back for the pages that are set in `log`, which has a bit for each of the
    /// `pages` pages of the slot.
    fn clear_dirty_log(&self, slot: u32, pages: u64, log: &[u64]) -> Result<(), KvmError> {
        let firsts = (0_u64..).step_by(CLEAR_WORDS * 64);
        for (words, first_page) in log.chunks(CLEAR_WORDS).zip(firsts) {
            if words.iter().all(|word| *word == 0) {
                continue;
            }
            let left = u32::try_from(pages - first_page).unwrap_or(u32::MAX);
            let request = kvm_clear_dirty_log {
                slot,
                num_pages: left.min(CLEAR_PAGES),
                first_page,
                __bindgen_anon_1: kvm_clear_dirty_log__bindgen_ty_1 {
                    dirty_bitmap: words.as_ptr().cast_mut().cast(),
                },
            };
            // SAFETY: the descriptor is a VM's; the bitmap has a bit for each page of the request
            // (`words` holds `num_pages` bits, rounded up to 64), and the kernel only reads it.
            let result =
                unsafe { ioctl_with_ref(&self.fd().as_raw_fd(), KVM_CLEAR_DIRTY_LOG(), &request) };
            if result != 0 {
                let failed = KvmError::ioctl("KVM_CLEAR_DIRTY_LOG");
                return Err(failed(errno::Error::last()));
            }
        }
        Ok(())
    }

    /// Gives the machine its RAM: a slot for each region, with `flags`.
    pub(super) fn set_slots(&self, ram: &GuestRam, flags: u32) -> Result<(), KvmError> {
        for (slot, region) in (0_u32..).zip(ram.regions()) {
            let region = kvm_userspace_memory_region {
                slot,
                flags,
                guest_phys_addr: region.guest_start,
                memory_size: region.bytes,
                userspace_addr: region.host_start,
            };
            // SAFETY: the region is a part of the RAM mapping; the machine that owns both drops
            // this VM before the RAM.
            unsafe { self.fd().set_user_memory_region(region) }
                .map_err(KvmError::ioctl("KVM_SET_USER_MEMORY_REGION"))?;
        }
        Ok(())
    }
}

/// Adds the pages whose bits are set in `log`, the first of which is page `first`.
pub(crate) fn insert(dirty: &mut PageBitmap, first: u64, log: &[u64]) {
    for (&word, first) in log.iter().zip((first..).step_by(64)) {
        let mut rest = word;
        while rest != 0 {
            dirty.insert(PageIndex::new(first + u64::from(rest.trailing_zeros())));
            rest &= rest - 1;
        }
    }
}
