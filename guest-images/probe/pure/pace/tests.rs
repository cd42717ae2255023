//! Tests of pacing and of the gaps.

use super::{GapMeter, Next, Pace};

const SECOND: u64 = 3_000_000_000;

/// Visits made in `ticks`, if a visit takes no time and sleeps end when they should.
fn visits(pace: &mut Pace, start: u64, ticks: u64) -> u64 {
    let (mut now, mut visits) = (start, 0);
    while now < start + ticks {
        match pace.next(now) {
            Next::Visit => visits += 1,
            Next::SleepUntil(until) => {
                assert!(until >= now + SECOND / 1000);
                now = until;
            }
        }
    }
    visits
}

#[test]
fn next_over_a_second_makes_the_visits_of_the_rate() {
    for (rate, processors, expected) in [
        (1, 1, 1),
        (7, 1, 7),
        (1000, 1, 1000),
        (123_457, 1, 123_457),
        (1000, 4, 250),
    ] {
        let mut pace = Pace::new(Some(rate), processors, SECOND, 5);
        let made = visits(&mut pace, 5, 10 * SECOND);
        let error = made.abs_diff(expected * 10);
        assert!(error <= 1 + expected / 100, "{made} visits at {rate}/s");
    }
}

#[test]
fn next_after_a_stall_makes_good_a_tenth_of_a_second_only() {
    let mut pace = Pace::new(Some(1000), 1, SECOND, 0);
    let now = 60 * SECOND;
    let made = (0..).take_while(|_| pace.next(now) == Next::Visit).count();
    assert!((100..=101).contains(&made), "{made} visits at once");
}

#[test]
fn next_after_the_counter_went_back_is_due_within_a_period() {
    let mut pace = Pace::new(Some(10), 1, SECOND, 60 * SECOND);
    assert_eq!(pace.next(60 * SECOND), Next::Visit);
    let Next::SleepUntil(until) = pace.next(SECOND) else {
        panic!("due at once")
    };
    assert!(until <= SECOND + SECOND / 10 + 1);
}

#[test]
fn next_without_a_rate_is_always_a_visit() {
    let mut pace = Pace::new(None, 1, SECOND, 100);
    assert!((0..10).all(|now| pace.next(now) == Next::Visit));
}

#[test]
fn gap_of_a_turn_is_the_time_since_the_turn_before() {
    let mut meter = GapMeter::new(100);
    assert_eq!([110, 150, 150].map(|now| meter.turn(now)), [10, 40, 0]);
}

#[test]
fn gap_of_a_sleep_is_how_late_it_ended() {
    let mut meter = GapMeter::new(100);
    meter.sleep_until(1000);
    assert_eq!(meter.turn(1003), 3);
    meter.sleep_until(2000);
    assert_eq!(meter.turn(1999), 0);
}
