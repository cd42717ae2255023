//! Virtio devices on MMIO as their drivers see them (virtio 1.2): where they are, what is agreed on, and
//! which queue of a balloon (section 5.5) is for what.

#[cfg(test)]
mod tests;

use super::options;

/// Pages are taken out of the balloon before they are used.
const MUST_TELL_HOST: u64 = 1 << 0;
const STATISTICS: u64 = 1 << 1;
const DEFLATE_ON_OOM: u64 = 1 << 2;
const REPORTING: u64 = 1 << 5;
const VERSION_1: u64 = 1 << 32;

/// What we have a driver for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network card (section 5.1).
    Card,
    /// A disk (section 5.2).
    Disk,
    /// A balloon.
    Balloon,
}

impl Kind {
    /// Number of the device type (section 5).
    #[must_use]
    pub fn device_type(self) -> u32 {
        match self {
            Self::Card => 1,
            Self::Disk => 2,
            Self::Balloon => 5,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Card => "network card",
            Self::Disk => "disk",
            Self::Balloon => "balloon",
        }
    }

    /// What is taken of `offered`, or nothing if the device is older than the driver. Page poison is left
    /// alone: it would promise what free pages are filled with, and ours keep what they held.
    #[must_use]
    pub fn agreed_features(self, offered: u64) -> Option<u64> {
        let known = match self {
            Self::Card | Self::Disk => VERSION_1,
            Self::Balloon => MUST_TELL_HOST | STATISTICS | DEFLATE_ON_OOM | REPORTING | VERSION_1,
        };
        (offered & VERSION_1 != 0).then_some(offered & known)
    }
}

/// What a queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Pages go into the balloon.
    Inflate,
    /// Pages come out of it.
    Deflate,
    /// What the guest says of its memory.
    Statistics,
    /// Pages that are free, but stay the guest's.
    Report,
}

impl Role {
    /// In the order in which queues are numbered, with the feature that each needs.
    pub const ALL: [(Self, u64); 4] = [
        (Self::Inflate, 0),
        (Self::Deflate, 0),
        (Self::Statistics, STATISTICS),
        (Self::Report, REPORTING),
    ];

    /// Number of the queue: those that `features` have are numbered without gaps, as Linux does.
    #[must_use]
    pub fn queue(self, features: u64) -> Option<u32> {
        let there = |needed: u64| features & needed == needed;
        let has = Self::ALL
            .iter()
            .any(|&(role, needed)| role == self && there(needed));
        let before = Self::ALL.iter().take_while(|(role, _)| *role != self);
        let number = before.filter(|&&(_, needed)| there(needed)).zip(1..).last();
        has.then_some(number.map_or(0, |(_, count)| count))
    }
}

/// Bases of the windows with devices that the command line names: `virtio_mmio.device=SIZE@BASE:IRQ`
/// (Linux Documentation/admin-guide/kernel-parameters.txt).
pub fn windows(command_line: &[u8]) -> impl Iterator<Item = u64> {
    let words = command_line.split(|byte| byte.is_ascii_whitespace());
    words.filter_map(|word| {
        let place = word.strip_prefix(b"virtio_mmio.device=")?;
        let base = place.split(|&byte| byte == b'@').nth(1)?;
        options::address(base.split(|&byte| byte == b':').next()?)
    })
}
