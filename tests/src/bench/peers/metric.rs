//! What of a move is held against QEMU's, and why ours is not so much less where it is not: as far as the two
//! moves themselves say it.

use super::contest::Cost;
use crate::bench::cell::LinkKind;

/// A link that carries so much of its rate on average of a whole move was what the move waited for. Our choice:
/// because headers and the beginning take some percent.
const FULL_SHARE: f64 = 0.85;

/// A guest that loses less loses nothing that its rates could tell. Our choice: as of a change that counts from
/// one file of results to another.
const LEAST_LOST_S: f64 = 0.02;

/// Who waited for less than this share of what was lost lost most of it otherwise.
const WAITING_SHARE: f64 = 0.5;

/// Something of which ours is at most so much of QEMU's, in the median of all rounds.
pub(super) struct Metric {
    pub(super) claim: &'static str,
    pub(super) limit: f64,
    pub(super) number: fn(&Cost) -> Option<f64>,
    /// QEMU's number is a number only above this.
    pub(super) least: f64,
    /// Why it is more, of our move, QEMU's, and the link.
    pub(super) reason: fn(&Cost, &Cost, LinkKind) -> Option<&'static str>,
}

pub(super) const METRICS: [Metric; 5] = [
    Metric {
        claim: "work lost, by QEMU's",
        limit: 0.5,
        number: |cost| cost.lost_s,
        least: LEAST_LOST_S,
        reason: |ours, theirs, link| {
            full_link(ours, theirs, link).or_else(|| other_than_waiting(ours))
        },
    },
    Metric {
        claim: "time blocked, by QEMU's",
        limit: 0.3,
        number: |cost| cost.blocked_ms,
        least: 0.0,
        reason: full_link,
    },
    Metric {
        claim: "longest stall, by QEMU's",
        limit: 0.3,
        number: |cost| Some(cost.longest_stall_ms),
        least: 0.0,
        reason: |_, _, _| None,
    },
    Metric {
        claim: "total time, by QEMU's",
        limit: 0.95,
        number: |cost| Some(cost.total_ms),
        least: 0.0,
        reason: full_link,
    },
    Metric {
        claim: "downtime, by QEMU's",
        limit: 1.0,
        number: |cost| cost.downtime_ms,
        least: 0.0,
        reason: |_, _, _| None,
    },
];

/// Both moves waited for the link all the time.
fn full_link(ours: &Cost, theirs: &Cost, link: LinkKind) -> Option<&'static str> {
    let fills = |cost: &Cost| cost.wire_bytes / cost.total_ms >= FULL_SHARE * link.bytes_per_ms();
    (fills(ours) && fills(theirs)).then_some("both wait for the link, which is full")
}

/// Most of what our guest lost it did not lose by waiting for pages.
fn other_than_waiting(ours: &Cost) -> Option<&'static str> {
    let waited_s = ours.blocked_ms? / 1e3;
    (waited_s < WAITING_SHARE * ours.lost_s?).then_some("for most of it, ours was not blocked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::noise::Noise;

    /// A move of 238 MiB that lost two seconds.
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
        assert!(full_link(&quick, &quick, LinkKind::GIGABIT).is_some());
        assert_eq!(full_link(&quick, &slow, LinkKind::GIGABIT), None);
        assert_eq!(full_link(&quick, &quick, LinkKind::Loopback), None);
    }

    #[test]
    fn guest_that_lost_more_than_it_waited_lost_the_rest_otherwise() {
        let blocked = |ms| Cost {
            blocked_ms: ms,
            ..cost(1.0)
        };
        assert!(other_than_waiting(&blocked(Some(900.0))).is_some());
        assert_eq!(other_than_waiting(&blocked(Some(1100.0))), None);
        assert_eq!(other_than_waiting(&blocked(None)), None);
    }
}
