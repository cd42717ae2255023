//! `skiff migrate`: asks a monitor to move its VM, shows how it goes, and ends as the move ended.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use super::args::MigrateArgs;
use super::errors::{ClientError, CommandError};
use super::output::{print, to_json};
use super::summary::{COMPLETED, Summary, progress_line};
use crate::console::Signals;
use crate::control::{
    ControlClient, ControlError, Failure, Progress, Request, Response, VmAddress,
};

/// Moves a VM; returns when it is at its destination, or is known not to get there.
pub(super) fn migrate(args: MigrateArgs) -> Result<(), CommandError> {
    let request = Request::Migrate(args.config());
    let MigrateArgs { vm, report, .. } = args;
    let signals = Signals::block()?;
    let mut client = ControlClient::connect(&vm)?;
    client.set_patience(None)?;
    client.send(&request)?;

    let mut display = ProgressDisplay::new();
    let mut interruptions = Interruptions {
        vm: &vm,
        signals,
        count: 0,
    };
    let result = loop {
        match client.next_response::<Value>()? {
            Some(Response::Progress(progress)) => display.show(&progress),
            Some(Response::Ok(report)) => break report,
            Some(Response::Error(failure)) => {
                display.clear();
                return Err(ControlError::Refused {
                    command: request.command(),
                    failure,
                }
                .into());
            }
            None => interruptions.wait_for(&mut client, &mut display)?,
        }
    };
    display.clear();
    conclude(&vm, &result, report.as_deref())
}

/// Shows the summary and the report, each in its place; fails if the VM has not moved.
fn conclude(vm: &VmAddress, result: &Value, path: Option<&Path>) -> Result<(), CommandError> {
    let summary = Summary::of(result);
    let text = format!("{vm}: {summary}");
    match path {
        Some(path) if path == Path::new("-") => {
            eprint!("{text}");
            print(&to_json(result))?;
        }
        Some(path) => {
            print(&text)?;
            write_report(path, result)?;
        }
        None => print(&text)?,
    }
    Ok(verdict(summary)?)
}

fn write_report(path: &Path, result: &Value) -> Result<(), ClientError> {
    fs::write(path, to_json(result)).map_err(|source| ClientError::Report {
        path: path.to_owned(),
        source,
    })
}

/// Only a VM that is completely at its destination has been moved.
fn verdict(summary: Summary) -> Result<(), ClientError> {
    let Summary {
        outcome, reason, ..
    } = summary;
    let reason = reason.map(|message| Failure {
        message,
        causes: Vec::new(),
        remedy: None,
    });
    match outcome.as_str() {
        COMPLETED => Ok(()),
        "resumed-at-source" => Err(ClientError::NotMoved { reason }),
        "lost" => Err(ClientError::Lost { reason }),
        _ => Err(ClientError::UnknownOutcome { outcome }),
    }
}

/// Signals to this command while it waits: the first one cancels, the second one ends the command.
#[derive(Debug)]
struct Interruptions<'a> {
    vm: &'a VmAddress,
    signals: Signals,
    count: u32,
}

impl Interruptions<'_> {
    /// Waits until the monitor has said something, or acts on a signal.
    fn wait_for(
        &mut self,
        client: &mut ControlClient,
        display: &mut ProgressDisplay,
    ) -> Result<(), CommandError> {
        let mut fds = [
            PollFd::from_borrowed_fd(client.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        poll(&mut fds, None).map_err(|errno| ClientError::Wait {
            source: errno.into(),
        })?;
        let answered = !fds[0].revents().is_empty();
        if let Some(signal) = self.signals.next() {
            display.clear();
            self.count += 1;
            if self.count > 1 {
                return Err(ClientError::Interrupted.into());
            }
            match cancel(self.vm) {
                Ok(()) => log::info!("{signal}: the migration is being cancelled"),
                Err(error) => log::warn!("{signal}: {:#}", Failure::of(&error)),
            }
        }
        if answered {
            client.fill()?;
        }
        Ok(())
    }
}

/// The first connection waits for the end of the migration, so this takes one of its own.
fn cancel(vm: &VmAddress) -> Result<(), ControlError> {
    ControlClient::connect(vm)?
        .call::<Value>(&Request::Cancel, |_| {})
        .map(drop)
}

/// One line on standard error that is overwritten as the work goes on; if that is no terminal, one
/// line for each step of the work.
#[derive(Debug)]
struct ProgressDisplay {
    is_terminal: bool,
    shown: bool,
    step: Option<(String, u32)>,
}

impl ProgressDisplay {
    fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            shown: false,
            step: None,
        }
    }

    fn show(&mut self, progress: &Progress) {
        if self.is_terminal {
            self.shown = true;
            draw(&progress_line(progress));
            return;
        }
        let step = (progress.phase.clone(), progress.round);
        if self.step.as_ref() != Some(&step) {
            self.step = Some(step);
            // As in `draw`.
            let _unwritten = writeln!(io::stderr(), "{}", progress_line(progress));
        }
    }

    /// Makes room for other lines.
    fn clear(&mut self) {
        if self.shown {
            self.shown = false;
            draw("");
        }
    }
}

/// Replaces the current line: carriage return, and EL of ECMA-48 to erase what was there.
fn draw(text: &str) {
    // A terminal that cannot be written to is no reason to give up a migration.
    let _unwritten = write!(io::stderr(), "\r\x1b[K{text}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn report_is_written_as_the_monitor_gave_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.json");
        let report = json!({ "schema": 1, "outcome": "completed", "later_field": [1] });
        write_report(&path, &report).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(written, report);
        let error = write_report(Path::new("/nonexistent/report.json"), &report).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/report.json"),
            "{error}"
        );
    }

    #[test]
    fn verdict_on_anything_but_a_completed_move_says_where_the_vm_is() {
        assert!(verdict(Summary::of(&json!({ "outcome": "completed" }))).is_ok());
        for (outcome, words) in [
            ("resumed-at-source", "stays at the source"),
            ("lost", "is lost"),
            ("odd", "`odd`"),
        ] {
            let report = json!({ "outcome": outcome, "reason": "the peer closed" });
            let error = verdict(Summary::of(&report)).unwrap_err();
            let told = format!("{:#}", Failure::of(&error));
            assert!(told.contains(words), "{told}");
            assert_eq!(
                told.contains("caused by: the peer closed"),
                outcome != "odd"
            );
        }
    }
}
