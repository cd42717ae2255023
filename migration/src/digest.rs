//! A sum over pages that proves both ends hold the same memory, whatever the order of transfer.

use std::fmt;

use serde::{Serialize, Serializer};
use twox_hash::XxHash3_64;

use crate::page::{PAGE_BYTES, PageIndex, PageRange};

/// 2^64 divided by the golden ratio, odd: spreads page numbers over all bits (Knuth, TAOCP vol. 3,
/// 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Digest of a set of pages: the wrapping sum of a 64-bit hash of each page's number and content.
///
/// Addition commutes, so pages may be added in any order, by several threads each with its own
/// digest, and the sums added up. It guards against errors, not against a malicious peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    /// Adds the pages of `range`, whose content is `bytes`.
    #[cfg(test)]
    pub(crate) fn add_pages(&mut self, range: PageRange, bytes: &[u8]) {
        for digest in Self::of_each(range, bytes) {
            self.add(digest);
        }
    }

    /// Adds pages that are absent, which is to say all zero.
    pub(crate) fn add_absent(&mut self, range: PageRange) {
        for page in range.iter() {
            self.add(Self::of_absent(page));
        }
    }

    /// The digests of the single pages of `range`, whose content is `bytes`.
    pub(crate) fn of_each(range: PageRange, bytes: &[u8]) -> impl Iterator<Item = Self> {
        debug_assert_eq!(range.bytes(), bytes.len());
        let pages = range.iter().zip(bytes.as_chunks().0);
        pages.map(|(page, content)| Self::of_page(page, content))
    }

    /// The digest of one page.
    pub(crate) fn of_page(page: PageIndex, content: &[u8; PAGE_BYTES]) -> Self {
        Self(mix(XxHash3_64::oneshot(content) ^ number_hash(page)))
    }

    /// The digest of one page that is absent.
    pub(crate) fn of_absent(page: PageIndex) -> Self {
        Self(mix(number_hash(page)))
    }

    /// The digest of all the pages that `parts` cover.
    pub(crate) fn sum(parts: &[Self]) -> Self {
        let mut sum = Self::default();
        for &part in parts {
            sum.add(part);
        }
        sum
    }

    /// Adds the pages that another digest covers.
    pub(crate) fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// Takes out the pages that another digest covers, all of which this one covers as well.
    pub(crate) fn subtract(&mut self, other: Self) {
        self.0 = self.0.wrapping_sub(other.0);
    }
}

fn number_hash(page: PageIndex) -> u64 {
    (page.get() + 1).wrapping_mul(SPREAD)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): each input bit flips each output
/// bit with probability one half.
fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Digest {
    /// As 16 hexadecimal digits, since JSON readers round large numbers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(first: u64, bytes: &[u8]) -> Digest {
        let count = u64::try_from(bytes.len() / PAGE_BYTES).unwrap();
        let mut digest = Digest::default();
        digest.add_pages(PageRange::between(first, first + count).unwrap(), bytes);
        digest
    }

    #[test]
    fn digest_of_parts_in_any_order_is_that_of_the_whole() {
        let mut bytes = vec![7; 3 * PAGE_BYTES];
        bytes[PAGE_BYTES] = 8;
        let mut sum = pages(12, &bytes[2 * PAGE_BYTES..]);
        sum.add(pages(10, &bytes[..2 * PAGE_BYTES]));
        assert_eq!(sum, pages(10, &bytes));
    }

    #[test]
    fn digest_after_a_flipped_bit_or_a_swap_of_pages_differs() {
        let mut bytes = vec![0; 2 * PAGE_BYTES];
        bytes[17] = 1;
        let right = pages(0, &bytes);
        bytes[17] = 3;
        assert_ne!(pages(0, &bytes), right);
        bytes[17] = 0;
        bytes[PAGE_BYTES + 17] = 1;
        assert_ne!(pages(0, &bytes), right);
    }

    #[test]
    fn digest_displays_as_sixteen_digits() {
        assert_eq!(Digest::from_bits(0xab).to_string(), "00000000000000ab");
    }
}
