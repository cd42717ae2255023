//! The model against simulated guests and links.

use proptest::prelude::*;

use super::*;

/// A guest that writes random pages of a hot set, and the link its memory goes over.
#[derive(Clone, Copy, Debug)]
struct Scene {
    used_pages: u64,
    hot_pages: u64,
    written_per_s: u64,
    link_pages_per_s: u64,
}

impl Scene {
    /// Distinct pages that the guest writes in that time.
    fn dirtied(&self, time: Duration) -> u64 {
        if self.hot_pages == 0 {
            return 0;
        }
        let hot = count(self.hot_pages);
        let writes = count(self.written_per_s) * time.as_secs_f64();
        let distinct = hot * (1.0 - (-writes / hot).exp());
        (0..=self.hot_pages)
            .rev()
            .find(|&pages| count(pages) <= distinct)
            .unwrap_or(0)
    }
}

/// How a migration went.
#[derive(Clone, Copy, Debug)]
struct Course {
    step: Step,
    rounds: u32,
    sent_pages: u64,
    rest_pages: u64,
    /// The rest, in time on the link.
    rest: Duration,
}

fn simulate(mode: Mode, max_downtime: Duration, scene: Scene) -> Course {
    let exchange = Duration::from_micros(200);
    let mut model = Model::new(mode, max_downtime);
    let mut way = Way {
        exchange,
        ..Way::default()
    };
    let (mut round_pages, mut sent, mut rounds) = (scene.used_pages, 0, 0);
    loop {
        rounds += 1;
        let seconds = count(round_pages) / count(scene.link_pages_per_s);
        let took = Duration::from_secs_f64(seconds) + exchange;
        sent += round_pages;
        way.learn(round_pages, took);
        let rest_pages = scene.dirtied(took);
        let standing = Standing {
            sent_pages: round_pages,
            rest_pages,
            way,
        };
        let step = model.after_round(&standing);
        if step != Step::Another {
            return Course {
                step,
                rounds,
                sent_pages: sent,
                rest_pages,
                rest: Duration::from_secs_f64(count(rest_pages) / count(scene.link_pages_per_s)),
            };
        }
        round_pages = rest_pages;
    }
}

/// Used 272 MB of which 256 MiB are hot, on a link of 1 Gb/s.
fn busy(written_per_s: u64) -> Scene {
    Scene {
        used_pages: 69_632,
        hot_pages: 65_536,
        written_per_s,
        link_pages_per_s: 28_000,
    }
}

const ALLOWED: Duration = Duration::from_millis(300);

#[test]
fn auto_with_an_idle_guest_stops_it_after_one_round() {
    let course = simulate(Mode::Auto, ALLOWED, busy(0));
    assert_eq!((course.step, course.rounds), (Step::Stop, 1));
}

#[test]
fn auto_with_a_guest_that_writes_less_than_the_link_carries_copies_until_nothing_is_left() {
    for written_per_s in [100, 2_000, 10_000] {
        let course = simulate(Mode::Auto, ALLOWED, busy(written_per_s));
        assert_eq!(course.step, Step::Stop, "{course:?}");
        assert!(course.rest <= NEXT_TO_NOTHING, "{course:?}");
        assert!(course.rounds <= 12, "{course:?}");
    }
}

#[test]
fn auto_with_a_guest_that_outruns_the_link_switches_after_one_round() {
    for written_per_s in [100_000, 1_000_000] {
        let course = simulate(Mode::Auto, ALLOWED, busy(written_per_s));
        assert_eq!(
            (course.step, course.rounds),
            (Step::Switch, 1),
            "{course:?}"
        );
    }
}

#[test]
fn auto_breaks_a_round_off_once_most_of_it_was_in_vain_and_no_other_mode_does() {
    let standing = |sent_pages, rest_pages| Standing {
        sent_pages,
        rest_pages,
        way: Way::default(),
    };
    let breaks = |mode, sent, rest| Model::new(mode, ALLOWED).breaks_off(&standing(sent, rest));
    assert!(breaks(Mode::Auto, 10_000, 5_001));
    assert!(!breaks(Mode::Auto, 10_000, 5_000));
    assert!(!breaks(Mode::Auto, 100, 100));
    assert!(!breaks(Mode::PreCopy, 10_000, 10_000));
    assert!(!breaks(Mode::Hybrid, 10_000, 10_000));
}

#[test]
fn pre_copy_that_does_not_converge_gives_up_soon() {
    let course = simulate(Mode::PreCopy, ALLOWED, busy(1_000_000));
    assert_eq!(course.step, Step::Stop);
    assert!(course.rounds <= 1 + MAX_STALLED_ROUNDS, "{course:?}");
}

#[test]
fn hybrid_has_one_round() {
    for written_per_s in [0, 1_000_000] {
        let course = simulate(Mode::Hybrid, ALLOWED, busy(written_per_s));
        assert_eq!((course.step, course.rounds), (Step::Switch, 1));
    }
}

#[test]
fn nothing_goes_in_no_time_over_a_link_of_unknown_rate_and_something_never() {
    let way = Way::default();
    assert_eq!(way.time_for(0), Duration::ZERO);
    assert_eq!(way.downtime(1), Duration::MAX);
}

#[test]
fn short_round_raises_the_rate_to_what_it_shows_and_never_lowers_it() {
    let took = Duration::from_millis(10);
    let mut way = Way::default();
    way.learn(100, took);
    assert_eq!(way.time_for(100), took);
    way.learn(RATE_PAGES, took);
    way.learn(1, took);
    assert_eq!(way.time_for(RATE_PAGES), took);
}

proptest! {
    #[test]
    fn every_migration_ends_within_bounds_and_stops_only_what_fits(
        used_mib in 1_u64..2048,
        hot_percent in 0_u64..=100,
        written_per_s in 0_u64..2_000_000,
        link_pages_per_s in 2_000_u64..1_000_000,
        allowed_ms in 1_u64..1000,
    ) {
        let used_pages = used_mib * 256;
        let scene = Scene {
            used_pages,
            hot_pages: used_pages * hot_percent / 100,
            written_per_s,
            link_pages_per_s,
        };
        let allowed = Duration::from_millis(allowed_ms);
        let auto = simulate(Mode::Auto, allowed, scene);
        prop_assert!(auto.rounds <= MAX_ROUNDS);
        // Each round but the last one left at most the paying share of what it found.
        prop_assert!(count(auto.sent_pages) <= 4.1 * count(used_pages));
        if auto.step == Step::Stop {
            prop_assert!(auto.rest <= allowed);
            prop_assert!(auto.rest <= NEXT_TO_NOTHING + Duration::from_millis(1));
        }
        let pre_copy = simulate(Mode::PreCopy, allowed, scene);
        prop_assert_eq!(pre_copy.step, Step::Stop);
        prop_assert!(pre_copy.rounds <= MAX_ROUNDS);
        prop_assert!(pre_copy.rest_pages <= scene.hot_pages);
    }
}
