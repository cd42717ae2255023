//! Requests of the driver, decoded and checked before anything is done about them.

use devices::GuestMemory;
use devices::virtio::Chain;
use vm_memory::{GuestMemory as _, Permissions};

use crate::{BalloonError, Pfn, PfnRange, coalesce};

/// The longest list of pages; our choice: 4096 of them. Linux sends up to 256
/// (`VIRTIO_BALLOON_ARRAY_PFNS_MAX`), Windows up to 1024.
const MAX_LIST_BYTES: u64 = 16 << 10;

/// The pages of an inflate or deflate request: an array of 32-bit little-endian page numbers
/// (virtio 1.2, section 5.5.6).
pub(crate) fn listed_pages(
    chain: &Chain,
    memory: &GuestMemory,
) -> Result<Vec<PfnRange>, devices::DeviceError> {
    let len_bytes = chain.readable_bytes();
    if !chain.writable().is_empty() {
        return Err(BalloonError::Direction.into());
    }
    if !len_bytes.is_multiple_of(4) || len_bytes > MAX_LIST_BYTES {
        return Err(BalloonError::ListLength { len_bytes }.into());
    }
    let mut bytes = vec![0; usize::try_from(len_bytes).expect("a list is short")];
    chain.read(memory, &mut bytes)?;
    let (numbers, _) = bytes.as_chunks::<4>();
    let mut pfns: Vec<Pfn> = numbers
        .iter()
        .map(|number| Pfn(u64::from(u32::from_le_bytes(*number))))
        .collect();
    pfns.sort_unstable();
    let ranges = coalesce(pfns);
    match ranges.iter().find(|range| !is_in_memory(range, memory)) {
        Some(range) => Err(BalloonError::OutsideMemory { range: *range }.into()),
        None => Ok(ranges),
    }
}

/// The pages of a free page report: the device-writable buffers themselves (section 5.5.6.7).
pub(crate) fn reported_pages(chain: &Chain) -> Result<Vec<PfnRange>, BalloonError> {
    if !chain.readable().is_empty() {
        return Err(BalloonError::Direction);
    }
    Ok(buffers(chain))
}

/// What comes on the queue of hints (section 5.5.6.5): a command id, buffers that are the pages that
/// are named, or both, in this order.
pub(crate) fn hints(
    chain: &Chain,
    memory: &GuestMemory,
) -> Result<(Option<u32>, Vec<PfnRange>), devices::DeviceError> {
    let command = match chain.readable_bytes() {
        0 => None,
        4 => {
            let mut bytes = [0; 4];
            chain.read(memory, &mut bytes)?;
            Some(u32::from_le_bytes(bytes))
        }
        len_bytes => return Err(BalloonError::CommandLength { len_bytes }.into()),
    };
    Ok((command, buffers(chain)))
}

/// The pages that are device-writable buffers. A buffer's edges may not be those of pages; only what
/// is whole counts.
fn buffers(chain: &Chain) -> Vec<PfnRange> {
    let whole_pages = chain
        .writable()
        .iter()
        .filter_map(|range| PfnRange::whole_pages(range.address, u64::from(range.len_bytes)));
    whole_pages.collect()
}

pub(crate) fn is_in_memory(range: &PfnRange, memory: &GuestMemory) -> bool {
    usize::try_from(range.len_bytes())
        .is_ok_and(|len| memory.check_range(range.address(), len, Permissions::ReadWrite))
}
