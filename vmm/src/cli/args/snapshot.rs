//! `skiff snapshot` and `skiff restore` as typed.

use std::path::PathBuf;

use argh::FromArgs;
use migration::snapshot::{Afterwards, Liveness};

use crate::config::{
    ConfigError, MemoryMode, Prefetch, RestoreConfig, SerialMode, SnapshotConfig, VmName,
};
use crate::control::VmAddress;
use crate::machine::Wish;

/// write a VM into a directory, or check what was written
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "snapshot",
    help_triggers("--help", "-h", "help"),
    example = "\
  {command_name} web --to web.snap
  {command_name} web --to web.snap --live
  {command_name} web --to web.snap --stop
  {command_name} verify web.snap",
    note = "\
DIR is made, or is empty, or holds an older snapshot, which is replaced when the new one is complete
and not a moment before. The VM stands still while its memory is written, with --live only for what
it writes meanwhile, and then goes on; with --stop it ends when the snapshot is on the disk.
`{command_name} verify DIR` reads a snapshot from the first to the last byte and says what is wrong.
Ctrl-C cancels: the VM goes on, and nothing is left of the snapshot."
)]
pub(in crate::cli) struct SnapshotArgs {
    /// the VM; or the word verify
    #[argh(positional, arg_name = "NAME")]
    what: String,
    /// with verify: the snapshot to check
    #[argh(positional, arg_name = "DIR")]
    directory: Option<PathBuf>,
    /// directory to write the snapshot to
    #[argh(option, arg_name = "DIR")]
    to: Option<PathBuf>,
    /// let the guest run on while its memory is written
    #[argh(switch)]
    live: bool,
    /// end the VM when its snapshot is on the disk
    #[argh(switch)]
    stop: bool,
    /// write the report as JSON to this file; - is standard output
    #[argh(option, arg_name = "FILE")]
    report: Option<PathBuf>,
}

/// What `skiff snapshot` is to do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum SnapshotDeed {
    /// Write one.
    Write {
        vm: VmAddress,
        config: SnapshotConfig,
        report: Option<PathBuf>,
    },
    /// Check one.
    Verify(PathBuf),
}

impl SnapshotArgs {
    /// Makes sense of what was typed.
    pub(in crate::cli) fn deed(self) -> Result<SnapshotDeed, ConfigError> {
        let Self {
            what,
            directory,
            to,
            live,
            stop,
            report,
        } = self;
        match (what.as_str(), directory, to) {
            ("verify", Some(directory), None) if !(live || stop) && report.is_none() => {
                Ok(SnapshotDeed::Verify(directory))
            }
            (_, None, Some(to)) => Ok(SnapshotDeed::Write {
                vm: what
                    .parse()
                    .map_err(|_| ConfigError::NameSyntax { value: what.into() })?,
                config: SnapshotConfig {
                    // What has no absolute form is an empty path, and that cannot be made.
                    to: std::path::absolute(&to).unwrap_or(to),
                    liveness: liveness_of(live),
                    afterwards: afterwards_of(stop),
                },
                report,
            }),
            _ => Err(ConfigError::SnapshotForm),
        }
    }
}

/// resume a VM from a snapshot, and stay with it
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "restore",
    help_triggers("--help", "-h", "help"),
    example = "\
  {command_name} web.snap --name web
  {command_name} web.snap --memory-mode lazy --report -
  {command_name} web.snap --name copy --serial none --paused",
    note = "\
lazy runs the guest at once: pages come when it touches them, and in the background. mapped runs it on
the file itself, of which all copies share what they have not written: choose it for many copies, or
for a file that is in the page cache. eager reads everything first. auto chooses by what it finds.
Every resume is a copy: it has a name, a control socket and a VM generation id of its own, so that the
guest's random numbers differ; what else must be unique (addresses, keys, host names) is the guest's.
A line on standard output says when the VM is ready."
)]
pub(in crate::cli) struct RestoreArgs {
    /// directory of the snapshot
    #[argh(positional, arg_name = "DIR")]
    directory: PathBuf,
    /// name of the VM; default: one is made up
    #[argh(option, arg_name = "NAME")]
    name: Option<VmName>,
    /// path of the control socket; default: $XDG_RUNTIME_DIR/skiff/NAME.sock or /run/skiff/NAME.sock
    #[argh(option, arg_name = "PATH")]
    api: Option<PathBuf>,
    /// how memory gets to the guest: auto, lazy, eager or mapped; default: auto
    #[argh(option, arg_name = "MODE", default = "MemoryMode::default()")]
    memory_mode: MemoryMode,
    /// on: learn which pages the guest touches first, and bring those first the next time; or off; default: on
    #[argh(option, arg_name = "on|off", default = "Prefetch::default()")]
    prefetch: Prefetch,
    /// where the serial port leads: stdio, none or file=PATH; default: stdio
    #[argh(option, arg_name = "MODE")]
    serial: Option<SerialMode>,
    /// do not run the guest until it is told to: skiff resume NAME
    #[argh(switch)]
    paused: bool,
    /// write the report as JSON to this file when all memory is there; - is standard output
    #[argh(option, arg_name = "FILE")]
    report: Option<PathBuf>,
}

impl TryFrom<RestoreArgs> for RestoreConfig {
    type Error = ConfigError;

    fn try_from(args: RestoreArgs) -> Result<Self, ConfigError> {
        let RestoreArgs {
            directory,
            name,
            api,
            memory_mode,
            prefetch,
            serial,
            paused,
            report,
        } = args;
        Ok(Self {
            directory,
            name: name.map_or_else(VmName::generate, Ok)?,
            api,
            serial: serial.unwrap_or_default(),
            memory_mode,
            prefetch,
            wish: paused.then_some(Wish::Paused),
            report,
        })
    }
}

/// The one place where the switch `--live` is still a bool.
fn liveness_of(live: bool) -> Liveness {
    if live {
        Liveness::Live
    } else {
        Liveness::Paused
    }
}

/// The one place where the switch `--stop` is still a bool.
fn afterwards_of(stop: bool) -> Afterwards {
    if stop {
        Afterwards::Held
    } else {
        Afterwards::Resumed
    }
}
