//! How a command ends when it does not end well.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use devices::net::InterfaceName;
use migration::snapshot::SnapshotError;

use crate::config::ConfigError;
use crate::control::Failure;

/// A command that was not done.
#[derive(Debug)]
pub(super) enum CommandError {
    /// It cannot be done as it was typed.
    Usage(Failure),
    /// It could not be done.
    Failed(Failure),
}

impl<E: Error + 'static> From<E> for CommandError {
    fn from(error: E) -> Self {
        let failure = Failure::of(&error);
        let error: &(dyn Error + 'static) = &error;
        match error.downcast_ref::<ConfigError>() {
            Some(config) if config.is_usage() => Self::Usage(failure),
            _ => Self::Failed(failure),
        }
    }
}

/// A failure on the client's own side.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The output went nowhere.
    #[error("cannot write to standard output")]
    Output {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The report could not be written.
    #[error("cannot write the report to `{}`", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The record could not be written.
    #[error("cannot write the record to `{}`", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The process of a copy cannot be started.
    #[error("cannot start the copy {name}")]
    Start {
        /// Its name.
        name: String,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// A copy did not end well; it has said why.
    #[error("the copy {name} has failed")]
    Copy {
        /// Its name.
        name: String,
    },
    /// Several copies would write one disk.
    #[error(
        "several copies cannot share the disk `{}`, which the VM may write: resume it once, or make the \
         snapshot of a VM that was started with that disk ,ro",
        path.display()
    )]
    SharedDisk {
        /// The disk.
        path: PathBuf,
    },
    /// Several copies would have one network interface.
    #[error(
        "several copies cannot share the network interface `{name}`: give --net tap=NAME for each network card, and each copy has its own: NAME-1 and so on"
    )]
    SharedTap {
        /// The interface.
        name: InterfaceName,
    },
    /// Several copies would have one socket.
    #[error(
        "several copies cannot share the socket `{}`: give --vsock socket=PATH, and each copy has its own: PATH-1 and so on",
        path.display()
    )]
    SharedSocket {
        /// The socket.
        path: PathBuf,
    },
    /// A snapshot is not what was written.
    #[error("the snapshot in `{}` cannot be used", directory.display())]
    Snapshot {
        /// Where it should be.
        directory: PathBuf,
        /// What is wrong.
        #[source]
        source: SnapshotError,
    },
    /// Waiting for the monitor failed.
    #[error("cannot wait for the monitor")]
    Wait {
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The user interrupted the command a second time.
    #[error("interrupted: the {errand} goes on without this command")]
    Interrupted {
        /// What was asked for.
        errand: &'static str,
    },
    /// The move failed before the hand-over.
    #[error("the VM has not moved and stays at the source")]
    NotMoved {
        /// The report's reason.
        #[source]
        reason: Option<Failure>,
    },
    /// The move failed after the hand-over.
    #[error("the VM is lost: neither end has all of it")]
    Lost {
        /// The report's reason.
        #[source]
        reason: Option<Failure>,
    },
    /// The report has an outcome that this version does not know.
    #[error("the monitor reports an unknown outcome `{outcome}`")]
    UnknownOutcome {
        /// The report's outcome.
        outcome: String,
    },
    /// The host, or the peer, cannot do what VMs need.
    #[error("{place} is not ready")]
    NotReady {
        /// Which of the two.
        place: &'static str,
    },
}
