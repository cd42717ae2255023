//! `skiff snapshot` as typed.

use std::path::PathBuf;

use argh::FromArgs;
use migration::snapshot::{Afterwards, Liveness};

use crate::config::{ConfigError, SnapshotConfig};
use crate::control::VmAddress;

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
