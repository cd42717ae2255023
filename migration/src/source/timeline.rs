//! When the phases of a migration began, and what the downtime went to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::report::ms;

/// Instants of one migration. The downtime is cut into parts without gaps, so that they add up.
#[derive(Debug)]
pub(super) struct Timeline {
    start: Instant,
    pause_called: Option<Instant>,
    runs_again: Option<Instant>,
    end: Option<Instant>,
    part_began: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl Timeline {
    pub(super) fn begin() -> Self {
        let start = Instant::now();
        Self {
            start,
            pause_called: None,
            runs_again: None,
            end: None,
            part_began: start,
            parts: Vec::new(),
        }
    }

    /// The guest is about to be paused.
    pub(super) fn pause_called(&mut self) {
        self.part_began = Instant::now();
        self.pause_called = Some(self.part_began);
    }

    /// A part of the downtime is over.
    pub(super) fn part_over(&mut self, name: &'static str) {
        let now = Instant::now();
        self.parts.push((name, now - self.part_began));
        self.part_began = now;
    }

    /// A part of the downtime is over, of which the destination spent `theirs` on `their_name`; a
    /// claim of more than the whole is not believed.
    pub(super) fn shared_part_over(
        &mut self,
        name: &'static str,
        their_name: &'static str,
        theirs: Duration,
    ) {
        let now = Instant::now();
        let whole = now - self.part_began;
        let theirs = theirs.min(whole);
        self.parts.push((name, whole - theirs));
        self.parts.push((their_name, theirs));
        self.part_began = now;
    }

    /// The guest was handed over and is known to run, `resume` having been its destination's part
    /// of that. What is known already stays so.
    pub(super) fn runs_there(&mut self, resume: Duration) {
        if self.runs_again.is_none() {
            self.shared_part_over("hand-over", "resume", resume);
            self.runs_again();
        }
    }

    /// The guest runs again, at whichever end: the last part was the last of the downtime.
    pub(super) fn runs_again(&mut self) {
        self.runs_again = Some(self.part_began);
    }

    /// The migration is over; a downtime that has not ended has one more part.
    pub(super) fn end(&mut self) {
        if self.pause_called.is_some() && self.runs_again.is_none() {
            self.part_over("unfinished");
            self.runs_again();
        }
        self.end = Some(Instant::now());
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The times of the report: a phase that was not reached took none.
    pub(super) fn times(&self) -> Times {
        let end = self.end.unwrap_or_else(Instant::now);
        let pause_called = self.pause_called.unwrap_or(end);
        let runs_again = self.runs_again.unwrap_or(end);
        let mut parts_ms = BTreeMap::new();
        for &(name, duration) in &self.parts {
            *parts_ms.entry(name).or_default() += ms(duration);
        }
        let preparation_ms = ms(pause_called - self.start);
        let downtime_ms = ms(runs_again - pause_called);
        let resume_ms = ms(end - runs_again);
        Times {
            preparation_ms,
            downtime_ms,
            resume_ms,
            total_ms: preparation_ms + downtime_ms + resume_ms,
            parts_ms,
        }
    }
}

/// Times in the report's unit.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) preparation_ms: f64,
    pub(super) downtime_ms: f64,
    pub(super) resume_ms: f64,
    pub(super) total_ms: f64,
    pub(super) parts_ms: BTreeMap<&'static str, f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_downtime_add_up_whatever_the_destination_claims() {
        let mut timeline = Timeline::begin();
        timeline.pause_called();
        timeline.part_over("pause");
        timeline.shared_part_over("state", "restore", Duration::from_secs(3600));
        timeline.runs_again();
        timeline.end();
        let times = timeline.times();
        let sum: f64 = times.parts_ms.values().sum();
        assert!((sum - times.downtime_ms).abs() < 1e-6);
        assert!(times.downtime_ms < 1e6);
        let total = times.preparation_ms + times.downtime_ms + times.resume_ms;
        assert!((total - times.total_ms).abs() < 1e-6);
    }

    #[test]
    fn phases_that_were_not_reached_took_no_time() {
        let mut timeline = Timeline::begin();
        timeline.end();
        let times = timeline.times();
        assert!(times.downtime_ms == 0.0 && times.resume_ms == 0.0);
        assert!(times.parts_ms.is_empty());
    }
}
