//! The commands that tell a monitor to do something, as typed.

use argh::FromArgs;

use crate::control::VmAddress;

/// cancel a migration that has not handed the VM over, or a snapshot
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "cancel",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web",
    note = "The VM runs on where it is. After the hand-over there is nothing to cancel any more."
)]
pub(in crate::cli) struct CancelArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(in crate::cli) vm: VmAddress,
}

/// stop a VM's vCPUs until it is resumed
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "pause",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web",
    note = "A paused VM can be moved, and arrives paused. Pausing twice is no error."
)]
pub(in crate::cli) struct PauseArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(in crate::cli) vm: VmAddress,
}

/// let a paused VM run again
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "resume",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web",
    note = "Resuming a VM that runs is no error."
)]
pub(in crate::cli) struct ResumeArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(in crate::cli) vm: VmAddress,
}

/// end a VM and its monitor
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "stop",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web",
    note = "The guest is not asked: to it this is like pulling the plug. Returns when the VM is gone."
)]
pub(in crate::cli) struct StopArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(in crate::cli) vm: VmAddress,
}
