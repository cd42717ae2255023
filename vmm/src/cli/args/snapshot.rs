//! `skiff snapshot` as typed.

use std::path::PathBuf;

use argh::FromArgs;
use migration::snapshot::{Afterwards, Liveness, MergeOptions};

use crate::config::{ConfigError, SnapshotConfig};
use crate::control::VmAddress;

/// write a VM into a directory, check what was written, or merge two
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "snapshot",
    help_triggers("--help", "-h", "help"),
    example = "\
  {command_name} web --to web.snap
  {command_name} web --to web.snap --live
  {command_name} web --to web.snap --stop
  {command_name} web --to web.diff --base web.snap --live
  {command_name} merge web.diff --base web.snap --to web.new
  {command_name} verify web.snap",
    note = "\
DIR is made, or is empty, or holds an older snapshot, which is replaced when the new one is complete
and not a moment before. The VM stands still while its memory is written, with --live only for what
it writes meanwhile, and then goes on; with --stop it ends when the snapshot is on the disk.
With --base only pages that are not the same in the snapshot there are written: a difference, which
`{command_name} merge` makes a whole snapshot of again, of the same moment, checked page by page.
`{command_name} verify DIR` reads a snapshot from the first to the last byte and says what is wrong.
Ctrl-C cancels: a VM goes on, and nothing is left of the snapshot."
)]
pub(in crate::cli) struct SnapshotArgs {
    /// the VM; or the word verify or merge
    #[argh(positional, arg_name = "NAME")]
    what: String,
    /// with verify: the snapshot to check; with merge: the difference
    #[argh(positional, arg_name = "DIR")]
    directory: Option<PathBuf>,
    /// directory to write the snapshot to
    #[argh(option, arg_name = "DIR")]
    to: Option<PathBuf>,
    /// directory of a snapshot: write only what differs from it; with merge: the one that it differs from
    #[argh(option, arg_name = "DIR")]
    base: Option<PathBuf>,
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
    /// Make a whole one of a difference.
    Merge {
        options: MergeOptions,
        report: Option<PathBuf>,
    },
}

impl SnapshotArgs {
    /// Makes sense of what was typed.
    pub(in crate::cli) fn deed(self) -> Result<SnapshotDeed, ConfigError> {
        let Self {
            what,
            directory,
            to,
            base,
            live,
            stop,
            report,
        } = self;
        match (what.as_str(), directory, to, base) {
            ("verify", Some(directory), None, None) if !(live || stop) && report.is_none() => {
                Ok(SnapshotDeed::Verify(directory))
            }
            ("merge", Some(difference), Some(directory), Some(base)) if !(live || stop) => {
                Ok(SnapshotDeed::Merge {
                    options: MergeOptions {
                        difference,
                        base,
                        directory,
                    },
                    report,
                })
            }
            (_, None, Some(to), base) => Ok(SnapshotDeed::Write {
                vm: what
                    .parse()
                    .map_err(|_| ConfigError::NameSyntax { value: what.into() })?,
                config: SnapshotConfig {
                    to: absolute(to),
                    base: base.map(absolute),
                    liveness: liveness_of(live),
                    afterwards: afterwards_of(stop),
                },
                report,
            }),
            _ => Err(ConfigError::SnapshotForm),
        }
    }
}

/// The path for a process with another working directory. What has no absolute form is an empty path,
/// and of that nothing can come.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
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
