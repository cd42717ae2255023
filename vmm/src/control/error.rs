//! Why a control socket could not be opened, reached or understood.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use crate::config::VmName;

/// A failure at either end of a control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The directory for the sockets could not be made.
    #[error("cannot create the directory `{}` for control sockets", path.display())]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The directory could not be locked.
    #[error("cannot lock the directory `{}`", path.display())]
    LockDirectory {
        /// The directory.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// Another process keeps the directory locked.
    #[error("the directory `{}` stays locked by another process", path.display())]
    DirectoryBusy {
        /// The directory.
        path: PathBuf,
    },
    /// The directory could not be listed.
    #[error("cannot list the control sockets in `{}`", path.display())]
    ListDirectory {
        /// The directory.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The path does not fit into a socket's address.
    #[error("the socket path `{}` is longer than {limit_bytes} bytes", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// The most that fits.
        limit_bytes: usize,
    },
    /// A living monitor listens there.
    #[error("a running VM already listens on `{}`", path.display())]
    NameInUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket stands there.
    #[error("`{}` exists and is no socket", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The socket could not be made.
    #[error("cannot listen on `{}`", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The socket of a dead monitor could not be removed.
    #[error("cannot remove the dead socket `{}`", path.display())]
    Remove {
        /// The socket.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// There is no socket for the name.
    #[error("no VM is named `{name}`")]
    NoSuchVm {
        /// The name.
        name: VmName,
        /// The names for which there are sockets.
        running: Vec<VmName>,
    },
    /// There is no socket at the path.
    #[error("there is no control socket at `{}`", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket is there and its monitor is not.
    #[error("the VM behind `{}` is gone", path.display())]
    Dead {
        /// The socket.
        path: PathBuf,
    },
    /// The socket could not be connected to.
    #[error("cannot connect to the control socket `{}`", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// A request or an answer did not go through.
    #[error("the connection to `{}` broke", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// The failed system call.
        #[source]
        source: io::Error,
    },
    /// The monitor does not answer.
    #[error("the VM behind `{}` did not answer within {} s", path.display(), waited.as_secs())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long the client waited.
        waited: Duration,
    },
    /// The monitor hung up in place of an answer.
    #[error("the VM behind `{}` ended before it answered", path.display())]
    Closed {
        /// The socket.
        path: PathBuf,
    },
    /// The answer is longer than any can be.
    #[error("an answer from `{}` is longer than {limit_bytes} bytes", path.display())]
    ResponseTooLong {
        /// The socket.
        path: PathBuf,
        /// The most a client takes.
        limit_bytes: usize,
    },
    /// The answer is not of this protocol.
    #[error("cannot understand the answer from `{}`", path.display())]
    ResponseSyntax {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The monitor answered that it could not do it.
    #[error("the VM could not {command}")]
    Refused {
        /// The command.
        command: &'static str,
        /// The monitor's reasons.
        #[source]
        failure: Failure,
    },
}

impl ControlError {
    /// What the user can do about it.
    pub fn remedy(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::CreateDirectory { .. } => Some(
                "set XDG_RUNTIME_DIR to a directory of yours, or choose a path with --api".into(),
            ),
            Self::PathTooLong { .. } => Some("choose a shorter path with --api".into()),
            Self::NameInUse { .. } => {
                Some("choose another --name, or end that VM with skiff stop".into())
            }
            Self::NotASocket { .. } => Some("choose another path with --api, or remove it".into()),
            Self::NoSuchVm { running, .. } => Some(match running.as_slice() {
                [] => "no VM is running: start one with skiff run".into(),
                names => {
                    let names: Vec<_> = names.iter().map(VmName::as_str).collect();
                    format!("running: {}", names.join(", ")).into()
                }
            }),
            Self::NoSocket { .. } => Some(
                "skiff ls shows the VMs that run; give a name, or the path given to --api".into(),
            ),
            Self::Dead { .. } => Some("skiff ls removes what it left behind".into()),
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("act as the user who started the VM".into())
            }
            Self::ResponseSyntax { .. } => Some(
                "use the same version of skiff as the VM's monitor, see skiff --version".into(),
            ),
            _ => None,
        }
    }
}
