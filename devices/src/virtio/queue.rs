//! A split virtqueue as a device uses it (virtio 1.2, section 2.7), on the crate virtio-queue.

use std::sync::atomic::{Ordering, fence};

use serde::{Deserialize, Serialize};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Address as _, Bytes, GuestAddress, GuestMemory as _, Permissions};

use super::{Chain, DeviceSignals, Progress, QueueIndex};
use crate::{DeviceError, GuestMemory};

#[cfg(test)]
mod tests;

/// Sizes in bytes of the parts of a ring (section 2.7.2 and following): one descriptor, then
/// the fixed part and one element of the available and of the used ring.
const DESCRIPTOR_BYTES: u64 = 16;
const AVAILABLE_FIXED_BYTES: u64 = 6;
const AVAILABLE_ELEMENT_BYTES: u64 = 2;
const USED_FIXED_BYTES: u64 = 6;
const USED_ELEMENT_BYTES: u64 = 8;

/// The driver wants no interrupts (VIRTQ_AVAIL_F_NO_INTERRUPT), unless it says of which elements it does.
const NO_INTERRUPT: u16 = 1;

/// Where the elements of the rings begin, and the position in the used ring.
const AVAILABLE_ELEMENTS: u64 = 4;
const USED_INDEX: u64 = 2;
const USED_ELEMENTS: u64 = 4;

/// The registers of a queue, and how far its device has got.
///
/// Plain and untrusted, whether a driver wrote it or a snapshot held it: only a [`VirtQueue`] made
/// of it is fit for use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// How many descriptors the driver wants.
    pub size: u16,
    /// The driver has set the queue up.
    pub ready: bool,
    /// Guest-physical address of the descriptor table.
    pub descriptor_table: u64,
    /// Guest-physical address of the available ring.
    pub available_ring: u64,
    /// Guest-physical address of the used ring.
    pub used_ring: u64,
    /// The next entry to take from the available ring.
    pub next_available: u16,
    /// The next entry to put into the used ring.
    pub next_used: u16,
}

impl QueueState {
    /// A queue nobody has set up.
    pub(super) fn unused(max_size: u16) -> Self {
        Self {
            size: max_size,
            ..Self::default()
        }
    }
}

/// A queue in use: its rings lie in guest RAM and its registers make sense.
#[derive(Debug)]
pub struct VirtQueue {
    queue: Queue,
    memory: GuestMemory,
    signals: DeviceSignals,
    event_index: EventIndex,
    /// The used position of which the driver was last told, or asked whether it wants to be.
    told_used: u16,
    /// The driver was asked for no kicks.
    is_quiet: bool,
}

impl VirtQueue {
    /// Checks `state`, without touching the memory it points to.
    pub(super) fn new(
        state: &QueueState,
        max_size: u16,
        event_index: EventIndex,
        memory: &GuestMemory,
        signals: &DeviceSignals,
    ) -> Result<Self, DeviceError> {
        let &QueueState {
            size,
            ready,
            descriptor_table,
            available_ring,
            used_ring,
            next_available,
            next_used,
        } = state;
        let elements = u64::from(size);
        let parts = [
            (
                descriptor_table,
                elements * DESCRIPTOR_BYTES,
                Permissions::Read,
            ),
            (
                available_ring,
                AVAILABLE_FIXED_BYTES + elements * AVAILABLE_ELEMENT_BYTES,
                Permissions::Read,
            ),
            (
                used_ring,
                USED_FIXED_BYTES + elements * USED_ELEMENT_BYTES,
                Permissions::Write,
            ),
        ];
        for (address, len_bytes, access) in parts {
            let is_inside = usize::try_from(len_bytes)
                .is_ok_and(|len| memory.check_range(GuestAddress(address), len, access));
            if !is_inside {
                return Err(DeviceError::RingOutsideMemory { address, len_bytes });
            }
        }
        if next_available.wrapping_sub(next_used) > size {
            return Err(DeviceError::RingPositions {
                next_available,
                next_used,
                size,
            });
        }
        let state = virtio_queue::QueueState {
            max_size,
            next_avail: next_available,
            next_used,
            event_idx_enabled: event_index == EventIndex::Negotiated,
            size,
            ready,
            desc_table: descriptor_table,
            avail_ring: available_ring,
            used_ring,
        };
        let queue = Queue::try_from(state).map_err(DeviceError::Ring)?;
        Ok(Self {
            queue,
            memory: memory.clone(),
            signals: signals.clone(),
            event_index,
            told_used: next_used,
            is_quiet: false,
        })
    }

