//! Moving a VM between two hosts: frames, phases, page table, send order, source and destination.
//!
//! [`migrate`] gives a VM away and [`receive`] takes one in; the VM itself is whatever implements
//! [`SourceVm`] and [`DestinationVm`], so this crate knows neither KVM nor devices, only bytes of
//! state, pages and connections.
//!
//! ```text
//! source                                    destination
//!   order -> senders  == background ==>       receivers -> install -> page table
//!        \-> answerer <== urgent ======>      faults --------^
//!   transfer          == control =====>       host
//! ```
//!
//! The guest has exactly one owner at any time: see [`migrate`] for the rule, [`SourcePhase`] and
//! [`DestinationPhase`] for the tables. The module `wire` describes the protocol.

mod absent;
mod auth;
mod bitmap;
mod cancel;
mod destination;
mod digest;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod latencies;
mod layout;
mod ledger;
mod link;
mod model;
mod offer;
mod options;
mod order;
mod page;
mod phase;
mod progress;
mod ram;
mod report;
mod resume;
pub mod snapshot;
mod source;
mod stop;
mod tls;
mod wire;

pub use auth::{Key, MAX_KEY_BYTES, MIN_KEY_BYTES};
pub use bitmap::PageBitmap;
pub use cancel::{CancelToken, Cancellation};
pub use destination::{
    Arrival, ArrivalReport, ArrivingMemory, DestinationVm, Notice, NoticeSink,
    available_memory_bytes, check_userfaultfd, receive,
};
pub use digest::Digest;
pub use error::{MachineError, MigrationError, Result};
pub use layout::{MAX_PAGES, MAX_REGIONS, MemoryLayout, MemoryRegion};
pub use offer::{MAX_TEXT_BYTES, Offer, PeerText, Refusal};
pub use options::{
    Bandwidth, DestinationOptions, MAX_STREAMS, Mode, SourceOptions, Streams, Timeouts, Trust,
    Verify,
};
pub use order::{
    Growth, MAX_PIVOTS, Order, Pivots, Prepaging, Recency, RunLimits, SendOrder, SendPlan,
};
pub use page::{PAGE_BYTES, PageIndex, PageRange, Pfn};
pub use phase::{DestinationPhase, SourcePhase};
pub use progress::{Progress, ProgressSink};
pub use ram::{FrozenRam, RamMapping};
pub use report::{
    Digests, FaultCounts, LatencyPartsUs, LatencyUs, Outcome, PageCounts, Report, Round, SCHEMA,
    WireBytes,
};
pub use resume::{Haste, Prefetch, ResumeError, Resumed, StoredVm, resume};
pub use source::{Failure, Hints, PeerInfo, SourceVm, migrate, probe};
pub use tls::Tls;
pub use wire::FrameKind;
