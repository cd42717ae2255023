//! Tests of what is made of the moves.

use super::*;

fn cost(total_ms: f64, blocked_ms: Option<f64>) -> Outcome {
    Ok(Cost {
        total_ms,
        downtime_ms: Some(1.0),
        wire_bytes: 1.0,
        requests: 1.0,
        waits: Some(100.0),
        longest_wait_ms: None,
        blocked_ms,
        queued_ms: None,
        kernel_ms: None,
        lost_s: Some(1.0),
        longest_stall_ms: 1.0,
        noise: Noise::default(),
    })
}

fn contest(costs: [Vec<Outcome>; 5]) -> Contest {
    let mut contest = Contest::new(cells(Extent::Small)[0]);
    for ((_, entry), costs) in contest.entries.iter_mut().zip(costs) {
        *entry = costs;
    }
    contest
}

fn measured(contest: &Contest, claim: &str) -> Vec<f64> {
    let verdicts = contest.verdicts().into_iter();
    let named = verdicts.filter(|verdict| verdict.claim.starts_with(claim));
    named.map(|verdict| verdict.measured).collect()
}

#[test]
fn ratio_is_of_the_moves_of_one_round_and_a_move_that_failed_has_none() {
    let failed = || Err("never over".to_owned());
    let contest = contest([
        vec![
            cost(100.0, Some(1.0)),
            cost(900.0, Some(1.0)),
            cost(300.0, Some(1.0)),
        ],
        vec![],
        vec![],
        vec![cost(1000.0, Some(10.0)), failed(), cost(1000.0, Some(0.0))],
        vec![cost(200.0, None), cost(1000.0, None), cost(1000.0, None)],
    ]);
    assert_eq!(measured(&contest, "total time"), [0.2, 0.5]);
    // What the peer does not say, or says to be nothing, has no ratio.
    assert_eq!(measured(&contest, "time blocked"), [0.1]);
    assert_eq!(measured(&contest, "moves that end"), [0.0; 0]);
}

#[test]
fn claim_that_does_not_hold_has_a_reason_where_every_move_fills_the_link() {
    let sent = |wire_bytes: f64| {
        let cost = cost(1000.0, Some(1.0)).unwrap();
        Ok(Cost { wire_bytes, ..cost })
    };
    let reasons = |of_one_round: f64, claim: &str| {
        let moves = || vec![sent(120e6), sent(of_one_round)];
        let mut contest = contest([moves(), vec![], vec![], moves(), vec![]]);
        contest.cell.link = LinkKind::GIGABIT;
        let short = contest.shortfalls().into_iter();
        let named = short.filter(|short| short.claim.starts_with(claim));
        named
            .map(|short| short.reason.is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(reasons(120e6, "time blocked"), [true]);
    assert_eq!(reasons(60e6, "time blocked"), [false]);
    assert_eq!(reasons(120e6, "longest stall"), [false]);
    // As much is claimed, and is so.
    assert_eq!(reasons(120e6, "downtime"), [false; 0]);
}

#[test]
fn claim_that_holds_for_some_rounds_only_says_so() {
    let reasons = |of_one_round: f64| {
        let ours = vec![
            cost(of_one_round, None),
            cost(960.0, None),
            cost(970.0, None),
        ];
        let theirs = (0..3).map(|_| cost(1000.0, None)).collect();
        let short = contest([ours, vec![], vec![], theirs, vec![]]).shortfalls();
        let of_time = short
            .into_iter()
            .find(|short| short.claim.starts_with("total time"));
        of_time.unwrap().reason
    };
    assert_eq!(reasons(900.0).as_deref(), Some(DIFFERENT_ROUNDS));
    assert_eq!(reasons(980.0), None);
}

#[test]
fn our_own_choice_has_to_end_where_pre_copy_never_does() {
    let failed = || Err("never over".to_owned());
    let of = |pre_copy: Outcome| {
        let auto = vec![cost(1.0, None), failed()];
        contest([vec![], auto, vec![failed(), pre_copy], vec![], vec![]])
    };
    assert_eq!(measured(&of(failed()), "moves that end"), [0.5]);
    assert_eq!(measured(&of(cost(1.0, None)), "moves that end"), [0.0; 0]);
}

#[test]
fn guests_and_links_are_different_from_each_other() {
    for extent in [Extent::Small, Extent::Full] {
        let mut names: Vec<_> = cells(extent).iter().map(Cell::to_string).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
