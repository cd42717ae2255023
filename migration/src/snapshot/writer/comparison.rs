//! Which pages of a VM are the same in the base of the difference that is being written.

use crate::bitmap::PageBitmap;
use crate::digest::Digest;
use crate::page::{PAGE_BYTES, PageRange};
use crate::snapshot::base::BasePages;
use crate::snapshot::file::MemoryFile;
use crate::snapshot::writer::memory::part_of;
use crate::snapshot::{Result, Snapshot};
use crate::source::is_zero;

/// A memory beside that of a base.
pub(super) struct Comparison<'a> {
    base: &'a Snapshot,
    same: PageBitmap,
    content: Vec<u8>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(base: &'a Snapshot) -> Self {
        Self {
            base,
            same: PageBitmap::empty(base.memory().pages()),
            content: Vec::new(),
        }
    }

    /// The pages that were the base's when they were last compared.
    pub(super) fn same(&self) -> &PageBitmap {
        &self.same
    }

    /// Finds out which pages of `range`, with this content, are the base's. One that is `present` in
    /// the new file stays there.
    ///
    /// # Errors
    /// If the base cannot be read, or its digests are damaged.
    pub(super) fn compare(
        &mut self,
        range: PageRange,
        content: &[u8],
        present: &PageBitmap,
    ) -> Result<()> {
        let Self {
            base,
            same,
            content: theirs,
        } = self;
        let base = base.memory();
        same.remove_range(range);
        let (pages, _) = content.as_chunks();
        for (page, bytes) in range.iter().zip(pages) {
            let is_candidate = base.present().contains(page) && !present.contains(page);
            if is_candidate
                && !is_zero(bytes)
                && Digest::of_page(page, bytes) == base.digest_of(page)?
            {
                same.insert(page);
            }
        }
        let mut at = range.first().get();
        while let Some(run) = same.next_run(at, range.end()) {
            at = run.end();
            theirs.resize(run.bytes(), 0);
            base.read_unchecked(run, theirs)?;
            retain_equal(same, run, part_of(content, range, run), theirs);
        }
        Ok(())
    }

    /// The pages that are left to the base; their digests go to the `file`.
    ///
    /// # Errors
    /// As for [`compare`](Self::compare).
    pub(super) fn finish(self, file: &mut MemoryFile<'_>) -> Result<BasePages> {
        for page in self.same.iter() {
            file.note(page, self.base.memory().digest_of(page)?);
        }
        Ok(BasePages {
            identity: self.base.identity(),
            pages: self.same,
        })
    }
}

/// Takes those pages of `run` out of `same` that are not the same, byte by byte. Pure.
///
/// Equal digests only say where to look: a guest can make two pages that have the same one.
fn retain_equal(same: &mut PageBitmap, run: PageRange, ours: &[u8], theirs: &[u8]) {
    let pages = ours
        .chunks_exact(PAGE_BYTES)
        .zip(theirs.chunks_exact(PAGE_BYTES));
    for (page, (ours, theirs)) in run.iter().zip(pages) {
        if ours != theirs {
            same.remove(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::PageIndex;

    #[test]
    fn page_of_the_same_digest_and_another_content_is_not_the_same() {
        let run = PageRange::between(6, 9).unwrap();
        let ours = [[1; PAGE_BYTES], [2; PAGE_BYTES], [3; PAGE_BYTES]].concat();
        for differing in 0..PAGE_BYTES {
            // All three digests were found to be equal.
            let mut same = PageBitmap::empty(10);
            same.insert_range(run);
            let mut theirs = ours.clone();
            theirs[PAGE_BYTES + differing] = 9;
            retain_equal(&mut same, run, &ours, &theirs);
            assert!(same.iter().eq([6, 8].map(PageIndex::new)), "{differing}");
        }
    }
}
