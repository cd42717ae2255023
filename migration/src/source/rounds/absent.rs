//! Pages that need not be read: they were never touched, or the guest has named them as free.

use std::time::{Duration, Instant};

use crate::absent::find_untouched;
use crate::error::Result;
use crate::source::Hints;
use crate::source::rounds::Rounds;
use crate::source::rounds::copying::Copier;
use crate::source::transfer::Transfer;
use crate::stop::sleep;

/// Longest time that the guest is given to name pages. Our choice: it costs no downtime, and a guest
/// names, in this time, more than a link of 10 Gb/s carries.
const MAX_HINTING: Duration = Duration::from_secs(1);

/// How often it is looked for what it has named.
const INTERVAL: Duration = Duration::from_millis(5);

impl Rounds<'_> {
    /// Has the guest name pages whose content it does not need, before anything of the first round,
    /// which has begun, is sent.
    ///
    /// Those that are named and were not written since the writes are tracked may be lost. One that
    /// was written may be in use again, or may only have been filled with zeroes to be named, as Linux
    /// does with `init_on_alloc`; it is read like any other, and what it costs then is a comparison.
    /// Were pages named while the round goes on, what is filled so would be dirty after it had been
    /// sent or listed, and a guest that does nothing would look like one that writes all its memory.
    pub(super) fn ask_for_hints(&mut self, transfer: &Transfer<'_>) -> Result<()> {
        let vm = self.written.vm;
        let until = Instant::now() + MAX_HINTING;
        vm.start_hinting();
        while vm.take_hints(&mut self.written.hinted) == Hints::Expected && Instant::now() < until {
            sleep(transfer.cancel.stop(), Instant::now() + INTERVAL)?;
            transfer.cancel_point()?;
        }
        vm.stop_hinting();
        // Only now: takes all pages out again that were written until here, before they were named
        // or after it. Later looks take out what is written later.
        self.written.look(&self.copying)?;
        Ok(())
    }

    /// Lists the pages that were never touched, and those that the guest does not need, so that nobody
    /// reads them. One that is touched now is tracked already.
    pub(super) fn list_absent(&mut self) -> Result<()> {
        let Some(link) = self.background.first() else {
            return Ok(());
        };
        let mut copier = Copier::new(&self.copying, link.clone(), self.patience);
        find_untouched(self.copying.ram(), |range| copier.list_absent(range))?;
        let hinted = &mut self.written.hinted;
        self.copying.retain_unread(hinted);
        let mut at = 0;
        while let Some(run) = hinted.next_run(at, hinted.pages()) {
            copier.list_absent(run)?;
            at = run.end();
        }
        copier.finish_list()
    }
}
