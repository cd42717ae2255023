//! Self-ballooning against a guest that is simulated.

use proptest::prelude::*;

use super::*;

const MIB_PAGES: u64 = 256;

/// 1 GiB.
const MEMORY_PAGES: u64 = 1024 * MIB_PAGES;

/// What a guest's kernel keeps for itself.
const KERNEL_PAGES: u64 = 64 * MIB_PAGES;

/// How much a guest can inflate or deflate between two polls.
const BALLOON_SPEED_PAGES: u64 = 256 * MIB_PAGES;

/// A guest that uses some memory and moves its balloon towards the target. Like Linux with
/// deflate-on-OOM, it takes pages out by itself when it has none left.
#[derive(Debug)]
struct Guest {
    used: u64,
    cache: u64,
    actual: u64,
    target: u64,
    oom_deflations: u64,
}

impl Guest {
    fn new(used: u64, cache: u64) -> Self {
        Self {
            used,
            cache,
            actual: 0,
            target: 0,
            oom_deflations: 0,
        }
    }

    fn free(&self) -> u64 {
        MEMORY_PAGES - KERNEL_PAGES - self.used - self.cache - self.actual
    }

    /// Wants to use so much; drops cache first, then deflates. Whether there was enough at all.
    fn uses(&mut self, wanted: u64) -> bool {
        let room = |guest: &Self| guest.used + guest.free();
        if wanted > room(self) {
            self.cache -= self.cache.min(wanted - room(self));
        }
        if wanted > room(self) {
            let out = self.actual.min(wanted - room(self));
            self.actual -= out;
            self.oom_deflations += 1;
        }
        let fits = wanted <= room(self);
        self.used = wanted.min(room(self));
        fits
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            free_bytes: Some(self.free() * PAGE_BYTES),
            available_bytes: Some((self.free() + self.cache) * PAGE_BYTES),
            disk_caches_bytes: Some(self.cache * PAGE_BYTES),
            ..Statistics::default()
        }
    }

    /// Is polled, and does what it is told as far as it can.
    fn poll(&mut self, policy: &mut SelfBallooning) -> Option<Change> {
        let change = policy.poll(Observation {
            statistics: &self.statistics(),
            target_pages: u32::try_from(self.target).unwrap(),
            actual_pages: u32::try_from(self.actual).unwrap(),
            memory_pages: u32::try_from(MEMORY_PAGES).unwrap(),
        });
        if let Some(change) = change {
            self.target = u64::from(change.target_pages);
        }
        if self.actual < self.target {
            let room = (self.target - self.actual).min(self.free());
            self.actual += room.min(BALLOON_SPEED_PAGES);
        } else {
            self.actual -= (self.actual - self.target).min(BALLOON_SPEED_PAGES);
        }
        change
    }

    /// Is polled so often; how often the target changed.
    fn polls(&mut self, polls: u32, policy: &mut SelfBallooning) -> u32 {
        (0..polls)
            .map(|_| u32::from(self.poll(policy).is_some()))
            .sum()
    }
}

#[test]
fn idle_guest_gives_up_most_of_what_is_free_within_three_intervals_and_then_nothing_moves() {
    let mut guest = Guest::new(100 * MIB_PAGES, 50 * MIB_PAGES);
    let mut policy = SelfBallooning::new(SelfBallooningSettings::default());
    let free = guest.free();
    guest.polls(2 * POLLS_PER_INTERVAL - 1, &mut policy);
    assert_eq!(guest.actual, free - free * 5 / 100);
    guest.polls(POLLS_PER_INTERVAL + 1, &mut policy);
    assert_eq!(guest.free(), u64::from(least_reserve_pages(1024 * 256)));
    assert_eq!(guest.polls(1000, &mut policy), 0);
}

#[test]
fn reserve_is_twice_what_linux_keeps_free() {
    for (mib, reserve_mib) in [(64, 2), (1024, 8), (16 * 1024, 32)] {
        assert_eq!(least_reserve_pages(mib * 256), reserve_mib * 256);
    }
}

#[test]
fn page_cache_is_taken_as_far_as_it_need_not_be_kept() {
    let mut taken = Vec::new();
    for keep_cache_percent in [100, 50, 0] {
        let mut guest = Guest::new(0, 400 * MIB_PAGES);
        let settings = SelfBallooningSettings {
            keep_cache_percent,
            ..SelfBallooningSettings::default()
        };
        let mut policy = SelfBallooning::new(settings);
        guest.polls(POLLS_PER_INTERVAL, &mut policy);
        taken.push(guest.target);
    }
    let cache = 400 * MIB_PAGES;
    assert!((taken[1] - taken[0]).abs_diff(cache / 2 * 95 / 100) <= 1);
    assert!((taken[2] - taken[0]).abs_diff(cache * 95 / 100) <= 1);
}

#[test]
fn pressure_deflates_at_once_and_holds_off_for_ten_intervals() {
    let mut guest = Guest::new(0, 0);
    let mut policy = SelfBallooning::new(SelfBallooningSettings::default());
    guest.polls(3 * POLLS_PER_INTERVAL, &mut policy);
    let full = guest.actual;
    assert!(guest.uses(200 * MIB_PAGES));
    assert_eq!(guest.oom_deflations, 1);
    let change = guest.poll(&mut policy).unwrap();
    assert_eq!(change.reason, Reason::Deflated);
    assert!(guest.actual <= full * 3 / 4);
    assert_eq!(
        guest.polls(HOLD_OFF_INTERVALS * POLLS_PER_INTERVAL, &mut policy),
        0
    );
    let later = (0..2 * POLLS_PER_INTERVAL).find_map(|_| guest.poll(&mut policy));
    assert_eq!(later.unwrap().reason, Reason::Free);
}

