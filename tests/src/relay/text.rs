//! Rules as text, for command lines.
//!
//! ```text
//! rule        = [connections ":"] [direction ":"] effect
//! connections = N | N "-" | N "-" M            the first one accepted is 0
//! direction   = "to-server" | "to-client"
//! effect      = "delay=" TIME | "jitter=" TIME | "rate=" RATE
//!             | "stall=" (TIME | "forever") "@" when
//!             | "reset@" when | "fin@" when | "half-close@" when
//!             | "reset=" connections "@" when | "fin=" connections "@" when
//!             | "flip@" SIZE | "flip-one-in=" SIZE
//!             | "refuse-after-cut=" TIME
//! when        = SIZE | SIZE "-" SIZE | TIME    the range leaves the choice to the seed
//! ```
//!
//! SIZE, RATE and TIME are typed as everywhere: `1M` is a mebibyte, `1G` a gigabit per second, a time
//! has its unit in lower case.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use vmm::config::{BitRate, ByteSize, TimeSpan};

use super::error::RelayError;
use super::plan::{Cut, Direction, Effect, Rule, When};

impl FromStr for Rule {
    type Err = RelayError;

    fn from_str(text: &str) -> Result<Self, RelayError> {
        rule(text).ok_or_else(|| RelayError::RuleSyntax { text: text.into() })
    }
}

fn rule(text: &str) -> Option<Rule> {
    let (selectors, effect_text) = match text.rsplit_once(':') {
        Some((selectors, effect)) => (Some(selectors), effect),
        None => (None, text),
    };
    let rule = Rule::new(effect(effect_text)?);
    let Some(selectors) = selectors else {
        return Some(rule);
    };
    match selectors.split_once(':') {
        Some((first, second)) => Some(
            rule.connections(connections(first)?)
                .direction(direction(second)?),
        ),
        None => match direction(selectors) {
            Some(direction) => Some(rule.direction(direction)),
            None => Some(rule.connections(connections(selectors)?)),
        },
    }
}

fn connections(text: &str) -> Option<RangeInclusive<u64>> {
    match text.split_once('-') {
        None => digits(text).map(|index| index..=index),
        Some((first, "")) => Some(digits(first)?..=u64::MAX),
        Some((first, last)) => ascending(digits(first)?, digits(last)?),
    }
}

fn direction(text: &str) -> Option<Direction> {
    match text {
        "to-server" => Some(Direction::ToServer),
        "to-client" => Some(Direction::ToClient),
        _ => None,
    }
}

fn effect(text: &str) -> Option<Effect> {
    let (head, at) = match text.split_once('@') {
        Some((head, at)) => (head, Some(at)),
        None => (text, None),
    };
    let (name, value) = match head.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (head, None),
    };
    Some(match (name, value, at) {
        ("delay", Some(value), None) => Effect::Delay(time(value)?),
        ("jitter", Some(value), None) => Effect::Jitter(time(value)?),
        ("rate", Some(value), None) => Effect::Rate {
            bits_per_s: NonZeroU64::new(value.parse::<BitRate>().ok()?.bits_per_s())?,
        },
        ("stall", Some(value), Some(at)) => Effect::Stall {
            at: when(at)?,
            lasting: match value {
                "forever" => Duration::MAX,
                _ => time(value)?,
            },
        },
        ("reset", None, Some(at)) => Effect::Cut {
            at: when(at)?,
            how: Cut::Reset,
        },
        ("fin", None, Some(at)) => Effect::Cut {
            at: when(at)?,
            how: Cut::Fin,
        },
        ("reset", Some(others), Some(at)) => Effect::CutThese {
            at: when(at)?,
            how: Cut::Reset,
            connections: connections(others)?,
        },
        ("fin", Some(others), Some(at)) => Effect::CutThese {
            at: when(at)?,
            how: Cut::Fin,
            connections: connections(others)?,
        },
        ("half-close", None, Some(at)) => Effect::HalfClose { at: when(at)? },
        ("flip", None, Some(at)) => Effect::Flip {
            position: size(at)?,
        },
        ("flip-one-in", Some(value), None) => Effect::FlipOneIn {
            bytes: NonZeroU64::new(size(value)?)?,
        },
        ("refuse-after-cut", Some(value), None) => Effect::RefuseAfterCut(time(value)?),
        _ => return None,
    })
}

fn when(text: &str) -> Option<When> {
    if let Some(time) = time(text) {
        return Some(When::After(time));
    }
    match text.split_once('-') {
        None => size(text).map(When::Byte),
        Some((first, last)) => ascending(size(first)?, size(last)?).map(When::SomeByte),
    }
}

fn time(text: &str) -> Option<Duration> {
    text.parse::<TimeSpan>().ok().map(TimeSpan::duration)
}

/// A number of bytes, which unlike a [`ByteSize`] can be zero.
fn size(text: &str) -> Option<u64> {
    match text {
        "0" => Some(0),
        _ => text.parse::<ByteSize>().ok().map(ByteSize::bytes),
    }
}

fn digits(text: &str) -> Option<u64> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all_digits)
}

fn ascending(first: u64, last: u64) -> Option<RangeInclusive<u64>> {
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests;
