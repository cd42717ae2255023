//! The probe guest writes and checks 64 MiB over and over, and moves meanwhile.

use std::time::Duration;

use super::{DemoError, summarize};
use crate::harness::{Host, VmProcess, field};

const PATIENCE: Duration = Duration::from_secs(60);
/// Lines shown of the guest at either end.
const SHOWN_LINES: usize = 3;

pub(super) fn show() -> Result<(), DemoError> {
    let host = Host::new()?;
    let words = "workload=seq-write ws=64M";
    println!("$ skiff run --name here --kernel probe --memory 256M --cmdline \"{words}\"");
    let mut here = host.boot_probe("here", "256M", words)?;
    here.wait_output("passes=1")?;
    let before = show_lines(&here, "here ")?;

    println!("$ skiff receive --name there --listen 127.0.0.1:0");
    let (there, address) = host.receive("there")?;
    println!("$ skiff migrate here --to {address}");
    let report = here.migrate(&address, &[])?;
    here.skiff.succeed(PATIENCE)?;
    there.wait_output("t_ms=")?;
    let after = show_lines(&there, "there")?;

    let all = [here.skiff.output().all(), there.skiff.output().all()].concat();
    if let Some(line) = all.iter().find(|line| line.contains("corrupt")) {
        return Err(DemoError::Guest { what: line.clone() });
    }
    if after <= before {
        return Err(DemoError::Guest {
            what: format!("{after} pages after {before}"),
        });
    }
    println!(
        "the guest went on: {before} pages checked before the move, {after} after it, none bad"
    );
    summarize(&report);
    there.tell("stop")?;
    Ok(())
}

/// Shows the next lines of the guest, and returns how many pages it has checked.
fn show_lines(vm: &VmProcess, place: &str) -> Result<u64, DemoError> {
    let mut pages = 0;
    for _ in 0..SHOWN_LINES {
        let line = vm.wait_fresh_output("t_ms=")?;
        println!("  {place} | {line}");
        pages = field(&line, "pages")?;
    }
    Ok(pages)
}
