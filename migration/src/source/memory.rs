//! The memory that a source gives away: in this process, or in a snapshot.

use std::sync::Arc;

use crate::absent::{find_untouched, for_each_absent};
use crate::error::Result;
use crate::page::{PageIndex, PageRange};
use crate::ram::RamMapping;
use crate::snapshot::{Reading, StoredMemory};

/// Where the pages of a VM that is given away are read. Clones read the same memory.
#[derive(Clone, Debug)]
pub struct SourceMemory(Place);

#[derive(Clone)]
enum Place {
    Mapped(RamMapping),
    Stored(Arc<StoredMemory>, Arc<dyn Reading>),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mapped(ram) => ram.fmt(f),
            Self::Stored(memory, _) => memory.fmt(f),
        }
    }
}

impl From<RamMapping> for SourceMemory {
    fn from(ram: RamMapping) -> Self {
        Self(Place::Mapped(ram))
    }
}

impl SourceMemory {
    /// The memory of a snapshot; `reading` is told what is read of it.
    pub(crate) fn stored(memory: Arc<StoredMemory>, reading: Arc<dyn Reading>) -> Self {
        Self(Place::Stored(memory, reading))
    }

    /// Number of pages.
    pub fn pages(&self) -> u64 {
        match &self.0 {
            Place::Mapped(ram) => ram.pages(),
            Place::Stored(memory, _) => memory.pages(),
        }
    }

    /// Copies the pages of `range` out, one after the other.
    ///
    /// # Errors
    /// If they cannot be read from a file, or are damaged there.
    ///
    /// # Panics
    /// If a page does not exist or `into` has another length than the range.
    pub(crate) fn read(&self, range: PageRange, into: &mut [u8]) -> Result<()> {
        match &self.0 {
            Place::Mapped(ram) => ram.read(range, into),
            Place::Stored(memory, reading) => {
                memory.read(range, into).map_err(Box::new)?;
                reading.read(range);
            }
        }
        Ok(())
    }

    /// Calls `found` with each run of pages that are known to be zero, in ascending order; a long run
    /// may come in pieces. What it says of memory in this process holds only while nobody writes it.
    ///
    /// # Errors
    /// If the page table cannot be read, or if `found` fails.
    pub(crate) fn find_untouched(
        &self,
        mut found: impl FnMut(PageRange) -> Result<()>,
    ) -> Result<()> {
        match &self.0 {
            Place::Mapped(ram) => find_untouched(ram, found),
            Place::Stored(memory, _) => {
                let all = PageRange::between(0, memory.pages()).expect("a memory has pages");
                for_each_absent(memory.present(), all, &mut found)
            }
        }
    }

    /// The guest waits for `page`.
    pub(crate) fn wanted(&self, page: PageIndex) {
        match &self.0 {
            Place::Mapped(_) => {}
            Place::Stored(_, reading) => reading.wanted(page),
        }
    }
}
