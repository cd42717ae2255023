//! What the balloon does for each kind of request.

use devices::virtio::{Chain, Progress, VirtQueue};
use devices::{DeviceError, GuestMemory};

use crate::queues::MUST_TELL_HOST;
use crate::requests::{hints, listed_pages, reported_pages};
use crate::{BalloonError, BalloonHandle, PageReclaim, PfnRange, Statistics};

/// What serving a request takes. Each service says how many bytes it wrote for the driver: none.
pub(super) struct Services<'a> {
    pub(super) memory: &'a GuestMemory,
    pub(super) reclaim: &'a dyn PageReclaim,
    pub(super) shared: &'a BalloonHandle,
    /// What device and driver agreed on.
    pub(super) features: u64,
}

impl Services<'_> {
    /// Without MUST_TELL_HOST the guest may use a page again before it says so: the page is
    /// discarded all the same, but nobody may rely on it.
    pub(super) fn inflate(&self, chain: &Chain) -> Result<u32, DeviceError> {
        let ranges = listed_pages(chain, self.memory)?;
        if self.features & MUST_TELL_HOST != 0 {
            self.shared.lock().ledger.insert_all(&ranges);
        }
        self.discard(&ranges);
        Ok(0)
    }

    /// The pages come back by being touched. Nothing is to be done for that, but those that are about to be
    /// are made ready, which for many at once costs less than a page fault for each.
    pub(super) fn deflate(&self, chain: &Chain) -> Result<u32, DeviceError> {
        let ranges = listed_pages(chain, self.memory)?;
        let mut shared = self.shared.lock();
        shared.ledger.remove_all(&ranges);
        let are_about_to_be_used = shared.is_giving;
        drop(shared);
        if are_about_to_be_used {
            ranges.iter().for_each(|range| self.reclaim.prepare(*range));
        }
        Ok(0)
    }

    /// A guest that fills free pages with something expects to find them so: its pages stay.
    pub(super) fn report(&self, chain: &Chain) -> Result<u32, DeviceError> {
        let ranges = reported_pages(chain)?;
        let bytes: u64 = ranges.iter().map(PfnRange::len_bytes).sum();
        let mut shared = self.shared.lock();
        shared.reported.add(bytes);
        let stays = shared.relies_on_poison(self.features);
        drop(shared);
        if !stays {
            self.discard(&ranges);
        }
        Ok(0)
    }

    /// What was named is noted; the buffers go back at once, for the driver keeps their pages.
    pub(super) fn hint(&self, chain: &Chain) -> Result<u32, DeviceError> {
        let (command, ranges) = hints(chain, self.memory)?;
        let mut shared = self.shared.lock();
        if let Some(command) = command {
            shared.hinting.driver_says(command);
        }
        if !shared.relies_on_poison(self.features) {
            shared.hinting.name(&ranges);
        }
        Ok(0)
    }

    /// Reads a statistics buffer that came, and returns the one that is held if newer ones are
    /// wanted: that is how a device asks (virtio 1.2, section 5.5.6.3).
    pub(super) fn collect_statistics(
        &self,
        queue: &mut VirtQueue,
        held: &mut Option<Chain>,
    ) -> Result<Progress, DeviceError> {
        while let Some(chain) = queue.take()? {
            if held.is_some() {
                return Err(BalloonError::SecondStatisticsBuffer.into());
            }
            let mut bytes = [0; Statistics::MAX_BYTES];
            let len_bytes = chain.read(self.memory, &mut bytes)?;
            let mut shared = self.shared.lock();
            shared.statistics = Some(Statistics::decode(&bytes[..len_bytes]));
            shared.fresh_actual_pages = Some(shared.config.actual_pages);
            drop(shared);
            *held = Some(chain);
        }
        let is_due =
            held.is_some() && std::mem::take(&mut self.shared.lock().are_statistics_wanted);
        if let Some(chain) = held.take_if(|_| is_due) {
            queue.give_back(chain, 0)?;
        }
        Ok(Progress::Drained)
    }

    /// Gives pages back to the host, without holding the lock: that can take a while.
    fn discard(&self, ranges: &[PfnRange]) {
        for range in ranges {
            let discarded = self.reclaim.discard(*range);
            let mut shared = self.shared.lock();
            match discarded {
                Ok(()) => shared.discarded.add(range.len_bytes()),
                Err(error) => {
                    shared.failed_discards = shared.failed_discards.saturating_add(1);
                    if shared.failed_discards.is_power_of_two() {
                        let (pages, address) = (range.pages, range.address().0);
                        log::warn!(
                            "balloon: cannot discard {pages} pages at {address:#x}: {error}"
                        );
                    }
                }
            }
        }
    }
}
