//! Streams in virtual time: whatever is read and whenever, what is forwarded obeys the rules.

mod stream;

use std::num::NonZeroU64;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};

use stream::Stream;

use super::{MAX_WINDOW_BYTES, QUEUE_BYTES, Room, SLACK_BYTES, Schedule, Step, StreamEnd};
use crate::relay::bucket::passing_time;
use crate::relay::policy::Policy;
use crate::relay::script::Strike;
use crate::relay::{Cut, Direction, Effect, Plan, When};

const SEED: u64 = 17;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn gigabit() -> Effect {
    let bits_per_s = NonZeroU64::new(1_000_000_000).unwrap();
    Effect::Rate { bits_per_s }
}

fn schedule(effects: impl IntoIterator<Item = Effect>) -> Schedule {
    let plan = effects.into_iter().fold(Plan::new(SEED), Plan::rule);
    Schedule::new(Policy::new(plan).script(0, Direction::ToServer, Duration::ZERO))
}

/// How much is read or forwarded at once, in turn: never so little that there are too many parcels.
fn limits() -> impl Strategy<Value = Vec<u64>> {
    vec(
        prop_oneof![16..200_u64, 1_000..100_000_u64, Just(1_000_000)],
        1..20,
    )
}

proptest! {
    #[test]
    fn stream_with_delay_and_jitter_keeps_them_as_bounds(
        limits in limits(),
        length in 1..60_000_u64,
        delay_us in 0..5_000_u64,
        jitter_us in 0..5_000_u64,
    ) {
        let (delay, jitter) = (Duration::from_micros(delay_us), Duration::from_micros(jitter_us));
        let mut stream = Stream::new(
            schedule([Effect::Delay(delay), Effect::Jitter(jitter)]),
            length,
        );
        stream.run(&limits);
        prop_assert_eq!(stream.forwarded_bytes(), length);
        prop_assert!(stream.held_bytes <= stream.schedule.window_bytes());
        for batch in &stream.forwarded {
            let last = batch.first + batch.bytes - 1;
            prop_assert!(batch.at >= Stream::time_in(&stream.read, last) + delay);
            prop_assert!(batch.at <= Stream::time_in(&stream.read, batch.first) + delay + jitter);
        }
        let (at, step) = stream.finish.unwrap();
        prop_assert_eq!(step, Step::End(StreamEnd::Fin));
        prop_assert!(at >= stream.read.last().unwrap().at + delay);
    }

    #[test]
    fn stream_with_rate_is_as_fast_as_that_and_no_faster(
        limits in limits(),
        length in 1..400_000_u64,
        bits_per_s in 1_000_000..10_000_000_000_u64,
        delay_us in 0..2_000_u64,
    ) {
        let rate = NonZeroU64::new(bits_per_s).unwrap();
        let delay = Duration::from_micros(delay_us);
        let effects = [Effect::Delay(delay), Effect::Rate { bits_per_s: rate }];
        let mut stream = Stream::new(schedule(effects), length);
        stream.now = ms(1);
        stream.run(&limits);
        prop_assert_eq!(stream.forwarded_bytes(), length);
        prop_assert!(stream.held_bytes <= stream.schedule.window_bytes());
        let took = stream.finish.unwrap().0 - ms(1);
        let passing = passing_time(length, rate);
        prop_assert!(took >= passing + delay, "{:?} for {:?}", took, passing);
        // Rounding costs up to 1 ns for each parcel, and there is one for each read at least.
        let rounding = Duration::from_nanos(stream.read.len() as u64 + length / 1000);
        prop_assert!(took <= passing + delay + rounding, "{:?} for {:?}", took, passing);
    }

    #[test]
    fn stream_that_waits_at_a_link_makes_up_for_late_wake_ups(
        lateness_us in vec(0..20_000_u64, 1..20),
        length in 1..3_000_000_u64,
        bits_per_s in 1_000_000..10_000_000_000_u64,
    ) {
        let rate = NonZeroU64::new(bits_per_s).unwrap();
        let mut stream = Stream::new(schedule([Effect::Rate { bits_per_s: rate }]), length);
        stream.lateness = lateness_us.into_iter().map(Duration::from_micros).collect();
        stream.run(&[u64::MAX]);
        prop_assert_eq!(stream.forwarded_bytes(), length);
        let took = stream.finish.unwrap().0;
        let passing = passing_time(length, rate);
        let rounding = Duration::from_nanos(stream.read.len() as u64 + length / 1000);
        prop_assert!(took >= passing);
        prop_assert!(took <= passing + ms(20) + rounding, "{:?} for {:?}", took, passing);
    }

    #[test]
    fn stream_with_strike_at_a_byte_forwards_just_those_before(
        limits in limits(),
        length in 1..60_000_u64,
        at in 0..80_000_u64,
        delay_us in 0..1_000_u64,
    ) {
        let strike = Effect::Cut { at: When::Byte(at), how: Cut::Reset };
        let effects = [strike, gigabit(), Effect::Delay(Duration::from_micros(delay_us))];
        let mut stream = Stream::new(schedule(effects), length);
        stream.run(&limits);
        prop_assert_eq!(stream.forwarded_bytes(), length.min(at));
        prop_assert_eq!(stream.read_bytes(), length.min(at));
        let expected = if at <= length {
            Step::Strike(Strike::Cut(Cut::Reset))
        } else {
            Step::End(StreamEnd::Fin)
        };
        prop_assert_eq!(stream.finish.unwrap().1, expected);
    }

    #[test]
    fn stream_with_stall_at_a_byte_holds_it_and_all_behind(
        limits in limits(),
        length in 1..60_000_u64,
        at in 0..60_000_u64,
        stall_ms in 1..1_000_u64,
    ) {
        let stall = Effect::Stall { at: When::Byte(at), lasting: ms(stall_ms) };
        let mut stream = Stream::new(schedule([stall]), length);
        stream.run(&limits);
        prop_assert_eq!(stream.forwarded_bytes(), length);
        for batch in &stream.forwarded {
            let before = batch.first + batch.bytes <= at;
            prop_assert!(before || batch.first >= at);
            prop_assert_eq!(batch.at, if before { Duration::ZERO } else { ms(stall_ms) });
        }
    }
}

