//! What a driver can do wrong with the registers.

use crate::DeviceError;

/// An access that had no effect.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{len_bytes}-byte access to register {offset:#x}, which has 4 bytes")]
    AccessSize { offset: u64, len_bytes: usize },

    #[error("register {offset:#x} cannot be read")]
    NotReadable { offset: u64 },

    #[error("register {offset:#x} cannot be written")]
    NotWritable { offset: u64 },

    #[error("status {from:#x} cannot become {to:#x}")]
    StatusOrder { from: u32, to: u32 },

    #[error("features written while status is {status:#x}")]
    FeaturesTooEarlyOrLate { status: u32 },

    #[error("driver insists on features {features:#x} of {offered:#x}")]
    FeaturesNotOffered { features: u64, offered: u64 },

    #[error("driver does not know VIRTIO_F_VERSION_1")]
    LegacyDriver,

    #[error("queue {index} does not exist")]
    NoSuchQueue { index: u32 },

    #[error("queue {index} was written while status is {status:#x}")]
    QueueTooEarlyOrLate { index: u32, status: u32 },

    #[error("queue {index} was written although it is ready")]
    QueueIsReady { index: u32 },

    #[error("{value} is neither ready nor not ready")]
    ReadyValue { value: u32 },

    #[error("queue cannot have {size} descriptors")]
    QueueSize { size: u32 },

    /// The only one after which the device is of no use.
    #[error("queue {index} cannot be used: {reason}")]
    QueueUnusable { index: u32, reason: DeviceError },
}
