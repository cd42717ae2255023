//! Memory statistics as the guest sends them (virtio 1.2, section 5.5.6.3).

use serde::{Deserialize, Serialize};

/// The length of an entry: a 16-bit tag and a 64-bit value, little-endian, without padding.
const ENTRY_BYTES: usize = 10;

/// How many entries are looked at; our choice: four times as many as there are tags.
const MAX_ENTRIES: usize = 64;

/// What the guest said of its memory last; a number it never sent is `None`.
///
/// The guest can send any number: they are hints, good for asking for less or more, and never
/// for discarding a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Swapped in since boot.
    pub swap_in_bytes: Option<u64>,
    /// Swapped out since boot.
    pub swap_out_bytes: Option<u64>,
    /// Page faults that needed I/O since boot.
    pub major_faults: Option<u64>,
    /// Page faults that needed none since boot.
    pub minor_faults: Option<u64>,
    /// Used for nothing at all.
    pub free_bytes: Option<u64>,
    /// What the guest manages.
    pub total_bytes: Option<u64>,
    /// What programs could still have without swapping.
    pub available_bytes: Option<u64>,
    /// Reclaimable without I/O: page cache above all.
    pub disk_caches_bytes: Option<u64>,
    /// Huge pages allocated since boot.
    pub huge_page_allocations: Option<u64>,
    /// Huge pages that could not be allocated since boot.
    pub huge_page_failures: Option<u64>,
    /// Times the out-of-memory killer ran since boot.
    pub oom_kills: Option<u64>,
    /// Allocations that had to wait since boot.
    pub allocation_stalls: Option<u64>,
    /// Pages scanned by background reclaim since boot.
    pub async_scans: Option<u64>,
    /// Pages scanned by allocating tasks since boot.
    pub direct_scans: Option<u64>,
    /// Pages reclaimed in the background since boot.
    pub async_reclaims: Option<u64>,
    /// Pages reclaimed by allocating tasks since boot.
    pub direct_reclaims: Option<u64>,
}

impl Statistics {
    /// The longest prefix of a buffer that [`Self::decode`] looks at.
    pub(crate) const MAX_BYTES: usize = ENTRY_BYTES * MAX_ENTRIES;

    /// Decodes entries; unknown tags and a rest too short for an entry mean nothing.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut statistics = Self::default();
        let (entries, _rest) = bytes.as_chunks::<ENTRY_BYTES>();
        for [tag_low, tag_high, value @ ..] in entries.iter().take(MAX_ENTRIES) {
            let tag = u16::from_le_bytes([*tag_low, *tag_high]);
            if let Some(field) = statistics.field_of(tag) {
                *field = Some(u64::from_le_bytes(*value));
            }
        }
        statistics
    }

    /// Tags up to 9 are those of virtio 1.2; the others those of Linux 6.12
    /// (`include/uapi/linux/virtio_balloon.h`).
    fn field_of(&mut self, tag: u16) -> Option<&mut Option<u64>> {
        Some(match tag {
            0 => &mut self.swap_in_bytes,
            1 => &mut self.swap_out_bytes,
            2 => &mut self.major_faults,
            3 => &mut self.minor_faults,
            4 => &mut self.free_bytes,
            5 => &mut self.total_bytes,
            6 => &mut self.available_bytes,
            7 => &mut self.disk_caches_bytes,
            8 => &mut self.huge_page_allocations,
            9 => &mut self.huge_page_failures,
            10 => &mut self.oom_kills,
            11 => &mut self.allocation_stalls,
            12 => &mut self.async_scans,
            13 => &mut self.direct_scans,
            14 => &mut self.async_reclaims,
            15 => &mut self.direct_reclaims,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_of_literal_entries_finds_their_values() {
        let bytes = [
            4, 0, 0x00, 0x10, 0, 0, 0, 0, 0, 0, //
            5, 0, 0x00, 0x00, 0, 0x20, 0, 0, 0, 0, //
            15, 0, 1, 2, 3, 4, 5, 6, 7, 8, //
            0xff, 0xff, 9, 9, 9, 9, 9, 9, 9, 9, //
            4, 0, 0x00, 0x20, 0, 0, 0,
        ];
        let expected = Statistics {
            free_bytes: Some(4096),
            total_bytes: Some(512 << 20),
            direct_reclaims: Some(0x0807_0605_0403_0201),
            ..Statistics::default()
        };
        assert_eq!(Statistics::decode(&bytes), expected);
    }

    #[test]
    fn decode_of_every_tag_fills_every_field() {
        let bytes: Vec<u8> = (0..16)
            .flat_map(|tag| [tag, 0, tag, 0, 0, 0, 0, 0, 0, 0])
            .collect();
        let mut statistics = Statistics::decode(&bytes);
        for tag in 0..16 {
            assert_eq!(*statistics.field_of(tag).unwrap(), Some(u64::from(tag)));
        }
    }

    #[test]
    fn decode_of_nothing_or_too_much_is_harmless() {
        assert_eq!(Statistics::decode(&[]), Statistics::default());
        let mut many = [0; ENTRY_BYTES * (MAX_ENTRIES + 1)];
        many[ENTRY_BYTES * MAX_ENTRIES + 2] = 1;
        assert_eq!(Statistics::decode(&many).swap_in_bytes, Some(0));
    }
}
