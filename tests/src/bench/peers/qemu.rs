//! One move on QEMU, from the machine `microvm` to another.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use guest_images::PROBE;
use serde_json::{Value, json};

use super::contest::Cost;
use super::qmp::Qmp;
use crate::bench::BenchError;
use crate::bench::cell::Cell;
use crate::bench::guest::{GuestView, records};
use crate::bench::noise::Watch;
use crate::bench::run::Mover;
use crate::bench::sample::number_in;
use crate::bench::vcpu::VcpuWatch;
use crate::harness::Process;

/// A move that takes longer never ends. Our choice: four times what the bytes of the largest guest need.
const NEVER: Duration = Duration::from_secs(10);

/// Its limit is 128 MiB/s otherwise.
const MAX_BANDWIDTH_BYTES_PER_S: u64 = 10_000_000_000;

/// How QEMU moves a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Rounds until what is left is sent within its usual downtime of 300 ms.
    PreCopy,
    /// Post-copy from the beginning on.
    PostCopy,
    /// The same with a connection of their own for pages that are waited for.
    Preempt,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PreCopy => "QEMU pre-copy",
            Self::PostCopy => "QEMU post-copy",
            Self::Preempt => "QEMU post-copy, preempt",
        })
    }
}

/// One QEMU.
struct Machine {
    process: Process,
    qmp: Qmp,
}

impl Machine {
    fn start(
        directory: &Path,
        name: &str,
        cell: &Cell,
        further: &[&str],
    ) -> Result<Self, BenchError> {
        let socket = directory.join(name);
        let (memory, words) = (format!("{}M", cell.memory_mib), cell.command_line());
        let control = format!("unix:{},server=on,wait=off", socket.display());
        let probe = directory.join("probe.elf").display().to_string();
        let guest = ["-m", &memory, "-kernel", &probe, "-append", &words];
        let options = [&guest[..], &["-qmp", &control], further];
        let process = Process::microvm(&options.concat())?;
        let qmp = Qmp::connect(&socket)?;
        Ok(Self { process, qmp })
    }

    fn prepare(&mut self, way: Way) -> Result<(), BenchError> {
        let names: &[&str] = match way {
            Way::PreCopy => &[],
            Way::PostCopy => &["postcopy-ram"],
            Way::Preempt => &["postcopy-ram", "postcopy-preempt"],
        };
        let capabilities: Vec<_> = names
            .iter()
            .map(|name| json!({ "capability": name, "state": true }))
            .collect();
        self.qmp.execute(
            "migrate-set-capabilities",
            &json!({ "capabilities": capabilities }),
        )?;
        let limit = json!({ "max-bandwidth": MAX_BANDWIDTH_BYTES_PER_S });
        self.qmp.execute("migrate-set-parameters", &limit)?;
        Ok(())
    }

    fn status(&mut self) -> Result<Value, BenchError> {
        self.qmp.execute("query-migrate", &json!({}))
    }
}

/// Boots the VM of `cell` on QEMU, moves it, and weighs what it cost.
///
/// # Errors
/// Any step fails, the VM does not arrive, or its memory is damaged.
pub(super) fn run(
    mover: &Mover<'_>,
    cell: &Cell,
    way: Way,
    watch: Watch,
) -> Result<Cost, BenchError> {
    let directory = tempfile::tempdir().map_err(BenchError::system("make a directory"))?;
    std::fs::write(directory.path().join("probe.elf"), PROBE)
        .map_err(BenchError::system("write the probe"))?;
    let start =
        |name: &str, further: &[&str]| Machine::start(directory.path(), name, cell, further);
    let mut target = mover
        .link
        .at_destination(|| start("there", &["-incoming", "defer"]))??;
    let mut source = mover.link.at_source(|| start("here", &[]))??;
    mover.warm_up(cell, &mut source.process)?;
    let before = records(&source.process.output().all()).len() - 1;

    for machine in [&mut source, &mut target] {
        machine.prepare(way)?;
    }
    let uri = listen(mover, &mut target)?;
    source.qmp.execute("migrate", &json!({ "uri": uri }))?;
    let vcpu = VcpuWatch::begin(target.process.pid())?;
    let report = follow(mover, &mut source, way);
    let vcpu = vcpu.end();
    let report = report?;
    // Whatever it answers, it tells before when its guest ran.
    target.status()?;
    mover.settle(&mut target.process)?;
    let noise = watch.end()?;

    let [here, there] = [&source, &target].map(|machine| machine.process.output().all());
    let cost = GuestView::of_move(&here, &there, before)?.weigh()?;
    let number = |path: &'static str| number_in(&report, path);
    Ok(Cost {
        total_ms: number("/total-time")?,
        downtime_ms: downtime_ms(&source.qmp, &target.qmp),
        wire_bytes: number("/ram/transferred")?,
        requests: number("/ram/postcopy-requests")?,
        waits: None,
        longest_wait_ms: None,
        blocked_ms: vcpu.map(|times| times.blocked_ms),
        queued_ms: vcpu.map(|times| times.queued_ms),
        kernel_ms: vcpu.map(|times| times.kernel_ms),
        lost_s: cost.lost_s,
        longest_stall_ms: cost.longest_stall_ms,
        noise,
    })
}

/// From when the guest stood still at one end until it ran at the other. What QEMU itself calls downtime of a
/// post-copy is over when its source has sent the state.
fn downtime_ms(source: &Qmp, target: &Qmp) -> Option<f64> {
    Some(target.event_ms("RESUME")? - source.event_ms("STOP")?)
}

/// Has the destination listen, and returns where.
fn listen(mover: &Mover<'_>, target: &mut Machine) -> Result<String, BenchError> {
    let host = mover.link.destination_address();
    let any = json!({ "uri": format!("tcp:{host}:0") });
    target.qmp.execute("migrate-incoming", &any)?;
    let status = target.status()?;
    let port = status["socket-address"][0]["port"].as_str();
    let port = port.ok_or_else(|| BenchError::Lacks {
        what: "port of QEMU",
        text: status.to_string(),
    })?;
    Ok(format!("tcp:{host}:{port}"))
}

/// Waits until the move is over, and returns what the source says of it.
fn follow(mover: &Mover<'_>, source: &mut Machine, way: Way) -> Result<Value, BenchError> {
    let began = Instant::now();
    let mut is_switched = way == Way::PreCopy;
    mover.interrupt.wait("QEMU", || {
        let status = source.status()?;
        let state = status["status"].as_str().unwrap_or_default();
        match state {
            // It was seen to be so before QEMU had summed up.
            "completed" if status["total-time"] != 0 => return Ok(Some(status)),
            "active" if !is_switched => {
                source.qmp.execute("migrate-start-postcopy", &json!({}))?;
                is_switched = true;
            }
            "failed" | "cancelled" | "postcopy-paused" => {
                return Err(BenchError::NotMoved {
                    outcome: state.to_owned(),
                    reason: status["error-desc"].to_string(),
                });
            }
            _ => {}
        }
        if began.elapsed() < NEVER {
            return Ok(None);
        }
        Err(BenchError::NotMoved {
            outcome: state.to_owned(),
            reason: format!("not over after {} s", NEVER.as_secs()),
        })
    })
}
