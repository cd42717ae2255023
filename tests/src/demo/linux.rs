//! A stock Debian Linux counts, checks 64 MiB of its memory, answers on its console, and moves.

use std::time::Duration;

use super::{DemoError, summarize};
use crate::harness::{Host, VmProcess, field};

const PATIENCE: Duration = Duration::from_secs(180);
/// Counts shown at either end.
const SHOWN_COUNTS: usize = 3;

pub(super) fn show() -> Result<(), DemoError> {
    let host = Host::new()?;
    let words = "quiet skiff.counter=100 skiff.checksum=64";
    println!(
        "$ skiff run --name here --kernel vmlinuz --initrd initramfs.cpio.lz4 --memory 512M \\"
    );
    println!("      --cpus 2 --cmdline \"console=ttyS0 panic=-1 {words}\"");
    let mut here = host.boot_linux("here", "2", words)?;
    say(&here, "here ", "skiff: ready")?;
    say(&here, "here ", "checksum ok n=1")?;
    ask(
        &mut here,
        "here ",
        "echo $((6 * 7)) before the move",
        "42 before the move",
    )?;

    println!("$ skiff receive --name there --listen 127.0.0.1:0");
    let (mut there, address) = host.receive("there")?;
    println!("$ skiff migrate here --to {address}");
    let report = here.migrate(&address, &[])?;
    here.skiff.succeed(PATIENCE)?;
    say(&there, "there", "checksum ok")?;
    ask(
        &mut there,
        "there",
        "echo $((6 * 7)) after the move",
        "42 after the move",
    )?;

    let last = check_counts(&here, &there)?;
    println!("the guest counted from 0 to {last} without a gap, and its checksum held");
    summarize(&report);
    there.tell("stop")?;
    Ok(())
}

fn say(vm: &VmProcess, place: &str, text: &str) -> Result<(), DemoError> {
    let line = vm.skiff.output().wait(text, PATIENCE)?;
    println!("  {place} | {line}");
    Ok(())
}

/// Types a command on the console and waits for its answer.
fn ask(vm: &mut VmProcess, place: &str, command: &str, answer: &str) -> Result<(), DemoError> {
    println!("  {place} < {command}");
    vm.skiff.type_text(&format!("{command}\n"))?;
    say(vm, place, answer)
}

/// The counts of both ends in a row must be those of one guest.
fn check_counts(here: &VmProcess, there: &VmProcess) -> Result<u64, DemoError> {
    let (before, after) = (here.skiff.output().text(), there.skiff.output().text());
    for (place, text) in [("here ", &before), ("there", &after)] {
        let counts = counts(text);
        let shown: Vec<String> = counts
            .iter()
            .take(SHOWN_COUNTS)
            .map(u64::to_string)
            .collect();
        println!(
            "  {place} | counts {} ... {}",
            shown.join(" "),
            counts.last().unwrap_or(&0)
        );
    }
    let all = counts(&(before + &after));
    match all
        .iter()
        .zip(0..)
        .find(|(found, expected)| *found != expected)
    {
        None => Ok(all.last().copied().unwrap_or(0)),
        Some((found, expected)) => {
            let what = format!("it counted {found} where {expected} was due");
            Err(DemoError::Guest { what })
        }
    }
}

fn counts(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| field(line, "count").ok())
        .collect()
}
