//! What decides the order in which pages leave, as an operator chooses it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Most pivots of one migration. Our choice: the paper's best is 7, and every new fault looks at
/// all of them.
pub const MAX_PIVOTS: u16 = 64;

/// How a source chooses pages that nobody waits for. A page that somebody waits for always goes at
/// once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prepaging {
    /// None of them while faults come: demand paging (VEE 2009, section 3.1). Once the guest has
    /// run for a while without a fault, the rest is pushed, so that the move comes to an end.
    None,
    /// From the first to the last: active push (VEE 2009, section 3.1).
    Push,
    /// Upwards from the most recent faults (OSR 2009, forward bubbling); one pivot unless told
    /// otherwise.
    Forward,
    /// In both directions from the most recent faults: bubbling (VEE 2009, section 3.2, with one
    /// pivot; OSR 2009, dual direction, with several).
    #[default]
    Bubble,
}

impl Prepaging {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Push, Self::Forward, Self::Bubble];
}

impl fmt::Display for Prepaging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Push => "push",
            Self::Forward => "forward",
            Self::Bubble => "bubble",
        })
    }
}

impl FromStr for Prepaging {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|prepaging| prepaging.to_string() == text)
            .ok_or_else(|| Error::UnknownPrepaging {
                prepaging: text.to_owned(),
            })
    }
}

/// How far bubbles grow, and in what steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// As the faults suggest: ahead of faults that walk, in growing steps; a little around a fault
    /// that continues no other; not at all once faults have nothing to do with each other.
    #[default]
    Adaptive,
    /// As in the papers: every bubble in turn, always by the same step, until it meets what was
    /// sent.
    Fixed,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Adaptive => "adaptive",
            Self::Fixed => "fixed",
        })
    }
}

impl FromStr for Growth {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Adaptive, Self::Fixed]
            .into_iter()
            .find(|growth| growth.to_string() == text)
            .ok_or_else(|| Error::UnknownGrowth {
                growth: text.to_owned(),
            })
    }
}

/// What "the next page" means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By guest-physical address.
    #[default]
    Physical,
    /// Most recently written first (OSR 2009, section 4.3), as far as that was learned.
    Recency,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Physical => "physical",
            Self::Recency => "recency",
        })
    }
}

impl FromStr for Order {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Physical, Self::Recency]
            .into_iter()
            .find(|order| order.to_string() == text)
            .ok_or_else(|| Error::UnknownOrder {
                order: text.to_owned(),
            })
    }
}

/// Number of recent faults around which pages are sent first, 1 to [`MAX_PIVOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Pivots(u16);

impl Pivots {
    /// One: the pivot of VEE 2009.
    pub const ONE: Self = Self(1);

    /// That many pivots.
    ///
    /// # Errors
    /// If it is none or more than [`MAX_PIVOTS`].
    pub fn new(pivots: u16) -> Result<Self> {
        if (1..=MAX_PIVOTS).contains(&pivots) {
            Ok(Self(pivots))
        } else {
            Err(Error::PivotCount { pivots })
        }
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for Pivots {
    /// 7, the best in OSR 2009.
    fn default() -> Self {
        Self(7)
    }
}

impl TryFrom<u16> for Pivots {
    type Error = Error;

    fn try_from(pivots: u16) -> Result<Self> {
        Self::new(pivots)
    }
}

impl From<Pivots> for u16 {
    fn from(pivots: Pivots) -> Self {
        pivots.0
    }
}

impl FromStr for Pivots {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // What is no number of this size is out of bounds whatever it is.
        Self::new(text.parse().unwrap_or(0))
    }
}

/// All that decides the order of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct SendPlan {
    /// How pages are chosen.
    pub prepaging: Prepaging,
    /// Most pivots, if they were chosen.
    pub pivots: Option<Pivots>,
    /// How far bubbles grow.
    pub growth: Growth,
    /// What the next page is.
    pub order: Order,
}

impl SendPlan {
    /// A linear push by address: all there is to choose while no guest waits.
    pub const LINEAR: Self = Self {
        prepaging: Prepaging::Push,
        pivots: None,
        growth: Growth::Fixed,
        order: Order::Physical,
    };

    /// A plan of this kind with everything else at its default.
    pub fn new(prepaging: Prepaging) -> Self {
        Self {
            prepaging,
            ..Self::default()
        }
    }

    /// The pivots that are kept: none if faults do not steer the order.
    pub fn live_pivots(self) -> Option<Pivots> {
        match self.prepaging {
            Prepaging::None | Prepaging::Push => None,
            Prepaging::Forward => Some(self.pivots.unwrap_or(Pivots::ONE)),
            Prepaging::Bubble => Some(self.pivots.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_parse_as_what_they_display_and_nothing_else() {
        for prepaging in Prepaging::ALL {
            let word = prepaging.to_string();
            assert_eq!(word.parse::<Prepaging>().unwrap(), prepaging);
            assert_eq!(serde_json::to_value(prepaging).unwrap(), word);
        }
        for growth in [Growth::Adaptive, Growth::Fixed] {
            assert_eq!(growth.to_string().parse::<Growth>().unwrap(), growth);
        }
        for order in [Order::Physical, Order::Recency] {
            assert_eq!(order.to_string().parse::<Order>().unwrap(), order);
        }
        assert!("bubbling".parse::<Prepaging>().is_err());
        assert!("paper".parse::<Growth>().is_err());
        assert!("lru".parse::<Order>().is_err());
    }

    #[test]
    fn pivots_out_of_bounds_are_refused() {
        for text in ["0", "65", "-1", "70000", "seven"] {
            assert!(text.parse::<Pivots>().is_err(), "{text}");
        }
        assert_eq!("64".parse::<Pivots>().unwrap().get(), MAX_PIVOTS);
        assert!(serde_json::from_str::<Pivots>("0").is_err());
    }

    #[test]
    fn forward_has_one_pivot_and_bubble_seven_unless_told_otherwise() {
        let live = |prepaging, pivots| {
            SendPlan {
                prepaging,
                pivots,
                ..SendPlan::default()
            }
            .live_pivots()
        };
        assert_eq!(live(Prepaging::Push, Some(Pivots::ONE)), None);
        assert_eq!(live(Prepaging::Forward, None), Some(Pivots::ONE));
        assert_eq!(live(Prepaging::Bubble, None), Some(Pivots(7)));
        assert_eq!(live(Prepaging::Forward, Some(Pivots(3))), Some(Pivots(3)));
    }
}
