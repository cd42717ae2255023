//! What can go wrong in a migration.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Digest;
use crate::offer::{PeerText, Refusal};
use crate::snapshot::SnapshotError;
use crate::wire::FrameKind;

/// Why a VM's own operation failed, in the words of the crate that implements
/// [`SourceVm`](crate::SourceVm) or [`DestinationVm`](crate::DestinationVm).
pub type MachineError = Box<dyn std::error::Error + Send + Sync>;

/// In this crate there is only one kind of error.
pub(crate) use MigrationError as Error;

/// Result of this crate's operations.
pub type Result<T, E = MigrationError> = std::result::Result<T, E>;

/// An operation of a migration that failed.
#[derive(Debug, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the message of each variant says what its fields are"
)]
pub enum MigrationError {
    #[error(
        "memory layout has {regions} regions, not 1 to {}",
        crate::layout::MAX_REGIONS
    )]
    RegionCount { regions: usize },
    #[error(
        "memory region of {pages} pages at frame {first:#x} is empty, overlaps or ends too high"
    )]
    Region { first: u64, pages: u64 },
    #[error(
        "memory of {pages} pages is larger than {} pages",
        crate::layout::MAX_PAGES
    )]
    MemorySize { pages: u64 },
    #[error("mode {mode:?} is none of auto, post-copy, hybrid, pre-copy, stop-and-copy")]
    UnknownMode { mode: String },
    #[error("the number of streams is not 1 to {}", crate::options::MAX_STREAMS)]
    StreamCount { streams: u16 },
    #[error("pre-paging {prepaging:?} is none of none, push, forward, bubble")]
    UnknownPrepaging { prepaging: String },
    #[error("growth {growth:?} is none of adaptive, fixed")]
    UnknownGrowth { growth: String },
    #[error("order {order:?} is none of physical, recency")]
    UnknownOrder { order: String },
    #[error("the number of pivots is not 1 to {}", crate::order::MAX_PIVOTS)]
    PivotCount { pivots: u16 },

    #[error("cannot find the address of {destination}")]
    Resolve {
        destination: String,
        source: io::Error,
    },
    #[error("cannot connect to {peer}")]
    Connect { peer: SocketAddr, source: io::Error },
    #[error("no answer from {peer} within {} s", waited.as_secs_f32())]
    Silent { peer: SocketAddr, waited: Duration },
    #[error("{peer} closed the connection")]
    Closed { peer: SocketAddr },
    #[error("cannot receive from {peer}")]
    Receive { peer: SocketAddr, source: io::Error },
    #[error("cannot send to {peer}")]
    Send { peer: SocketAddr, source: io::Error },
    #[error("cannot set up the connection with {peer}")]
    ConfigureSocket { peer: SocketAddr, source: io::Error },

    #[error("{peer} does not speak the migration protocol")]
    NotAPeer { peer: SocketAddr },
    #[error("{peer} speaks version {theirs} of the migration protocol, this is version {ours}")]
    PeerVersion {
        peer: SocketAddr,
        ours: u32,
        theirs: u32,
    },
    #[error("{peer} wants a key: give --key FILE with the key that is used there")]
    KeyWanted { peer: SocketAddr },
    #[error("{peer} has no key: give --key FILE there as well")]
    KeyAbsent { peer: SocketAddr },
    #[error("the key of {peer} and the key here differ")]
    KeysDiffer { peer: SocketAddr },
    #[error("{peer} speaks TLS: give --tls DIR here as well")]
    TlsWanted { peer: SocketAddr },
    #[error("{peer} does not speak TLS: give --tls DIR there as well")]
    TlsAbsent { peer: SocketAddr },
    #[error("cannot agree on TLS with {peer}")]
    Tls { peer: SocketAddr, source: io::Error },
    #[error("cannot begin TLS with {host:?}")]
    TlsName { host: String, source: rustls::Error },
    #[error("cannot read certificates or a private key from `{}`", path.display())]
    Pem {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("the certificates and the private key in `{}` cannot be used", directory.display())]
    Certificates {
        directory: PathBuf,
        source: rustls::Error,
    },
    #[error("cannot read the key from `{}`", path.display())]
    KeyRead { path: PathBuf, source: io::Error },
    #[error("the key in `{}` is open to others: its mode is {mode:o}", path.display())]
    KeyExposed { path: PathBuf, mode: u32 },
    #[error(
        "a key of {length_bytes} bytes is not one of {} to {}",
        crate::auth::MIN_KEY_BYTES,
        crate::auth::MAX_KEY_BYTES
    )]
    KeySize { length_bytes: u64 },
    #[error("frame of unknown kind {kind:#06x} with flags {flags:#06x}")]
    UnknownFrame { kind: u16, flags: u16 },
    #[error("{kind:?} frame of {length_bytes} bytes, more than {max_bytes}")]
    FrameTooLong {
        kind: FrameKind,
        length_bytes: u64,
        max_bytes: u64,
    },
    #[error("{kind:?} frame of {length_bytes} bytes makes no sense")]
    Malformed {
        kind: FrameKind,
        length_bytes: usize,
    },
    #[error("{kind:?} frame where none was due")]
    Unexpected { kind: FrameKind },
    #[error("pages {first} to {first} + {pages} are not in a memory of {limit} pages")]
    PageOutOfRange { first: u64, pages: u64, limit: u64 },

    #[error("{peer} refuses the VM: {refusal}")]
    Refused { peer: SocketAddr, refusal: Refusal },
    #[error("{peer} reports: {text}")]
    PeerFailed { peer: SocketAddr, text: PeerText },
    #[error("{pages} pages came damaged, again and again")]
    Damaged { pages: u64 },
    #[error("another VM was offered in its place")]
    Superseded,
    #[error("{sent} pages were sent and {listed} listed as absent, of {total}")]
    PageCount { sent: u64, listed: u64, total: u64 },
    #[error("memory differs: digest {source_digest} at the source, {destination_digest} here")]
    Digest {
        source_digest: Digest,
        destination_digest: Digest,
    },

    #[error("cannot describe the VM")]
    Describe { source: MachineError },
    #[error("cannot note the pages that the VM writes")]
    Track { source: MachineError },
    #[error("cannot pause the VM")]
    Pause { source: MachineError },
    #[error("cannot save the state of the VM")]
    Save { source: MachineError },
    #[error("cannot restore the state of the VM")]
    Restore { source: MachineError },
    #[error("cannot resume the VM")]
    Resume { source: MachineError },
    #[error("state of the VM has {bytes} bytes, more than {max_bytes}")]
    StateSize { bytes: u64, max_bytes: u64 },
    #[error("mapping has {mapped} pages where the VM has {offered}")]
    MappedPages { mapped: u64, offered: u64 },

    #[error("cannot read the page table of this process")]
    Pagemap { source: io::Error },
    #[error("cannot create a userfaultfd")]
    Userfaultfd { source: userfaultfd::Error },
    #[error("cannot register {pages} pages of guest memory for page faults")]
    Register { pages: u64, source: io::Error },
    #[error("cannot map memory for a huge page")]
    Stage { source: io::Error },
    #[error("cannot read page faults")]
    ReadFaults { source: userfaultfd::Error },
    #[error("cannot install page {page}")]
    Install {
        page: u64,
        source: userfaultfd::Error,
    },
    #[error("cannot discard {pages} pages from page {first} on")]
    Discard {
        first: u64,
        pages: u64,
        source: io::Error,
    },
    #[error("cannot wait for an event")]
    Wait { source: io::Error },
    #[error("cannot start thread {name}")]
    Spawn { name: String, source: io::Error },
    #[error("cannot accept connections")]
    Accept { source: io::Error },
    #[error("cannot get random bytes")]
    Random { source: io::Error },

    #[error(transparent)]
    Snapshot(#[from] Box<SnapshotError>),

    #[error("the migration was cancelled")]
    Cancelled,
    #[error("stopped while waiting")]
    Stopped,
}

impl MigrationError {
    /// Whether it is of a connection that may be made anew: it ended, nothing came over it any
    /// more, or what came was not what was sent.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Send { .. }
                | Self::Receive { .. }
                | Self::Closed { .. }
                | Self::Silent { .. }
                | Self::Connect { .. }
                | Self::UnknownFrame { .. }
                | Self::FrameTooLong { .. }
                | Self::Malformed { .. }
                | Self::Unexpected { .. }
                | Self::PageOutOfRange { .. }
                | Self::Damaged { .. }
        )
    }

    /// What the user can do about it, where the message does not say it already.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::KeyExposed { path, .. } => Some(format!("chmod 600 {}", path.display())),
            Self::KeySize { .. } => Some("head -c 32 /dev/urandom > FILE makes a good key".into()),
            Self::Snapshot(error) => error.remedy(),
            Self::KeysDiffer { .. } => Some("copy the key file of one end to the other".into()),
            _ => None,
        }
    }
}
