//! The number of vCPUs and the number of one of them.

use super::error::BootError;

/// The most vCPUs a guest can have. Our choice: all APIC ids fit into 8 bits with much to spare.
pub const VCPUS_MAX: u8 = 32;

/// The number of vCPUs of a guest, 1 to [`VCPUS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuCount(u8);

/// One vCPU, counted from 0; also its APIC id and its ACPI processor UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VcpuIndex(pub u8);

impl VcpuCount {
    /// One vCPU.
    pub const ONE: Self = Self(1);

    /// Checks a number of vCPUs.
    ///
    /// # Errors
    /// If `count` is 0 or more than [`VCPUS_MAX`].
    pub fn new(count: u32) -> Result<Self, BootError> {
        match u8::try_from(count) {
            Ok(valid @ 1..=VCPUS_MAX) => Ok(Self(valid)),
            _ => Err(BootError::VcpuCount { count }),
        }
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Every vCPU in order, the boot processor first.
    pub fn indices(self) -> impl Iterator<Item = VcpuIndex> {
        (0..self.0).map(VcpuIndex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_outside_the_limits_is_refused() {
        assert!(matches!(
            VcpuCount::new(0),
            Err(BootError::VcpuCount { count: 0 })
        ));
        assert!(matches!(
            VcpuCount::new(33),
            Err(BootError::VcpuCount { count: 33 })
        ));
        assert!(matches!(
            VcpuCount::new(257),
            Err(BootError::VcpuCount { count: 257 })
        ));
        assert_eq!(VcpuCount::new(32).unwrap().get(), 32);
    }
}
