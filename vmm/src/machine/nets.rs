//! The network cards of a machine: what stands in its blueprint, and the interfaces that they have here.

use ::devices::RateLimit;
use ::devices::net::{InterfaceName, MacAddress, Net, Tap, TapError};
use serde::{Deserialize, Serialize};

use crate::config::{NetConfig, TapConfig};

/// One network card of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetSpec {
    /// The interface of the host that its cable ends in.
    pub tap: InterfaceName,
    /// Its address, the same wherever it is.
    pub mac: MacAddress,
    /// How much it may do in a second.
    pub limit: RateLimit,
}

/// Network cards that this host has no interfaces for.
#[derive(Debug, thiserror::Error)]
pub enum NetMismatch {
    /// One of them cannot be had.
    #[error(transparent)]
    Open(#[from] TapError),
    /// More interfaces are named here than the machine has cards.
    #[error("--net names {named} interfaces, and the VM has {cards} network cards")]
    Count {
        /// Interfaces that are named here.
        named: usize,
        /// Cards of the machine.
        cards: usize,
    },
}

/// The network cards of one machine with their interfaces, in the order of its blueprint.
#[derive(Debug, Default)]
pub struct Nets(Vec<Card>);

#[derive(Debug)]
struct Card {
    tap: Tap,
    mac: MacAddress,
    limit: RateLimit,
}

impl Nets {
    /// Attaches the cards of a VM that is to boot; `make_up` gives an address to those that have none.
    ///
    /// # Errors
    /// An interface cannot be had, or no address be made up.
    pub fn of_new_vm<E: From<TapError>>(
        configs: &[NetConfig],
        make_up: impl Fn() -> Result<MacAddress, E>,
    ) -> Result<Self, E> {
        let attach = |config: &NetConfig| {
            let NetConfig { tap, mac, limit } = config;
            Ok(Card {
                tap: Tap::open(tap)?,
                mac: mac.map_or_else(&make_up, Ok)?,
                limit: *limit,
            })
        };
        configs
            .iter()
            .map(attach)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Attaches the cards of a VM that was elsewhere, the first of them to the interfaces `here`.
    ///
    /// # Errors
    /// An interface cannot be had, or too many are named.
    pub fn of_known_vm(specs: &[NetSpec], here: &[TapConfig]) -> Result<Self, NetMismatch> {
        if here.len() > specs.len() {
            return Err(NetMismatch::Count {
                named: here.len(),
                cards: specs.len(),
            });
        }
        let named = here.iter().map(|TapConfig(name)| Some(name));
        let attach = |(spec, named): (&NetSpec, Option<&InterfaceName>)| {
            Ok(Card {
                tap: Tap::open(named.unwrap_or(&spec.tap))?,
                mac: spec.mac,
                limit: spec.limit,
            })
        };
        let pairs = specs.iter().zip(named.chain(std::iter::repeat(None)));
        pairs.map(attach).collect::<Result<_, _>>().map(Self)
    }

    /// What stands of them in a blueprint.
    #[must_use]
    pub fn specs(&self) -> Vec<NetSpec> {
        let spec = |card: &Card| NetSpec {
            tap: card.tap.name().clone(),
            mac: card.mac,
            limit: card.limit,
        };
        self.0.iter().map(spec).collect()
    }

    /// The devices.
    pub(super) fn into_devices(self) -> impl Iterator<Item = Net> {
        self.0
            .into_iter()
            .map(|card| Net::new(card.tap, card.mac).with_limit(card.limit))
    }
}

/// What a machine has of its host besides RAM and KVM objects.
#[derive(Debug, Default)]
pub struct Backends {
    /// Its disks.
    pub disks: super::Disks,
    /// Its network cards.
    pub nets: Nets,
    /// Its socket device, if it has one.
    pub vsock: Option<super::VsockPort>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_for_cards_that_are_not_there_are_refused() {
        let tap: TapConfig = "tap=a".parse().unwrap();
        let error = Nets::of_known_vm(&[], &[tap]).unwrap_err();
        assert!(matches!(error, NetMismatch::Count { named: 1, cards: 0 }));
    }

    #[test]
    fn interface_that_is_not_here_is_named_as_it_is_named_here() {
        let spec = NetSpec {
            tap: "skiff-elsewhere".parse().unwrap(),
            mac: MacAddress::local([1; 6]),
            limit: RateLimit::default(),
        };
        let here: TapConfig = "tap=skiff-here".parse().unwrap();
        let specs = std::slice::from_ref(&spec);
        for (here, name) in [(vec![], "`skiff-elsewhere`"), (vec![here], "`skiff-here`")] {
            let error = Nets::of_known_vm(specs, &here).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
