//! Guests that give memory up while it arrives: what they gave up never comes back.

use std::sync::Arc;
use std::thread;

use migration::{
    ArrivingMemory, Bandwidth, DestinationOptions, Mode, PAGE_BYTES, PageIndex, PageRange, Report,
    SourceOptions, Streams,
};

use crate::machine::{Waiting, can_receive, written};
use crate::memory::{Kind, Memory, expected, kind};
use crate::recovery::move_cut;

/// 64 MiB.
const PAGES: u64 = 1 << 14;

/// Pages that are given up, or kept, together.
const BLOCK_PAGES: u64 = 16;

/// How often each block that is given up is.
const TIMES: u64 = 3;

const ZERO: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

fn is_given_up(page: u64) -> bool {
    (page / BLOCK_PAGES).is_multiple_of(2)
}

/// What the guest leaves in a page.
fn left(page: u64) -> [u8; PAGE_BYTES] {
    if is_given_up(page) && page.is_multiple_of(2) {
        ZERO
    } else {
        written(page)
    }
}

/// Three vCPUs: one gives every other block up, several times, and uses it again; one uses the
/// others; one looks into what is being given up. Gives the number of pages with wrong content.
fn play_guest(memory: &Memory, arriving: &ArrivingMemory) -> u64 {
    thread::scope(|scope| {
        let giver = scope.spawn(|| give(memory, arriving));
        let keeper = scope.spawn(|| keep(memory));
        let looker = scope.spawn(|| look(memory));
        giver.join().unwrap() + keeper.join().unwrap() + looker.join().unwrap()
    })
}

/// The pages of `0..pages` in a scattered order.
fn scattered(pages: u64) -> impl Iterator<Item = u64> {
    // Odd, and so prime to any power of two: a walk over all pages.
    (0..pages).map(move |visit| visit * 7919 % pages)
}

fn give(memory: &Memory, arriving: &ArrivingMemory) -> u64 {
    let mut wrong = 0;
    for _ in 0..TIMES {
        for block in scattered(memory.pages() / BLOCK_PAGES).filter(|block| block % 2 == 0) {
            let first = block * BLOCK_PAGES;
            let range = PageRange::within(PageIndex::new(first), BLOCK_PAGES, memory.pages());
            match arriving.give_up(range.unwrap()) {
                Some(given_up) => given_up.unwrap(),
                None => (first..first + BLOCK_PAGES).for_each(|page| memory.discard(page)),
            }
            for page in first..first + BLOCK_PAGES {
                wrong += u64::from(memory.read(page) != ZERO);
                memory.write(page, &left(page));
            }
        }
    }
    wrong
}

fn keep(memory: &Memory) -> u64 {
    let mut wrong = 0;
    for page in scattered(memory.pages()).filter(|&page| !is_given_up(page)) {
        wrong += u64::from(memory.read(page) != expected(page));
        memory.write(page, &written(page));
    }
    wrong
}

fn look(memory: &Memory) -> u64 {
    let is_right = |page: u64| {
        let found = memory.read(page);
        let wholes = [ZERO, expected(page), written(page)];
        // The giver may be anywhere in the middle of writing it.
        let mut words = (0..PAGE_BYTES).step_by(8).map(|start| start..start + 8);
        words.all(|word| {
            wholes
                .iter()
                .any(|whole| whole[word.clone()] == found[word.clone()])
        })
    };
    let looked = scattered(memory.pages()).filter(|&page| is_given_up(page));
    looked.map(|page| u64::from(!is_right(page))).sum()
}

/// Moves a VM whose guest gives memory up, through a relay that is cut after so many bytes of each
/// lap, and checks every page; tells how many were given up before they came.
fn move_giving(
    cuts: impl IntoIterator<Item = u64>,
    adjust: impl FnOnce(&mut SourceOptions),
) -> (Report, u64) {
    let waiting = Waiting::start_playing(DestinationOptions::default(), Arc::new(play_guest));
    let (report, theirs, memory) = move_cut(waiting, cuts, PAGES, adjust);
    for page in 0..PAGES {
        assert!(memory.read(page) == left(page), "page {page}");
    }
    (report, theirs.given_up_pages)
}

/// Content pages that need not be sent.
fn content_given_up() -> u64 {
    let given_up = (0..PAGES).filter(|&page| is_given_up(page) && kind(page) == Kind::Content);
    u64::try_from(given_up.count()).unwrap()
}

fn content() -> u64 {
    let content = (0..PAGES).filter(|&page| kind(page) == Kind::Content);
    u64::try_from(content.count()).unwrap()
}

#[test]
fn pages_given_up_while_they_are_missing_are_not_sent_and_read_as_zero() {
    if !can_receive() {
        return;
    }
    let (report, given_up) = move_giving([], |options| {
        options.bandwidth = Bandwidth::new(20_000_000);
    });
    let (sent, least) = (report.pages.transferred, content() - content_given_up());
    // What is looked into before it is given up has to be sent.
    let most = content() - content_given_up() / 4;
    assert!((least..most).contains(&sent), "{least}, {sent}, {most}");
    assert!(given_up >= content_given_up() / 4, "{given_up}");
}

#[test]
fn pages_given_up_in_the_middle_of_a_fast_move_never_come_back() {
    if !can_receive() {
        return;
    }
    for streams in [1, 4] {
        for mode in [Mode::PostCopy, Mode::Hybrid] {
            move_giving([], |options| {
                options.streams = Streams::new(streams).ok();
                options.mode = mode;
            });
        }
    }
}

#[test]
fn pages_given_up_between_cuts_never_come_back_and_the_digests_agree() {
    if !can_receive() {
        return;
    }
    let (report, given_up) = move_giving([1 << 20, 3 << 20, 100, 2 << 20, 77_777], |options| {
        options.bandwidth = Bandwidth::new(400_000_000);
    });
    assert!(report.reconnects >= 3, "{}", report.reconnects);
    assert!(given_up > 0);
}
