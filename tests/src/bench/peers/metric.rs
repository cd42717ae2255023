//! What of a move is held against QEMU's, and why ours is not so much less where it is not: as far as the two
//! moves themselves say it.

use super::contest::Cost;
use crate::bench::cell::LinkKind;

/// A link that carries so much of its rate on average of a whole move was what the move waited for. Our choice:
/// because headers and the beginning take some percent.
const FULL_SHARE: f64 = 0.85;

/// A count of waiting below this share of the work that was lost leaves most of it out. Our choice: half.
const COUNTED_SHARE: f64 = 0.5;

/// Something of which ours is at most so much of QEMU's, in the median of all rounds.
pub(super) struct Metric {
    pub(super) claim: &'static str,
    pub(super) limit: f64,
    pub(super) number: fn(&Cost) -> Option<f64>,
    /// Why it is more, of our move, QEMU's, and the link.
    pub(super) reason: fn(&Cost, &Cost, LinkKind) -> Option<&'static str>,
}

pub(super) const METRICS: [Metric; 5] = [
    Metric {
        claim: "work lost, by QEMU's",
        limit: 0.5,
        number: |cost| cost.lost_s,
        reason: both_fill,
    },
    Metric {
        claim: "time blocked, by QEMU's",
        limit: 0.3,
        number: |cost| cost.blocked_ms,
        reason: |ours, theirs, link| leaves_out(theirs).or_else(|| both_fill(ours, theirs, link)),
    },
    Metric {
        claim: "longest stall, by QEMU's",
        limit: 0.3,
        number: |cost| Some(cost.longest_stall_ms),
        reason: |_, _, _| None,
    },
    Metric {
        claim: "total time, by QEMU's",
        limit: 0.95,
        number: |cost| Some(cost.total_ms),
        reason: both_fill,
    },
    Metric {
        claim: "downtime, by QEMU's",
        limit: 1.0,
        number: |cost| cost.downtime_ms,
        reason: |ours, theirs, _| is_cut_off(ours, theirs),
    },
];

fn both_fill(ours: &Cost, theirs: &Cost, link: LinkKind) -> Option<&'static str> {
    let fills = |cost: &Cost| cost.wire_bytes / cost.total_ms >= FULL_SHARE * link.bytes_per_ms();
    (fills(ours) && fills(theirs)).then_some("both wait for the link, which is full")
}

fn leaves_out(theirs: &Cost) -> Option<&'static str> {
    let lost_ms = theirs.lost_s? * 1e3;
    (theirs.blocked_ms? < COUNTED_SHARE * lost_ms)
        .then_some("QEMU counts less than half of what its guest lost")
}

fn is_cut_off(ours: &Cost, theirs: &Cost) -> Option<&'static str> {
    let theirs_ms = theirs.downtime_ms?;
    (theirs_ms.fract() == 0.0 && ours.downtime_ms? < theirs_ms + 1.0)
        .then_some("less than 1 ms more, and QEMU tells whole ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::noise::Noise;

    /// A move of 238 MiB.
    fn cost(total_ms: f64, blocked_ms: f64, downtime_ms: f64) -> Cost {
        Cost {
            total_ms,
            downtime_ms: Some(downtime_ms),
            wire_bytes: 250e6,
            requests: 1.0,
            blocked_ms: Some(blocked_ms),
            lost_s: Some(2.0),
            longest_stall_ms: 1.0,
            noise: Noise::default(),
        }
    }

    #[test]
    fn moves_wait_for_a_link_that_both_fill() {
        let [quick, slow] = [2100.0, 2600.0].map(|total_ms| cost(total_ms, 0.0, 0.0));
        assert!(both_fill(&quick, &quick, LinkKind::GIGABIT).is_some());
        assert_eq!(both_fill(&quick, &slow, LinkKind::GIGABIT), None);
        assert_eq!(both_fill(&quick, &quick, LinkKind::Loopback), None);
    }

    #[test]
    fn count_that_is_far_below_what_was_lost_leaves_something_out() {
        assert!(leaves_out(&cost(1.0, 19.0, 0.0)).is_some());
        assert_eq!(leaves_out(&cost(1.0, 1100.0, 0.0)), None);
    }

    #[test]
    fn downtime_in_whole_milliseconds_may_be_up_to_one_more() {
        let downtime = |ms| cost(1.0, 0.0, ms);
        assert!(is_cut_off(&downtime(2.9), &downtime(2.0)).is_some());
        assert_eq!(is_cut_off(&downtime(3.1), &downtime(2.0)), None);
        assert_eq!(is_cut_off(&downtime(2.9), &downtime(2.5)), None);
    }
}
