//! What guests got out of a device, next to a peer and to the host itself.

use serde::Serialize;

use super::Monitor;
use crate::bench::noise::{Noise, Watch};
use crate::bench::{BenchError, Spread};

/// One round of a load, in the unit of its table.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    /// The guest on skiff.
    pub skiff: f64,
    /// The guest on QEMU, if there is one.
    pub qemu: Option<f64>,
    /// The host without a guest.
    pub host: f64,
    /// What else the machine did.
    pub noise: Noise,
}

/// All rounds of one load.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// For people.
    pub name: &'static str,
    /// The rounds.
    pub rounds: Vec<Round>,
}

/// What a table is of.
#[derive(Debug, Clone, Copy)]
pub struct Title {
    /// The device.
    pub device: &'static str,
    /// Of all rates.
    pub unit: &'static str,
    /// What the host does without a guest.
    pub host: &'static str,
    /// What the ratio to QEMU is at least, where we claim one.
    pub claimed: Option<f64>,
}

impl Row {
    /// A row without rounds.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            rounds: Vec::new(),
        }
    }

    /// Measures a round: the `host`, and then skiff and the peer, who take turns to come first.
    ///
    /// # Errors
    /// A monitor or guest fails.
    pub fn measure(
        &mut self,
        peer: Option<Monitor>,
        host: impl FnOnce() -> Result<f64, BenchError>,
        guest: impl Fn(Monitor) -> Result<f64, BenchError>,
    ) -> Result<(), BenchError> {
        let watch = Watch::begin()?;
        let host = host()?;
        let (skiff, qemu) = match peer {
            Some(peer) if self.rounds.len() % 2 == 1 => {
                let peers = guest(peer)?;
                (guest(Monitor::Skiff)?, Some(peers))
            }
            _ => (guest(Monitor::Skiff)?, peer.map(&guest).transpose()?),
        };
        let noise = watch.end()?;
        self.rounds.push(Round {
            skiff,
            qemu,
            host,
            noise,
        });
        Ok(())
    }

    /// The spread of something of each round.
    fn spread(&self, number: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(number))
    }
}

/// Prints what was measured.
pub fn print(title: Title, rows: &[Row]) {
    println!(
        "\n{:34} {:>6} {:>12} {:>12} {:>12} {:>8} {:>8} {:>8} {:>8}",
        format!("{}, {}", title.device, title.unit),
        "rounds",
        "skiff",
        "QEMU",
        title.host,
        "to QEMU",
        "min",
        "max",
        "to host"
    );
    for row in rows {
        let shown = |spread: Option<Spread>, of: fn(&Spread) -> f64| match &spread {
            Some(spread) => format!("{:.2}", of(spread)),
            None => "-".to_owned(),
        };
        let median =
            |number: fn(&Round) -> Option<f64>| shown(row.spread(number), |spread| spread.median);
        let to_qemu = row.spread(|round| Some(round.skiff / round.qemu?));
        println!(
            "{:34} {:6} {:>12} {:>12} {:>12} {:>8} {:>8} {:>8} {:>8}{}",
            row.name,
            row.rounds.len(),
            median(|round| Some(round.skiff)),
            median(|round| round.qemu),
            median(|round| Some(round.host)),
            shown(to_qemu, |spread| spread.median),
            shown(to_qemu, |spread| spread.min),
            shown(to_qemu, |spread| spread.max),
            median(|round| Some(round.skiff / round.host)),
            verdict(to_qemu, title.claimed)
        );
    }
}

fn verdict(to_qemu: Option<Spread>, claimed: Option<f64>) -> &'static str {
    match to_qemu.zip(claimed) {
        None => "",
        Some((ratio, claimed)) if ratio.median >= claimed => "  holds",
        Some(_) => "  DOES NOT HOLD",
    }
}
