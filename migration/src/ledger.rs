//! The last version of each page that went to the destination, while pages may still go again.

use crate::digest::Digest;
use crate::page::{PageIndex, PageRange, to_usize};

/// What went of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// Nothing that still counts.
    #[default]
    None,
    /// Its content.
    Content,
    /// It was found to be all zero, and listed.
    Zero,
    /// It was never touched, and listed.
    Absent,
}

/// Counts of pages by the last version of each, and the digest over those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LedgerSums {
    pub(crate) content: u64,
    pub(crate) zero: u64,
    pub(crate) absent: u64,
    /// Contents that went and no longer count.
    pub(crate) superseded: u64,
    /// Pages that went or were listed, each as often as it was.
    pub(crate) went: u64,
    pub(crate) digest: Digest,
}

impl LedgerSums {
    /// Contents that went, each as often as it did.
    pub(crate) fn contents(&self) -> u64 {
        self.content + self.superseded
    }
}

/// Remembers the last version of each page, so that the digest is one of final contents however
/// often a page goes. Both ends of a pre-copy keep one: 9 bytes for each page.
#[derive(Debug)]
pub(crate) struct Ledger {
    versions: Vec<Version>,
    digests: Vec<Digest>,
    sums: LedgerSums,
}

impl Ledger {
    /// The ledger of a memory of which nothing has gone yet.
    pub(crate) fn new(pages: u64) -> Self {
        Self {
            versions: vec![Version::None; to_usize(pages)],
            digests: vec![Digest::default(); to_usize(pages)],
            sums: LedgerSums::default(),
        }
    }

    /// Where it stands.
    pub(crate) fn sums(&self) -> LedgerSums {
        self.sums
    }

    /// The contents of `range` went; `digests` are those of its single pages.
    pub(crate) fn content_went(
        &mut self,
        range: PageRange,
        digests: impl IntoIterator<Item = Digest>,
    ) {
        for (page, digest) in range.iter().zip(digests) {
            self.replace(page, Version::Content, digest);
        }
    }

    /// The pages of `range` were listed as zero or absent.
    pub(crate) fn listed(&mut self, range: PageRange, version: Version) {
        for page in range.iter() {
            self.replace(page, version, Digest::of_absent(page));
        }
    }

    /// What went of `page` no longer counts: it will go again.
    pub(crate) fn forget(&mut self, page: PageIndex) {
        self.replace(page, Version::None, Digest::default());
    }

    /// Whether a version of `page` went that counts.
    pub(crate) fn holds(&self, page: PageIndex) -> bool {
        self.versions[page.subscript()] != Version::None
    }

    fn replace(&mut self, page: PageIndex, version: Version, digest: Digest) {
        let at = page.subscript();
        let sums = &mut self.sums;
        sums.digest
            .subtract(std::mem::replace(&mut self.digests[at], digest));
        sums.digest.add(digest);
        match std::mem::replace(&mut self.versions[at], version) {
            Version::None => {}
            Version::Content => {
                sums.content -= 1;
                sums.superseded += 1;
            }
            Version::Zero => sums.zero -= 1,
            Version::Absent => sums.absent -= 1,
        }
        sums.went += u64::from(version != Version::None);
        match version {
            Version::None => {}
            Version::Content => sums.content += 1,
            Version::Zero => sums.zero += 1,
            Version::Absent => sums.absent += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PAGE_BYTES;

    fn range(first: u64, end: u64) -> PageRange {
        PageRange::between(first, end).unwrap()
    }

    #[test]
    fn digest_after_overwrites_is_that_of_the_final_contents() {
        let (old, new) = (vec![1; 2 * PAGE_BYTES], vec![2; 2 * PAGE_BYTES]);
        let mut ledger = Ledger::new(4);
        ledger.listed(range(0, 4), Version::Absent);
        ledger.content_went(range(1, 3), Digest::of_each(range(1, 3), &old));
        ledger.content_went(range(1, 3), Digest::of_each(range(1, 3), &new));
        ledger.listed(range(2, 3), Version::Zero);

        let mut expected = Digest::default();
        expected.add_absent(range(0, 1));
        expected.add_pages(range(1, 2), &new[..PAGE_BYTES]);
        expected.add_absent(range(2, 4));
        let sums = ledger.sums();
        assert_eq!(sums.digest, expected);
        assert_eq!((sums.content, sums.zero, sums.absent), (1, 1, 2));
        assert_eq!((sums.superseded, sums.went), (3, 9));
    }

    #[test]
    fn page_forgotten_counts_for_nothing() {
        let mut ledger = Ledger::new(2);
        ledger.content_went(range(0, 1), Digest::of_each(range(0, 1), &[3; PAGE_BYTES]));
        ledger.forget(PageIndex::new(0));
        ledger.forget(PageIndex::new(1));
        let expected = LedgerSums {
            superseded: 1,
            went: 1,
            ..LedgerSums::default()
        };
        assert_eq!(ledger.sums(), expected);
    }
}
