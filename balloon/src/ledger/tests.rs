//! The bitmap against a set of numbers.

use std::collections::BTreeSet;

use super::*;

fn range(start: u64, pages: u64) -> PfnRange {
    PfnRange {
        start: Pfn(start),
        pages,
    }
}

#[test]
fn ranges_across_words_are_found_again() {
    let mut ledger = Ledger::default();
    ledger.insert(range(60, 10));
    ledger.insert(range(128, 64));
    ledger.insert(range(1000, 1));
    assert_eq!(
        ledger.ranges(),
        [range(60, 10), range(128, 64), range(1000, 1)]
    );
    assert_eq!(ledger.pages(), 75);
    assert!(ledger.contains(Pfn(69)) && !ledger.contains(Pfn(70)) && !ledger.contains(Pfn(9999)));
}

#[test]
fn page_inserted_twice_and_removed_once_is_out() {
    let mut ledger = Ledger::default();
    ledger.insert(range(5, 2));
    ledger.insert(range(5, 1));
    ledger.remove(range(5, 1));
    ledger.remove(range(5, 1));
    assert_eq!(ledger.ranges(), [range(6, 1)]);
    ledger.remove(range(0, 100));
    assert_eq!(ledger, Ledger::default());
}

#[test]
fn removing_what_is_not_in_costs_no_memory() {
    let mut ledger = Ledger::default();
    ledger.remove(range(u64::from(u32::MAX), 1));
    assert_eq!(ledger.words.capacity(), 0);
}

#[test]
fn ledger_after_many_random_changes_equals_a_set() {
    let mut seed: u64 = 0x2545_f491_4f6c_dd1d;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let (mut ledger, mut set) = (Ledger::default(), BTreeSet::new());
    for _ in 0..2000 {
        let (start, pages) = (random() % 500, 1 + random() % 70);
        let pfns = start..start + pages;
        if random() % 2 == 0 {
            ledger.insert(range(start, pages));
            set.extend(pfns);
        } else {
            ledger.remove(range(start, pages));
            set.retain(|pfn| !pfns.contains(pfn));
        }
        assert_eq!(ledger.pages(), set.len() as u64);
    }
    assert_eq!(ledger.ranges(), coalesce(set.into_iter().map(Pfn)));
    assert_eq!(Ledger::restore(ledger.save()), ledger);
}

#[test]
fn state_with_empty_words_at_its_end_is_trimmed() {
    let ledger = Ledger::restore(LedgerState {
        words: vec![1, 0, 0],
    });
    assert_eq!(ledger.save().words, [1]);
}
