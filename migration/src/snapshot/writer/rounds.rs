//! In which order the pages of a VM are written, while it runs and while it stands.

use std::time::Instant;

use crate::absent::find_untouched;
use crate::bitmap::PageBitmap;
use crate::model::per_s;
use crate::page::PageRange;
use crate::progress::INTERVAL;
use crate::report::{Round, ms};
use crate::snapshot::Result;
use crate::snapshot::file::PIECE_PAGES;
use crate::snapshot::writer::memory::MemoryWriter;
use crate::snapshot::writer::{SnapshotPhase, Work};

/// Most rounds while the guest runs. Our choice: a guest that writes faster than the disk takes it
/// is not caught up with by further ones.
const MAX_ROUNDS: usize = 8;

/// So few pages are written while the guest stands still. Our choice: 2 MiB, about a millisecond.
const FEW_PAGES: u64 = 512;

/// Whether another round pays after one that wrote `written` pages while the guest wrote `dirtied`:
/// it must leave clearly less. Pure.
pub(super) fn another_pays(rounds: usize, written: u64, dirtied: u64) -> bool {
    rounds < MAX_ROUNDS && dirtied > FEW_PAGES && dirtied < written - written / 4
}

/// Writes all pages while the guest runs, then those that it wrote meanwhile, as long as that pays.
/// What it writes last is left.
pub(super) fn write_rounds(work: &mut Work<'_>, memory: &mut MemoryWriter<'_>) -> Result<()> {
    let mut pages = touched(memory)?;
    loop {
        let (began, written) = (Instant::now(), pages.count());
        work.write_pages(memory, &pages)?;
        let took = began.elapsed();
        let mut dirty = PageBitmap::empty(memory.pages());
        work.vm.take_dirty(&mut dirty).map_err(Work::track)?;
        let dirtied = dirty.count();
        work.rounds.push(Round {
            pages: written,
            dirtied,
            dirtied_per_s: per_s(dirtied, took),
            ms: ms(took),
        });
        if !another_pays(work.rounds.len(), written, dirtied) {
            work.left = Some(dirty);
            return Ok(());
        }
        pages = dirty;
    }
}

/// All pages but those that are zero because nobody has touched them.
fn touched(memory: &mut MemoryWriter<'_>) -> Result<PageBitmap> {
    let mut touched = PageBitmap::full(memory.pages());
    let ram = memory.ram.clone();
    find_untouched(&ram, |range| {
        touched.remove_range(range);
        memory.skip(range);
        Ok(())
    })?;
    Ok(touched)
}

impl Work<'_> {
    /// What is to be written while the guest stands still.
    pub(super) fn rest(&mut self, memory: &mut MemoryWriter<'_>) -> Result<PageBitmap> {
        let Some(mut rest) = self.left.take() else {
            return touched(memory);
        };
        self.vm.take_dirty(&mut rest).map_err(Self::track)?;
        Ok(rest)
    }

    /// Writes these pages.
    pub(super) fn write_pages(
        &self,
        memory: &mut MemoryWriter<'_>,
        pages: &PageBitmap,
    ) -> Result<()> {
        let mut told = Instant::now();
        self.tell(memory, SnapshotPhase::Writing);
        let frozen = self.paused.as_ref().and_then(|(_, ram)| ram.as_ref());
        let mut at = 0;
        while let Some(run) = pages.next_run(at, pages.pages()) {
            at = run.end().min(run.first().get() + PIECE_PAGES);
            let piece = PageRange::between(run.first().get(), at).expect("a run is not empty");
            memory.write(piece, frozen)?;
            self.cancel_point()?;
            if told.elapsed() >= INTERVAL {
                told = Instant::now();
                self.tell(memory, SnapshotPhase::Writing);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_round_pays_as_long_as_it_leaves_clearly_less() {
        assert!(another_pays(1, 10_000, 5_000));
        assert!(!another_pays(1, 10_000, 7_500));
        assert!(!another_pays(1, 10_000, 512));
        assert!(!another_pays(8, 10_000, 5_000));
    }
}
