//! `skiff balloon` as typed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::FromArgs;
use balloon::SelfBallooningSettings;

use super::inspect::format_of;
use crate::cli::output::Format;
use crate::config::{ByteSize, ConfigError, TimeSpan};
use crate::control::{SelfBallooningWish, VmAddress};

/// show a VM's memory balloon, or set how much the guest is to have in it
#[derive(Debug, FromArgs)]
#[argh(
    subcommand,
    name = "balloon",
    help_triggers("--help", "-h", "help"),
    example = "  {command_name} web\n  {command_name} web --target 256M\n  {command_name} web --auto on --interval 1s\n  {command_name} web --json | jq .statistics\n  {command_name} web --record web.csv --every 500ms",
    note = "\
The target is the size of the balloon: what the guest gives up, not what it keeps. The guest
inflates as fast as it can, and deflates by itself before it runs out of memory. What it reports
free goes back to the host with any target, 0 included. A guest without a driver does nothing.
With --auto on the target is 95% of what is free or in the balloon, set anew every interval; what
the guest comes to need is given back as it grows; on a sign of pressure half of it is given back at
once, and nothing is taken for 10 intervals. It moves with the VM."
)]
pub(in crate::cli) struct BalloonArgs {
    /// the VM
    #[argh(positional, arg_name = "NAME")]
    pub(in crate::cli) vm: VmAddress,
    /// how much the guest is to give up, in whole pages, at most its memory
    #[argh(option, arg_name = "SIZE", from_str_fn(parse_target))]
    target: Option<u64>,
    /// let the target follow from what the guest says of its memory (on), or stay where it is (off)
    #[argh(option, arg_name = "on|off", from_str_fn(parse_switch))]
    auto: Option<Switch>,
    /// with --auto on: how often memory is taken, at least 10ms; default: 5s
    #[argh(option, arg_name = "TIME")]
    interval: Option<TimeSpan>,
    /// with --auto on: how much of its page cache the guest keeps, in percent; default: 100
    #[argh(option, arg_name = "PERCENT")]
    keep_cache: Option<u8>,
    /// write a line of CSV to this file at once and every second, until Ctrl-C or the end of the VM; - is standard output
    #[argh(option, arg_name = "FILE")]
    record: Option<PathBuf>,
    /// with --record: how often; default: 1s
    #[argh(option, arg_name = "TIME")]
    every: Option<TimeSpan>,
    /// show the balloon as JSON
    #[argh(switch)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    On,
    Off,
}

fn parse_switch(text: &str) -> Result<Switch, String> {
    match text {
        "on" => Ok(Switch::On),
        "off" => Ok(Switch::Off),
        _ => Err(format!("`{text}` is neither on nor off")),
    }
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

    /// The file to record in, and how often.
    ///
    /// # Errors
    /// A pace without a file.
    pub(in crate::cli) fn record(&self) -> Result<Option<(&Path, Duration)>, ConfigError> {
        let default = Duration::from_secs(1);
        match (&self.record, self.every) {
            (Some(path), every) => Ok(Some((path, every.map_or(default, TimeSpan::duration)))),
            (None, Some(_)) => Err(ConfigError::RecordPace),
            (None, None) => Ok(None),
        }
    }

    /// Whether the target is to follow from what the guest says.
    ///
    /// # Errors
    /// Settings for self-ballooning without `--auto on`, or out of range.
    pub(in crate::cli) fn auto(&self) -> Result<Option<SelfBallooningWish>, ConfigError> {
        let has_settings = self.interval.is_some() || self.keep_cache.is_some();
        match self.auto {
            Some(Switch::On) => {}
            _ if has_settings => return Err(ConfigError::BalloonSettings),
            Some(Switch::Off) => return Ok(Some(SelfBallooningWish::Off)),
            None => return Ok(None),
        }
        let default = SelfBallooningSettings::default();
        let interval_ms = match self.interval {
            Some(span) => {
                u32::try_from(span.duration().as_millis()).map_err(|_| ConfigError::BalloonRange)?
            }
            None => default.interval_ms,
        };
        let settings = SelfBallooningSettings {
            interval_ms,
            keep_cache_percent: self.keep_cache.unwrap_or(default.keep_cache_percent),
        };
        if settings.is_valid() {
            Ok(Some(SelfBallooningWish::On(settings)))
        } else {
            Err(ConfigError::BalloonRange)
        }
    }

    pub(in crate::cli) fn format(&self) -> Format {
        format_of(self.json)
    }
}
