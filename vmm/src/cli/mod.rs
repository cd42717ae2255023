//! The command line: what was typed becomes a command, the command is done, and how it went becomes an
//! exit code: 0 done, 1 failed, 2 wrong usage.

mod args;
mod balloon;
mod clones;
mod errand;
mod errors;
mod format;
mod inspect;
mod migrate;
mod output;
mod preflight;
mod progress;
mod snapshot;
mod steer;
mod summary;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use self::args::Command;
use self::errors::CommandError;
use self::words::Parsed;
use crate::config::{ReceiveConfig, RestoreConfig, VmConfig};
use crate::control::Failure;
use crate::{console, host, monitor};

/// The exit code of a command that failed.
const FAILED: u8 = 1;

/// The exit code of a command that was typed wrongly.
const WRONG_USAGE: u8 = 2;

/// Does what the arguments of the process say, the first of which is the program's own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    console::install_logger();
    let (result, topic) = match words::parse(args) {
        Ok(Parsed::Command(command)) => {
            let topic = command.name();
            (execute(*command), topic)
        }
        Ok(Parsed::Text(text)) => (output::print(&text).map_err(CommandError::from), ""),
        Err(misuse) => (Err(CommandError::Usage(misuse.failure)), misuse.topic),
    };
    // The end of the process does not drop what other threads own.
    console::restore_terminal();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Failed(failure)) => {
            eprintln!("error: {failure:#}");
            ExitCode::from(FAILED)
        }
        Err(CommandError::Usage(failure)) => {
            eprintln!("error: {failure:#}\n  see: {}", words::help_command(topic));
            ExitCode::from(WRONG_USAGE)
        }
    }
}

fn execute(command: Command) -> Result<(), CommandError> {
    match command {
        Command::Run(args) => {
            let settings = args.into_settings()?;
            Ok(monitor::run(VmConfig::new(
                settings,
                host::total_memory(),
            )?)?)
        }
        Command::Receive(args) => Ok(monitor::receive(ReceiveConfig::try_from(args)?)?),
        Command::Migrate(args) => migrate::migrate(args),
        Command::Snapshot(args) => snapshot::snapshot(args.deed()?),
        Command::Restore(args) => match args.clones()? {
            Some(order) => clones::run(&order),
            None => Ok(monitor::restore(RestoreConfig::try_from(args)?)?),
        },
        Command::Cancel(args) => steer::cancel(&args.vm),
        Command::Ls(args) => inspect::ls(args.format()),
        Command::Info(args) => inspect::info(&args.vm, args.format()),
        Command::Pause(args) => steer::pause(&args.vm),
        Command::Resume(args) => steer::resume(&args.vm),
        Command::Stop(args) => steer::stop(&args.vm),
        Command::Balloon(args) => balloon::balloon(&args),
        Command::Preflight(args) => preflight::preflight(&args, |to, trust| {
            monitor::ask_peer(to, trust).map_err(|error| Failure::of(&error))
        }),
    }
}

#[cfg(test)]
mod tests;
