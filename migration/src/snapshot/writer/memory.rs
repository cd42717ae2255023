//! Pages of a VM on their way into a memory file.

use crate::bitmap::PageBitmap;
use crate::page::{PAGE_BYTES, PageRange, to_usize};
use crate::ram::{FrozenRam, RamMapping};
use crate::snapshot::base::BasePages;
use crate::snapshot::file::{MemoryFile, Sealed};
use crate::snapshot::writer::comparison::Comparison;
use crate::snapshot::{Result, Snapshot};
use crate::source::is_zero;

/// The memory of a VM while it is written to a file.
pub(super) struct MemoryWriter<'a> {
    file: MemoryFile<'a>,
    pub(super) ram: RamMapping,
    comparison: Option<Comparison<'a>>,
    content: Vec<u8>,
    looked_at: PageBitmap,
}

impl<'a> MemoryWriter<'a> {
    /// Begins with the memory `ram`; what is the same in a `base` is left out.
    pub(super) fn new(file: MemoryFile<'a>, ram: RamMapping, base: Option<&'a Snapshot>) -> Self {
        let pages = ram.pages();
        Self {
            file,
            ram,
            comparison: base.map(Comparison::new),
            content: Vec::new(),
            looked_at: PageBitmap::empty(pages),
        }
    }

    pub(super) fn pages(&self) -> u64 {
        self.ram.pages()
    }

    /// Pages that were written, each as often as it was.
    pub(super) fn written_pages(&self) -> u64 {
        self.file.written_pages()
    }

    /// Pages that are left to the base.
    pub(super) fn base_pages(&self) -> u64 {
        let comparison = self.comparison.as_ref();
        comparison.map_or(0, |comparison| comparison.same().count())
    }

    /// Pages that were found to be zero or the base's, or written.
    pub(super) fn looked_at_pages(&self) -> u64 {
        self.looked_at.count()
    }

    /// Nobody has to look at these pages any more: they are zero.
    pub(super) fn skip(&mut self, range: PageRange) {
        self.looked_at.insert_range(range);
    }

    /// Writes the pages of `range`, at most [`PIECE_PAGES`](crate::snapshot::file::PIECE_PAGES), but for those
    /// that are zero or the base's and always were; from where they lie, if the memory is `frozen`.
    pub(super) fn write(&mut self, range: PageRange, frozen: Option<&FrozenRam>) -> Result<()> {
        self.looked_at.insert_range(range);
        if let Some(ram) = frozen {
            return self.write_content(range, ram.content(range));
        }
        let mut content = std::mem::take(&mut self.content);
        content.resize(range.bytes(), 0);
        self.ram.read(range, &mut content);
        let written = self.write_content(range, &content);
        self.content = content;
        written
    }

    fn write_content(&mut self, range: PageRange, content: &[u8]) -> Result<()> {
        if let Some(comparison) = &mut self.comparison {
            comparison.compare(range, content, self.file.present())?;
        }
        let (pages, _) = content.as_chunks::<PAGE_BYTES>();
        let mut run: Option<PageRange> = None;
        for (page, bytes) in range.iter().zip(pages) {
            let same = self.comparison.as_ref().map(Comparison::same);
            let is_left_out = is_zero(bytes) || same.is_some_and(|same| same.contains(page));
            if !is_left_out || self.file.present().contains(page) {
                let first = run.map_or(page.get(), |run| run.first().get());
                run = PageRange::between(first, page.get() + 1);
            } else if let Some(run) = run.take() {
                self.file.write(run, part_of(content, range, run))?;
            }
        }
        run.map_or(Ok(()), |run| {
            self.file.write(run, part_of(content, range, run))
        })
    }

    /// Completes the file; gives what is left to the base, if there is one.
    pub(super) fn finish(mut self) -> Result<(Sealed, Option<BasePages>)> {
        let comparison = self.comparison.take();
        let base = comparison.map(|comparison| comparison.finish(&mut self.file));
        Ok((self.file.finish()?, base.transpose()?))
    }
}

/// The part of `content`, which is that of `range`, that is of `run`.
pub(super) fn part_of(content: &[u8], range: PageRange, run: PageRange) -> &[u8] {
    let from = to_usize(run.first().get() - range.first().get()) * PAGE_BYTES;
    &content[from..from + run.bytes()]
}