#[test]
fn room_with_a_sink_that_takes_nothing_ends_with_the_window() {
    for (effects, window) in [
        (vec![], SLACK_BYTES),
        (vec![gigabit()], 2 * QUEUE_BYTES),
        (
            vec![gigabit(), Effect::Delay(ms(4))],
            500_000 + 2 * QUEUE_BYTES,
        ),
        (
            vec![gigabit(), Effect::Delay(ms(4)), Effect::Jitter(ms(1))],
            625_000 + 2 * QUEUE_BYTES,
        ),
        (vec![Effect::Delay(Duration::MAX)], MAX_WINDOW_BYTES),
    ] {
        let mut stream = Stream::new(schedule(effects), u64::MAX);
        assert_eq!(stream.schedule.window_bytes(), window);
        while stream.read_bytes() < window {
            match stream.schedule.room(stream.now) {
                Room::Bytes(_) => stream.read(u64::MAX),
                Room::From(time) => stream.now = time,
                Room::None => panic!("full after {} of {window}", stream.read_bytes()),
            }
        }
        assert_eq!(stream.read_bytes(), window);
        assert_eq!(stream.schedule.room(ms(100_000)), Room::None);
    }
}

#[test]
fn room_before_a_busy_link_comes_with_the_next_departure() {
    let mut stream = Stream::new(schedule([gigabit()]), u64::MAX);
    stream.read(u64::MAX);
    assert_eq!(stream.read_bytes(), QUEUE_BYTES);
    let departs = Duration::from_nanos(16_384 * 8);
    assert_eq!(stream.schedule.room(stream.now), Room::From(departs));
    assert_eq!(stream.schedule.room(departs), Room::Bytes(16_384));
}

#[test]
fn link_that_was_idle_makes_up_for_nothing() {
    let mut stream = Stream::new(schedule([gigabit()]), u64::MAX);
    let passing = Duration::from_nanos(32_768 * 8);
    for second in 1..4 {
        let sent = ms(1_000 * second);
        stream.now = sent;
        stream.read(QUEUE_BYTES);
        stream.schedule.drained();
        while let Some(time) = stream.forward(u64::MAX) {
            stream.now = time;
        }
        assert_eq!(stream.now, sent + passing);
        assert_eq!(stream.forwarded_bytes(), QUEUE_BYTES * second);
    }
}

