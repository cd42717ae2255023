//! Something that a monitor is asked to do and that takes a while: it is waited for, shown, and
//! cancelled on Ctrl-C.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use super::errors::{ClientError, CommandError};
use super::progress::ProgressDisplay;
use crate::console::Signals;
use crate::control::{ControlClient, ControlError, Failure, Request, Response, VmAddress};

/// Asks for it; returns the report when it is done.
///
/// To be called before this process starts a thread.
pub(super) fn attend(vm: &VmAddress, request: &Request) -> Result<Value, CommandError> {
    let signals = Signals::block()?;
    let mut client = ControlClient::connect(vm)?;
    client.set_patience(None)?;
    client.send(request)?;

    let mut display = ProgressDisplay::new();
    let mut interruptions = Interruptions {
        vm,
        errand: match request {
            Request::Snapshot(_) => "snapshot",
            _ => "migration",
        },
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
    Ok(result)
}

/// Signals to this command while it waits: the first one cancels, the second one ends the command.
#[derive(Debug)]
struct Interruptions<'a> {
    vm: &'a VmAddress,
    errand: &'static str,
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
                let errand = self.errand;
                return Err(ClientError::Interrupted { errand }.into());
            }
            match cancel(self.vm) {
                Ok(()) => log::info!("{signal}: the {} is being cancelled", self.errand),
                Err(error) => log::warn!("{signal}: {:#}", Failure::of(&error)),
            }
        }
        if answered {
            client.fill()?;
        }
        Ok(())
    }
}

/// The first connection waits for the end, so this takes one of its own.
fn cancel(vm: &VmAddress) -> Result<(), ControlError> {
    ControlClient::connect(vm)?
        .call::<Value>(&Request::Cancel, |_| {})
        .map(drop)
}
