//! Frames from the host into the buffers of the driver.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use vm_memory::{Address as _, Bytes};

use super::config::{Buffers, HEADER_BYTES, NUM_BUFFERS_OFFSET};
use super::{NetCounters, NetHandle};
use crate::pieces::{MAX_PIECES, slices_of};
use crate::rate::Limiter;
use crate::virtio::{Chain, VirtQueue};
use crate::{DeviceError, GuestMemory, RateLimit};

/// How a turn of receiving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// The interface has no frame.
    Idle,
    /// The driver has to add buffers first.
    NoRoom,
    /// There may be more.
    More,
    /// The interface is gone.
    Gone,
}

/// The receiving half of a card that runs.
#[derive(Debug)]
pub(super) struct Receiver {
    card: NetHandle,
    memory: GuestMemory,
    buffers: Buffers,
    /// Buffers out of the ring, in its order, for the frames to come.
    taken: VecDeque<Chain>,
    room_bytes: u64,
    limiter: Limiter,
}

impl Receiver {
    pub(super) fn new(
        card: NetHandle,
        memory: GuestMemory,
        buffers: Buffers,
        limit: RateLimit,
    ) -> Self {
        Self {
            card,
            memory,
            buffers,
            taken: VecDeque::new(),
            room_bytes: 0,
            limiter: Limiter::new(limit),
        }
    }

    /// How long it is from `now` until a frame may be received.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.limiter.wait(now)
    }

    /// Receives at most `budget` frames, and interrupts once if the driver wants that.
    ///
    /// # Errors
    /// The driver broke the queue.
    pub(super) fn turn(
        &mut self,
        queue: &mut VirtQueue,
        budget: u16,
    ) -> Result<Reception, DeviceError> {
        let mut counters = NetCounters::default();
        let mut reception = Reception::More;
        for _ in 0..budget {
            if !self.limiter.lets_go() {
                break;
            }
            reception = self.receive(queue, &mut counters)?;
            if reception != Reception::More {
                break;
            }
        }
        self.card.count(counters);
        queue.interrupt_if_wanted()?;
        Ok(reception)
    }

    /// Puts the buffers back for which no frame has come.
    pub(super) fn give_up(&mut self, queue: &mut VirtQueue) {
        while let Some(chain) = self.taken.pop_back() {
            queue.untake(chain);
        }
        self.room_bytes = 0;
    }

    fn receive(
        &mut self,
        queue: &mut VirtQueue,
        counters: &mut NetCounters,
    ) -> Result<Reception, DeviceError> {
        if !self.has_room() && !self.make_room(queue)? {
            return Ok(Reception::NoRoom);
        }
        let count = match self.buffers {
            Buffers::One => 1,
            Buffers::Merged { .. } => self.taken.len(),
        };
        let ranges = self.taken.iter().take(count).flat_map(Chain::writable);
        let mut slices = slices_of(&self.memory, ranges)?;
        slices.truncate(MAX_PIECES - 1);
        let room_bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        let received = self.card.tap().receive(&slices);
        drop(slices);
        match received {
            Ok(None) => Ok(Reception::Idle),
            Ok(Some(frame_bytes)) if (HEADER_BYTES..=room_bytes).contains(&frame_bytes) => {
                self.deliver(queue, frame_bytes as u64)?;
                self.limiter.charge(frame_bytes as u64);
                counters.received_frames += 1;
                counters.received_bytes += (frame_bytes - HEADER_BYTES) as u64;
                Ok(Reception::More)
            }
            Ok(Some(_)) => {
                counters.receive_drops += 1;
                Ok(Reception::More)
            }
            Err(error) => {
                self.card.tell(&error);
                Ok(Reception::Gone)
            }
        }
    }

    fn has_room(&self) -> bool {
        match self.buffers {
            Buffers::One => !self.taken.is_empty(),
            Buffers::Merged { room_bytes } => self.room_bytes >= room_bytes,
        }
    }

    /// Takes buffers until the longest frame would fit; not more than the ring has.
    fn make_room(&mut self, queue: &mut VirtQueue) -> Result<bool, DeviceError> {
        for _ in 0..queue.size() {
            let Some(chain) = take_quietly(queue)? else {
                return Ok(false);
            };
            let writable_bytes = chain.writable_bytes();
            if !chain.readable().is_empty() || writable_bytes < HEADER_BYTES as u64 {
                return Err(DeviceError::NoReceiveBuffer { head: chain.head() });
            }
            self.room_bytes += writable_bytes;
            self.taken.push_back(chain);
            if self.has_room() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hands the first buffers over, which hold a frame of that length.
    fn deliver(&mut self, queue: &mut VirtQueue, frame_bytes: u64) -> Result<(), DeviceError> {
        let mut left = frame_bytes;
        let mut filled = 0;
        while left > 0 {
            left -= left.min(self.taken[filled].writable_bytes());
            filled += 1;
        }
        let num_buffers = u16::try_from(filled).expect("a ring has at most 32768 buffers");
        write_num_buffers(&self.memory, &self.taken[0], num_buffers)?;
        let mut left = frame_bytes;
        let used = self.taken.drain(..filled).map(|chain| {
            let room_bytes = chain.writable_bytes();
            let written_bytes = left.min(room_bytes);
            left -= written_bytes;
            self.room_bytes -= room_bytes;
            (chain, u32::try_from(written_bytes).unwrap_or(u32::MAX))
        });
        queue.put_back_together(used)
    }
}

/// Takes the next buffer. The driver is asked for a kick when there is none, and as long as there are some
/// for none, which each time it adds one would stop its vCPU.
fn take_quietly(queue: &mut VirtQueue) -> Result<Option<Chain>, DeviceError> {
    match queue.take_unasked()? {
        None if queue.ask_for_kicks()? => queue.take_unasked(),
        taken => Ok(taken),
    }
}

/// Completes the header of a frame, which the kernel leaves to us.
fn write_num_buffers(
    memory: &GuestMemory,
    first: &Chain,
    num_buffers: u16,
) -> Result<(), DeviceError> {
    let mut offset = NUM_BUFFERS_OFFSET;
    let mut bytes = &num_buffers.to_le_bytes()[..];
    for range in first.writable() {
        let len_bytes = u64::from(range.len_bytes);
        if offset < len_bytes {
            let room = usize::try_from(len_bytes - offset).unwrap_or(usize::MAX);
            let (here, rest) = bytes.split_at(bytes.len().min(room));
            memory
                .write_slice(here, range.address.unchecked_add(offset))
                .map_err(DeviceError::AccessMemory)?;
            bytes = rest;
        }
        offset = offset.saturating_sub(len_bytes);
    }
    Ok(())
}
