//! Guest frame numbers, and lists of them made into ranges.

use vm_memory::GuestAddress;

/// The page of the balloon, whatever page the guest uses (virtio 1.2, section 5.5.6).
pub const PAGE_BYTES: u64 = 4096;

/// A guest frame number: a guest-physical address divided by 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pfn(pub u64);

/// Adjoining pages, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PfnRange {
    /// The first of them.
    pub start: Pfn,
    /// How many there are.
    pub pages: u64,
}

impl PfnRange {
    /// The whole pages between two addresses, if there are any.
    pub fn whole_pages(address: GuestAddress, len_bytes: u64) -> Option<Self> {
        let end = address.0.checked_add(len_bytes)? / PAGE_BYTES;
        let start = address.0.div_ceil(PAGE_BYTES);
        let pages = end.checked_sub(start).filter(|pages| *pages > 0)?;
        Some(Self {
            start: Pfn(start),
            pages,
        })
    }

    /// Where the range begins. A page number of the guest's has 32 bits, so this fits.
    pub fn address(&self) -> GuestAddress {
        GuestAddress(self.start.0 * PAGE_BYTES)
    }

    /// How long it is.
    pub fn len_bytes(&self) -> u64 {
        self.pages * PAGE_BYTES
    }

    /// The page after the last.
    pub fn end(&self) -> Pfn {
        Pfn(self.start.0 + self.pages)
    }
}

/// Joins ascending page numbers, of which some may be equal, to as few ranges as possible.
pub fn coalesce(ascending: impl IntoIterator<Item = Pfn>) -> Vec<PfnRange> {
    let mut ranges: Vec<PfnRange> = Vec::new();
    for pfn in ascending {
        match ranges.last_mut() {
            Some(last) if last.start <= pfn && pfn < last.end() => {}
            Some(last) if pfn == last.end() => last.pages += 1,
            _ => ranges.push(PfnRange {
                start: pfn,
                pages: 1,
            }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, pages: u64) -> PfnRange {
        PfnRange {
            start: Pfn(start),
            pages,
        }
    }

    #[test]
    fn coalesce_of_neighbours_duplicates_and_gaps_gives_the_fewest_ranges() {
        for (pfns, ranges) in [
            (&[][..], vec![]),
            (&[7][..], vec![range(7, 1)]),
            (&[0, 1, 2, 3][..], vec![range(0, 4)]),
            (
                &[1, 1, 2, 2, 2, 4, 5, 5, 9][..],
                vec![range(1, 2), range(4, 2), range(9, 1)],
            ),
            (&[0xffff_fffe, 0xffff_ffff][..], vec![range(0xffff_fffe, 2)]),
        ] {
            assert_eq!(coalesce(pfns.iter().copied().map(Pfn)), ranges);
        }
    }

    #[test]
    fn whole_pages_of_an_unaligned_range_are_those_inside_it() {
        let whole = |address, len| PfnRange::whole_pages(GuestAddress(address), len);
        assert_eq!(whole(0x1000, 0x2000), Some(range(1, 2)));
        assert_eq!(whole(0x1001, 0x2fff), Some(range(2, 2)));
        assert_eq!(whole(0x0fff, 0x2000), Some(range(1, 1)));
        assert_eq!(whole(0x1001, 0x1ffe), None);
        assert_eq!(whole(0x1000, 0), None);
        assert_eq!(whole(u64::MAX, 2), None);
    }

    #[test]
    fn last_page_a_guest_can_name_has_an_address() {
        assert_eq!(
            range(u64::from(u32::MAX), 1).address(),
            GuestAddress(0xfff_ffff_f000)
        );
    }
}
