//! What of a move is held against QEMU's, and why ours is not so much less where it is not: as far as the two
//! moves themselves say it.

use super::contest::Cost;
use crate::bench::cell::LinkKind;

/// A link that carries so much of its rate on average of a whole move was what the move waited for. Our choice:
/// because headers and the beginning take some percent.
const FULL_SHARE: f64 = 0.85;

/// Something of which ours is at most so much of QEMU's, in the median of all rounds.
pub(super) struct Metric {
    pub(super) claim: &'static str,
    pub(super) limit: f64,
    pub(super) number: fn(&Cost) -> Option<f64>,
    /// Whether it cannot be much less where both fill the link.
    pub(super) is_of_the_link: bool,
}

pub(super) const METRICS: [Metric; 5] = [
    Metric {
        claim: "work lost, by QEMU's",
        limit: 0.5,
        number: |cost| cost.lost_s,
        is_of_the_link: true,
    },
    Metric {
        claim: "time blocked, by QEMU's",
        limit: 0.3,
        number: |cost| cost.blocked_ms,
        is_of_the_link: true,
    },
    Metric {
        claim: "longest stall, by QEMU's",
        limit: 0.3,
        number: |cost| Some(cost.longest_stall_ms),
        is_of_the_link: false,
    },
    Metric {
        claim: "total time, by QEMU's",
        limit: 0.95,
        number: |cost| Some(cost.total_ms),
        is_of_the_link: true,
    },
    Metric {
        claim: "downtime, by QEMU's",
        limit: 1.0,
        number: |cost| cost.downtime_ms,
        is_of_the_link: false,
    },
];

/// Whether the link was full all the time of both moves.
pub(super) fn both_fill(ours: &Cost, theirs: &Cost, link: LinkKind) -> bool {
    let fills = |cost: &Cost| cost.wire_bytes / cost.total_ms >= FULL_SHARE * link.bytes_per_ms();
    fills(ours) && fills(theirs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::noise::Noise;

    /// A move of 238 MiB.
    fn cost(total_ms: f64) -> Cost {
        Cost {
            total_ms,
            downtime_ms: None,
            wire_bytes: 250e6,
            requests: 1.0,
            blocked_ms: None,
            lost_s: Some(2.0),
            longest_stall_ms: 1.0,
            noise: Noise::default(),
        }
    }

    #[test]
    fn moves_wait_for_a_link_that_both_fill() {
        let [quick, slow] = [2100.0, 2600.0].map(cost);
        assert!(both_fill(&quick, &quick, LinkKind::GIGABIT));
        assert!(!both_fill(&quick, &slow, LinkKind::GIGABIT));
        assert!(!both_fill(&quick, &quick, LinkKind::Loopback));
    }
}
