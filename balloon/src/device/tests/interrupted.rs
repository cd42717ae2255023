//! Balloons that are saved and restored between any two requests, against ones that are not.

use devices::virtio::VirtioTransport;
use proptest::prelude::*;

use super::*;

const QUEUES: [QueueIndex; 4] = [INFLATE, DEFLATE, STATISTICS, REPORTING];

/// The pages that requests are about; their lists are elsewhere.
const FIRST_PAGE: u32 = 512;

/// Room for the list of one request.
const LIST_BYTES: u64 = 64;

/// What a driver offers, or its host asks for.
#[derive(Clone, Debug)]
enum Request {
    Inflate(Vec<u32>),
    Deflate(Vec<u32>),
    Report(Vec<(u32, u32)>),
    /// The statistics buffer, with this value, if the driver has it.
    Statistics(u64),
    AskForStatistics,
    SetTarget(u32),
    WriteActual(u32),
}

/// When the device gets to know of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kick {
    Now,
    /// With the next one of that queue, or when the device goes on after a pause.
    Later,
}

type Step = (Request, Kick);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let page = FIRST_PAGE..1000_u32;
    let pages = prop::collection::vec(page.clone(), 1..12);
    let request = prop_oneof![
        4 => pages.clone().prop_map(Request::Inflate),
        3 => pages.prop_map(Request::Deflate),
        3 => prop::collection::vec((page, 1..20_u32), 1..4).prop_map(Request::Report),
        2 => any::<u64>().prop_map(Request::Statistics),
        2 => Just(Request::AskForStatistics),
        1 => any::<u32>().prop_map(Request::SetTarget),
        1 => any::<u32>().prop_map(Request::WriteActual),
    ];
    let kick = prop_oneof![Just(Kick::Now), Just(Kick::Later)];
    prop::collection::vec((request, kick), 1..16)
}

/// Everything that a driver, its host, and whoever discards have seen.
#[derive(Debug, PartialEq)]
struct Seen {
    used: Vec<(QueueIndex, u32, u32)>,
    discarded: Vec<PfnRange>,
    given_up: Vec<PfnRange>,
    status: BalloonStatus,
}

/// A driver that keeps its requests apart, so that the device may be late.
struct Driver {
    rig: Rig,
    used: Vec<(QueueIndex, u32, u32)>,
    lists: u64,
    has_statistics_buffer: bool,
}

impl Driver {
    fn new() -> Self {
        Self {
            rig: Rig::started(),
            used: Vec::new(),
            lists: 0,
            has_statistics_buffer: true,
        }
    }

    fn offer_list(&mut self, queue: QueueIndex, bytes: &[u8]) {
        let address = FREE_MEMORY + self.lists * LIST_BYTES;
        self.lists += 1;
        let driver = &mut self.rig.driver;
        let memory = &driver.memory;
        memory.write_slice(bytes, GuestAddress(address)).unwrap();
        let len_bytes = u32::try_from(bytes.len()).unwrap();
        driver.offer(queue, &[Buffer(address, len_bytes, Access::Readable)]);
    }

    fn take(&mut self, (request, kick): &Step) {
        let pages = |pages: &[u32]| -> Vec<u8> {
            let bytes = pages.iter().flat_map(|page| page.to_le_bytes());
            bytes.collect()
        };
        let queue = match request {
            Request::Inflate(list) => {
                self.offer_list(INFLATE, &pages(list));
                INFLATE
            }
            Request::Deflate(list) => {
                self.offer_list(DEFLATE, &pages(list));
                DEFLATE
            }
            Request::Report(ranges) => {
                let buffers: Vec<_> = ranges
                    .iter()
                    .map(|&(page, pages)| {
                        Buffer(u64::from(page) << 12, pages << 12, Access::Writable)
                    })
                    .collect();
                self.rig.driver.offer(REPORTING, &buffers);
                REPORTING
            }
            Request::Statistics(value) => {
                if std::mem::take(&mut self.has_statistics_buffer) {
                    // Tag 4: free memory.
                    let entry = [&[4, 0][..], &value.to_le_bytes()].concat();
                    self.offer_list(STATISTICS, &entry);
                }
                STATISTICS
            }
            Request::AskForStatistics => {
                self.rig.handle.request_statistics();
                self.rig.driver.run_events();
                return;
            }
            Request::SetTarget(pages) => return self.rig.handle.set_target(*pages),
            Request::WriteActual(pages) => return self.rig.driver.write(ACTUAL, *pages),
        };
        if *kick == Kick::Now {
            self.rig.driver.kick(queue);
        }
    }

    fn look(&mut self) {
        for queue in QUEUES {
            for (head, len_bytes) in self.rig.driver.take_used(queue) {
                self.used.push((queue, head, len_bytes));
                self.has_statistics_buffer |= queue == STATISTICS;
            }
        }
    }

    /// Goes on with another device made of the state of this one.
    fn move_on(mut self) -> Self {
        self.rig = self.rig.moved();
        self.rig.driver.transport.resume();
        self.rig.driver.run_events();
        self
    }

    /// What going on makes of a device that stays.
    fn kick_all(mut self) -> Self {
        for queue in QUEUES {
            self.rig.driver.kick(queue);
        }
        self
    }

    fn end(mut self) -> Seen {
        self = self.kick_all();
        self.look();
        assert!(!self.rig.needs_reset());
        Seen {
            used: self.used,
            discarded: self.rig.discarded(),
            given_up: self.rig.handle.given_up(),
            status: self.rig.status(),
        }
    }
}

/// Takes `steps`, and does `at_points` before those that `is_point` names.
fn run(
    steps: &[Step],
    is_point: impl Fn(usize) -> bool,
    at_points: impl Fn(Driver) -> Driver,
) -> Seen {
    let mut driver = Driver::new();
    for (number, step) in steps.iter().enumerate() {
        if is_point(number) {
            driver = at_points(driver);
            driver.look();
        }
        driver.take(step);
        driver.look();
    }
    if is_point(steps.len()) {
        driver = at_points(driver);
    }
    driver.end()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn balloon_moved_between_any_two_requests_ends_as_one_that_stays(steps in steps()) {
        for point in 0..=steps.len() {
            let moved = run(&steps, |number| number == point, Driver::move_on);
            let stayed = run(&steps, |number| number == point, Driver::kick_all);
            prop_assert_eq!(moved, stayed, "moved before step {}", point);
        }
        let moved = run(&steps, |_| true, Driver::move_on);
        let stayed = run(&steps, |_| true, Driver::kick_all);
        prop_assert_eq!(moved, stayed, "moved before every step");
    }
}