#[test]
fn link_that_waited_for_the_sink_makes_up_for_nothing() {
    let mut stream = Stream::new(schedule([gigabit()]), u64::MAX);
    while stream.schedule.room(stream.now) != Room::None {
        match stream.schedule.room(stream.now) {
            Room::From(time) => stream.now = time,
            _ => stream.read(u64::MAX),
        }
    }
    stream.now += ms(10);
    assert_eq!(stream.schedule.room(stream.now), Room::None);
    stream.forward(u64::MAX);
    assert!(!stream.schedule.is_backlogged(stream.now));
    stream.read(1_000);
    assert_eq!(
        stream.forward(u64::MAX),
        Some(stream.now + Duration::from_micros(8))
    );
}

#[test]
fn stall_at_a_time_holds_what_arrives_meanwhile() {
    let stall = |from, lasting| Effect::Stall {
        at: When::After(ms(from)),
        lasting: ms(lasting),
    };
    let mut stream = Stream::new(schedule([stall(18, 10), stall(10, 10), stall(50, 1)]), 100);
    for (at, forwarded_at) in [(9, 9), (10, 28), (40, 40), (50, 51)] {
        stream.now = stream.now.max(ms(at));
        stream.read(10);
        while let Some(time) = stream.forward(u64::MAX) {
            stream.now = time;
        }
        assert_eq!(stream.now, ms(forwarded_at));
    }
}

#[test]
fn strike_at_a_time_does_not_wait_for_bytes() {
    let at = When::After(ms(7));
    let at_the_end = Effect::Cut {
        at: When::Byte(50),
        how: Cut::Reset,
    };
    let effects = [Effect::HalfClose { at }, at_the_end, Effect::Delay(ms(10))];
    let mut stream = Stream::new(schedule(effects), 100);
    stream.read(50);
    assert_eq!(stream.forward(u64::MAX), Some(ms(7)));
    assert_eq!(stream.schedule.next(ms(7)), Step::Strike(Strike::HalfClose));
    assert_eq!(stream.schedule.abandon(), 50);
    assert_eq!(stream.schedule.next(ms(100)), Step::Idle);
}

#[test]
fn follow_ends_the_old_stall_and_begins_the_new_one() {
    let forever = Effect::Stall {
        at: When::Byte(10),
        lasting: Duration::MAX,
    };
    let mut stream = Stream::new(schedule([forever]), 30);
    stream.read(20);
    assert_eq!(stream.forward(u64::MAX), Some(Duration::MAX));
    assert_eq!(stream.forwarded_bytes(), 10);

    let now = Effect::Stall {
        at: When::After(Duration::ZERO),
        lasting: ms(5),
    };
    let too_late = Effect::Cut {
        at: When::Byte(19),
        how: Cut::Fin,
    };
    let plan = Plan::new(SEED).rule(now).rule(too_late);
    let script = Policy::new(plan).script(0, Direction::ToServer, Duration::ZERO);
    stream.schedule.follow(script);
    assert_eq!(stream.forward(u64::MAX), Some(ms(5)));
    stream.run(&[u64::MAX]);
    assert_eq!(stream.forwarded_bytes(), 30);
    assert_eq!(stream.finish, Some((ms(5), Step::End(StreamEnd::Fin))));
}

#[test]
fn end_by_reset_replaces_one_by_fin() {
    let mut schedule = schedule([Effect::Delay(ms(3))]);
    schedule.end(StreamEnd::Fin, ms(0));
    schedule.end(StreamEnd::Reset, ms(1));
    schedule.end(StreamEnd::Fin, ms(9));
    assert_eq!(schedule.next(ms(3)), Step::Wait(ms(4)));
    assert_eq!(schedule.next(ms(4)), Step::End(StreamEnd::Reset));
    assert_eq!(schedule.next(ms(99)), Step::Idle);
}
