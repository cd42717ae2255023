//! What can go wrong while the benchmark measures.

use std::io;
use std::time::Duration;

use crate::harness::HarnessError;
use crate::rig::{RigEnd, RigError};

/// A step of the benchmark that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A monitor did not do its part.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// A system call on the benchmark's own behalf failed.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A userfaultfd of the floor probe failed.
    #[error("cannot {action} with userfaultfd")]
    Userfault {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: userfaultfd::Error,
    },
    /// `ip` or `tc` refused.
    #[error("`{command}` failed: {output}")]
    Tool {
        /// The command line.
        command: String,
        /// What it said.
        output: String,
    },
    /// The links with a rate cannot be had on this host.
    #[error("links with a rate need {need}")]
    NoRig {
        /// What is missing.
        need: &'static str,
    },
    /// The VM did not arrive.
    #[error("the move ended as {outcome}: {reason}")]
    NotMoved {
        /// The outcome in the report.
        outcome: String,
        /// Its reason.
        reason: String,
    },
    /// A record or a report lacks what the contract promises.
    #[error("no {what} in {text:?}")]
    Lacks {
        /// What was looked for.
        what: &'static str,
        /// Where.
        text: String,
    },
    /// The numbers of a report do not add up.
    #[error("the report contradicts itself: {contradiction}")]
    Contradiction {
        /// What does not.
        contradiction: String,
    },
    /// The guest found a byte that is not what it wrote.
    #[error("the guest's memory is damaged: {record}")]
    Corrupt {
        /// The guest's own words.
        record: String,
    },
    /// A peer does not do what it is told.
    #[error("QEMU does not {command}: {reason}")]
    Peer {
        /// The command.
        command: String,
        /// What QEMU says.
        reason: String,
    },
    /// A client did not do its part.
    #[error("{client} failed: {reason}")]
    Client {
        /// The program.
        client: &'static str,
        /// What it said.
        reason: String,
    },
    /// A program that the benchmark needs is not there.
    #[error("there is no {program}: `make setup` installs it")]
    NoProgram {
        /// Its name.
        program: &'static str,
    },
    /// A move was still under way when its client had ended.
    #[error("the move ended {late:.0?} after its client, which ran for {span:?}: give it longer")]
    Outlasted {
        /// By how much.
        late: Duration,
        /// How long the client ran.
        span: Duration,
    },
    /// The nested rig did not do its part.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// The benchmark in the nested rig did not end well.
    #[error("the benchmark in the nested rig ended so: {end:?}\n{said}")]
    InRig {
        /// How.
        end: RigEnd,
        /// What was said.
        said: String,
    },
    /// There is nobody to compare with.
    #[error("there is no qemu-system-x86_64 to compare with: `make setup` installs it")]
    NoPeer,
    /// The user wants no more.
    #[error("interrupted")]
    Interrupted,
}

impl BenchError {
    /// Turns an I/O error into an error, for `map_err`.
    pub fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            action,
            source: source.into(),
        }
    }

    /// Turns an error of userfaultfd into an error, for `map_err`.
    pub fn userfault(action: &'static str) -> impl FnOnce(userfaultfd::Error) -> Self {
        move |source| Self::Userfault { action, source }
    }
}
