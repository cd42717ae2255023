//! The pages that a guest touches first after it is resumed: a set, learned from one resume to the
//! next and kept beside the snapshot it is of. Without it, or with one that is of another snapshot, a
//! resume is slower and nothing else.
//!
//! | offset | bytes | field of the file |
//! |---|---|---|
//! | 0 | 8 | magic `SKIFFWRK` |
//! | 8 | 2 | version, little-endian as all numbers |
//! | 10 | 2 | resumes that it was learned from |
//! | 12 | 4 | zero |
//! | 16 | 8 | identity of the snapshot |
//! | 24 | 8 | XXH3 of the bytes before and of the set |
//! | 32 | ... | the set, a bit for each page of the memory in 64-bit words |

use std::hash::Hasher;

use twox_hash::XxHash3_64;

use crate::bitmap::PageBitmap;
use crate::page::to_u64;
use crate::snapshot::Identity;
use crate::snapshot::format::u64_at;

const MAGIC: &[u8; 8] = b"SKIFFWRK";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 32;
const CHECKSUM_AT: usize = 24;

/// Resumes that are learned from. Our choice: what a guest does differently each time is not worth
/// more.
const MAX_RESUMES: u16 = 3;

/// The pages that were touched first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingSet {
    pages: PageBitmap,
    resumes: u16,
}

/// Why a record is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is no such record, or one of another version.
    #[error("it is no record of this version")]
    Form,
    /// It was learned from another snapshot.
    #[error("it is of another snapshot")]
    Stale,
    /// Its checksum differs.
    #[error("it is damaged")]
    Damaged,
}

impl WorkingSet {
    /// Of a memory of `pages` pages, with nothing learned.
    pub fn empty(pages: u64) -> Self {
        Self {
            pages: PageBitmap::empty(pages),
            resumes: 0,
        }
    }

    /// The pages.
    pub fn pages(&self) -> &PageBitmap {
        &self.pages
    }

    /// Whether there is nothing to be had from it yet.
    pub fn is_empty(&self) -> bool {
        self.resumes == 0
    }

    /// Whether another resume is to be learned from.
    pub fn may_learn(&self) -> bool {
        self.resumes < MAX_RESUMES
    }

    /// Adds what was touched first after another resume.
    pub fn learn(&mut self, touched: &PageBitmap) {
        self.pages.add_all(touched);
        self.resumes = self.resumes.saturating_add(1);
    }

    /// Length of the record for a memory of `pages` pages.
    pub(super) fn record_bytes(pages: u64) -> u64 {
        pages.div_ceil(64) * 8 + to_u64(HEADER_BYTES)
    }

    /// The record for the snapshot of that identity.
    pub(super) fn encode(&self, identity: Identity) -> Vec<u8> {
        let Self { pages, resumes } = self;
        let mut record = Vec::new();
        record.extend(MAGIC);
        record.extend(VERSION.to_le_bytes());
        record.extend(resumes.to_le_bytes());
        record.extend([0; 4]);
        record.extend(identity.0.to_le_bytes());
        let set = pages.to_bytes();
        record.extend(checksum(&record, &set).to_le_bytes());
        record.extend(set);
        record
    }

    /// Makes a record one of that snapshot, with a checksum that is right.
    #[cfg(fuzzing)]
    pub(super) fn reseal(record: &mut [u8], identity: Identity) {
        let Some((header, set)) = record.split_first_chunk_mut::<HEADER_BYTES>() else {
            return;
        };
        header[16..CHECKSUM_AT].copy_from_slice(&identity.0.to_le_bytes());
        let checksum = checksum(&header[..CHECKSUM_AT], set);
        header[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    }

    /// What is in a record, if it is for the snapshot of that identity and size.
    ///
    /// # Errors
    /// If it is not, or is damaged.
    pub(super) fn decode(record: &[u8], identity: Identity, pages: u64) -> Result<Self, Unusable> {
        let Some((header, set)) = record.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Unusable::Form);
        };
        let (head, _) = header.split_at(CHECKSUM_AT);
        let (start, rest) = head.split_at(8);
        let (version, rest) = rest.split_at(2);
        if start != MAGIC || version != VERSION.to_le_bytes() || rest[2..6] != [0; 4] {
            return Err(Unusable::Form);
        }
        if u64_at(head, 16) != identity.0 {
            return Err(Unusable::Stale);
        }
        if checksum(head, set) != u64_at(header, CHECKSUM_AT) {
            return Err(Unusable::Damaged);
        }
        Ok(Self {
            pages: PageBitmap::from_bytes(set, pages).ok_or(Unusable::Damaged)?,
            resumes: u16::from_le_bytes([rest[0], rest[1]]),
        })
    }
}

/// The checksum of a record: of all before it, and of the set.
fn checksum(head: &[u8], set: &[u8]) -> u64 {
    let mut hasher = XxHash3_64::new();
    hasher.write(head);
    hasher.write(set);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageIndex;

    fn learned() -> WorkingSet {
        let mut set = WorkingSet::empty(100);
        let mut touched = PageBitmap::empty(100);
        touched.insert(PageIndex::new(3));
        touched.insert(PageIndex::new(99));
        set.learn(&touched);
        set
    }

    #[test]
    fn record_has_these_bytes_and_decodes_to_the_same_set() {
        let record = learned().encode(Identity(0x0102_0304_0506_0708));
        assert_eq!(record[..8], *b"SKIFFWRK");
        assert_eq!(record[8..16], [1, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(record[16..24], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(
            record[32..],
            [8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0]
        );
        let identity = Identity(0x0102_0304_0506_0708);
        let decoded = WorkingSet::decode(&record, identity, 100).unwrap();
        assert_eq!(decoded, learned());
        assert!(decoded.may_learn() && !decoded.is_empty());
    }

    #[test]
    fn record_that_is_stale_damaged_or_cut_is_refused() {
        let identity = Identity(5);
        let record = learned().encode(identity);
        let decode = |record: &[u8], pages| WorkingSet::decode(record, identity, pages);
        let other = learned().encode(Identity(6));
        assert_eq!(decode(&other, 100), Err(Unusable::Stale));
        assert_eq!(decode(&record, 10), Err(Unusable::Damaged));
        for at in 0..record.len() {
            let mut damaged = record.clone();
            damaged[at] ^= 0x10;
            assert!(decode(&damaged, 100).is_err(), "byte {at}");
            assert!(decode(&record[..at], 100).is_err(), "length {at}");
        }
    }

    #[test]
    fn sets_of_several_resumes_are_united_until_it_is_enough() {
        let mut set = learned();
        let mut touched = PageBitmap::empty(100);
        touched.insert(PageIndex::new(4));
        set.learn(&touched);
        set.learn(&touched);
        assert_eq!(set.pages().count(), 3);
        assert!(!set.may_learn());
    }
}
