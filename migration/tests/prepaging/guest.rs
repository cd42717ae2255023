//! Guests: the order in which they touch their pages.

/// A source of numbers that look random and are always the same: `SplitMix64` (Steele, Lea, Flood,
/// OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What a guest does with its working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Page after page, from somewhere in the middle when it is moved.
    Sequential,
    /// Page after page, from the first one, which the push comes by soon.
    FromTheStart,
    /// Any page.
    Random,
    /// Any page, a few much more often than the rest.
    Zipf,
    /// Every page once, in a random order.
    Chase,
    /// Every sixteenth page, then the ones next to those.
    Strided,
    /// So many processes that take turns at sorting an array each: two walks towards each other
    /// over ever smaller parts.
    Quicksort(u64),
}

impl Workload {
    /// All that are simulated.
    pub const ALL: [Self; 9] = [
        Self::Sequential,
        Self::FromTheStart,
        Self::Random,
        Self::Zipf,
        Self::Chase,
        Self::Strided,
        Self::Quicksort(1),
        Self::Quicksort(8),
        Self::Quicksort(64),
    ];

    /// The pages of a working set of `pages` pages in the order in which they are touched, for ever.
    pub fn touches(self, pages: u64) -> Box<dyn Iterator<Item = u64>> {
        let mut random = Random(pages);
        match self {
            Self::Sequential => Box::new((pages * 3 / 8..).map(move |n| n % pages)),
            Self::FromTheStart => Box::new((0..).map(move |n| n % pages)),
            Self::Random => Box::new(std::iter::repeat_with(move || random.below(pages))),
            Self::Zipf => {
                let ranked = shuffled(pages, &mut random);
                Box::new(std::iter::repeat_with(move || {
                    // Each octave of ranks is as likely as any other.
                    let octave = 1 << random.below(u64::from(pages.ilog2()));
                    ranked[index(octave + random.below(octave))]
                }))
            }
            Self::Chase => Box::new(shuffled(pages, &mut random).into_iter().cycle()),
            Self::Strided => Box::new((0..).map(move |n: u64| {
                let row = pages / 16;
                n % row * 16 + n / row % 16
            })),
            Self::Quicksort(processes) => quicksort(pages, processes, random),
        }
    }
}

/// Touches of a process until the next one's turn, as of the probe guest.
const TURN_TOUCHES: usize = 1024;
/// Touches of a page that is a part of its own: so often a sort of its words comes by all of them.
const LEAF_TOUCHES: u64 = 9;

fn quicksort(pages: u64, processes: u64, mut random: Random) -> Box<dyn Iterator<Item = u64>> {
    let share = pages / processes;
    let mut sorts: Vec<_> = (0..processes)
        .map(|n| Sort::new(n * share, share, Random(random.next())))
        .collect();
    // By the time of the move each is somewhere in its sort.
    for sort in &mut sorts {
        let done = random.below(4 * share);
        sort.by_ref().take(index(done)).for_each(drop);
    }
    let turns = (0..index(processes)).cycle();
    let mut sorts_in_turn = turns.flat_map(move |n| {
        let turn: Vec<_> = sorts[n].by_ref().take(TURN_TOUCHES).collect();
        turn
    });
    Box::new(std::iter::from_fn(move || sorts_in_turn.next()))
}

/// The pages that a quicksort touches; when it is done it begins anew.
#[derive(Debug)]
struct Sort {
    first: u64,
    pages: u64,
    random: Random,
    /// Parts to be sorted, the next one last.
    parts: Vec<(u64, u64)>,
    /// What is left of the part at work, and which end is touched next.
    work: (u64, u64),
    from_below: bool,
    /// How often the page that was touched last is touched again.
    again: u64,
    last: u64,
}

impl Sort {
    fn new(first: u64, pages: u64, random: Random) -> Self {
        Self {
            first,
            pages,
            random,
            parts: Vec::new(),
            work: (0, 0),
            from_below: true,
            again: 0,
            last: first,
        }
    }
}

impl Iterator for Sort {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.again > 0 {
            self.again -= 1;
            return Some(self.last);
        }
        while self.work.0 == self.work.1 {
            let (first, end) = self
                .parts
                .pop()
                .unwrap_or((self.first, self.first + self.pages));
            if end - first > 1 {
                let middle = first + 1 + self.random.below(end - first - 1);
                self.parts.extend([(middle, end), (first, middle)]);
            } else {
                self.again = LEAF_TOUCHES - 1;
            }
            self.work = (first, end);
        }
        self.from_below = !self.from_below;
        let (low, high) = &mut self.work;
        self.last = if self.from_below {
            *low += 1;
            *low - 1
        } else {
            *high -= 1;
            *high
        };
        Some(self.last)
    }
}

fn shuffled(pages: u64, random: &mut Random) -> Vec<u64> {
    let mut shuffled: Vec<_> = (0..pages).collect();
    for n in (1..pages).rev() {
        shuffled.swap(index(n), index(random.below(n + 1)));
    }
    shuffled
}

/// A page number as a subscript.
pub fn index(number: u64) -> usize {
    usize::try_from(number).expect("a 64-bit host")
}
