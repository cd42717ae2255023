//! One run: a VM boots, works, moves, works on, and is weighed.

mod options;

use std::time::{Duration, Instant};

use serde_json::Value;
use vmm::console::Signals;

use super::cell::Cell;
use super::column::Column;
use super::guest::{GuestView, RATE_RECORDS, records};
use super::link::Link;
use super::noise::Watch;
use super::vcpu::VcpuWatch;
use super::{BenchError, Sample, host_memory};
use crate::harness::{HarnessError, Host, Lines, Process};

pub use options::{ReceiverOptions, refusal};

const NAME: &str = "bench";

/// Longer than 512 MiB need at 100 Mb/s, three times over.
const PATIENCE: Duration = Duration::from_secs(150);

/// How often the guest's lines are looked at, a tenth of them being due meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Records that pass after the filling, and after a move, before rates are measured.
const SETTLING_RECORDS: usize = 4;

/// What ends the benchmark early: signals, which [`Signals::block`] has turned into events.
#[derive(Debug)]
pub struct Interrupt(Signals);

impl Interrupt {
    /// Reacts to `signals` from now on.
    #[must_use]
    pub fn new(signals: Signals) -> Self {
        Self(signals)
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`BenchError::Interrupted`].
    pub fn check(&self) -> Result<(), BenchError> {
        match self.0.next() {
            None => Ok(()),
            Some(_) => Err(BenchError::Interrupted),
        }
    }

    /// Waits until `look` has found something.
    pub(super) fn wait<T>(
        &self,
        what: &str,
        mut look: impl FnMut() -> Result<Option<T>, BenchError>,
    ) -> Result<T, BenchError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                return Err(BenchError::Harness(HarnessError::StillRunning {
                    what: what.to_owned(),
                    waited: PATIENCE,
                }));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Moves a VM once.
#[derive(Debug)]
pub struct Mover<'a> {
    /// What the VM moves over.
    pub link: &'a Link,
    /// What `skiff receive` must be told.
    pub receiver: &'a ReceiverOptions,
    /// What ends it early.
    pub interrupt: &'a Interrupt,
}

impl Mover<'_> {
    /// Boots the VM of `cell`, moves it as `column` says, and weighs what it cost.
    ///
    /// # Errors
    /// Any step fails, the VM does not arrive, or its memory is damaged.
    pub fn run(&self, cell: &Cell, column: &Column, watch: Watch) -> Result<Sample, BenchError> {
        let (here, there) = (Host::new()?, Host::new()?);
        let (mut target, address) = self.receive(&there)?;
        let memory = format!("{}M", cell.memory_mib);
        let words = cell.command_line();
        let mut source = self
            .link
            .at_source(|| here.boot_probe(NAME, &memory, &words))??;
        self.warm_up(cell, &mut source.skiff)?;

        let before = records(&source.skiff.output().all()).len() - 1;
        let vcpu = VcpuWatch::begin(target.pid())?;
        let report = self.migrate(&here, &address, column);
        let vcpu = vcpu.end();
        let report = report?;
        // A VM that did not move says why in the report, and prints nothing here.
        let arrived = report["outcome"] == "completed";
        if arrived {
            self.settle(&mut target)?;
            source.skiff.succeed(PATIENCE)?;
        }
        let noise = watch.end()?;

        let (here, later) = (source.skiff.output().all(), target.output().all());
        let view = GuestView::of_move(&here, &later, before)?;
        let sample = Sample::new(&report, view, vcpu, noise)?;
        there.command(&["stop", NAME])?;
        target.succeed(PATIENCE)?;
        Ok(sample)
    }

    /// Starts the monitor that waits, and returns where it does.
    fn receive(&self, there: &Host) -> Result<(Process, String), BenchError> {
        let listen = format!("{}:0", self.link.destination_address());
        let mut words = vec!["receive", "--name", NAME, "--listen", &listen, "--insecure"];
        words.extend(self.receiver.for_link(self.link.kind()));
        let mut target = self
            .link
            .at_destination(|| Process::skiff(there.runtime(), &words))??;
        let port = self.interrupt.wait("skiff receive", || {
            let messages = target.messages().all();
            let port = messages.iter().find_map(|line| listening_port(line));
            if port.is_none() && !target.is_running() {
                let status = target.wait(PATIENCE)?;
                return Err(target.failure(status).into());
            }
            Ok(port)
        })?;
        let address = format!("{}:{port}", self.link.destination_address());
        Ok((target, address))
    }

    /// Lets the guest fill its working set and then work undisturbed for a while, with as much memory at hand
    /// for the other end.
    pub(super) fn warm_up(&self, cell: &Cell, source: &mut Process) -> Result<(), BenchError> {
        let output = source.output().clone();
        self.interrupt.wait("the guest's first pass", || {
            let last = records(&output.all()).pop();
            let filled = last.filter(|record| record.pages >= cell.filled_pages());
            if filled.is_none() && !source.is_running() {
                let status = source.wait(PATIENCE)?;
                return Err(source.failure(status).into());
            }
            Ok(filled)
        })?;
        host_memory::fetch(cell.hot_mib)?;
        self.settle(source)
    }

    /// Waits until the guest has said so much more that its rate is known.
    pub(super) fn settle(&self, monitor: &mut Process) -> Result<(), BenchError> {
        let output = monitor.output().clone();
        let seen = |lines: &Lines| records(&lines.all()).len();
        let wanted = seen(&output) + SETTLING_RECORDS + RATE_RECORDS;
        self.interrupt.wait("the guest", || {
            if !monitor.is_running() {
                let status = monitor.wait(PATIENCE)?;
                return Err(monitor.failure(status).into());
            }
            Ok((seen(&output) >= wanted).then_some(()))
        })
    }

    /// Runs `skiff migrate` and returns its report, whatever the outcome.
    fn migrate(&self, here: &Host, address: &str, column: &Column) -> Result<Value, BenchError> {
        let mut words = vec!["migrate", NAME, "--to", address, "--report", "-"];
        words.extend(column.options.iter().map(String::as_str));
        let mut command = Process::skiff(here.runtime(), &words)?;
        let status = self.interrupt.wait("skiff migrate", || {
            if command.is_running() {
                return Ok(None);
            }
            Ok(Some(command.wait(PATIENCE)?))
        })?;
        let output = command.output();
        // The process is gone, but what it said may not have been read to the end.
        self.interrupt.wait("the report", || {
            let text = output.all().join("\n");
            let report = text
                .find('{')
                .and_then(|start| serde_json::from_str(&text[start..]).ok());
            if report.is_none() && !status.success() {
                return Err(command.failure(status).into());
            }
            Ok(report)
        })
    }
}

/// The port in what `skiff receive` says when it is ready.
fn listening_port(line: &str) -> Option<u16> {
    let address = line.split("listening on ").nth(1)?.split(' ').next()?;
    let port = address.trim_end_matches(',').rsplit(':').next()?;
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_is_found_in_the_line_that_tells_it() {
        let line = "info: listening on 10.213.0.2:40123 for a VM to become bench";
        assert_eq!(listening_port(line), Some(40123));
        assert_eq!(listening_port("listening on 127.0.0.1:7, soon"), Some(7));
        assert_eq!(listening_port("probe: ready"), None);
    }
}
