//! Adds up the report of a source.

use std::time::Duration;

use crate::model::Step;
use crate::options::{Bandwidth, Mode, SourceOptions, Verify};
use crate::order::Pivots;
use crate::page::bytes_of;
use crate::report::{
    Digests, FaultCounts, Outcome, PageCounts, Report, Round, SCHEMA, WireBytes, WriteProtection,
    ms,
};
use crate::source::connect::Session;
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
    /// Background connections; 0 before there are any.
    streams: u16,
    pub(super) complete: Option<Complete>,
    pub(super) rounds: Vec<Round>,
    /// Contents that went in rounds and did not last.
    pub(super) superseded: u64,
    /// Pages that went as absent because the guest has named them as free.
    pub(super) hinted: u64,
    pub(super) write_protection: Option<WriteProtection>,
    prediction: Option<(Duration, Step)>,
    /// Laps after the first.
    pub(super) reconnects: u32,
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
            streams: 0,
            complete: None,
            rounds: Vec::new(),
            superseded: 0,
            hinted: 0,
            write_protection: None,
            prediction: None,
            reconnects: 0,
        }
    }

    /// The guest is about to be stopped: what for, and how long that is expected to take.
    pub(super) fn predicts(&mut self, downtime: Duration, step: Step) {
        self.prediction = Some((downtime, step));
    }

    /// The mode as it is run.
    fn mode(&self, options: &SourceOptions) -> Mode {
        match (options.mode, self.prediction) {
            (Mode::Auto, Some((_, Step::Stop))) => Mode::PreCopy,
            (Mode::Auto, Some((_, Step::Switch))) => Mode::Hybrid,
            (mode, _) => mode,
        }
    }

    /// Adds the counts of the connections, which are not used any more.
    pub(super) fn take(&mut self, session: &Session) {
        self.control_bytes += session.control.writer.link().wire_bytes();
        self.streams = u16::try_from(session.background.len()).unwrap_or(u16::MAX);
        let links = session.background.iter().chain([&session.urgent]);
        self.page_bytes += links.map(|link| link.wire_bytes()).sum::<u64>();
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
        let max_downtime_ms = ms(options.max_downtime);
        let downtime_excess = parts_ms
            .iter()
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
            .filter(|_| downtime_ms > max_downtime_ms)
            .map(|(&name, _)| name);
        let plan = options.plan();
        Report {
            schema: SCHEMA,
            outcome,
            reason,
            mode: self.mode(options),
            mode_asked: options.mode,
            prepaging: plan.prepaging,
            growth: plan.growth,
            order: plan.order,
            pivots: plan.live_pivots().map_or(0, Pivots::get),
            streams: self.streams,
            bandwidth_bits_per_s: options.bandwidth.map(Bandwidth::bits_per_s),
            preparation_ms,
            downtime_ms,
            resume_ms,
            total_ms,
            downtime_parts_ms: parts_ms,
            pages: PageCounts {
                total: self.pages_total,
                transferred: tally.transferred() + self.superseded,
                duplicate: tally.resent + self.superseded,
                zero: tally.zero,
                absent: tally.absent,
                hinted: self.hinted,
                pushed: tally.pushed + self.superseded,
                demanded: tally.demanded,
            },
            faults: self
                .complete
                .map_or_else(FaultCounts::default, |complete| FaultCounts {
                    network: complete.network_faults,
                    underway: complete.underway_faults,
                    latency_us: complete.latency.into(),
                    latency_parts_us: complete.parts.into(),
                }),
            wire_bytes: WireBytes {
                control: self.control_bytes.saturating_sub(self.state_bytes),
                state: self.state_bytes,
                pages: self.page_bytes,
                total: self.control_bytes + self.page_bytes,
            },
            largest_push_bytes: bytes_of(tally.largest_push),
            rounds: self.rounds,
            write_protection: self.write_protection,
            max_downtime_ms,
            predicted_downtime_ms: self.prediction.map(|(downtime, _)| ms(downtime)),
            downtime_excess,
            reconnects: self.reconnects,
            digest: self.complete.map(|complete| Digests {
                source: tally.digest,
                destination: complete.digest,
            }),
            verified: self.complete.is_some() && options.verify == Verify::On,
        }
    }
}
