//! The registers of a virtio device on MMIO (virtio 1.2, section 4.2.2, table 4.1).

pub(super) const MAGIC_VALUE: u64 = 0x000;
pub(super) const VERSION: u64 = 0x004;
pub(super) const DEVICE_ID: u64 = 0x008;
pub(super) const VENDOR_ID: u64 = 0x00c;
pub(super) const DEVICE_FEATURES: u64 = 0x010;
pub(super) const DEVICE_FEATURES_SEL: u64 = 0x014;
pub(super) const DRIVER_FEATURES: u64 = 0x020;
pub(super) const DRIVER_FEATURES_SEL: u64 = 0x024;
pub(super) const QUEUE_SEL: u64 = 0x030;
pub(super) const QUEUE_SIZE_MAX: u64 = 0x034;
pub(super) const QUEUE_SIZE: u64 = 0x038;
pub(super) const QUEUE_READY: u64 = 0x044;
pub(super) const QUEUE_NOTIFY: u64 = 0x050;
pub(super) const INTERRUPT_STATUS: u64 = 0x060;
pub(super) const INTERRUPT_ACK: u64 = 0x064;
pub(super) const STATUS: u64 = 0x070;
pub(super) const QUEUE_DESC_LOW: u64 = 0x080;
pub(super) const QUEUE_DESC_HIGH: u64 = 0x084;
pub(super) const QUEUE_DRIVER_LOW: u64 = 0x090;
pub(super) const QUEUE_DRIVER_HIGH: u64 = 0x094;
pub(super) const QUEUE_DEVICE_LOW: u64 = 0x0a0;
pub(super) const QUEUE_DEVICE_HIGH: u64 = 0x0a4;
pub(super) const SHM_SEL: u64 = 0x0ac;
pub(super) const SHM_LEN_LOW: u64 = 0x0b0;
pub(super) const SHM_LEN_HIGH: u64 = 0x0b4;
pub(super) const SHM_BASE_LOW: u64 = 0x0b8;
pub(super) const SHM_BASE_HIGH: u64 = 0x0bc;
pub(super) const CONFIG_GENERATION: u64 = 0x0fc;
/// The first byte of the device's own configuration space.
pub(super) const CONFIG: u64 = 0x100;

/// "virt", little-endian.
pub(super) const MAGIC: u32 = 0x7472_6976;
/// A device without the legacy interface.
pub(super) const MODERN: u32 = 2;
/// "SKIF", little-endian; our choice: drivers do not look at it.
pub(super) const VENDOR: u32 = 0x4649_4b53;
/// What the length and base of a shared memory region read as if there is none
/// (section 4.2.2, SHMLenLow).
pub(super) const NO_SHARED_MEMORY: u32 = u32::MAX;

/// Replaces one half of a 64-bit register.
pub(super) fn set_low(register: &mut u64, value: u32) {
    *register = (*register & !u64::from(u32::MAX)) | u64::from(value);
}

/// Replaces the other half.
pub(super) fn set_high(register: &mut u64, value: u32) {
    *register = (*register & u64::from(u32::MAX)) | (u64::from(value) << 32);
}

/// The half of a 64-bit register that a selector chooses; beyond 1 there is nothing.
pub(super) fn selected_half(register: u64, selector: u32) -> u32 {
    let half = match selector {
        0 => register & u64::from(u32::MAX),
        1 => register >> 32,
        _ => 0,
    };
    u32::try_from(half).expect("half of 64 bits fits 32")
}
