//! Links between two monitors: the loopback device, or two network namespaces (netns(7)) with a
//! veth pair between them whose ends are slowed down by a token bucket filter (tc-tbf(8)).

mod namespace;
#[cfg(test)]
mod tests;

use std::process;

use rustix::process::geteuid;

use super::BenchError;
use super::cell::LinkKind;
use crate::harness::TOKEN_BUCKET;
use namespace::{Namespace, run, succeeds};

const SOURCE_ADDRESS: &str = "10.213.0.1";
const DESTINATION_ADDRESS: &str = "10.213.0.2";

/// Name of the device at either end.
const DEVICE: &str = "wire0";

/// A link that exists as long as this value.
#[derive(Debug)]
pub struct Link {
    kind: LinkKind,
    ends: Option<[Namespace; 2]>,
}

/// Says why this process cannot make links with a rate.
///
/// # Errors
/// It is not root, or a program is missing.
pub fn check_rig() -> Result<(), BenchError> {
    if !geteuid().is_root() {
        return Err(BenchError::NoRig { need: "root" });
    }
    if !succeeds(&["ip", "-V"]) || !succeeds(&["tc", "-V"]) {
        return Err(BenchError::NoRig {
            need: "`ip` and `tc`: `make setup` installs iproute2",
        });
    }
    Ok(())
}

/// Removes what benchmarks that were killed have left behind.
pub fn sweep() {
    namespace::sweep();
}

impl Link {
    /// Makes the link.
    ///
    /// # Errors
    /// `ip` or `tc` refuse; nothing is left behind.
    pub fn new(kind: LinkKind) -> Result<Self, BenchError> {
        let ends = match kind {
            LinkKind::Loopback => None,
            LinkKind::Shaped { mbit_per_s } => Some(shaped(mbit_per_s)?),
        };
        Ok(Self { kind, ends })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> LinkKind {
        self.kind
    }

    /// Address of the destination's end.
    #[must_use]
    pub fn destination_address(&self) -> &'static str {
        match self.kind {
            LinkKind::Loopback => "127.0.0.1",
            LinkKind::Shaped { .. } => DESTINATION_ADDRESS,
        }
    }

    /// Runs `act` at the source's end; processes and sockets it makes stay there.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn at_source<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T, BenchError> {
        self.at(0, act)
    }

    /// Runs `act` at the destination's end; processes and sockets it makes stay there.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn at_destination<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T, BenchError> {
        self.at(1, act)
    }

    fn at<T: Send>(&self, end: usize, act: impl FnOnce() -> T + Send) -> Result<T, BenchError> {
        match &self.ends {
            Some(ends) => ends[end].enter(act),
            None => Ok(act()),
        }
    }
}

fn shaped(mbit_per_s: u32) -> Result<[Namespace; 2], BenchError> {
    let name = |end: &str| format!("{}{}-{mbit_per_s}-{end}", namespace::PREFIX, process::id());
    let source = Namespace::new(name("source"))?;
    let destination = Namespace::new(name("destination"))?;
    // Made inside the namespaces, so that no name can clash with one of the host's.
    let (from, to) = (source.name(), destination.name());
    run(&[
        "ip", "-n", from, "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE, "netns",
        to,
    ])?;
    let rate = format!("{mbit_per_s}mbit");
    for (name, address) in [(from, SOURCE_ADDRESS), (to, DESTINATION_ADDRESS)] {
        let address = format!("{address}/30");
        run(&["ip", "-n", name, "address", "add", &address, "dev", DEVICE])?;
        run(&["ip", "-n", name, "link", "set", "lo", "up"])?;
        run(&["ip", "-n", name, "link", "set", DEVICE, "up"])?;
        let filter = [
            "tc", "-n", name, "qdisc", "add", "dev", DEVICE, "root", "tbf", "rate", &rate,
        ];
        run(&[&filter[..], &TOKEN_BUCKET].concat())?;
    }
    Ok([source, destination])
}
