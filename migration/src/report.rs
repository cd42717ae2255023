//! The account of one migration, in the terms of the paper (VEE 2009, section 2).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::digest::Digest;
use crate::options::Mode;
use crate::order::{Growth, Order, Prepaging};

/// Version of the report's form.
pub const SCHEMA: u32 = 1;

/// Where the VM is after a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It runs at the destination, which has all of its memory.
    Completed,
    /// The migration failed before the hand-over: it runs on at the source.
    ResumedAtSource,
    /// The migration failed after the hand-over: parts of it are at either end.
    Lost,
}

/// The account of one migration as the source sees it. Serializes to the JSON report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where the VM is.
    pub outcome: Outcome,
    /// Why it is not at the destination.
    pub reason: Option<String>,
    /// The mode it moved in: what `auto` came to, if it came to anything.
    pub mode: Mode,
    /// The mode that was asked for.
    pub mode_asked: Mode,
    /// How pages were chosen.
    pub prepaging: Prepaging,
    /// How far bubbles grew.
    pub growth: Growth,
    /// In which order.
    pub order: Order,
    /// Most faults around which pages are sent first; none without pre-paging.
    pub pivots: u16,
    /// Background connections.
    pub streams: u16,
    /// The rate that pages kept to which nobody waited for.
    pub bandwidth_bits_per_s: Option<u64>,
    /// From the start until the guest is paused.
    pub preparation_ms: f64,
    /// From the call to pause the guest until it runs again.
    pub downtime_ms: f64,
    /// From then until nothing depends on the source.
    pub resume_ms: f64,
    /// The sum of the three.
    pub total_ms: f64,
    /// What the downtime went to, in ms; adds up to it.
    pub downtime_parts_ms: BTreeMap<&'static str, f64>,
    /// What became of the pages.
    pub pages: PageCounts,
    /// Network faults at the destination.
    pub faults: FaultCounts,
    /// What went over the wire.
    pub wire_bytes: WireBytes,
    /// The longest run of pages that was pushed while the guest might wait for another one.
    pub largest_push_bytes: u64,
    /// The downtime that was allowed.
    pub max_downtime_ms: f64,
    /// The downtime that was expected when the guest was paused, in modes with rounds.
    pub predicted_downtime_ms: Option<f64>,
    /// The largest part of a downtime that is longer than was allowed.
    pub downtime_excess: Option<&'static str>,
    /// Rounds of pre-copy, but for a last one while the guest stood still.
    pub rounds: Vec<Round>,
    /// What tracking its writes cost the guest, in modes with rounds.
    pub write_protection: Option<WriteProtection>,
    /// Connections that were re-established.
    pub reconnects: u32,
    /// Digests of the memory, once both ends have all of it.
    pub digest: Option<Digests>,
    /// Whether the source read all of its memory once more, and found that digest.
    pub verified: bool,
}

/// Counts of pages: once a migration has completed, `total` is the sum of `transferred`, `zero` and
/// `absent` less `duplicate`, and `transferred` that of `pushed` and `demanded`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PageCounts {
    /// Pages of RAM.
    pub total: u64,
    /// Pages whose content went over the wire.
    pub transferred: u64,
    /// Pages transferred that were there, or whose content did not last: the guest wrote it again.
    pub duplicate: u64,
    /// Pages found to be all zero when read: listed, not transferred.
    pub zero: u64,
    /// Pages that were never touched, or whose content is not needed: listed, not transferred.
    pub absent: u64,
    /// Those of the absent ones that were touched, but that the guest has named as free.
    pub hinted: u64,
    /// Pages transferred because it was their turn.
    pub pushed: u64,
    /// Pages transferred because somebody waited for them.
    pub demanded: u64,
}

/// Faults at the destination that had to wait for a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FaultCounts {
    /// How many had the source send their page because of them (VEE 2009, section 5).
    pub network: u64,
    /// How many were on pages that came in their turn: they were on their way when they were touched,
    /// or in a run that was next.
    pub underway: u64,
    /// From when the fault was noticed until the page was there.
    pub latency_us: LatencyUs,
    /// What it went to, in the mean of the faults that were measured.
    pub latency_parts_us: LatencyPartsUs,
}

/// Parts of the mean latency of a fault, in microseconds; all 0 if there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LatencyPartsUs {
    /// Until the request was sent, and at the source from its receipt until the page was read.
    pub queue: f64,
    /// The rest until the page had arrived: the network, what was on its way before, and threads
    /// that had to wake up.
    pub wire: f64,
    /// Making the page the guest's.
    pub install: f64,
    /// Waking who waited for it.
    pub wake: f64,
}

/// Distribution of latencies in microseconds; all 0 if there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LatencyUs {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    pub mean: f64,
}

/// Bytes by purpose, both directions, without the headers of TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WireBytes {
    /// Handshake and control frames.
    pub control: u64,
    /// State of vCPUs and devices.
    pub state: u64,
    /// Pages, ranges and requests for them.
    pub pages: u64,
    /// The sum.
    pub total: u64,
}

/// A round of pre-copy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Round {
    /// Pages sent.
    pub pages: u64,
    /// Pages the guest wrote meanwhile, after they were read.
    pub dirtied: u64,
    /// The same in a second.
    pub dirtied_per_s: f64,
    /// How long it took.
    pub ms: f64,
}

/// What tracking its writes cost the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct WriteProtection {
    /// First writes to a page after it was protected: each is a fault that the guest stumbles over.
    pub faults: u64,
    /// Time in which pages were being protected, while faults had to wait.
    pub log_ms: f64,
}

/// Digests of guest memory at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Digests {
    /// Over the pages as they were read at the source.
    pub source: Digest,
    /// Over the pages as they were received at the destination.
    pub destination: Digest,
}

/// Distribution of latencies in nanoseconds, as it goes over the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) mean_ns: u64,
}

/// Parts of the mean latency of a fault, as they go over the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LatencyParts {
    pub(crate) queue_ns: u64,
    pub(crate) wire_ns: u64,
    pub(crate) install_ns: u64,
    pub(crate) wake_ns: u64,
}

impl From<LatencyParts> for LatencyPartsUs {
    fn from(parts: LatencyParts) -> Self {
        let LatencyParts {
            queue_ns,
            wire_ns,
            install_ns,
            wake_ns,
        } = parts;
        Self {
            queue: us(queue_ns),
            wire: us(wire_ns),
            install: us(install_ns),
            wake: us(wake_ns),
        }
    }
}

/// Nanoseconds in the report's unit.
fn us(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1e6
}

impl From<Latency> for LatencyUs {
    fn from(latency: Latency) -> Self {
        let Latency {
            p50_ns,
            p90_ns,
            p99_ns,
            max_ns,
            mean_ns,
        } = latency;
        Self {
            p50: us(p50_ns),
            p90: us(p90_ns),
            p99: us(p99_ns),
            max: us(max_ns),
            mean: us(mean_ns),
        }
    }
}

/// A duration in the report's unit.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests;
