//! Which cells are measured.

use std::fmt;
use std::str::FromStr;

use super::cell::{Cell, LinkKind, Pace, Workload};

#[cfg(test)]
mod tests;

/// A question and the cells that answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// What does a move cost, by workload, pace and link?
    Moves,
    /// Does the downtime depend on the size of memory?
    Sizes,
    /// Does only what is used go over the wire?
    Sparse,
    /// Does it hold its promise for every hot set over every link?
    Hot,
    /// How does it compare with the paper's table of sorts (OSR 2009, figure 17)?
    Sorts,
    /// And with its sequential stress (VEE 2009, figures 4 to 6 and table 2)?
    Stress,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Moves,
        Self::Sizes,
        Self::Sparse,
        Self::Hot,
        Self::Sorts,
        Self::Stress,
    ];
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Moves => "moves",
            Self::Sizes => "sizes",
            Self::Sparse => "sparse",
            Self::Hot => "hot",
            Self::Sorts => "sorts",
            Self::Stress => "stress",
        })
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.to_string() == word)
            .ok_or_else(|| {
                format!("no suite `{word}`; there are moves, sizes, sparse, hot, sorts and stress")
            })
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What takes minutes.
    Small,
    /// Every cell.
    Full,
}

/// What was chosen on the command line; an empty list means the extent's usual one.
#[derive(Debug, Clone)]
pub struct Selection {
    /// How much is measured of what is not named.
    pub extent: Extent,
    /// Suites.
    pub suites: Vec<Suite>,
    /// Workloads of the moves.
    pub workloads: Vec<Workload>,
    /// Paces of the moves.
    pub paces: Vec<Pace>,
    /// Links of the moves and the hot sets.
    pub links: Vec<LinkKind>,
    /// Size of the VM of the moves.
    pub memory_mib: u32,
    /// What its guest works on.
    pub hot_mib: u32,
}

/// `chosen`, or what the extent has instead.
fn or<T: Copy>(chosen: &[T], extent: Extent, small: &[T], full: &[T]) -> Vec<T> {
    match (chosen, extent) {
        ([], Extent::Small) => small.to_vec(),
        ([], Extent::Full) => full.to_vec(),
        (chosen, _) => chosen.to_vec(),
    }
}

impl Selection {
    /// The cells, in the order of the table.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let suites = or(&self.suites, self.extent, &Suite::ALL, &Suite::ALL);
        let cells = suites.into_iter().flat_map(|suite| match suite {
            Suite::Moves => self.moves(),
            Suite::Sizes => self.sizes(),
            Suite::Sparse => self.sparse(),
            Suite::Hot => self.hot(),
            Suite::Sorts => self.sorts(),
            Suite::Stress => self.stress(),
        });
        cells.collect()
    }

    fn links(&self) -> Vec<LinkKind> {
        let full = [
            LinkKind::Loopback,
            LinkKind::GIGABIT,
            LinkKind::Shaped { mbit_per_s: 100 },
        ];
        or(&self.links, self.extent, &full[..2], &full)
    }

    fn moves(&self) -> Vec<Cell> {
        use Workload::{Chase, Random, SeqRead, SeqWrite, Zipf};
        let all = [SeqWrite, Random, SeqRead, Zipf, Chase];
        let workloads = or(&self.workloads, self.extent, &all[..2], &all);
        let full = [Pace::Full, Pace::PagesPerS(20_000), Pace::PagesPerS(2000)];
        let paces = or(&self.paces, self.extent, &[full[0], full[2]], &full);
        let mut cells = Vec::new();
        for link in self.links() {
            for &workload in &workloads {
                for &pace in &paces {
                    cells.push(Cell {
                        suite: Suite::Moves,
                        workload,
                        pace,
                        link,
                        memory_mib: self.memory_mib,
                        hot_mib: self.hot_mib,
                    });
                }
            }
        }
        cells
    }

    /// Memory of very different size of which the same is used.
    fn sizes(&self) -> Vec<Cell> {
        let sizes_mib = [256, 8192, 1024, 4096];
        or(&[], self.extent, &sizes_mib[..2], &sizes_mib)
            .into_iter()
            .map(|memory_mib| Cell {
                suite: Suite::Sizes,
                workload: Workload::SeqWrite,
                pace: Pace::PagesPerS(2000),
                link: LinkKind::Loopback,
                memory_mib,
                hot_mib: 64,
            })
            .collect()
    }

    /// 2 GiB of which 200 MiB are used.
    fn sparse(&self) -> Vec<Cell> {
        vec![Cell {
            suite: Suite::Sparse,
            workload: Workload::SeqRead,
            pace: Pace::PagesPerS(2000),
            link: LinkKind::Loopback,
            memory_mib: 2048,
            hot_mib: 200,
        }]
    }

    /// As in the paper: 512 MB in all over 1 Gb/s.
    fn sorts(&self) -> Vec<Cell> {
        let procs = [1, 2, 8, 64, 4, 16, 32, 128];
        or(&[], self.extent, &procs[..2], &procs)
            .into_iter()
            .map(|procs| Cell {
                suite: Suite::Sorts,
                workload: Workload::Quicksort { procs },
                pace: Pace::Full,
                link: LinkKind::GIGABIT,
                memory_mib: 1024,
                hot_mib: 512,
            })
            .collect()
    }

    /// As in the paper: a VM of 2 GB over 1 Gb/s that reads or writes one page after the other.
    fn stress(&self) -> Vec<Cell> {
        let all_mib = [8, 64, 512, 16, 32, 128, 256];
        let mut cells = Vec::new();
        for hot_mib in or(&[], self.extent, &all_mib[..3], &all_mib) {
            for workload in [Workload::SeqRead, Workload::SeqWrite] {
                cells.push(Cell {
                    suite: Suite::Stress,
                    workload,
                    pace: Pace::Full,
                    link: LinkKind::GIGABIT,
                    memory_mib: 2048,
                    hot_mib,
                });
            }
        }
        cells
    }

    fn hot(&self) -> Vec<Cell> {
        let sets_mib = or(&[], self.extent, &[0, 64], &[0, 64, 256, 512]);
        let mut cells = Vec::new();
        for link in self.links() {
            for &hot_mib in &sets_mib {
                let workload = match hot_mib {
                    0 => Workload::Idle,
                    _ => Workload::SeqWrite,
                };
                cells.push(Cell {
                    suite: Suite::Hot,
                    workload,
                    pace: Pace::Full,
                    link,
                    memory_mib: 1024,
                    hot_mib,
                });
            }
        }
        cells
    }
}
