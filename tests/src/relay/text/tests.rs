//! Rules as people type them.

use std::num::NonZeroU64;
use std::time::Duration;

use proptest::prelude::proptest;

use crate::relay::{Cut, Direction, Effect, RelayError, Rule, When};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn number(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

#[test]
fn rule_of_each_effect_is_read() {
    let cases = [
        ("delay=5ms", Effect::Delay(ms(5))),
        ("jitter=100us", Effect::Jitter(Duration::from_micros(100))),
        (
            "rate=1G",
            Effect::Rate {
                bits_per_s: number(1_000_000_000),
            },
        ),
        (
            "stall=2s@1000",
            Effect::Stall {
                at: When::Byte(1_000),
                lasting: ms(2_000),
            },
        ),
        (
            "stall=forever@2s",
            Effect::Stall {
                at: When::After(ms(2_000)),
                lasting: Duration::MAX,
            },
        ),
        (
            "reset@1M",
            Effect::Cut {
                at: When::Byte(1 << 20),
                how: Cut::Reset,
            },
        ),
        (
            "fin@0-4K",
            Effect::Cut {
                at: When::SomeByte(0..=4096),
                how: Cut::Fin,
            },
        ),
        (
            "reset=1-3@9",
            Effect::CutThese {
                at: When::Byte(9),
                how: Cut::Reset,
                connections: 1..=3,
            },
        ),
        (
            "fin=4@1s",
            Effect::CutThese {
                at: When::After(ms(1_000)),
                how: Cut::Fin,
                connections: 4..=4,
            },
        ),
        ("half-close@0", Effect::HalfClose { at: When::Byte(0) }),
        ("flip@7", Effect::Flip { position: 7 }),
        (
            "flip-one-in=1000000",
            Effect::FlipOneIn {
                bytes: number(1_000_000),
            },
        ),
        ("refuse-after-cut=1m", Effect::RefuseAfterCut(ms(60_000))),
    ];
    for (text, effect) in cases {
        assert_eq!(text.parse::<Rule>().unwrap(), Rule::new(effect), "{text}");
    }
}

#[test]
fn rule_with_selectors_is_read() {
    let rule = Rule::new(Effect::Flip { position: 7 });
    let cases = [
        ("flip@7", rule.clone()),
        ("2:flip@7", rule.clone().connection(2)),
        ("2-:flip@7", rule.clone().connections(2..=u64::MAX)),
        ("2-5:flip@7", rule.clone().connections(2..=5)),
        (
            "to-client:flip@7",
            rule.clone().direction(Direction::ToClient),
        ),
        (
            "2:to-server:flip@7",
            rule.connection(2).direction(Direction::ToServer),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<Rule>().unwrap(), expected, "{text}");
    }
}

#[test]
fn rule_that_makes_no_sense_is_refused() {
    for text in [
        "",
        ":",
        "delay",
        "delay=",
        "delay=5",
        "delay=5ms@7",
        "rate=0",
        "stall=5ms",
        "reset",
        "reset@",
        "half-close=5@7",
        "reset@9-3",
        "reset@-",
        "flip@1s",
        "flip-one-in=0",
        "up:reset@7",
        "-:reset@7",
        "3-2:reset@7",
        "+1:reset@7",
        "to-server:2:reset@7",
        "1:2:to-server:reset@7",
        "explode@7",
    ] {
        let error = text.parse::<Rule>().unwrap_err();
        assert!(
            matches!(error, RelayError::RuleSyntax { text: seen } if seen == text),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn rule_of_any_text_is_read_or_refused(text in "[-0-9a-z:@=M]{0,30}", noise in ".*") {
        let _ = text.parse::<Rule>();
        let _ = noise.parse::<Rule>();
    }
}
