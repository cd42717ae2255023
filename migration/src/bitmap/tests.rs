//! The set against a plain vector of flags.

use proptest::prelude::*;

use super::*;
use crate::page::to_u64;

/// The set of the positions that hold `true`.
fn set_of(members: &[bool]) -> PageBitmap {
    let mut set = PageBitmap::empty(to_u64(members.len()));
    for (page, _) in (0..).zip(members).filter(|&(_, &member)| member) {
        set.insert(PageIndex::new(page));
    }
    set
}

proptest! {
    #[test]
    fn next_run_from_anywhere_matches_a_plain_search(
        members in prop::collection::vec(any::<bool>(), 0..300),
        from in 0u64..320,
        limit in 0u64..320,
    ) {
        let set = set_of(&members);
        let end = to_usize(limit).min(members.len());
        let first = (to_usize(from)..end).find(|&n| members[n]);
        let expected = first.and_then(|first| {
            let past = (first..end).find(|&n| !members[n]).unwrap_or(end);
            PageRange::between(to_u64(first), to_u64(past))
        });
        prop_assert_eq!(set.next_run(from, limit), expected);
        prop_assert_eq!(&set.clone(), &set);
        prop_assert_eq!(PageBitmap::from_bytes(&set.to_bytes(), set.pages()), Some(set));
    }

    #[test]
    fn next_gap_from_anywhere_matches_the_next_run_of_all_others(
        members in prop::collection::vec(any::<bool>(), 0..300),
        from in 0u64..320,
        limit in 0u64..320,
    ) {
        let set = set_of(&members);
        let mut others = PageBitmap::full(set.pages());
        others.remove_all(&set);
        prop_assert_eq!(set.next_gap(from, limit), others.next_run(from, limit));
    }

    #[test]
    fn previous_run_from_anywhere_matches_a_plain_search(
        members in prop::collection::vec(any::<bool>(), 0..300),
        until in 0u64..320,
        floor in 0u64..320,
    ) {
        let set = set_of(&members);
        let (floor, end) = (to_usize(floor), to_usize(until).min(members.len()));
        let last = (floor..end).rev().find(|&n| members[n]);
        let expected = last.and_then(|last| {
            let gap = (floor..last).rev().find(|&n| !members[n]);
            PageRange::between(to_u64(gap.map_or(floor, |gap| gap + 1)), to_u64(last + 1))
        });
        prop_assert_eq!(set.previous_run(until, to_u64(floor)), expected);
    }

    #[test]
    fn insert_and_remove_say_what_changed(
        members in prop::collection::vec(any::<bool>(), 1..200),
        page in 0u64..220,
    ) {
        let mut set = set_of(&members);
        let before = set.count();
        let page = PageIndex::new(page);
        let exists = page.get() < set.pages();
        let held = set.contains(page);
        prop_assert_eq!(set.insert(page), exists && !held);
        prop_assert_eq!(set.remove(page), exists);
        prop_assert_eq!(set.count(), before - u64::from(held));
    }
}

#[test]
fn full_holds_exactly_its_pages() {
    for pages in [0, 1, 63, 64, 65, 200] {
        let set = PageBitmap::full(pages);
        assert_eq!(set.count(), pages);
        assert!(!set.contains(PageIndex::new(pages)));
        assert_eq!(set.next_run(0, u64::MAX), PageRange::between(0, pages));
    }
}

proptest! {
    #[test]
    fn pages_and_words_of_a_set_are_its_members(
        members in prop::collection::vec(any::<bool>(), 1..200),
        others in prop::collection::vec(any::<bool>(), 200),
    ) {
        let mut set = set_of(&members);
        let other = set_of(&others[..members.len()]);
        let listed: Vec<_> = set.iter().map(PageIndex::subscript).collect();
        let expected: Vec<_> = (0..members.len()).filter(|&n| members[n]).collect();
        prop_assert_eq!(listed, expected);
        prop_assert!(set.words().all(|(_, word)| word != 0));

        set.add_all(&other);
        prop_assert!(other.iter().all(|page| set.contains(page)));
        set.remove_all(&other);
        let left = (0..members.len()).filter(|&n| members[n] && !others[n]).count();
        prop_assert_eq!(set.count(), to_u64(left));
        if let Some(run) = set.next_run(0, u64::MAX) {
            set.remove_range(run);
            prop_assert!(run.iter().all(|page| !set.contains(page)));
        }
    }
}

proptest! {
    #[test]
    fn range_is_added_and_taken_out_as_its_pages_are(
        members in prop::collection::vec(any::<bool>(), 1..200),
        first in 0_u64..250,
        pages in 1_u64..250,
    ) {
        let range = PageRange::between(first, first + pages).unwrap();
        let (mut added, mut taken) = (set_of(&members), set_of(&members));
        added.insert_range(range);
        taken.remove_range(range);
        let (mut one_by_one, mut without) = (set_of(&members), set_of(&members));
        for page in range.iter() {
            one_by_one.insert(page);
            without.remove(page);
        }
        prop_assert_eq!(added, one_by_one);
        prop_assert_eq!(taken, without);
    }
}
