//! What a migration tells while it is under way.

use std::time::{Duration, Instant};

use crate::phase::SourcePhase;

/// Shortest time between two messages of the same phase. Our choice: people see no more.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What the source is doing.
    pub phase: SourcePhase,
    /// Rounds of copying that have begun.
    pub round: u32,
    /// Pages sent or listed as absent.
    pub pages_done: u64,
    /// All pages; 0 as long as the VM was not asked.
    pub pages_total: u64,
    /// Bytes of pages sent, each as often as it was.
    pub page_bytes: u64,
    /// Time since the migration began.
    pub elapsed: Duration,
}

/// Is told how far a migration is: once for each phase, and about ten times a second in long ones.
///
/// It is called by the thread that migrates, which waits for it: it must return at once.
pub trait ProgressSink: Sync {
    /// The migration is this far.
    fn progress(&self, progress: &Progress);
}

impl<F: Fn(&Progress) + Sync> ProgressSink for F {
    fn progress(&self, progress: &Progress) {
        self(progress);
    }
}

/// Lets one message through for each [`INTERVAL`], and one for each change of phase.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<(SourcePhase, Instant)>,
}

impl Pace {
    /// Whether a message about `phase` is due at `now`.
    pub(crate) fn is_due(&mut self, phase: SourcePhase, now: Instant) -> bool {
        let due = self.last.is_none_or(|(last_phase, last)| {
            last_phase != phase || now.duration_since(last) >= INTERVAL
        });
        if due {
            self.last = Some((phase, now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_due_at_a_new_phase_or_after_the_interval() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!(pace.is_due(SourcePhase::Negotiating, now));
        assert!(!pace.is_due(SourcePhase::Negotiating, now + INTERVAL / 2));
        assert!(pace.is_due(SourcePhase::Accepted, now + INTERVAL / 2));
        assert!(pace.is_due(SourcePhase::Accepted, now + INTERVAL * 2));
    }
}
