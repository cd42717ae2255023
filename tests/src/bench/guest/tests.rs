//! Tests of what the records of a guest say.

use super::*;

/// Records each 100 ms with the given pages in each interval and a gap of 200 us, the first after
/// the pages of the first interval.
fn records(pages_each: &[u64]) -> Vec<Record> {
    let mut pages = 0;
    (1..)
        .zip(pages_each)
        .map(|(number, done)| {
            pages += done;
            Record {
                t_ms: number * 100,
                pages,
                max_gap_us: 200,
            }
        })
        .collect()
}

/// Undisturbed at 100 pages an interval, then `middle`, then undisturbed again.
fn view(middle: &[u64]) -> GuestView {
    let quiet = [100; RATE_RECORDS + 1];
    GuestView {
        records: records(&[&quiet, middle, &quiet[1..]].concat()),
        before: RATE_RECORDS,
    }
}

#[test]
fn guest_that_is_not_disturbed_loses_nothing() {
    let cost = view(&[100; 7]).cost().unwrap();
    assert_eq!(cost.rate_before, 1000.0);
    assert_eq!(cost.rate_after, 1000.0);
    assert!(cost.lost_s.unwrap().abs() < 1e-9);
}

#[test]
fn guest_that_stands_still_for_two_intervals_and_does_half_in_one_loses_a_quarter_second() {
    let cost = view(&[0, 0, 50]).cost().unwrap();
    assert!((cost.lost_s.unwrap() - 0.25).abs() < 1e-9);
}

#[test]
fn work_made_up_for_after_a_stall_is_not_lost() {
    let cost = view(&[0, 200, 100]).cost().unwrap();
    assert!(cost.lost_s.unwrap().abs() < 1e-9);
}

#[test]
fn idle_guest_has_no_work_to_lose() {
    let mut idle = view(&[0]);
    for record in &mut idle.records {
        record.pages = 0;
    }
    assert_eq!(idle.cost().unwrap().lost_s, None);
}

#[test]
fn longest_stall_is_of_the_move_and_not_of_before_or_after() {
    let mut view = view(&[100; 3]);
    view.records[3].max_gap_us = 1000;
    view.records[RATE_RECORDS + 2].max_gap_us = 5000;
    view.records.last_mut().unwrap().max_gap_us = 9000;
    let cost = view.cost().unwrap();
    assert_eq!((cost.usual_stall_ms, cost.longest_stall_ms), (1.0, 5.0));
}

#[test]
fn too_few_records_give_no_cost() {
    let mut short = view(&[100]);
    short.records.truncate(RATE_RECORDS + 2);
    assert_eq!(short.cost(), None);
    assert_eq!(
        GuestView {
            records: Vec::new(),
            before: 0
        }
        .cost(),
        None
    );
}

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

const WHOLE: &str = "probe: t_ms=1500 passes=3 pages=777 max_gap_us=164";

#[test]
fn line_cut_by_the_move_is_one_line_again() {
    for cut in 1..WHOLE.len() {
        let (begun, rest) = WHOLE.split_at(cut);
        // A rest that itself looks like a beginning cannot be: the word comes once in a line.
        let stitched = stitch(&lines(&["probe: ready", begun]), &lines(&[rest, WHOLE]));
        assert_eq!(
            stitched,
            lines(&["probe: ready", WHOLE, WHOLE]),
            "cut at {cut}"
        );
    }
}

#[test]
fn line_end_alone_that_comes_late_changes_nothing() {
    let stitched = stitch(&lines(&[WHOLE]), &lines(&["", WHOLE]));
    assert_eq!(stitched, lines(&[WHOLE, WHOLE]));
}

#[test]
fn record_of_a_progress_line_has_its_numbers_and_others_are_none() {
    let expected = Record {
        t_ms: 1500,
        pages: 777,
        max_gap_us: 164,
    };
    assert_eq!(Record::parse(WHOLE), Some(expected));
    assert_eq!(Record::parse("probe: ready workload=idle"), None);
    assert_eq!(Record::parse("probe: t_ms=1500 pages=777"), None);
    assert_eq!(Record::parse("t_ms=1 pages=2 max_gap_us=3"), None);
}
