//! What makes a balloon give up, or a saved one unfit for use.

use devices::DeviceError;

use crate::{Balloon, PfnRange, SelfBallooningSettings};

/// A request that no proper driver makes, or a state that no balloon was in.
#[derive(Debug, thiserror::Error)]
pub enum BalloonError {
    /// A list of pages is not a list of 32-bit numbers, or is longer than any driver's.
    #[error("request with a list of {len_bytes} bytes, which is no list of pages")]
    ListLength {
        /// Its length.
        len_bytes: u64,
    },

    /// A request has buffers to be written where it needs them to be read, or the reverse.
    #[error("request with buffers of the wrong direction")]
    Direction,

    /// What begins or ends a list of hints is no command id.
    #[error("command id of {len_bytes} bytes")]
    CommandLength {
        /// Its length.
        len_bytes: u64,
    },

    /// The guest gives what it does not have.
    #[error("{} pages from page {:#x} on are not in guest memory", range.pages, range.start.0)]
    OutsideMemory {
        /// What it gave.
        range: PfnRange,
    },

    /// Saved settings that nobody could have made.
    #[error("self-ballooning with impossible settings: {settings:?}")]
    Settings {
        /// The settings.
        settings: SelfBallooningSettings,
    },

    /// There is only ever one statistics buffer.
    #[error("second statistics buffer while the first is held")]
    SecondStatisticsBuffer,
}

impl From<BalloonError> for DeviceError {
    fn from(error: BalloonError) -> Self {
        Self::Device {
            device_type: Balloon::DEVICE_TYPE,
            source: Box::new(error),
        }
    }
}
