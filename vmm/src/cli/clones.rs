//! `skiff restore --clones N`: a process for each copy, started at once, shown as they get ready, and
//! waited for.

use std::env;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use migration::snapshot::Snapshot;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::args::ClonesOrder;
use super::errors::{ClientError, CommandError};
use super::output::{print, print_report};
use crate::console::Signals;
use crate::transfer::Exclusive;

/// Bytes read at a time.
const READ_BYTES: usize = 4096;

/// Most bytes that a copy may print: a line and a report.
const MAX_PRINTED_BYTES: usize = 64 << 10;

/// The process of a copy, which prints that it is ready, and then its report.
struct CloneProcess {
    name: String,
    child: Child,
    /// Until it ends.
    output: Option<ChildStdout>,
    printed: Vec<u8>,
    is_announced: bool,
}

/// Starts all of them, and returns when all have ended.
pub(super) fn run(order: &ClonesOrder) -> Result<(), CommandError> {
    check_shares(order)?;
    let signals = Signals::block()?;
    let began = Instant::now();
    let mut copies = Clones(Vec::new());
    for (name, words) in &order.copies {
        copies.0.push(CloneProcess::start(name, words)?);
    }
    let mut is_told = false;
    while copies.0.iter().any(CloneProcess::runs) {
        wait(&signals, &copies)?;
        if let Some(signal) = signals.next() {
            log::info!("{signal}: stopping all copies");
            copies.stop();
        }
        for copy in &mut copies.0 {
            copy.read()?;
        }
        if !is_told && copies.0.iter().all(CloneProcess::has_reported) {
            is_told = true;
            tell(order, &copies, began.elapsed())?;
        }
    }
    let mut failed = copies.0.iter_mut().filter_map(CloneProcess::failed);
    match failed.next() {
        None => Ok(()),
        Some(name) => Err(ClientError::Copy { name }.into()),
    }
}

/// Refuses copies of a VM of which only one could have the disks, the network cards or the socket.
fn check_shares(order: &ClonesOrder) -> Result<(), ClientError> {
    let snapshot = Snapshot::open(&order.directory).map_err(|source| ClientError::Snapshot {
        directory: order.directory.clone(),
        source,
    })?;
    match Exclusive::of(&snapshot, &order.attachments) {
        None => Ok(()),
        Some(Exclusive::Disk(path)) => Err(ClientError::SharedDisk { path }),
        Some(Exclusive::Tap(name)) => Err(ClientError::SharedTap { name }),
        Some(Exclusive::Socket(path)) => Err(ClientError::SharedSocket { path }),
    }
}

/// Waits until a copy has printed something or has ended, or a signal has come.
fn wait(signals: &Signals, copies: &Clones) -> Result<(), ClientError> {
    let outputs = copies.0.iter().filter_map(|copy| copy.output.as_ref());
    let fds: Vec<BorrowedFd<'_>> = outputs.map(AsFd::as_fd).chain([signals.as_fd()]).collect();
    let mut fds: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(ClientError::Wait {
            source: errno.into(),
        }),
    }
}

/// Says that all are there.
fn tell(order: &ClonesOrder, copies: &Clones, took: Duration) -> Result<(), ClientError> {
    let ready_ms = took.as_secs_f64() * 1e3;
    let text = format!(
        "{} copies are ready after {ready_ms:.1} ms\n",
        copies.0.len()
    );
    let reports: Vec<_> = copies.0.iter().map(CloneProcess::report).collect();
    let report = json!({ "schema": 1, "ready_ms": ready_ms, "clones": reports });
    print_report(&text, &report, order.report.as_deref())
}

/// All of them; those that run are ended when this is dropped.
struct Clones(Vec<CloneProcess>);

impl Clones {
    fn stop(&self) {
        for copy in self.0.iter().filter(|copy| copy.runs()) {
            if let Some(pid) = i32::try_from(copy.child.id()).ok().and_then(Pid::from_raw) {
                // It may have ended just now; nobody has waited for it, so the number is still its.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
}

impl Drop for Clones {
    fn drop(&mut self) {
        self.stop();
        for copy in &mut self.0 {
            // Its end is all that matters.
            let _ = copy.child.wait();
        }
    }
}

impl CloneProcess {
    fn start(name: &str, words: &[String]) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Start {
            name: name.to_owned(),
            source,
        };
        let program = env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            output: child.stdout.take(),
            child,
            printed: Vec::new(),
            is_announced: false,
        })
    }

    fn runs(&self) -> bool {
        self.output.is_some()
    }

    /// Takes what it has printed, if it has; shows the line that says that it is ready.
    fn read(&mut self) -> Result<(), ClientError> {
        let Some(output) = &mut self.output else {
            return Ok(());
        };
        let mut polled = [PollFd::new(output, PollFlags::IN)];
        let now = rustix::event::Timespec::default();
        if !matches!(poll(&mut polled, Some(&now)), Ok(1..)) {
            return Ok(());
        }
        let mut bytes = [0; READ_BYTES];
        match output.read(&mut bytes) {
            Ok(0) => self.output = None,
            Ok(count) if self.printed.len() + count <= MAX_PRINTED_BYTES => {
                self.printed.extend_from_slice(&bytes[..count]);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ClientError::Wait { source }),
        }
        if !self.is_announced
            && let Some(end) = self.printed.iter().position(|byte| *byte == b'\n')
        {
            self.is_announced = true;
            return print(&String::from_utf8_lossy(&self.printed[..=end]));
        }
        Ok(())
    }

    /// What it reported, if it has.
    fn report(&self) -> Option<Value> {
        let start = self.printed.iter().position(|byte| *byte == b'\n')?;
        serde_json::from_slice(&self.printed[start..]).ok()
    }

    /// Whether it has all of its memory, or has ended.
    fn has_reported(&self) -> bool {
        !self.runs() || self.report().is_some()
    }

    /// Waits for its end; gives its name if that was no good one.
    fn failed(&mut self) -> Option<String> {
        let is_good = self.child.wait().is_ok_and(|status| status.success());
        (!is_good).then(|| self.name.clone())
    }
}
