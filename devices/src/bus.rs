//! Address decoding: which device answers at which address.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::DeviceError;

#[cfg(test)]
mod tests;

/// A device that answers accesses to a range of addresses.
///
/// Any vCPU thread may call it; the bus holds the device's lock for the call, so a device must
/// not wait in it for another vCPU.
pub trait BusDevice: Send {
    /// Fills `data` with what the guest reads at `offset` bytes from the start of the range.
    fn read(&mut self, offset: u64, data: &mut [u8]);

    /// Takes what the guest writes at `offset` bytes from the start of the range.
    fn write(&mut self, offset: u64, data: &[u8]);
}

/// Devices at non-overlapping ranges of one address space (ports or guest-physical memory).
///
/// It is filled while the machine is built and only read afterwards, so vCPU threads share it
/// without a lock around the lookup; each device has its own.
#[derive(Default)]
pub struct Bus {
    /// Sorted by `base`.
    slots: Vec<Slot>,
    unclaimed: AtomicU64,
}

struct Slot {
    base: u64,
    size_bytes: u64,
    device: Arc<Mutex<dyn BusDevice>>,
}

impl Slot {
    /// The offset of an access that lies completely inside the slot.
    fn offset_of(&self, address: u64, len_bytes: usize) -> Option<u64> {
        let offset = address.checked_sub(self.base)?;
        let end = offset.checked_add(u64::try_from(len_bytes).ok()?)?;
        (end <= self.size_bytes).then_some(offset)
    }
}

impl Bus {
    /// Puts `device` at `base`, for `size_bytes` addresses.
    ///
    /// # Errors
    /// The range is empty, does not fit the address space, or belongs to another device.
    pub fn insert(
        &mut self,
        base: u64,
        size_bytes: u64,
        device: Arc<Mutex<dyn BusDevice>>,
    ) -> Result<(), DeviceError> {
        let last = size_bytes
            .checked_sub(1)
            .and_then(|distance| base.checked_add(distance))
            .ok_or(DeviceError::InvalidBusRange { base, size_bytes })?;
        let index = self.slots.partition_point(|slot| slot.base <= base);
        let before = index.checked_sub(1).map(|index| &self.slots[index]);
        let after = self.slots.get(index);
        let taken = before
            .filter(|slot| base - slot.base < slot.size_bytes)
            .or(after.filter(|slot| slot.base <= last));
        if let Some(other) = taken {
            return Err(DeviceError::BusRangeTaken {
                base,
                size_bytes,
                other_base: other.base,
            });
        }
        self.slots.insert(
            index,
            Slot {
                base,
                size_bytes,
                device,
            },
        );
        Ok(())
    }

    /// Reads at `address`; where no device answers, the guest reads all ones.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        match self.find(address, data.len()) {
            Some((device, offset)) => {
                device
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .read(offset, data);
            }
            None => data.fill(0xff),
        }
    }

    /// Writes at `address`; where no device answers, nothing happens.
    pub fn write(&self, address: u64, data: &[u8]) {
        if let Some((device, offset)) = self.find(address, data.len()) {
            device
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(offset, data);
        }
    }

    /// How many accesses found no device, or ran over the end of one.
    pub fn unclaimed_accesses(&self) -> u64 {
        self.unclaimed.load(Ordering::Relaxed)
    }

    fn find(&self, address: u64, len_bytes: usize) -> Option<(&Mutex<dyn BusDevice>, u64)> {
        let index = self.slots.partition_point(|slot| slot.base <= address);
        let found = index.checked_sub(1).and_then(|index| {
            let slot = &self.slots[index];
            Some((&*slot.device, slot.offset_of(address, len_bytes)?))
        });
        if found.is_none() {
            self.unclaimed.fetch_add(1, Ordering::Relaxed);
        }
        found
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.slots.iter().map(|slot| (slot.base, slot.size_bytes));
        f.debug_struct("Bus")
            .field("ranges", &slots.collect::<Vec<_>>())
            .field("unclaimed", &self.unclaimed)
            .finish()
    }
}
