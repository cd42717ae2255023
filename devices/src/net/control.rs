//! Commands of the driver (virtio 1.2, section 5.1.6.5). There is one that is offered: it has announced
//! itself.

use vm_memory::Bytes;

use super::NetHandle;
use super::config::Announcing;
use crate::virtio::{Chain, Progress, VirtQueue};
use crate::{DeviceError, GuestMemory};

/// VIRTIO_NET_CTRL_ANNOUNCE and its VIRTIO_NET_CTRL_ANNOUNCE_ACK.
const ANNOUNCED: [u8; 2] = [3, 0];

/// VIRTIO_NET_OK and VIRTIO_NET_ERR.
const OK: u8 = 0;
const ERR: u8 = 1;

/// Obeys at most `budget` commands.
///
/// # Errors
/// The driver broke the queue.
pub(super) fn turn(
    card: &NetHandle,
    memory: &GuestMemory,
    queue: &mut VirtQueue,
    budget: u16,
) -> Result<Progress, DeviceError> {
    queue.serve(budget, |chain| obey(card, memory, chain))
}

fn obey(card: &NetHandle, memory: &GuestMemory, chain: &Chain) -> Result<u32, DeviceError> {
    let answer_to = chain.writable().iter().find(|range| range.len_bytes > 0);
    let Some(answer_to) = answer_to else {
        card.complain(&"command has no place for its answer");
        return Ok(0);
    };
    let mut command = [0; 2];
    let answer = match chain.read(memory, &mut command)? {
        2 if command == ANNOUNCED => {
            card.set_announcing(Announcing::No);
            OK
        }
        _ => ERR,
    };
    memory
        .write_obj(answer, answer_to.address)
        .map_err(DeviceError::AccessMemory)?;
    Ok(1)
}
