//! A difference: a snapshot that holds only what is not the same in another one, its base. Pure, but for
//! opening it.
//!
//! | offset | bytes | field of the section `base` |
//! |---|---|---|
//! | 0 | 8 | identity of the base, little-endian |
//! | 8 | as `pages` has | the pages that are the base's, a bit each, in words as in the section `pages` |
//!
//! No page is in both sections, and one in neither is zero. The digests of the memory file are those
//! of all pages, so that nothing of a base has to be believed.

use std::path::Path;

use crate::bitmap::PageBitmap;
use crate::layout::MemoryLayout;
use crate::snapshot::contents::malformed;
use crate::snapshot::format::{Identity, Kind};
use crate::snapshot::reader::open_any;
use crate::snapshot::{Result, Snapshot, SnapshotError};

/// The pages of a difference that are those of another snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BasePages {
    /// Which snapshot.
    pub(super) identity: Identity,
    /// Which pages.
    pub(super) pages: PageBitmap,
}

impl BasePages {
    /// Length of the section for a memory of `pages` pages.
    pub(super) fn section_bytes(pages: u64) -> u64 {
        8 + pages.div_ceil(64) * 8
    }

    /// The section.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { identity, pages } = self;
        [&identity.0.to_le_bytes()[..], &pages.to_bytes()].concat()
    }

    /// Makes sense of a section, beside the pages that are `present` in the memory file.
    ///
    /// # Errors
    /// If it has another length than it must, or names a page that does not exist or is in the memory
    /// file.
    pub(super) fn read(section: &[u8], present: &PageBitmap) -> Result<Self> {
        let pages = section.split_first_chunk().and_then(|(identity, pages)| {
            let pages = PageBitmap::from_bytes(pages, present.pages())?;
            Some((Identity(u64::from_le_bytes(*identity)), pages))
        });
        let (identity, pages) = pages.ok_or_else(|| malformed(Kind::Base))?;
        let mut twice = pages.clone();
        twice.retain_all(present);
        match twice.iter().next() {
            Some(page) => Err(SnapshotError::PageTwice { page: page.get() }),
            None => Ok(Self { identity, pages }),
        }
    }
}

/// All pages that are not zero: those that are `present`, and the base's.
pub(super) fn covered(present: &PageBitmap, base: Option<&BasePages>) -> PageBitmap {
    let mut covered = present.clone();
    if let Some(base) = base {
        covered.add_all(&base.pages);
    }
    covered
}

/// A difference that was opened. Nobody can run on it.
#[derive(Debug)]
pub(super) struct Difference {
    /// What it holds itself.
    pub(super) own: Snapshot,
    /// What it does not.
    pub(super) base: BasePages,
}

impl Difference {
    /// Opens the one in `directory`.
    ///
    /// # Errors
    /// If there is none, or as for [`Snapshot::open`].
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let (own, base) = open_any(directory)?;
        let base = base.ok_or(SnapshotError::NoDifference)?;
        Ok(Self { own, base })
    }

    /// Checks that it is a difference to `base`, all pages that it wants of it included.
    ///
    /// # Errors
    /// If it is not.
    pub(super) fn check_base(&self, base: &Snapshot) -> Result<()> {
        let (found, expected) = (base.identity(), self.base.identity);
        if found != expected {
            return Err(SnapshotError::OtherBase {
                base: base.directory().to_owned(),
                found,
                expected,
            });
        }
        check_layout(&self.own.offer().memory, base)?;
        let mut lacking = self.base.pages.clone();
        lacking.remove_all(base.memory().present());
        match lacking.iter().next() {
            Some(page) => Err(SnapshotError::BasePage { page: page.get() }),
            None => Ok(()),
        }
    }
}

/// Checks that a memory is where that of `base` is.
///
/// # Errors
/// If it is not.
pub(super) fn check_layout(memory: &MemoryLayout, base: &Snapshot) -> Result<()> {
    let expected = &base.offer().memory;
    if memory == expected {
        return Ok(());
    }
    Err(SnapshotError::BaseLayout {
        base: base.directory().to_owned(),
        found: memory.clone(),
        expected: expected.clone(),
    })
}

#[cfg(test)]
mod tests;
