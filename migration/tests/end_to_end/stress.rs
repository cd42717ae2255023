//! A million faults, pushes and reports at once: what was given up never comes back, and what was
//! not is never lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

use migration::{
    ArrivingMemory, Bandwidth, CancelToken, DestinationOptions, Outcome, PAGE_BYTES, PageIndex,
    PageRange, Prepaging, Progress, Report, SourceOptions, Streams, Verify, migrate,
};

use crate::machine::{FakeSource, Waiting, can_receive};
use crate::memory::{Kind, Memory, Page, content, expected, kind};

/// 32 MiB.
const PAGES: u64 = 1 << 13;

/// Pages of each block in turn; one is given up in two pieces.
const BLOCK_PAGES: [u64; 6] = [1, 3, 8, 20, 1, 600];

/// Threads of the guest that change blocks, each its own, and threads that look into any.
const OWNERS: usize = 3;
const LOOKERS: usize = 2;

/// How often an owner visits its blocks while memory arrives.
const MIN_PASSES: u64 = 2;
const MAX_PASSES: u64 = 6;

/// Faults, pushed pages, and pages reported while others arrive.
const EVENTS: u64 = 1_000_000;

/// Kinds of moves, done in turn.
const KINDS: usize = 4;

/// That one of them in which nothing is pushed before the guest is quiet.
const DEMANDS_ALONE: usize = 1;

const ZERO: Page = [0; PAGE_BYTES];

/// Pages that are changed together, and only by their owner.
struct Block {
    range: PageRange,
    /// Twice the number of changes, and one more during each.
    changes: AtomicU64,
    is_given_up_unseen: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    GiveUp,
    Write,
}

impl Block {
    /// The change with this number, from 1 on.
    fn change(&self, number: u64) -> Change {
        let chance = random(self.range.first().get() * 64 + number);
        match (number, self.is_given_up_unseen) {
            (1, true) => Change::GiveUp,
            _ if chance.is_multiple_of(2) => Change::GiveUp,
            _ => Change::Write,
        }
    }

    /// What a page of it holds after so many changes.
    fn content(&self, page: u64, changes: u64) -> Page {
        if changes == 0 {
            return expected(page);
        }
        match self.change(changes) {
            Change::GiveUp => ZERO,
            Change::Write => {
                let mut content = content(page);
                content[..8].copy_from_slice(&changes.to_le_bytes());
                content
            }
        }
    }

    fn pages(&self) -> impl Iterator<Item = u64> {
        self.range.iter().map(PageIndex::get)
    }

    /// The number of pages that do not hold what they held after so many changes.
    fn wrong(&self, memory: &Memory, changes: u64) -> u64 {
        let is_wrong = |page: &u64| memory.read(*page) != self.content(*page, changes);
        u64::try_from(self.pages().filter(is_wrong).count()).unwrap()
    }
}

/// The guest of one move.
struct Guest {
    blocks: Vec<Block>,
    owners_left: AtomicUsize,
    /// Pages given up while others arrived.
    reported: AtomicU64,
}

impl Guest {
    fn new() -> Self {
        let mut blocks = Vec::new();
        let mut first = 0;
        while first < PAGES {
            let number = blocks.len();
            let pages = BLOCK_PAGES[number % BLOCK_PAGES.len()].min(PAGES - first);
            let range = PageRange::within(PageIndex::new(first), pages, PAGES).unwrap();
            blocks.push(Block {
                range,
                changes: AtomicU64::new(0),
                is_given_up_unseen: number % 4 < 2,
            });
            first = range.end();
        }
        Self {
            blocks,
            owners_left: AtomicUsize::new(OWNERS),
            reported: AtomicU64::new(0),
        }
    }

    /// Pages whose content the guest may wait for: that of no other is ever to be sent on demand.
    fn may_be_demanded(&self) -> u64 {
        let seen = self.blocks.iter().filter(|block| !block.is_given_up_unseen);
        let pages = seen.flat_map(Block::pages);
        let content = pages.filter(|&page| kind(page) == Kind::Content);
        u64::try_from(content.count()).unwrap()
    }

    /// All threads of it; gives the number of pages that were found with a wrong content.
    fn play(&self, memory: &Memory, arriving: &ArrivingMemory) -> u64 {
        thread::scope(|scope| {
            let owners = (0..OWNERS).map(|number| {
                scope.spawn(move || {
                    let wrong = self.own(number, memory, arriving);
                    self.owners_left.fetch_sub(1, Ordering::AcqRel);
                    wrong
                })
            });
            let mut threads: Vec<_> = owners.collect();
            let lookers = (0..LOOKERS).map(|number| scope.spawn(move || self.look(number, memory)));
            threads.extend(lookers);
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        })
    }

    /// Changes its blocks in a scattered order, and reads them before and after.
    fn own(&self, number: usize, memory: &Memory, arriving: &ArrivingMemory) -> u64 {
        let mut wrong = 0;
        for pass in 0..MAX_PASSES {
            let mut is_arriving = true;
            for visit in 0..self.blocks.len() {
                // Prime, and no divisor of the number of blocks.
                let at = visit * 7919 % self.blocks.len();
                if at % OWNERS != number {
                    continue;
                }
                let block = &self.blocks[at];
                let changes = block.changes.load(Ordering::Relaxed) / 2;
                let is_first = changes == 0;
                if is_first != block.is_given_up_unseen || !is_first && at.is_multiple_of(3) {
                    wrong += block.wrong(memory, changes);
                }
                is_arriving = self.change(block, memory, arriving);
                if !(at + usize::try_from(pass).unwrap()).is_multiple_of(4) {
                    wrong += block.wrong(memory, changes + 1);
                }
            }
            if !is_arriving && pass + 1 >= MIN_PASSES {
                break;
            }
        }
        wrong
    }