    /// Serves at most `budget` chains. `serve_one` says how many bytes it wrote into its chain,
    /// which then goes back to the driver; interrupts are raised as the driver wishes.
    ///
    /// # Errors
    /// The ring or a chain is malformed, or `serve_one` gave up: the queue is broken.
    pub fn serve(
        &mut self,
        budget: u16,
        serve_one: impl FnMut(&Chain) -> Result<u32, DeviceError>,
    ) -> Result<Progress, DeviceError> {
        let mut left = 0..budget;
        self.serve_while(|| left.next().is_some(), serve_one)
    }

    /// Serves chains as long as `goes_on` says so, which is asked before each is taken.
    ///
    /// # Errors
    /// As for [`Self::serve`].
    pub fn serve_while(
        &mut self,
        mut goes_on: impl FnMut() -> bool,
        mut serve_one: impl FnMut(&Chain) -> Result<u32, DeviceError>,
    ) -> Result<Progress, DeviceError> {
        self.want_no_kicks()?;
        let mut has_served = false;
        while goes_on() {
            let Some(chain) = self.next_chain()? else {
                break;
            };
            let written_bytes = serve_one(&chain)?;
            self.put_back(chain, written_bytes)?;
            has_served = true;
        }
        if has_served {
            self.interrupt_if_wanted()?;
        }
        // Looks again after asking for kicks: the driver may have added a chain in between.
        Ok(if self.ask_for_kicks()? {
            Progress::More
        } else {
            Progress::Drained
        })
    }

    /// Takes the next chain to keep for a while; without one, the driver is asked for a kick. The
    /// chain stays with the device until [`Self::give_back`] or [`Self::untake`].
    ///
    /// # Errors
    /// The ring or the chain is malformed: the queue is broken.
    pub fn take(&mut self) -> Result<Option<Chain>, DeviceError> {
        if let Some(chain) = self.next_chain()? {
            return Ok(Some(chain));
        }
        if self.ask_for_kicks()? {
            self.next_chain()
        } else {
            Ok(None)
        }
    }

    /// Takes the next chain for a device that looks for chains by itself: the driver is asked for no kicks
    /// until [`Self::ask_for_kicks`].
    ///
    /// # Errors
    /// As for [`Self::take`].
    pub fn take_unasked(&mut self) -> Result<Option<Chain>, DeviceError> {
        let chain = self.next_chain()?;
        if chain.is_some() && !self.is_quiet {
            self.want_no_kicks()?;
        }
        Ok(chain)
    }

    fn want_no_kicks(&mut self) -> Result<(), DeviceError> {
        self.is_quiet = true;
        self.queue
            .disable_notification(&self.memory)
            .map_err(DeviceError::Ring)
    }

    /// Whether the driver has made a chain available that was not taken.
    ///
    /// # Errors
    /// The ring cannot be accessed.
    pub fn has_chain(&self) -> Result<bool, DeviceError> {
        let available = self.queue.avail_idx(&self.memory, Ordering::Acquire);
        let available = available.map_err(DeviceError::Ring)?;
        Ok(available.0 != self.queue.next_avail())
    }

    /// Asks the driver for kicks again; says whether it has made a chain available meanwhile.
    ///
    /// # Errors
    /// The ring cannot be accessed.
    pub fn ask_for_kicks(&mut self) -> Result<bool, DeviceError> {
        self.is_quiet = false;
        self.queue
            .enable_notification(&self.memory)
            .map_err(DeviceError::Ring)
    }

    /// Returns a chain into which `written_bytes` were written, and interrupts if that is wanted.
    ///
    /// # Errors
    /// The ring cannot be written.
    pub fn give_back(&mut self, chain: Chain, written_bytes: u32) -> Result<(), DeviceError> {
        self.put_back(chain, written_bytes)?;
        self.interrupt_if_wanted()
    }

