//! Those who have connected and not yet said, or proved, who they are.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::link::Link;

/// Most strangers at a time. Our choice: a source has one connection at a time in this state, so
/// the others are for whoever else turns up.
pub(super) const MAX_STRANGERS: usize = 32;

/// Most threads of connections that end or have ended: those that were shown out are gone as soon
/// as they are scheduled, and accepting waits for them.
const MAX_LEAVING: usize = 32;

/// The strangers, from the one who came first.
///
/// Who comes when there are too many is let in, and the one who has been silent for longest is
/// shown out: many who connect and say nothing do not keep a source out that has something to say.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    inner: Mutex<Inner>,
    /// Signalled when one is gone.
    gone: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<(u64, Link)>,
    /// Strangers whose threads have not ended or found out who they are, those shown out included.
    threads: usize,
    next: u64,
}

/// A stranger's place, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    strangers: &'a Strangers,
    number: u64,
}

impl Strangers {
    /// Lets one in, and shows another out if there are too many.
    pub(super) fn enter(&self, link: &Link) -> Place<'_> {
        let limit = MAX_STRANGERS + MAX_LEAVING;
        let mut inner = self
            .gone
            .wait_while(self.lock(), |inner| inner.threads >= limit)
            .unwrap_or_else(PoisonError::into_inner);
        if inner.waiting.len() >= MAX_STRANGERS
            && let Some((_, oldest)) = inner.waiting.pop_front()
        {
            oldest.hang_up();
        }
        let number = inner.next;
        inner.next += 1;
        inner.threads += 1;
        inner.waiting.push_back((number, link.clone()));
        Place {
            strangers: self,
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inner = self.strangers.lock();
        inner.waiting.retain(|(number, _)| *number != self.number);
        inner.threads -= 1;
        drop(inner);
        self.strangers.gone.notify_one();
    }
}
