//! What can go wrong in the process around a VM.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use devices::DeviceError;
use devices::blk::DiskError;
use devices::net::TapError;
use devices::vsock::VsockError;
use migration::snapshot::SnapshotError;

use crate::config::HostPort;
use crate::console::ConsoleError;
use crate::control::ControlError;
use crate::host::HostError;
use crate::machine::MachineError;
use crate::transfer::StoredError;
use crate::vcpu::Diagnosis;

/// Why a monitor, or something asked of it, failed.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// The host cannot run VMs.
    #[error("this host cannot run a VM")]
    Host(#[from] HostError),
    /// The control socket cannot be made.
    #[error("cannot open the control socket")]
    Control(#[from] ControlError),
    /// The terminal or the signals cannot be set up.
    #[error("cannot set up the console")]
    Console(#[from] ConsoleError),
    /// A file named on the command line cannot be opened.
    #[error("cannot open the {what} {}", path.display())]
    Open {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file named as a disk cannot be one.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An interface named for a network card cannot be had.
    #[error("a network card of the VM cannot be attached")]
    Tap(#[from] TapError),
    /// A socket named for a socket device cannot be had.
    #[error("programs of this host cannot be let in to the VM")]
    Vsock(#[from] VsockError),
    /// A stock kernel on a KVM that would take hours to boot it.
    #[error("{} is a stock Linux kernel, which does not boot on this host's {kvm}", path.display())]
    StockKernel {
        /// The kernel.
        path: PathBuf,
        /// The host's KVM.
        kvm: crate::host::KvmKind,
    },
    /// The machine failed.
    #[error("the machine failed")]
    Machine(#[from] MachineError),
    /// A device of the process failed.
    #[error("cannot set up the guest's devices")]
    Device(#[from] DeviceError),
    /// The guest did something of which nothing can be made.
    #[error("the guest has crashed")]
    Crashed(#[from] Box<Diagnosis>),
    /// The event loop failed.
    #[error("the event loop failed: {0}")]
    EventLoop(event_manager::Error),
    /// The system has no descriptor or thread left.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The address to listen on cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address as typed.
        address: HostPort,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Whoever reaches the address could hand a VM over.
    #[error(
        "{address} can be reached by other hosts, and neither key nor certificate is asked of them"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// The migration engine failed before anything could move.
    #[error("the migration could not begin")]
    Migration(#[from] migration::MigrationError),
    /// The guest was handed over and did not arrive whole.
    #[error("the guest is lost: the migration failed after the hand-over")]
    Lost(#[source] migration::MigrationError),
    /// The source vanished when the guest ran here without all of its memory.
    #[error("the guest is lost: a part of its memory never arrived")]
    LostHere(#[source] migration::MigrationError),
    /// A snapshot cannot be written.
    #[error("cannot write the snapshot")]
    Snapshot(#[source] SnapshotError),
    /// A whole snapshot cannot be made of a difference.
    #[error("cannot merge the snapshots")]
    Merge(#[source] SnapshotError),
    /// A snapshot cannot be opened.
    #[error("cannot use the snapshot in `{}`", directory.display())]
    SnapshotOpen {
        /// Where it should be.
        directory: PathBuf,
        /// Why it cannot.
        #[source]
        source: SnapshotError,
    },
    /// The machine of a snapshot cannot be made.
    #[error("the VM cannot be resumed")]
    Restore(#[from] StoredError),
    /// The guest was started without a balloon.
    #[error("this VM has no balloon")]
    NoBalloon,
    /// Settings out of range.
    #[error("no such self-ballooning: {settings:?}")]
    SelfBallooning {
        /// What was asked for.
        settings: balloon::SelfBallooningSettings,
    },
    /// Two masters for one target.
    #[error("the balloon's target follows from what the guest says of its memory")]
    TargetFollows,
    /// The balloon cannot be that large.
    #[error(
        "a balloon of {target_bytes} bytes does not fit: the VM has {memory_bytes}, in pages of 4096"
    )]
    BalloonTarget {
        /// What was asked for.
        target_bytes: u64,
        /// The guest's memory.
        memory_bytes: u64,
    },
    /// There is no guest yet.
    #[error("no VM has arrived yet")]
    NoGuest,
    /// It is leaving already.
    #[error("this VM is being moved already")]
    AlreadyLeaving,
    /// A snapshot is being written already.
    #[error("a snapshot of this VM is being written already")]
    AlreadySnapshotting,
    /// There is no migration.
    #[error("this VM is not being moved, and no snapshot of it is being written")]
    NothingToCancel,
    /// The guest runs at the destination.
    #[error("too late to cancel: the VM has been handed over")]
    CancelTooLate,
}

impl MonitorError {
    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::StockKernel { .. } => Some(
                "use a host with VT-x or AMD-V, the built-in guest (--kernel probe), or the \
                 nested rig described in the README",
            ),
            Self::Disk(error) => error.remedy(),
            Self::Crashed(diagnosis) => diagnosis.remedy(),
            Self::NoBalloon => Some("start it without --balloon off"),
            Self::TargetFollows => Some("switch that off first: skiff balloon NAME --auto off"),
            Self::Listen { .. } => Some("choose a free port, or port 0 to have one chosen"),
            Self::Exposed { .. } => Some(
                "give --key FILE or --tls DIR, here and to skiff migrate; or --insecure, if you trust every host \
                 that can connect",
            ),
            Self::AlreadyLeaving | Self::AlreadySnapshotting => {
                Some("wait until it is done: skiff info")
            }
            Self::NoGuest => Some("move one here: skiff migrate NAME --to HOST:PORT"),
            _ => None,
        }
    }
}
