//! The command line: words `key=value` of our own among those meant for kernels, which are ignored.

#[cfg(test)]
mod tests;

use super::frames::FRAME_BYTES;
use super::pattern::WORDS;
use super::virtio::Kind;

/// Bytes in a page.
pub const PAGE_BYTES: u64 = WORDS as u64 * 8;

/// The most reads that may be under way at once.
pub const MOST_READS: usize = 32;

/// The largest read: our choice, because Linux reads ahead by so much (`read_ahead_kb`).
const MOST_READ_BYTES: u64 = 128 << 10;

/// The most arrays that `procs` may ask for (the paper's largest Quicksort run has 128 processes).
pub const MOST_PROCS: usize = 128;

/// Our choice: because it is the size the examples use, and quick to fill; but no more than half of
/// what there is room for.
const DEFAULT_WORKING_SET_BYTES: u64 = 256 << 20;

/// The most lines in a second: our choice, because one takes about a millisecond where an exit is slow.
const MOST_LINES_PER_S: u64 = 1000;

/// What the guest does with its working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Nothing: it leaves the working set untouched and prints its lines.
    Idle,
    /// Checks one page after the other.
    SeqRead,
    /// Checks and rewrites one page after the other.
    SeqWrite,
    /// Checks pages drawn evenly, and rewrites every second one.
    Random,
    /// Checks pages drawn after Zipf's law, and rewrites every second one.
    Zipf,
    /// Checks the page that the page before it names.
    Chase,
    /// Sorts `procs` arrays that share the working set.
    Quicksort,
    /// Uses more and more pages of the working set, then fewer and fewer.
    GrowShrink,
    /// Reads the disk from its beginning to its end.
    DiskSeq,
    /// Reads blocks of the disk drawn evenly.
    DiskRandom,
    /// Sends frames by the network card.
    NetSend,
    /// Receives frames from it.
    NetReceive,
}

const WORKLOADS: [(&str, Workload); 12] = [
    ("idle", Workload::Idle),
    ("seq-read", Workload::SeqRead),
    ("seq-write", Workload::SeqWrite),
    ("random", Workload::Random),
    ("zipf", Workload::Zipf),
    ("chase", Workload::Chase),
    ("quicksort", Workload::Quicksort),
    ("grow-shrink", Workload::GrowShrink),
    ("disk-seq", Workload::DiskSeq),
    ("disk-random", Workload::DiskRandom),
    ("net-send", Workload::NetSend),
    ("net-receive", Workload::NetReceive),
];

impl Workload {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        WORKLOADS
            .iter()
            .find(|(_, workload)| *workload == self)
            .map_or("", |(name, _)| name)
    }

    /// The device that it is about, if it is about one and nothing else.
    #[must_use]
    pub fn device(self) -> Option<Kind> {
        match self {
            Self::DiskSeq | Self::DiskRandom => Some(Kind::Disk),
            Self::NetSend | Self::NetReceive => Some(Kind::Card),
            _ => None,
        }
    }
}

/// What is done with a balloon, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalloonUse {
    /// It is filled as its device wants, and pages that became free are reported.
    Follow,
    /// Only commands move pages; statistics are sent all the same.
    Manual,
    /// The device is left alone.
    Off,
}

/// A valid command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// `workload=`, idle if not given.
    pub workload: Workload,
    /// `ws=`: size of the working set; 256 MiB if not given, or half of what fits.
    pub working_set_bytes: Option<u64>,
    /// `procs=`: how many arrays `quicksort` sorts, 8 if not given.
    pub procs: u64,
    /// `rate=`: page visits per second of all processors together; as fast as possible if not given.
    pub rate_pages_per_s: Option<u64>,
    /// `seed=`, 1 if not given.
    pub seed: u64,
    /// `passes=`: how many passes to make before the end; without end if not given.
    pub passes: Option<u64>,
    /// `revisits=`: visits to pages in use for each that `grow-shrink` takes or gives back, 1 if not
    /// given.
    pub revisits: u64,
    /// `step=`: how much `grow-shrink` takes or gives back at once, a page if not given.
    pub step_bytes: u64,
    /// `block=`: how much a read of the disk is for, in whole pages; 4 KiB if not given.
    pub block_bytes: u64,
    /// `depth=`: how many reads are under way at once, 32 if not given.
    pub depth: usize,
    /// `frame=`: bytes in a frame that is sent, Ethernet's header included; 1514 if not given.
    pub frame_bytes: u64,
    /// `lines=`: how many times a second progress is told, 10 if not given.
    pub lines_per_s: u64,
    /// `balloon=`, follow if not given.
    pub balloon: BalloonUse,
    /// `inject=`, a test aid: offset of the working set's byte that is flipped after the first fill.
    pub inject_offset_bytes: Option<u64>,
}

/// A word of the command line that has one of our keys and a value that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadWord<'a> {
    /// The word as it was given.
    pub word: &'a [u8],
    /// What the value should have been.
    pub wanted: &'static str,
}

