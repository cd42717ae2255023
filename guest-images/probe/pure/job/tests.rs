//! Tests of the work of one processor among several.

use super::super::options::Options;
use super::super::pages::flip_byte;
use super::super::pages::tests::VecPages;
use super::super::sort::Sort;
use super::{Job, Share, arrays_of};

const WORKLOADS: [&str; 7] = [
    "seq-read",
    "seq-write",
    "random",
    "zipf",
    "chase",
    "quicksort",
    "grow-shrink",
];

fn options(workload: &str) -> Options {
    Options::parse(format!("workload={workload} procs=3 seed=5").as_bytes()).unwrap()
}

/// Runs two processors for `passes` passes and returns the digest of the working set.
fn run(options: &Options, passes: u64, pages: &mut VecPages) -> u64 {
    let mut digest = 0u64;
    for number in 0..2 {
        let share = Share { number, of: 2 };
        let mut sorts =
            vec![Sort::NOTHING; usize::try_from(arrays_of(options, 30, share).pages).unwrap()];
        let mut job = Job::new(options, 30, share, &mut sorts);
        while job.is_filling() || job.passes().unwrap() < passes {
            job.turn(pages).unwrap();
        }
        for place in 0..job.held_places() {
            let (page, checked) = job.digest_at(place, pages);
            checked.unwrap();
            digest = digest.wrapping_add(page);
        }
    }
    digest
}

#[test]
fn digest_same_run_gives_the_same_and_other_seed_another() {
    for workload in WORKLOADS {
        let options = options(workload);
        let digest = run(&options, 2, &mut VecPages::new(30));
        assert_eq!(
            run(&options, 2, &mut VecPages::new(30)),
            digest,
            "{workload}"
        );
        let other = Options { seed: 6, ..options };
        assert_ne!(run(&other, 2, &mut VecPages::new(30)), digest, "{workload}");
    }
}

#[test]
fn digest_at_a_flipped_byte_reports_it() {
    for workload in WORKLOADS {
        let options = options(workload);
        let mut sorts = vec![Sort::NOTHING; 3];
        let mut job = Job::new(&options, 30, Share { number: 0, of: 1 }, &mut sorts);
        let mut pages = VecPages::new(30);
        while job.is_filling() {
            job.turn(&mut pages).unwrap();
        }
        assert!(job.holds(1));
        flip_byte(&mut pages, 4096 + 5);
        let errors: Vec<_> = (0..job.held_places())
            .filter_map(|place| job.digest_at(place, &mut pages).1.err())
            .collect();
        assert_eq!(errors.len(), 1, "{workload}");
        assert_eq!(errors[0].gpa, (1 << 20) + 4096);
        assert_eq!(errors[0].found, errors[0].expected ^ 0xff00_0000_0000);
    }
}

#[test]
fn new_idle_or_more_processors_than_pages_has_nothing_to_do() {
    let last = Share { number: 7, of: 8 };
    for (workload, pages) in [("idle", 30), ("seq-read", 7), ("quicksort", 30)] {
        let mut job = Job::new(&options(workload), pages, last, &mut []);
        assert!(matches!(job, Job::Nothing), "{workload}");
        assert_eq!((job.passes(), job.held_places()), (None, 0));
        assert!(!job.is_filling() && !job.holds(0));
        let mut pages = VecPages::new(1);
        job.turn(&mut pages).unwrap();
        assert_eq!(job.digest_at(0, &mut pages), (0, Ok(())));
    }
}

#[test]
fn arrays_of_every_processor_together_are_all_but_not_more_than_pages() {
    let options = options("quicksort");
    for (pages, expected) in [(30, 3), (3, 3), (2, 2), (0, 0)] {
        let of_one = |number| arrays_of(&options, pages, Share { number, of: 2 }).pages;
        assert_eq!(of_one(0) + of_one(1), expected);
    }
    let zipf = self::options("zipf");
    assert_eq!(arrays_of(&zipf, 30, Share { number: 0, of: 1 }).pages, 0);
}
