//! The work of one processor, whatever its workload is: turns of about one page each.

#[cfg(test)]
mod tests;

use super::options::{Options, Workload};
use super::pages::{Corrupt, Pages, page_digest};
use super::sort::Sort;
use super::sort_queue::SortQueue;
use super::walk::{Part, Walk};

/// One processor among those that share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Number of the processor.
    pub number: u64,
    /// How many there are.
    pub of: u64,
}

/// The work of one processor.
#[derive(Debug)]
pub enum Job<'a> {
    /// None: an idle guest, or more processors than pages.
    Nothing,
    /// Visits to the pages of one part.
    Walk(Walk),
    /// Sorts of arrays.
    Sorts(SortQueue<'a>),
}

/// How many arrays are sorted in a working set of `pages`: a page each at least, and none unless
/// the workload is a sort.
fn arrays(options: &Options, pages: u64) -> u64 {
    match options.workload {
        Workload::Quicksort => pages.min(options.procs),
        _ => 0,
    }
}

/// Numbers of the arrays that a processor sorts.
#[must_use]
pub fn arrays_of(options: &Options, pages: u64, share: Share) -> Part {
    Part {
        first: 0,
        pages: arrays(options, pages),
    }
    .share(share.number, share.of)
}

impl<'a> Job<'a> {
    /// The work of one processor in a working set of `pages`. `sorts` has one place for each of the
    /// arrays of [`arrays_of`].
    #[must_use]
    pub fn new(options: &Options, pages: u64, share: Share, sorts: &'a mut [Sort]) -> Self {
        let whole = Part { first: 0, pages };
        let own = arrays_of(options, pages, share);
        for (number, sort) in (own.first..own.first + own.pages).zip(sorts.iter_mut()) {
            sort.start(whole.share(number, arrays(options, pages)), options.seed);
        }
        let walk = Walk::new(options, whole.share(share.number, share.of));
        match (walk, SortQueue::new(sorts)) {
            (Some(walk), _) => Self::Walk(walk),
            (None, Some(sorts)) => Self::Sorts(sorts),
            (None, None) => Self::Nothing,
        }
    }

    /// Does about a page of work.
    ///
    /// # Errors
    /// A wrong word that was met; the work can go on.
    pub fn turn(&mut self, pages: &mut impl Pages) -> Result<(), Corrupt> {
        match self {
            Self::Nothing => Ok(()),
            Self::Walk(walk) => walk.step(pages),
            Self::Sorts(sorts) => sorts.turn(pages),
        }
    }

    /// How many passes are done, or nothing if there is no work.
    #[must_use]
    pub fn passes(&self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Walk(walk) => Some(walk.passes()),
            Self::Sorts(sorts) => Some(sorts.passes()),
        }
    }

    /// Whether part of the working set is still without its first content.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Walk(walk) => walk.is_filling(),
            Self::Sorts(sorts) => sorts.is_filling(),
        }
    }

    /// Whether page number `index` is one of this processor's and holds content now.
    #[must_use]
    pub fn holds(&self, index: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Walk(walk) => walk.holds(index),
            Self::Sorts(sorts) => sorts.holds(index),
        }
    }

    /// How many places [`Self::digest_at`] can be asked about.
    #[must_use]
    pub fn held_places(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Walk(walk) => walk.held_pages(),
            Self::Sorts(sorts) => sorts.pages(),
        }
    }

    /// Checks the page at `place` of those that hold content, and gives its digest.
    pub fn digest_at(&self, place: u64, pages: &mut impl Pages) -> (u64, Result<(), Corrupt>) {
        let (index, checked) = match self {
            Self::Nothing => return (0, Ok(())),
            Self::Walk(walk) => walk.check_at(place, pages),
            Self::Sorts(sorts) => {
                let Some(checked) = sorts.check_at(place, pages) else {
                    return (0, Ok(()));
                };
                checked
            }
        };
        (page_digest(pages, index), checked)
    }
}
