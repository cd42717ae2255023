//! What a source has sent so far.

use crate::digest::Digest;
use crate::ledger::LedgerSums;

/// Why a page is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It was its turn.
    Push,
    /// Somebody waits for it.
    Demand,
    /// It came damaged, and somebody may wait for it.
    Again,
}

/// Counts of pages and the digest over them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) pushed: u64,
    pub(super) demanded: u64,
    /// Those of the above that had gone before.
    pub(super) resent: u64,
    /// Pages of the longest run that was pushed.
    pub(super) largest_push: u64,
    pub(super) zero: u64,
    pub(super) absent: u64,
    pub(super) digest: Digest,
}

impl Tally {
    /// What went in rounds, as it stands.
    pub(super) fn of(sums: &LedgerSums) -> Self {
        let LedgerSums {
            content,
            zero,
            absent,
            superseded: _,
            went: _,
            digest,
        } = *sums;
        Self {
            pushed: content,
            demanded: 0,
            resent: 0,
            largest_push: 0,
            zero,
            absent,
            digest,
        }
    }

    /// Content was sent, for the first time; `digest` is that of its page.
    pub(super) fn sent(&mut self, cause: Cause, digest: Digest) {
        self.went(cause);
        self.digest.add(digest);
    }

    /// Content was sent that had gone before.
    pub(super) fn sent_again(&mut self, cause: Cause) {
        self.went(cause);
        self.resent += 1;
    }

    fn went(&mut self, cause: Cause) {
        match cause {
            Cause::Push => self.pushed += 1,
            Cause::Demand | Cause::Again => self.demanded += 1,
        }
    }

    /// Pages whose content was sent.
    pub(super) fn transferred(&self) -> u64 {
        self.pushed + self.demanded
    }

    /// Pages that were listed instead.
    pub(super) fn listed(&self) -> u64 {
        self.zero + self.absent
    }

    /// Pages that are done.
    pub(super) fn done(&self) -> u64 {
        self.first_sent() + self.listed()
    }

    /// Pages whose content was sent, each once.
    pub(super) fn first_sent(&self) -> u64 {
        self.transferred() - self.resent
    }
}