impl Options {
    /// Reads a command line; of a key given twice the last value counts.
    ///
    /// # Errors
    /// The first word with a known key and a bad value.
    pub fn parse(command_line: &[u8]) -> Result<Self, BadWord<'_>> {
        let mut options = Self {
            workload: Workload::Idle,
            working_set_bytes: None,
            procs: 8,
            rate_pages_per_s: None,
            seed: 1,
            passes: None,
            revisits: 1,
            step_bytes: PAGE_BYTES,
            block_bytes: PAGE_BYTES,
            depth: MOST_READS,
            frame_bytes: *FRAME_BYTES.end(),
            lines_per_s: 10,
            balloon: BalloonUse::Follow,
            inject_offset_bytes: None,
        };
        let words = command_line.split(|byte| byte.is_ascii_whitespace());
        for word in words {
            let Some(equals) = word.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            let value = &word[equals + 1..];
            let bad = |wanted| BadWord { word, wanted };
            match &word[..equals] {
                b"workload" => options.workload = workload(value).map_err(bad)?,
                b"ws" => options.working_set_bytes = Some(some_bytes(value).map_err(bad)?),
                b"procs" => options.procs = procs(value).map_err(bad)?,
                b"rate" => options.rate_pages_per_s = Some(at_least_one(value).map_err(bad)?),
                b"seed" => options.seed = number(value).ok_or(bad("a number"))?,
                b"passes" => options.passes = Some(at_least_one(value).map_err(bad)?),
                b"revisits" => options.revisits = at_least_one(value).map_err(bad)?,
                b"step" => options.step_bytes = some_bytes(value).map_err(bad)?,
                b"block" => options.block_bytes = block_bytes(value).map_err(bad)?,
                b"depth" => options.depth = depth(value).map_err(bad)?,
                b"frame" => options.frame_bytes = frame_bytes(value).map_err(bad)?,
                b"lines" => options.lines_per_s = lines_per_s(value).map_err(bad)?,
                b"balloon" => options.balloon = balloon(value).map_err(bad)?,
                b"inject" => options.inject_offset_bytes = Some(size_bytes(value).map_err(bad)?),
                _ => {}
            }
        }
        Ok(options)
    }

    /// How many pages of a working set of `pages` the work never gives back.
    #[must_use]
    pub fn kept_pages(&self, pages: u64) -> u64 {
        match self.workload {
            Workload::Idle | Workload::GrowShrink => 0,
            _ => pages,
        }
    }

    /// Size of the working set in whole pages, where `available_pages` are there for it.
    #[must_use]
    pub fn working_set_pages(&self, available_pages: u64) -> u64 {
        match self.working_set_bytes {
            Some(bytes) => bytes.div_ceil(PAGE_BYTES),
            None => (DEFAULT_WORKING_SET_BYTES / PAGE_BYTES).min(available_pages / 2),
        }
    }
}

fn workload(value: &[u8]) -> Result<Workload, &'static str> {
    let named = WORKLOADS.iter().find(|(name, _)| name.as_bytes() == value);
    named.map(|(_, workload)| *workload).ok_or(
        "idle, seq-read, seq-write, random, zipf, chase, quicksort, grow-shrink, disk-seq, disk-random, net-send or net-receive",
    )
}

fn block_bytes(value: &[u8]) -> Result<u64, &'static str> {
    let bytes = size_bytes(value)?;
    let fits = (PAGE_BYTES..=MOST_READ_BYTES).contains(&bytes) && bytes.is_multiple_of(PAGE_BYTES);
    fits.then_some(bytes).ok_or("a multiple of 4K up to 128K")
}

fn depth(value: &[u8]) -> Result<usize, &'static str> {
    let depth = number(value).and_then(|depth| usize::try_from(depth).ok());
    depth
        .filter(|depth| (1..=MOST_READS).contains(depth))
        .ok_or("a number from 1 to 32")
}

fn frame_bytes(value: &[u8]) -> Result<u64, &'static str> {
    let bytes = number(value).filter(|bytes| FRAME_BYTES.contains(bytes));
    bytes.ok_or("a number from 64 to 1514")
}

fn lines_per_s(value: &[u8]) -> Result<u64, &'static str> {
    let lines = number(value).filter(|lines| (1..=MOST_LINES_PER_S).contains(lines));
    lines.ok_or("a number from 1 to 1000")
}

fn balloon(value: &[u8]) -> Result<BalloonUse, &'static str> {
    match value {
        b"follow" => Ok(BalloonUse::Follow),
        b"manual" => Ok(BalloonUse::Manual),
        b"off" => Ok(BalloonUse::Off),
        _ => Err("follow, manual or off"),
    }
}

fn procs(value: &[u8]) -> Result<u64, &'static str> {
    let procs = number(value).filter(|procs| (1..=MOST_PROCS as u64).contains(procs));
    procs.ok_or("a number from 1 to 128")
}

fn at_least_one(value: &[u8]) -> Result<u64, &'static str> {
    number(value)
        .filter(|&number| number > 0)
        .ok_or("a number from 1 up")
}

fn some_bytes(value: &[u8]) -> Result<u64, &'static str> {
    let bytes = size_bytes(value)?;
    if bytes > 0 {
        Ok(bytes)
    } else {
        Err("a size from 1 up, such as 64M")
    }
}

/// A number of bytes, or of powers of 1024 of them with K, M or G behind it.
fn size_bytes(value: &[u8]) -> Result<u64, &'static str> {
    let (digits, shift) = match value {
        [digits @ .., b'K' | b'k'] => (digits, 10),
        [digits @ .., b'M' | b'm'] => (digits, 20),
        [digits @ .., b'G' | b'g'] => (digits, 30),
        digits => (digits, 0),
    };
    let bytes = number(digits).and_then(|count| count.checked_mul(1 << shift));
    // One page below the top, so that rounding up to pages cannot overflow.
    bytes
        .filter(|&bytes| bytes <= u64::MAX - PAGE_BYTES)
        .ok_or("a size such as 64M")
}

/// A number in decimal.
#[must_use]
pub fn number(digits: &[u8]) -> Option<u64> {
    digits_of(digits, 10)
}

/// An address in hexadecimal, with `0x` in front.
#[must_use]
pub fn address(digits: &[u8]) -> Option<u64> {
    digits_of(digits.strip_prefix(b"0x")?, 16)
}

fn digits_of(digits: &[u8], base: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, &byte| {
        let digit = char::from(byte).to_digit(base)?;
        number
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(digit))
    })
}
