//! Free page hinting (virtio 1.2, section 5.5.6.5): the guest names pages whose content it does not
//! need, and keeps them for its host until it is told that they are needed no more.
//!
//! A hint frees nothing. It allows its host to lose the content of a page that was not written since
//! the host asked, which is for whoever asks to find out; nothing here touches a page.

use crate::control::{BalloonHandle, Shared};
use crate::ledger::Ledger;
use crate::pfn::PfnRange;
use crate::queues::{FREE_PAGE_HINT, PAGE_POISON};

/// Values of `free_page_hint_cmd_id` that are no request (section 5.5.6.5).
const STOP: u32 = 0;
const DONE: u32 = 1;

/// What the guest has named since somebody last looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The pages, ascending.
    pub pages: Vec<PfnRange>,
    /// Nothing more is going to be named.
    pub is_complete: bool,
}

/// How far the guest has come.
///
/// ```text
///            ask            its id came          STOP came
/// Resting ----------> Asked ------------> Naming ----------> Over
///    ^                  ^                   |                 ^
///    |                  +-- another came ---+                 |
///    |                                          stop          |
///    +------------------ release             Asked, Naming ---+
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nobody is interested.
    #[default]
    Resting,
    /// The driver has not begun.
    Asked,
    /// What comes are pages.
    Naming,
    /// What comes is of no interest, but the guest keeps what it has named.
    Over,
}

/// One asking after the other, each with an id of its own.
#[derive(Debug)]
pub(crate) struct Hinting {
    /// What the driver reads: an id, or one of the above.
    command: u32,
    last_id: u32,
    phase: Phase,
    named: Ledger,
}

impl Default for Hinting {
    fn default() -> Self {
        Self::restored(DONE, DONE)
    }
}

impl Hinting {
    /// As it was saved. Whoever was interested then is not here; see [`Self::settle`].
    pub(crate) fn restored(command: u32, last_id: u32) -> Self {
        Self {
            command,
            last_id,
            phase: Phase::Resting,
            named: Ledger::default(),
        }
    }

    pub(crate) fn command(&self) -> u32 {
        self.command
    }

    pub(crate) fn last_id(&self) -> u32 {
        self.last_id
    }

    fn ask(&mut self) {
        self.last_id = self.last_id.checked_add(1).unwrap_or(DONE + 1);
        self.command = self.last_id;
        self.phase = Phase::Asked;
        self.named = Ledger::default();
    }

    /// The driver says what it answers, or that it has no more.
    pub(crate) fn driver_says(&mut self, command: u32) {
        self.phase = match self.phase {
            Phase::Asked | Phase::Naming if command == self.command => Phase::Naming,
            Phase::Naming if command == STOP => Phase::Over,
            Phase::Naming => Phase::Asked,
            phase => phase,
        };
    }

    /// The driver names pages.
    pub(crate) fn name(&mut self, ranges: &[PfnRange]) {
        if self.phase == Phase::Naming {
            self.named.insert_all(ranges);
        }
    }

    fn take(&mut self) -> Hints {
        Hints {
            pages: std::mem::take(&mut self.named).ranges(),
            is_complete: matches!(self.phase, Phase::Resting | Phase::Over),
        }
    }

    /// Says whether the driver is to be told.
    fn stop(&mut self) -> bool {
        let is_news = self.phase != Phase::Resting;
        if is_news {
            self.phase = Phase::Over;
            self.command = STOP;
            self.named = Ledger::default();
        }
        is_news
    }

    /// What was named is needed no more.
    fn release(&mut self) {
        self.phase = Phase::Resting;
        self.named = Ledger::default();
    }

    /// Lets the guest have its pages if nobody needs them; says whether the driver is to be told.
    pub(crate) fn settle(&mut self) -> bool {
        let is_news = self.phase == Phase::Resting && self.command != DONE;
        if is_news {
            self.command = DONE;
        }
        is_news
    }

    /// As after power-on, but that no id comes twice.
    pub(crate) fn reset(&mut self) {
        *self = Self::restored(DONE, self.last_id);
    }
}

impl Shared {
    /// Whether the guest relies on what it fills free pages with.
    pub(crate) fn relies_on_poison(&self, features: u64) -> bool {
        features & PAGE_POISON != 0 && self.config.poison_value != 0
    }
}

/// Hints are given in the order of these methods, and to one who asks at a time. A guest that cannot
/// give any, or relies on the content of free pages, is not asked: its hints are complete.
impl BalloonHandle {
    /// Asks the guest to name pages that it does not need, and to keep them. Those of an earlier
    /// asking are none of this one's.
    pub fn ask_for_hints(&self) {
        let mut shared = self.lock();
        let Shared {
            hinting, running, ..
        } = &mut *shared;
        hinting.release();
        let Some(features) = running.as_ref().map(|running| running.features) else {
            return;
        };
        if features & FREE_PAGE_HINT == 0 || shared.relies_on_poison(features) {
            return;
        }
        shared.hinting.ask();
        shared.config_changed();
    }

    /// What the guest has named since the last call. A page may be named many times, and may be in
    /// use again: whoever asked must know which pages were written since.
    pub fn take_hints(&self) -> Hints {
        self.lock().hinting.take()
    }

    /// Takes no more of them: what was not taken is lost. The guest keeps what it has named.
    pub fn stop_hints(&self) {
        let mut shared = self.lock();
        if shared.hinting.stop() {
            shared.config_changed();
        }
    }

    /// Lets the guest use what it has named; a guest that does not run is told when it does, here or
    /// wherever it is restored.
    pub fn release_hints(&self) {
        let mut shared = self.lock();
        shared.hinting.release();
        if shared.running.is_some() && shared.hinting.settle() {
            shared.config_changed();
        }
    }
}
