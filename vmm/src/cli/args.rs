//! The commands and their options as typed; the texts here are what `skiff help` shows.

mod balloon;
mod inspect;
mod restore;
mod run;
mod snapshot;
mod steer;
mod travel;

use argh::FromArgs;

pub(super) use balloon::BalloonArgs;
pub(super) use inspect::{InfoArgs, LsArgs, PreflightArgs};
pub(super) use restore::{ClonesOrder, RestoreArgs};
pub(super) use run::RunArgs;
pub(super) use snapshot::{SnapshotArgs, SnapshotDeed};
pub(super) use steer::{CancelArgs, PauseArgs, ResumeArgs, StopArgs};
pub(super) use travel::{MigrateArgs, ReceiveArgs};

/// A microVM monitor whose VMs can move.
#[derive(Debug, FromArgs)]
#[argh(
    help_triggers("--help", "-h", "help"),
    example = "\
Boot the built-in guest, look at it from another terminal, and end it:
  {command_name} run --kernel probe --name first
  {command_name} ls
  {command_name} stop first

Move it to another host, which waits for it:
  node2$ {command_name} receive --listen 0.0.0.0:7000 --key FILE
  node1$ {command_name} migrate first --to node2:7000 --key FILE",
    note = "\
A VM is addressed by its name, or by the path of its control socket (a word with a slash in it).
Sizes take K, M, G and T (powers of 1024). Options are written `--memory 1G` or `--memory=1G`.
SKIFF_LOG=error|warn|info|debug|trace chooses what is logged.
`{command_name} help COMMAND` explains a command.",
    error_code(1, "it failed; standard error says why and what to try"),
    error_code(2, "it was not understood")
)]
pub(super) struct Skiff {
    /// show the version
    #[argh(switch)]
    pub(super) version: bool,
    #[argh(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, FromArgs)]
#[argh(subcommand)]
pub(super) enum Command {
    Run(RunArgs),
    Receive(ReceiveArgs),
    Migrate(MigrateArgs),
    Snapshot(SnapshotArgs),
    Restore(RestoreArgs),
    Cancel(CancelArgs),
    Ls(LsArgs),
    Info(InfoArgs),
    Pause(PauseArgs),
    Resume(ResumeArgs),
    Stop(StopArgs),
    Balloon(BalloonArgs),
    Preflight(PreflightArgs),
}

impl Command {
    /// The word that was typed for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Receive(_) => "receive",
            Self::Migrate(_) => "migrate",
            Self::Snapshot(_) => "snapshot",
            Self::Restore(_) => "restore",
            Self::Cancel(_) => "cancel",
            Self::Ls(_) => "ls",
            Self::Info(_) => "info",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Stop(_) => "stop",
            Self::Balloon(_) => "balloon",
            Self::Preflight(_) => "preflight",
        }
    }
}