    /// Does what is next with a block; says whether memory is arriving, if that is found out.
    fn change(&self, block: &Block, memory: &Memory, arriving: &ArrivingMemory) -> bool {
        let before = block.changes.load(Ordering::Relaxed);
        block.changes.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let number = before / 2 + 1;
        let mut is_arriving = true;
        match block.change(number) {
            Change::GiveUp => match arriving.give_up(block.range) {
                Some(given_up) => {
                    given_up.unwrap();
                    let pages = block.range.pages();
                    self.reported.fetch_add(pages, Ordering::Relaxed);
                }
                None => {
                    is_arriving = false;
                    block.pages().for_each(|page| memory.discard(page));
                }
            },
            Change::Write => {
                for page in block.pages() {
                    memory.write(page, &block.content(page, number));
                }
            }
        }
        block.changes.store(before + 2, Ordering::Release);
        is_arriving
    }

    /// Looks into any page while it may be given up, touched, written, or arrive.
    fn look(&self, number: usize, memory: &Memory) -> u64 {
        let mut wrong = 0;
        let mut state = u64::try_from(number).unwrap();
        while self.owners_left.load(Ordering::Acquire) > 0 {
            state = random(state);
            let at = state % u64::try_from(self.blocks.len()).unwrap();
            let block = &self.blocks[usize::try_from(at).unwrap()];
            let before = block.changes.load(Ordering::Acquire);
            if block.is_given_up_unseen && before < 2 {
                // Its owner is the one to go on.
                thread::yield_now();
                continue;
            }
            let page = block.range.first().get() + (state >> 32) % block.range.pages();
            let found = memory.read(page);
            fence(Ordering::Acquire);
            let is_stable =
                before.is_multiple_of(2) && block.changes.load(Ordering::Relaxed) == before;
            wrong += u64::from(is_stable && found != block.content(page, before / 2));
        }
        wrong
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn random(state: u64) -> u64 {
    let mut value = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// What happened in all moves.
#[derive(Debug, Default)]
struct Events {
    moves: u64,
    faults: u64,
    pushed: u64,
    reported: u64,
    /// Those of the reported that had not come yet.
    unseen: u64,
    /// Pages that could have been demanded beyond those that were, where nothing is pushed.
    room: u64,
}

impl Events {
    fn total(&self) -> u64 {
        self.faults + self.pushed + self.reported
    }

    /// Moves the VM once, and checks every page and every count.
    fn add_move(&mut self, kind: usize, source: &Arc<Memory>) {
        let guest = Arc::new(Guest::new());
        let playing = Arc::clone(&guest);
        let waiting = Waiting::start_playing(
            DestinationOptions::default(),
            Arc::new(move |memory, arriving| playing.play(memory, arriving)),
        );
        let vm = FakeSource::new(Arc::clone(source));
        let mut options = SourceOptions::new(waiting.address.to_string());
        options.verify = Verify::On;
        options.streams = Streams::new([4, 1, 3, 8][kind]).ok();
        match kind {
            DEMANDS_ALONE => {
                options.send_plan.prepaging = Prepaging::None;
                options.drain_after = Duration::from_millis(20);
            }
            2 => options.bandwidth = Bandwidth::new(1_000_000_000),
            3 => options.send_plan.prepaging = Prepaging::Push,
            _ => {}
        }
        let cancel = CancelToken::new().unwrap();
        let report = migrate(&vm, &options, &|_: &Progress| {}, &cancel).unwrap();
        let arrived = waiting.arrived.clone();
        let unseen = waiting.join().unwrap().outcome.unwrap().given_up_pages;
        let threads = arrived.guest.lock().unwrap().take().unwrap();
        assert_eq!(threads.join().unwrap(), 0, "pages with wrong content");
        let memory = arrived.memory.lock().unwrap().take().unwrap();
        for block in &guest.blocks {
            let changes = block.changes.load(Ordering::Acquire) / 2;
            assert_eq!(block.wrong(&memory, changes), 0, "{:?}", block.range);
        }
        self.count(kind, &report, &guest);
        self.unseen += unseen;
    }

    fn count(&mut self, kind: usize, report: &Report, guest: &Guest) {
        let (pages, faults) = (&report.pages, &report.faults);
        assert_eq!(report.outcome, Outcome::Completed);
        assert!(report.verified);
        // What is given up before it comes is not fetched, however often it is touched after. On
        // demand alone nearly everything else is, so that there is little room for more.
        let most = guest.may_be_demanded();
        assert!(pages.demanded <= most, "{pages:?}, not {most}");
        if kind == DEMANDS_ALONE {
            self.room += most - pages.demanded;
        }
        self.moves += 1;
        self.faults += faults.network + faults.underway;
        self.pushed += pages.pushed;
        self.reported += guest.reported.load(Ordering::Acquire);
    }
}

#[test]
fn million_concurrent_faults_pushes_and_reports_lose_nothing_and_bring_nothing_back() {
    if !can_receive() {
        return;
    }
    let began = Instant::now();
    let source = Memory::filled(PAGES);
    let mut events = Events::default();
    for kind in (0..KINDS).cycle() {
        events.add_move(kind, &source);
        if events.total() >= EVENTS && kind + 1 == KINDS {
            break;
        }
    }
    println!(
        "{} events in {:?}: {events:?}",
        events.total(),
        began.elapsed()
    );
    assert!(events.faults.min(events.pushed).min(events.reported) >= EVENTS / 50);
    assert!(events.unseen > 0);
}
