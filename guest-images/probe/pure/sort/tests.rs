//! Tests of the sort over small arrays.

use super::super::pages::tests::VecPages;
use super::super::pages::{Corrupt, Pages, flip_byte};
use super::super::walk::Part;
use super::{Phase, Sort};

fn sort(pages: u64) -> (Sort, VecPages) {
    let mut sort = Sort::NOTHING;
    sort.start(Part { first: 1, pages }, 1);
    (sort, VecPages::new(usize::try_from(pages).unwrap() + 2))
}

fn step_until(sort: &mut Sort, pages: &mut VecPages, done: impl Fn(&Sort) -> bool) {
    while !done(sort) {
        sort.step(pages).unwrap();
    }
}

#[test]
fn step_sorts_and_checks_arrays_of_any_size() {
    for count in [1, 2, 7, 33] {
        let (mut sort, mut pages) = sort(count);
        step_until(&mut sort, &mut pages, |sort| sort.passes() == 3);
        assert_eq!(
            (pages.0[0].0, pages.0.last().unwrap().0),
            ([0; 512], [0; 512])
        );
    }
}

#[test]
fn step_work_per_pass_is_about_n_log_n() {
    let (mut sort, mut pages) = sort(64);
    let mut steps = 0;
    while sort.passes() == 0 {
        sort.step(&mut pages).unwrap();
        steps += 1;
    }
    assert!(
        (300..1600).contains(&steps),
        "{steps} steps of a page for 64 pages"
    );
}

#[test]
fn step_never_loses_a_key() {
    let (mut sort, mut pages) = sort(4);
    while sort.passes() == 0 {
        sort.step(&mut pages).unwrap();
        if !sort.is_filling() {
            let mut keys: Vec<u64> = (0..4 * 512)
                .map(|place| sort.keys.key(&mut pages, place).unwrap())
                .collect();
            keys.sort_unstable();
            assert_eq!(keys, (0..4 * 512).collect::<Vec<_>>());
        }
    }
}

#[test]
fn step_flipped_byte_in_any_phase_is_reported_with_what_was_there() {
    let sorting_halfway = |sort: &Sort| matches!(sort.phase, Phase::Sorting { split: Some(split) } if split.low > 600);
    let checking = |sort: &Sort| matches!(sort.phase, Phase::Checking { page: 0 });
    for phase in [sorting_halfway as fn(&Sort) -> bool, checking] {
        let (mut sort, mut pages) = sort(8);
        step_until(&mut sort, &mut pages, phase);
        let good = pages.page(4)[9];
        flip_byte(&mut pages, 4 * 4096 + 9 * 8);
        let gpa = (1 << 20) + 4 * 4096 + 72;
        let expected = Corrupt {
            gpa,
            expected: good,
            found: good ^ 0xff,
        };
        let seen = (0..4).find_map(|page| sort.check_keys(&mut pages, page).err());
        assert_eq!(seen, Some(expected));
        let corrupt = loop {
            if let Err(corrupt) = sort.step(&mut pages) {
                break corrupt;
            }
        };
        assert_eq!((corrupt.expected, corrupt.found), (good, good ^ 0xff));
        step_until(&mut sort, &mut pages, |sort| sort.passes() == 1);
    }
}

#[test]
fn step_after_a_pass_writes_other_words() {
    let (mut sort, mut pages) = sort(2);
    step_until(&mut sort, &mut pages, |sort| !sort.is_filling());
    let first = *pages.page(1);
    step_until(&mut sort, &mut pages, |sort| sort.passes() == 1);
    step_until(&mut sort, &mut pages, |sort| !sort.is_filling());
    assert_ne!(*pages.page(1), first);
}
