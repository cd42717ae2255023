//! `skiff pause`, `resume`, `stop` and `cancel`: one word to a monitor each.

use serde_json::Value;

use super::errors::CommandError;
use super::output::print;
use crate::control::{ControlClient, ControlError, Request, VmAddress};

/// Stops the vCPUs.
pub(super) fn pause(vm: &VmAddress) -> Result<(), CommandError> {
    tell(vm, &Request::Pause)?;
    Ok(print(&format!("{vm} is paused\n"))?)
}

/// Lets them run again.
pub(super) fn resume(vm: &VmAddress) -> Result<(), CommandError> {
    tell(vm, &Request::Resume)?;
    Ok(print(&format!("{vm} runs\n"))?)
}

/// Cancels the migration.
pub(super) fn cancel(vm: &VmAddress) -> Result<(), CommandError> {
    tell(vm, &Request::Cancel)?;
    Ok(print(&format!("the migration of {vm} is cancelled\n"))?)
}

/// Ends the VM, and waits until its monitor hangs up.
pub(super) fn stop(vm: &VmAddress) -> Result<(), CommandError> {
    let mut client = tell(vm, &Request::Stop)?;
    loop {
        match client.fill() {
            Ok(()) => {}
            Err(ControlError::Closed { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(print(&format!("{vm} is stopped\n"))?)
}

fn tell(vm: &VmAddress, request: &Request) -> Result<ControlClient, ControlError> {
    let mut client = ControlClient::connect(vm)?;
    client.call::<Value>(request, |_| {})?;
    Ok(client)
}
