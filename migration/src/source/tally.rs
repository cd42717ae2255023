//! What a source has sent so far.

use crate::digest::Digest;
use crate::ledger::LedgerSums;
use crate::page::{PageRange, bytes_of};

/// Why a page is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It was its turn.
    Push,
    /// Somebody waits for it.
    Demand,
}

/// Counts of pages and the digest over them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) pushed: u64,
    pub(super) demanded: u64,
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
            zero,
            absent,
            digest,
        }
    }

    pub(super) fn sent(&mut self, range: PageRange, content: &[u8], cause: Cause) {
        match cause {
            Cause::Push => self.pushed += range.pages(),
            Cause::Demand => self.demanded += range.pages(),
        }
        self.digest.add_pages(range, content);
    }

    pub(super) fn zero(&mut self, range: PageRange) {
        self.zero += range.pages();
        self.digest.add_absent(range);
    }

    pub(super) fn absent(&mut self, range: PageRange) {
        self.absent += range.pages();
        self.digest.add_absent(range);
    }

    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            pushed,
            demanded,
            zero,
            absent,
            digest,
        } = other;
        self.pushed += pushed;
        self.demanded += demanded;
        self.zero += zero;
        self.absent += absent;
        self.digest.add(*digest);
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
        self.transferred() + self.listed()
    }

    /// Bytes of content sent.
    pub(super) fn page_bytes(&self) -> u64 {
        bytes_of(self.transferred())
    }
}
