//! Adds up the report of a source.

use crate::options::SourceOptions;
use crate::order::Pivots;
use crate::report::{Digests, FaultCounts, Outcome, PageCounts, Report, SCHEMA, WireBytes};
use crate::source::connect::Session;
use crate::source::sending::Sending;
use crate::source::tally::Tally;
use crate::source::timeline::{Timeline, Times};
use crate::wire::Complete;

/// What is known of a migration so far.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) timeline: Timeline,
    pub(super) tally: Tally,
    pub(super) pages_total: u64,
    /// Bytes of state sent, within those of the control connection.
    pub(super) state_bytes: u64,
    control_bytes: u64,
    page_bytes: u64,
    pub(super) complete: Option<Complete>,
}

impl Account {
    pub(super) fn begin() -> Self {
        Self {
            timeline: Timeline::begin(),
            tally: Tally::default(),
            pages_total: 0,
            state_bytes: 0,
            control_bytes: 0,
            page_bytes: 0,
            complete: None,
        }
    }

    /// Takes the counts of the threads, which are over.
    pub(super) fn take(&mut self, session: &Session, sending: &Sending) {
        self.tally = sending.tally();
        self.control_bytes = session.control.writer.link().wire_bytes();
        let links = session.background.iter().chain([&session.urgent]);
        self.page_bytes = links.map(|link| link.wire_bytes()).sum();
    }

    pub(super) fn report(
        self,
        options: &SourceOptions,
        outcome: Outcome,
        reason: Option<String>,
    ) -> Report {
        let Times {
            preparation_ms,
            downtime_ms,
            resume_ms,
            total_ms,
            parts_ms,
        } = self.timeline.times();
        let tally = self.tally;
        let plan = options.plan();
        Report {
            schema: SCHEMA,
            outcome,
            reason,
            mode: options.mode,
            prepaging: plan.prepaging,
            order: plan.order,
            pivots: plan.live_pivots().map_or(0, Pivots::get),
            streams: options.streams.get(),
            preparation_ms,
            downtime_ms,
            resume_ms,
            total_ms,
            downtime_parts_ms: parts_ms,
            pages: PageCounts {
                total: self.pages_total,
                transferred: tally.transferred(),
                duplicate: self.complete.map_or(0, |complete| complete.duplicate_pages),
                zero: tally.zero,
                absent: tally.absent,
                pushed: tally.pushed,
                demanded: tally.demanded,
            },
            faults: self
                .complete
                .map_or_else(FaultCounts::default, |complete| FaultCounts {
                    network: complete.network_faults,
                    latency_us: complete.latency.into(),
                }),
            wire_bytes: WireBytes {
                control: self.control_bytes.saturating_sub(self.state_bytes),
                state: self.state_bytes,
                pages: self.page_bytes,
                total: self.control_bytes + self.page_bytes,
            },
            rounds: Vec::new(),
            reconnects: 0,
            digest: self.complete.map(|complete| Digests {
                source: tally.digest,
                destination: complete.digest,
            }),
        }
    }
}
