//! What of a move is held against QEMU's, and why ours is not so much less where it is not: as far as the
//! moves themselves say it.

use super::contest::Cost;
use crate::bench::Spread;
use crate::bench::cell::LinkKind;

/// A link that carries so much of its rate on average of a whole move was what the move waited for. Our choice:
/// because headers and the beginning take some percent.
const FULL_SHARE: f64 = 0.85;

/// A guest that loses less loses nothing that its rates could tell. Our choice: as of a change that counts from
/// one file of results to another.
const LEAST_LOST_S: f64 = 0.02;

/// Our move and QEMU's of one round.
pub(super) type Moves<'a> = (&'a Cost, &'a Cost);

/// Something of which ours is at most so much of QEMU's, in the median of all rounds.
pub(super) struct Metric {
    pub(super) claim: &'static str,
    pub(super) limit: f64,
    pub(super) number: fn(&Cost) -> Option<f64>,
    /// QEMU's number is a number only above this.
    pub(super) least: f64,
    /// Why it is more, of all rounds and the link.
    pub(super) reason: fn(&[Moves<'_>], LinkKind) -> Option<String>,
}

pub(super) const METRICS: [Metric; 5] = [
    Metric {
        claim: "work lost, by QEMU's",
        limit: 0.5,
        number: |cost| cost.lost_s,
        least: LEAST_LOST_S,
        reason: |moves, link| full_link(moves, link).or_else(|| parts_of_lost_work(moves)),
    },
    Metric {
        claim: "time blocked, by QEMU's",
        limit: 0.3,
        number: |cost| cost.blocked_ms,
        least: 0.0,
        reason: |moves, link| full_link(moves, link).or_else(|| waits_for_pages(moves)),
    },
    Metric {
        claim: "longest stall, by QEMU's",
        limit: 0.3,
        number: |cost| Some(cost.longest_stall_ms),
        least: 0.0,
        reason: |moves, _| parts_of_stall(moves),
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
        reason: |_, _| None,
    },
];

/// All moves waited for the link all the time.
fn full_link(moves: &[Moves<'_>], link: LinkKind) -> Option<String> {
    let fills = |cost: &Cost| cost.wire_bytes / cost.total_ms >= FULL_SHARE * link.bytes_per_ms();
    let all = moves
        .iter()
        .all(|(ours, theirs)| fills(ours) && fills(theirs));
    all.then(|| "both wait for the link, which is full".to_owned())
}

/// What our guest's time went to that it did not work.
fn parts_of_lost_work(moves: &[Moves<'_>]) -> Option<String> {
    let lost_ms = of_ours(moves, |cost| cost.lost_s)? * 1e3;
    let blocked_ms = of_ours(moves, |cost| cost.blocked_ms)?;
    let queued_ms = of_ours(moves, |cost| cost.queued_ms)?;
    let kernel_ms = of_ours(moves, |cost| cost.kernel_ms)?;
    let rest_ms = (lost_ms - blocked_ms - queued_ms - kernel_ms).max(0.0);
    Some(format!(
        "of {lost_ms:.0} ms our vCPU waited {blocked_ms:.0} for pages and {queued_ms:.0} for a processor, was \
         {kernel_ms:.0} in the kernel, which maps its pages anew, and ran slower for {rest_ms:.0}"
    ))
}

/// How many pages our guest waited for, and how long.
fn waits_for_pages(moves: &[Moves<'_>]) -> Option<String> {
    let waits = of_ours(moves, |cost| cost.waits)?;
    let mean_ms = of_ours(moves, |cost| Some(cost.blocked_ms? / cost.waits?))?;
    let longest_ms = of_ours(moves, |cost| cost.longest_wait_ms)?;
    Some(format!(
        "ours waited for {waits:.0} pages, {mean_ms:.1} ms for each and {longest_ms:.1} for one"
    ))
}

/// What can have kept our guest from its next step for longest.
fn parts_of_stall(moves: &[Moves<'_>]) -> Option<String> {
    let downtime_ms = of_ours(moves, |cost| cost.downtime_ms)?;
    let longest_ms = of_ours(moves, |cost| cost.longest_wait_ms)?;
    Some(format!(
        "ours was down for {downtime_ms:.1} ms and waited {longest_ms:.1} for one page"
    ))
}

/// The median of our moves.
fn of_ours(moves: &[Moves<'_>], number: impl Fn(&Cost) -> Option<f64>) -> Option<f64> {
    Spread::of(moves.iter().filter_map(|(ours, _)| number(ours))).map(|spread| spread.median)
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
            waits: Some(7.0),
            longest_wait_ms: Some(3.25),
            blocked_ms: Some(600.0),
            queued_ms: Some(500.0),
            kernel_ms: Some(400.0),
            lost_s: Some(2.0),
            longest_stall_ms: 1.0,
            noise: Noise::default(),
        }
    }

    #[test]
    fn moves_wait_for_a_link_that_both_fill() {
        let [quick, slow] = [2100.0, 2600.0].map(cost);
        let both = [(&quick, &quick), (&quick, &quick)];
        assert!(full_link(&both, LinkKind::GIGABIT).is_some());
        assert_eq!(full_link(&both, LinkKind::Loopback), None);
        let one = [(&quick, &quick), (&quick, &slow)];
        assert_eq!(full_link(&one, LinkKind::GIGABIT), None);
    }

    #[test]
    fn lost_work_is_told_in_parts_that_add_up() {
        let ours = cost(1.0);
        let text = parts_of_lost_work(&[(&ours, &ours)]).unwrap();
        let digits = |c: char| !c.is_ascii_digit();
        let numbers: Vec<u32> = text
            .split(digits)
            .filter_map(|word| word.parse().ok())
            .collect();
        assert_eq!(numbers, [2000, 600, 500, 400, 500]);
        let unknown = Cost {
            queued_ms: None,
            ..ours.clone()
        };
        assert_eq!(parts_of_lost_work(&[(&unknown, &ours)]), None);
    }

    #[test]
    fn waits_and_stalls_are_told_of_the_typical_move() {
        let [short, typical, long] = [100.0, 600.0, 700.0].map(|blocked_ms| Cost {
            blocked_ms: Some(blocked_ms),
            downtime_ms: Some(1.5),
            ..cost(1.0)
        });
        let moves = [(&short, &typical), (&typical, &short), (&long, &long)];
        let text = waits_for_pages(&moves).unwrap();
        assert_eq!(
            text,
            "ours waited for 7 pages, 85.7 ms for each and 3.2 for one"
        );
        let text = parts_of_stall(&moves).unwrap();
        assert_eq!(text, "ours was down for 1.5 ms and waited 3.2 for one page");
    }
}
