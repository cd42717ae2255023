//! Layouts: which are refused, and that numbers translate both ways.

use proptest::prelude::*;

use super::*;

fn region(first: u64, pages: u64) -> MemoryRegion {
    MemoryRegion {
        first: Pfn::new(first),
        pages,
    }
}

/// A PC with a hole below 4 GiB, scaled down: two regions.
fn two_regions() -> MemoryLayout {
    MemoryLayout::new(vec![region(0, 10), region(20, 5)]).unwrap()
}

#[test]
fn layout_displays_as_the_addresses_of_its_regions() {
    assert_eq!(two_regions().to_string(), "0x0-0xa000, 0x14000-0x19000");
}

#[test]
fn index_of_frame_in_hole_is_none() {
    let layout = two_regions();
    assert_eq!(layout.index_of(Pfn::new(9)), Some(PageIndex::new(9)));
    assert_eq!(layout.index_of(Pfn::new(10)), None);
    assert_eq!(layout.index_of(Pfn::new(20)), Some(PageIndex::new(10)));
    assert_eq!(layout.index_of(Pfn::new(25)), None);
    assert_eq!(layout.index_of(Pfn::new(u64::MAX)), None);
}

#[test]
fn pfn_of_page_past_the_end_is_none() {
    let layout = two_regions();
    assert_eq!(layout.pfn_of(PageIndex::new(14)), Some(Pfn::new(24)));
    assert_eq!(layout.pfn_of(PageIndex::new(15)), None);
}

#[test]
fn layout_without_or_with_too_many_regions_is_refused() {
    assert!(MemoryLayout::new(vec![]).is_err());
    let many = (0..17).map(|n| region(n * 2, 1)).collect();
    assert!(MemoryLayout::new(many).is_err());
}

#[test]
fn layout_with_bad_region_is_refused() {
    assert!(MemoryLayout::new(vec![region(0, 0)]).is_err());
    assert!(MemoryLayout::new(vec![region(0, 10), region(9, 1)]).is_err());
    assert!(MemoryLayout::new(vec![region(10, 1), region(0, 1)]).is_err());
    assert!(MemoryLayout::new(vec![region(u64::MAX, 2)]).is_err());
    assert!(MemoryLayout::new(vec![region(0, MAX_PAGES + 1)]).is_err());
}

#[test]
fn deserialize_bad_layout_is_refused() {
    let bytes = postcard::to_stdvec(&vec![region(0, 10), region(9, 1)]).unwrap();
    assert!(postcard::from_bytes::<MemoryLayout>(&bytes).is_err());
}

proptest! {
    #[test]
    fn every_page_translates_to_its_frame_and_back(
        steps in prop::collection::vec((0u64..50, 1u64..50), 1..8)
    ) {
        let mut at = 0;
        let regions = steps.iter().map(|&(gap, pages)| {
            let first = at + gap;
            at = first + pages;
            region(first, pages)
        }).collect();
        let layout = MemoryLayout::new(regions).unwrap();
        let bytes = postcard::to_stdvec(&layout).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<MemoryLayout>(&bytes).unwrap(), &layout);
        let mut last = None;
        for page in layout.all().iter() {
            let pfn = layout.pfn_of(page).unwrap();
            prop_assert!(last < Some(pfn));
            prop_assert_eq!(layout.index_of(pfn), Some(page));
            last = Some(pfn);
        }
    }
}
