//! What can go wrong while a test drives a process.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use crate::rig::RigError;

/// A step of a test that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The binary under test is not where the build puts it.
    #[error("no skiff binary at {}; build it with `cargo build --release`", path.display())]
    NoBinary {
        /// Where it should be.
        path: PathBuf,
    },
    /// The Linux guest is not there.
    #[error(transparent)]
    GuestImages(#[from] RigError),
    /// A process could not be started or fed.
    #[error("cannot {action}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line that was waited for did not come.
    #[error("no line with {wanted:?} within {waited:?}; the last lines were:\n{seen}")]
    NoLine {
        /// Text that was waited for.
        wanted: String,
        /// How long.
        waited: Duration,
        /// What came instead.
        seen: String,
    },
    /// A process did not end.
    #[error("{what} still runs after {waited:?}")]
    StillRunning {
        /// Its name.
        what: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A command ended with another status than it should have.
    #[error("`skiff {command}` ended with {status}: {output}")]
    Failed {
        /// Its arguments.
        command: String,
        /// Its status.
        status: ExitStatus,
        /// All it printed.
        output: String,
    },
    /// Something printed is not what the contract says.
    #[error("cannot understand {what}: {text:?}")]
    Unexpected {
        /// What was parsed.
        what: &'static str,
        /// The text.
        text: String,
    },
}

impl HarnessError {
    /// Turns an I/O error into an error, for `map_err`.
    pub fn process(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Process { action, source }
    }
}

/// The exit code of `program`, which says what went wrong if anything did.
pub fn exit_code(program: &str, outcome: Result<(), impl Into<Box<dyn Error>>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(program, &*error.into());
            ExitCode::FAILURE
        }
    }
}

/// Says on standard error what went wrong in `program`, and why, one cause after the other.
pub fn complain(program: &str, error: &dyn Error) {
    let mut line = format!("{program}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    eprintln!("{line}");
}
