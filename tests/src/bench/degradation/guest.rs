//! The guest in the place of an application.

use super::watch::Counters;
use super::{Application, CARD_MBIT, PATIENCE};
use crate::bench::BenchError;
use crate::bench::ground::Ground;
use crate::bench::guest::Record;
use crate::harness::{Network, VmProcess};

/// Boots a guest with that application at the first place, and waits until it works.
///
/// # Errors
/// It does not.
pub(super) fn boot(
    ground: &Ground,
    application: Application,
    memory_mib: u32,
) -> Result<VmProcess, BenchError> {
    let memory = format!("{memory_mib}M");
    let card = format!("tap={},rate={CARD_MBIT}M", Network::TAP);
    let words = application.words();
    let options = [
        "--kernel",
        "probe",
        "--memory",
        &memory,
        "--cmdline",
        &words,
        "--net",
        &card,
    ];
    let mut vm = ground.first().boot("app0", &options)?;
    if let Some(command) = application.command() {
        vm.wait_output("t_ms=")?;
        vm.skiff.type_text(&command)?;
        vm.wait_output("probe: fill")?;
    }
    // By then it has filled what it works on.
    let output = vm.skiff.output();
    while last_pages(&output.all()) <= application.pages() {
        output.wait_from(output.count(), "pages=", PATIENCE)?;
    }
    Ok(vm)
}

/// What goes over the wire of the first place, and what of it, or from elsewhere, a client gets.
pub(super) fn counters(ground: &Ground) -> Counters {
    Counters {
        wire: ground.network().uplink(0).to_owned(),
        client: ground.network().client(),
    }
}

/// What the guest has done, by its own last count.
pub(super) fn last_pages(lines: &[String]) -> u64 {
    let last = lines.iter().rev().find_map(|line| Record::parse(line));
    last.map_or(0, |record| record.pages)
}