    /// Returns chains with the numbers of bytes that were written into them, all at once: the driver
    /// finds all of them, or none. It is not interrupted; [`Self::interrupt_if_wanted`] follows.
    ///
    /// # Errors
    /// The ring cannot be written.
    pub fn put_back_together(
        &mut self,
        chains: impl IntoIterator<Item = (Chain, u32)>,
    ) -> Result<(), DeviceError> {
        let ring = GuestAddress(self.queue.used_ring());
        let mut next_used = self.queue.next_used();
        for (chain, written_bytes) in chains {
            let slot = u64::from(next_used % self.queue.size());
            let element = [u32::from(chain.head()).to_le(), written_bytes.to_le()];
            let place = ring.unchecked_add(USED_ELEMENTS + slot * USED_ELEMENT_BYTES);
            self.memory
                .write_obj(element, place)
                .map_err(DeviceError::AccessMemory)?;
            next_used = next_used.wrapping_add(1);
        }
        self.queue.set_next_used(next_used);
        // What the driver sees of the position, it sees of the elements.
        self.memory
            .store(
                next_used.to_le(),
                ring.unchecked_add(USED_INDEX),
                Ordering::Release,
            )
            .map_err(DeviceError::AccessMemory)
    }

    /// Interrupts if something was returned of which the driver wants to hear (sections 2.7.7 and 2.7.10).
    ///
    /// # Errors
    /// The ring cannot be read.
    pub fn interrupt_if_wanted(&mut self) -> Result<(), DeviceError> {
        let next_used = self.queue.next_used();
        let told_used = std::mem::replace(&mut self.told_used, next_used);
        if next_used == told_used {
            return Ok(());
        }
        let is_wanted = match self.event_index {
            EventIndex::Absent => {
                // The driver allows interrupts, then looks for what is used.
                fence(Ordering::SeqCst);
                let flags: u16 = self
                    .memory
                    .load(GuestAddress(self.queue.avail_ring()), Ordering::Relaxed)
                    .map_err(DeviceError::AccessMemory)?;
                u16::from_le(flags) & NO_INTERRUPT == 0
            }
            EventIndex::Negotiated => {
                // The driver writes where it wants to hear again, then looks for what is used.
                fence(Ordering::SeqCst);
                let event =
                    AVAILABLE_ELEMENTS + u64::from(self.queue.size()) * AVAILABLE_ELEMENT_BYTES;
                let place = GuestAddress(self.queue.avail_ring()).unchecked_add(event);
                let event: u16 = self
                    .memory
                    .load(place, Ordering::Relaxed)
                    .map_err(DeviceError::AccessMemory)?;
                passes(told_used, next_used, u16::from_le(event))
            }
        };
        if is_wanted {
            self.signals.used_buffers();
        }
        Ok(())
    }

    /// How many descriptors it has.
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Makes the chain that was taken last available once more: for a device that stops with buffers
    /// in hand. Those that it keeps must have been taken before that one.
    pub fn untake(&mut self, _chain: Chain) {
        self.queue.go_to_previous_position();
    }

    pub(super) fn save_positions(&self, state: &mut QueueState) {
        state.next_available = self.queue.next_avail();
        state.next_used = self.queue.next_used();
    }

    fn next_chain(&mut self) -> Result<Option<Chain>, DeviceError> {
        let mut available = self.queue.iter(&self.memory).map_err(DeviceError::Ring)?;
        available.next().map(Chain::parse).transpose()
    }

    /// Returns a chain into which `written_bytes` were written, without an interrupt;
    /// [`Self::interrupt_if_wanted`] follows.
    ///
    /// # Errors
    /// The ring cannot be written.
    pub fn put_back(&mut self, chain: Chain, written_bytes: u32) -> Result<(), DeviceError> {
        self.queue
            .add_used(&self.memory, chain.head(), written_bytes)
            .map_err(DeviceError::Ring)
    }
}

/// Whether the positions from `from` to `to` are such that the driver hears of the used element `event`
/// (section 2.7.7.2).
fn passes(from: u16, to: u16, event: u16) -> bool {
    to.wrapping_sub(event).wrapping_sub(1) < to.wrapping_sub(from)
}

/// Whether driver and device tell each other at which ring index they want to hear again
/// (section 2.7.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventIndex {
    Negotiated,
    Absent,
}

/// The queues of a device that the driver has set up, by their index.
#[derive(Debug, Default)]
pub struct Queues(Vec<Option<VirtQueue>>);

impl Queues {
    pub(super) fn new(queues: Vec<Option<VirtQueue>>) -> Self {
        Self(queues)
    }

    /// A queue, unless the driver left it alone.
    pub fn get_mut(&mut self, index: QueueIndex) -> Option<&mut VirtQueue> {
        self.0.get_mut(usize::from(index.0))?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&VirtQueue>> {
        self.0.iter().map(Option::as_ref)
    }
}
