//! `skiff balloon` as typed.

use argh::FromArgs;

use super::inspect::format_of;
use crate::cli::output::Format;
use crate::config::{ByteSize, ConfigError};
use crate::control::VmAddress;

/// show a VM's memory balloon, or set how much the guest is to have in it
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "balloon",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web\n  {command_name} web --target 256M\n  {command_name} web --json | jq .statistics",
    note = "\
The target is the size of the balloon: what the guest gives up, not what it keeps. The guest
inflates as fast as it can, and deflates by itself before it runs out of memory. What it reports
free goes back to the host with any target, 0 included. A guest without a driver does nothing."
)]
pub(in crate::cli) struct BalloonArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(in crate::cli) vm: VmAddress,
    /// how much the guest is to give up, in whole pages, at most its memory
    #[argh(option, arg_name = "SIZE", from_str_fn(parse_target))]
    target: Option<u64>,
    /// show the balloon as JSON
    #[argh(switch)]
    json: bool,
}

/// A size as anywhere, or 0 for an empty balloon.
fn parse_target(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    let size: ByteSize = text
        .parse()
        .map_err(|error: ConfigError| error.to_string())?;
    Ok(size.bytes())
}

impl BalloonArgs {
    /// The size that is asked for, in bytes.
    pub(in crate::cli) fn target_bytes(&self) -> Option<u64> {
        self.target
    }

    pub(in crate::cli) fn format(&self) -> Format {
        format_of(self.json)
    }
}
