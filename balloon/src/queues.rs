//! Features of the balloon, and what each of its queues is for.

use devices::virtio::QueueIndex;

/// Feature bits (virtio 1.2, section 5.5.3).
pub(crate) const MUST_TELL_HOST: u64 = 1 << 0;
pub(crate) const STATISTICS: u64 = 1 << 1;
pub(crate) const DEFLATE_ON_OOM: u64 = 1 << 2;
pub(crate) const FREE_PAGE_HINT: u64 = 1 << 3;
pub(crate) const PAGE_POISON: u64 = 1 << 4;
pub(crate) const PAGE_REPORTING: u64 = 1 << 5;

/// What is offered unless something else is asked for. Page poison is there for the sake of reporting
/// and hints: without it, a Linux guest that poisons its free pages does not report any, and would
/// give hints that must not be used.
pub(crate) const OFFERED: u64 =
    MUST_TELL_HOST | STATISTICS | DEFLATE_ON_OOM | PAGE_POISON | PAGE_REPORTING;

/// One size for all queues. Linux reports up to 32 ranges in a request and does not report at all
/// if the queue has fewer entries (`PAGE_REPORTING_CAPACITY`).
pub(crate) const MAX_SIZES: [u16; 5] = [128; 5];

/// What a queue is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Inflate,
    Deflate,
    Statistics,
    Hints,
    Reporting,
}

impl Role {
    /// In the order in which queues are numbered, with the feature that each one needs. Linux
    /// numbers those it has without gaps.
    const ORDER: [(Self, u64); 5] = [
        (Self::Inflate, 0),
        (Self::Deflate, 0),
        (Self::Statistics, STATISTICS),
        (Self::Hints, FREE_PAGE_HINT),
        (Self::Reporting, PAGE_REPORTING),
    ];

    fn present(features: u64) -> impl Iterator<Item = Self> {
        Self::ORDER
            .into_iter()
            .filter(move |(_, needed)| features & needed == *needed)
            .map(|(role, _)| role)
    }

    /// What queue `index` is for, given what device and driver agreed on.
    pub(crate) fn of(index: QueueIndex, features: u64) -> Option<Self> {
        Self::present(features).nth(usize::from(index.0))
    }

    /// Which queue is for this.
    pub(crate) fn index(self, features: u64) -> Option<QueueIndex> {
        let position = Self::present(features).position(|role| role == self)?;
        u16::try_from(position).ok().map(QueueIndex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(features: u64) -> Vec<Role> {
        (0..8)
            .map_while(|index| Role::of(QueueIndex(index), features))
            .collect()
    }

    #[test]
    fn queues_are_numbered_without_gaps_over_the_features_agreed_on() {
        use Role::{Deflate, Hints, Inflate, Reporting, Statistics};
        assert_eq!(roles(0), [Inflate, Deflate]);
        assert_eq!(roles(STATISTICS), [Inflate, Deflate, Statistics]);
        assert_eq!(roles(PAGE_REPORTING), [Inflate, Deflate, Reporting]);
        assert_eq!(roles(OFFERED), [Inflate, Deflate, Statistics, Reporting]);
        assert_eq!(roles(FREE_PAGE_HINT), [Inflate, Deflate, Hints]);
        assert_eq!(
            roles(OFFERED | FREE_PAGE_HINT),
            [Inflate, Deflate, Statistics, Hints, Reporting]
        );
        assert_eq!(Role::Reporting.index(PAGE_REPORTING), Some(QueueIndex(2)));
        assert_eq!(Role::Reporting.index(OFFERED), Some(QueueIndex(3)));
        assert_eq!(Role::Statistics.index(PAGE_REPORTING), None);
    }

    #[test]
    fn every_queue_that_can_be_is_there() {
        assert_eq!(roles(OFFERED | FREE_PAGE_HINT).len(), MAX_SIZES.len());
        assert!(MAX_SIZES.iter().all(|size| *size >= 32));
    }
}
