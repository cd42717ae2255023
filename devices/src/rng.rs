//! The entropy device (virtio 1.2, section 5.4): random bytes from the host's kernel.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use vm_memory::{Address, Bytes};

use crate::virtio::{
    Activation, Chain, DeviceType, Progress, QueueIndex, Queues, Service, VirtioDevice,
};
use crate::{DeviceError, GuestMemory, Misbehaviour};

#[cfg(test)]
mod tests;

/// One queue, requestq. Linux has one request out at a time; our choice: room for a few.
const QUEUE_MAX_SIZES: [u16; 1] = [16];

/// How many requests one kick serves before others have their turn; our choice.
const REQUESTS_PER_TURN: u16 = 4;

/// How much of a longer request is filled; our choice: Linux asks for 64 bytes at a time.
const REQUEST_LIMIT_BYTES: usize = 64 << 10;

/// Entropy is drawn in pieces of this size; our choice: one page.
const PIECE_BYTES: usize = 4096;

/// An entropy device. It has no configuration, no features, and nothing to save.
#[derive(Debug, Default)]
pub struct Rng {
    activation: Option<Activation>,
    misbehaviour: Misbehaviour,
}

impl Rng {
    /// What drivers know it as (virtio 1.2, section 5).
    pub const DEVICE_TYPE: DeviceType = DeviceType(4);
}

impl VirtioDevice for Rng {
    type State = ();

    fn device_type(&self) -> DeviceType {
        Self::DEVICE_TYPE
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &QUEUE_MAX_SIZES
    }

    fn service(&self) -> Service {
        Service::EventLoop
    }

    fn read_config(&self, _offset: u64, _data: &mut [u8]) {}

    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    fn start(&mut self, activation: Activation) {
        self.activation = Some(activation);
    }

    fn stop(&mut self) -> Queues {
        self.activation
            .take()
            .map(|activation| activation.queues)
            .unwrap_or_default()
    }

    fn process(&mut self, index: QueueIndex) -> Result<Progress, DeviceError> {
        let Self {
            activation,
            misbehaviour,
        } = self;
        let Some(Activation { memory, queues, .. }) = activation else {
            return Ok(Progress::Drained);
        };
        let Some(queue) = queues.get_mut(index) else {
            return Ok(Progress::Drained);
        };
        queue.serve(REQUESTS_PER_TURN, |chain| {
            if chain.readable_bytes() > 0 || chain.writable().is_empty() {
                misbehaviour.note(&"rng", &"request is not a buffer to fill");
                return Ok(0);
            }
            fill(chain, memory)
        })
    }

    fn reset(&mut self) {
        let Self {
            activation,
            misbehaviour: _,
        } = self;
        *activation = None;
    }

    fn save(&self) {}

    fn restore(&mut self, (): ()) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Fills what the driver may expect of one request, and says how many bytes that is.
fn fill(chain: &Chain, memory: &GuestMemory) -> Result<u32, DeviceError> {
    let mut piece = [0; PIECE_BYTES];
    let mut filled_bytes = 0;
    for range in chain.writable() {
        let range_bytes = (range.len_bytes as usize).min(REQUEST_LIMIT_BYTES - filled_bytes);
        for offset in (0..range_bytes).step_by(PIECE_BYTES) {
            let piece = &mut piece[..PIECE_BYTES.min(range_bytes - offset)];
            draw(piece)?;
            let address = range.address.unchecked_add(offset as u64);
            memory
                .write_slice(piece, address)
                .map_err(DeviceError::AccessMemory)?;
        }
        filled_bytes += range_bytes;
    }
    Ok(u32::try_from(filled_bytes).expect("the limit of a request fits 32 bits"))
}

/// Fills `buffer` with random bytes; a signal may cut a draw short (getrandom(2)).
fn draw(buffer: &mut [u8]) -> Result<(), DeviceError> {
    let mut drawn = 0;
    while drawn < buffer.len() {
        match getrandom(&mut buffer[drawn..], GetRandomFlags::empty()) {
            Ok(count) => drawn += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(DeviceError::DrawEntropy(errno.into())),
        }
    }
    Ok(())
}
