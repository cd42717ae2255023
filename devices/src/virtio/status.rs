//! The status register of a device, and the order in which a driver may set its bits.

use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK,
    VIRTIO_CONFIG_S_FAILED, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET,
};

/// The status of a device (virtio 1.2, section 2.1).
///
/// ```text
///  0 -> ACKNOWLEDGE -> DRIVER -> FEATURES_OK -> DRIVER_OK
///  ^                   |         |              |
///  +- write 0 ---------+---------+--------------+   FAILED and NEEDS_RESET add to any of them
/// ```
/// Each bit needs the one before it. FEATURES_OK stays off if the device does not agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status(u32);

impl Status {
    pub(super) const FEATURES_OK: u32 = VIRTIO_CONFIG_S_FEATURES_OK;
    pub(super) const DRIVER_OK: u32 = VIRTIO_CONFIG_S_DRIVER_OK;
    const NEEDS_RESET: u32 = VIRTIO_CONFIG_S_NEEDS_RESET;
    const FAILED: u32 = VIRTIO_CONFIG_S_FAILED;
    const ORDER: [u32; 4] = [
        VIRTIO_CONFIG_S_ACKNOWLEDGE,
        VIRTIO_CONFIG_S_DRIVER,
        Self::FEATURES_OK,
        Self::DRIVER_OK,
    ];

    /// A status that a device can be in.
    pub(super) fn from_bits(bits: u32) -> Option<Self> {
        let mut steps = bits & !(Self::NEEDS_RESET | Self::FAILED);
        for step in Self::ORDER {
            if steps & step == 0 {
                break;
            }
            steps &= !step;
        }
        (steps == 0).then_some(Self(bits))
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// The status after the driver wrote `bits`, which may only add to what it wrote before;
    /// NEEDS_RESET is the device's own.
    pub(super) fn advanced_to(self, bits: u32) -> Option<Self> {
        let needs_reset = self.0 & Self::NEEDS_RESET;
        let driver_bits = bits & !Self::NEEDS_RESET;
        let keeps_all = driver_bits & self.0 == self.0 & !Self::NEEDS_RESET;
        let next = Self::from_bits(driver_bits | needs_reset)?;
        keeps_all.then_some(next)
    }

    pub(super) fn without(self, bits: u32) -> Self {
        Self(self.0 & !bits)
    }

    pub(super) fn needing_reset(self) -> Self {
        Self(self.0 | Self::NEEDS_RESET)
    }

    pub(super) fn contains(self, bits: u32) -> bool {
        self.0 & bits == bits
    }

    /// The driver has set the device up, and neither of them has given up.
    pub(super) fn is_live(self) -> bool {
        self.contains(Self::DRIVER_OK) && self.0 & (Self::NEEDS_RESET | Self::FAILED) == 0
    }

    /// The driver may choose features now.
    pub(super) fn is_negotiating(self) -> bool {
        self.contains(VIRTIO_CONFIG_S_DRIVER) && !self.contains(Self::FEATURES_OK)
    }

    /// The driver may set queues up now.
    pub(super) fn is_configuring(self) -> bool {
        self.contains(Self::FEATURES_OK) && !self.contains(Self::DRIVER_OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_bits_of_every_value_accepts_only_ordered_steps() {
        let accepted: Vec<u32> = (0..=0xff)
            .filter(|bits| Status::from_bits(*bits).is_some())
            .collect();
        let steps = [0x00, 0x01, 0x03, 0x0b, 0x0f];
        let mut expected: Vec<u32> = [0x00, 0x40, 0x80, 0xc0]
            .iter()
            .flat_map(|extra| steps.map(|s| s | extra))
            .collect();
        expected.sort_unstable();
        assert_eq!(accepted, expected);
        assert_eq!(Status::from_bits(0x100), None);
    }

    #[test]
    fn advance_that_drops_a_bit_is_refused() {
        let running = Status::from_bits(0x0f).unwrap();
        assert_eq!(running.advanced_to(0x0b), None);
        assert_eq!(running.advanced_to(0x8f), Status::from_bits(0x8f));
    }

    #[test]
    fn advance_leaves_needs_reset_to_the_device() {
        let broken = Status::from_bits(0x4b).unwrap();
        assert_eq!(broken.advanced_to(0x0f), Status::from_bits(0x4f));
        assert_eq!(Status::default().advanced_to(0x41), Status::from_bits(0x01));
        assert!(!Status::from_bits(0x4f).unwrap().is_live());
    }
}