#[test]
fn guest_that_grows_and_shrinks_for_hours_changes_its_target_a_few_times_a_cycle() {
    let mut guest = Guest::new(0, 20 * MIB_PAGES);
    let mut policy = SelfBallooning::new(SelfBallooningSettings::default());
    let cycles = 100;
    let mut changes = 0;
    for _ in 0..cycles {
        for used in [50, 400, 700, 300] {
            assert!(guest.uses(used * MIB_PAGES), "out of memory");
            changes += guest.polls(20 * POLLS_PER_INTERVAL, &mut policy);
        }
    }
    // Each of four levels is found within a few steps, and then nothing moves.
    assert!(changes <= 4 * 4 * cycles, "{changes} in {cycles} cycles");
}

#[test]
fn guest_that_grows_is_given_memory_before_it_runs_out() {
    let mut guest = Guest::new(0, 0);
    let mut policy = SelfBallooning::new(SelfBallooningSettings::default());
    guest.polls(3 * POLLS_PER_INTERVAL, &mut policy);
    let mut taken = 0;
    for used in (0..600).step_by(3) {
        assert!(guest.uses(used * MIB_PAGES));
        let before = guest.target;
        if let Some(change) = guest.poll(&mut policy) {
            assert_eq!(change.reason, Reason::Free);
            taken += u32::from(guest.target > before);
        }
    }
    assert_eq!((guest.oom_deflations, taken), (0, 0));
    assert!(
        guest.free() < 20 * MIB_PAGES,
        "{} pages are free",
        guest.free()
    );
}

#[test]
fn guest_whose_need_goes_up_and_down_has_memory_taken_at_most_every_other_interval() {
    let mut guest = Guest::new(0, 0);
    let mut policy = SelfBallooning::new(SelfBallooningSettings::default());
    guest.polls(3 * POLLS_PER_INTERVAL, &mut policy);
    let intervals = 100;
    let mut taken = 0;
    for poll in 0..intervals * POLLS_PER_INTERVAL {
        let used = u64::from(poll % 2) * 7 * MIB_PAGES;
        assert!(guest.uses(used));
        let before = guest.target;
        guest.poll(&mut policy);
        taken += u32::from(guest.target > before);
    }
    assert!(taken <= intervals / 2, "{taken} in {intervals} intervals");
}

#[test]
fn guest_that_needs_more_free_than_is_left_is_left_more_and_then_nothing_moves() {
    // Takes pages out of the balloon whenever less than this is free, as a kernel that cannot use all
    // that is free.
    let unusable = 20 * MIB_PAGES;
    let mut guest = Guest::new(700 * MIB_PAGES, 0);
    let mut policy = SelfBallooning::new(SelfBallooningSettings::default());
    let mut step = |guest: &mut Guest| {
        let change = guest.poll(&mut policy);
        let lacking = unusable.saturating_sub(guest.free()).min(guest.actual);
        guest.actual -= lacking;
        change
    };
    let intervals = |count: u32| 0..count * POLLS_PER_INTERVAL;
    let learning = intervals(50).filter_map(|_| step(&mut guest)).count();
    assert!(learning <= 12, "{learning} changes");
    let calm = intervals(CALM_INTERVALS - 30).filter_map(|_| step(&mut guest));
    assert_eq!(calm.count(), 0);
    assert!(guest.free() < MEMORY_PAGES * 6 / 100);
}

#[test]
fn guest_that_says_nothing_is_left_alone() {
    let mut policy = SelfBallooning::new(SelfBallooningSettings::default());
    for _ in 0..100 {
        let change = policy.poll(Observation {
            statistics: &Statistics::default(),
            target_pages: 0,
            actual_pages: 0,
            memory_pages: 1000,
        });
        assert_eq!(change, None);
    }
}

proptest! {
    #[test]
    fn whatever_a_guest_says_the_target_fits_its_memory(
        numbers in prop::collection::vec(prop::option::of(any::<u64>()), 60),
        pages in prop::collection::vec(any::<u32>(), 40),
        memory_pages in any::<u32>(),
        keep_cache_percent in 0_u8..=100,
    ) {
        let settings = SelfBallooningSettings { interval_ms: 10, keep_cache_percent };
        let mut policy = SelfBallooning::new(settings);
        for (said, pages) in numbers.chunks(3).zip(pages.chunks(2)) {
            let statistics = Statistics {
                free_bytes: said[0],
                available_bytes: said[1],
                disk_caches_bytes: said[2],
                major_faults: said[0],
                ..Statistics::default()
            };
            let target_pages = pages[0].min(memory_pages);
            let seen = Observation {
                statistics: &statistics,
                target_pages,
                actual_pages: pages[1],
                memory_pages,
            };
            if let Some(change) = policy.poll(seen) {
                prop_assert!(change.target_pages <= memory_pages);
            }
        }
    }

    #[test]
    fn no_load_runs_out_of_memory_that_fits_without_a_balloon(
        loads in prop::collection::vec((0_u64..900, 1_u32..60), 1..60),
    ) {
        let mut guest = Guest::new(0, 30 * MIB_PAGES);
        let mut policy = SelfBallooning::new(SelfBallooningSettings::default());
        for (used, polls) in loads {
            prop_assert!(guest.uses(used * MIB_PAGES));
            guest.polls(polls, &mut policy);
        }
    }
}
