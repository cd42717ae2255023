//! Rules as functions of position: the same however a stream is cut into pieces.

use std::num::NonZeroU64;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::Script;
use crate::relay::policy::Policy;
use crate::relay::{Direction, Effect, JITTER_BLOCK_BYTES, Plan, Rule, When};

fn script(plan: &Plan, connection: u64, direction: Direction) -> Script {
    Policy::new(plan.clone()).script(connection, direction, Duration::ZERO)
}

fn flip_one_in(bytes: u64) -> Effect {
    let bytes = NonZeroU64::new(bytes).unwrap();
    Effect::FlipOneIn { bytes }
}

proptest! {
    #[test]
    fn corrupt_in_pieces_inverts_the_same_bits(
        seed in any::<u64>(),
        cuts in vec(0..5_000_usize, 0..20),
        odds in 1..500_u64,
        position in 0..5_000_u64,
    ) {
        let plan = Plan::new(seed).rule(flip_one_in(odds)).rule(Effect::Flip { position });
        let script = script(&plan, 0, Direction::ToClient);
        let mut whole = vec![0; 5_000];
        let flipped_bits = script.corrupt(0, &mut whole);

        let mut cuts = cuts;
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let mut pieces = vec![0; whole.len()];
        let mut flipped_in_pieces = 0;
        for cut in cuts.windows(2) {
            let first = u64::try_from(cut[0]).unwrap();
            flipped_in_pieces += script.corrupt(first, &mut pieces[cut[0]..cut[1]]);
        }
        prop_assert_eq!(&whole, &pieces);
        prop_assert_eq!(flipped_bits, flipped_in_pieces);
    }

    #[test]
    fn lag_is_within_delay_and_jitter_and_one_for_each_block(
        seed in any::<u64>(),
        position in any::<u64>(),
        jitter_ns in any::<u64>(),
    ) {
        let (delay, jitter) = (Duration::from_millis(5), Duration::from_nanos(jitter_ns));
        let plan = Plan::new(seed).rule(Effect::Delay(delay)).rule(Effect::Jitter(jitter));
        let script = script(&plan, 0, Direction::ToClient);
        let lag = script.lag(position);
        prop_assert!((delay..=delay + jitter).contains(&lag));
        prop_assert_eq!(lag, script.lag(position - position % JITTER_BLOCK_BYTES));
        prop_assert!(lag <= script.longest_lag());
    }

    #[test]
    fn strike_at_some_byte_is_in_the_range(
        seed in any::<u64>(),
        connection in any::<u64>(),
        one in any::<u64>(),
        other in any::<u64>(),
    ) {
        let (first, last) = (one.min(other), one.max(other));
        let at = When::SomeByte(first..=last);
        let script = script(
            &Plan::new(seed).rule(Effect::HalfClose { at }),
            connection,
            Direction::ToServer,
        );
        prop_assert!((first..=last).contains(&script.until_strike(0)));
    }
}

#[test]
fn corrupt_one_in_a_thousand_inverts_about_that_many() {
    let plan = Plan::new(3).rule(flip_one_in(1_000));
    let mut bytes = vec![0; 1_000_000];
    let flipped_bits = script(&plan, 0, Direction::ToServer).corrupt(0, &mut bytes);
    assert!((900..1_100).contains(&flipped_bits), "{flipped_bits}");
    let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(u64::from(ones), flipped_bits);
}

#[test]
fn chance_differs_by_seed_connection_direction_and_rule() {
    let draw = |seed, connection, direction, rule| {
        let at = When::SomeByte(0..=u64::MAX);
        let plan = (0..rule).fold(Plan::new(seed), |plan, _| plan.rule(flip_one_in(9)));
        let script = script(&plan.rule(Effect::HalfClose { at }), connection, direction);
        script.until_strike(0)
    };
    let drawn = [
        draw(1, 0, Direction::ToServer, 0),
        draw(2, 0, Direction::ToServer, 0),
        draw(1, 1, Direction::ToServer, 0),
        draw(1, 0, Direction::ToClient, 0),
        draw(1, 0, Direction::ToServer, 1),
    ];
    for (index, number) in drawn.iter().enumerate() {
        assert!(!drawn[..index].contains(number), "{drawn:?}");
    }
    assert_eq!(drawn[0], draw(1, 0, Direction::ToServer, 0));
}

#[test]
fn rule_applies_to_its_connections_and_direction_only() {
    let delay = Duration::from_millis(1);
    let rule = Rule::new(Effect::Delay(delay));
    let cases = [
        (rule.clone(), [[1, 1], [1, 1], [1, 1], [1, 1]]),
        (rule.clone().connection(2), [[0, 0], [0, 0], [1, 1], [0, 0]]),
        (
            rule.clone().connections(1..=2),
            [[0, 0], [1, 1], [1, 1], [0, 0]],
        ),
        (
            rule.clone().direction(Direction::ToClient),
            [[0, 1], [0, 1], [0, 1], [0, 1]],
        ),
        (
            rule.connections(2..=u64::MAX)
                .direction(Direction::ToServer),
            [[0, 0], [0, 0], [1, 0], [1, 0]],
        ),
    ];
    for (rule, expected) in cases {
        let plan = Plan::new(0).rule(rule.clone());
        for (connection, expected) in (0..).zip(expected) {
            let seen = Direction::ALL.map(|way| script(&plan, connection, way).lag(0));
            assert_eq!(
                seen,
                expected.map(|times| delay * times),
                "{rule:?} on {connection}"
            );
        }
    }
}

#[test]
fn refusal_after_cut_is_the_longest_of_those_that_select() {
    let refuse = |s| Rule::new(Effect::RefuseAfterCut(Duration::from_secs(s)));
    let plan = Plan::new(0)
        .rule(refuse(1).connection(3).direction(Direction::ToClient))
        .rule(refuse(2).connections(3..=4));
    let policy = Policy::new(plan);
    assert_eq!(policy.refusal_after_cut(3), Some(Duration::from_secs(2)));
    assert_eq!(policy.refusal_after_cut(5), None);
}
