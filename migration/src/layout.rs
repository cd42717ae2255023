//! Where the guest sees its RAM: regions of guest-physical frames, numbered densely.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::page::{PageIndex, PageRange, Pfn, bytes_of};

/// Most regions a layout may have. Our choice: a PC has two, below and above the 32-bit hole; the
/// bound keeps what a peer sends small.
pub const MAX_REGIONS: usize = 16;

/// Most pages a layout may have, 16 TiB. Our choice: far beyond the hosts at hand, and small enough
/// that sums over pages cannot overflow.
pub const MAX_PAGES: u64 = 1 << 32;

/// Frames end here: x86-64 has at most 52 bits of physical address (AMD APM vol. 2, 5.3).
const MAX_PFN: u64 = 1 << (52 - 12);

/// One run of guest-physical frames that are RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRegion {
    /// Its first frame.
    pub first: Pfn,
    /// Its length in pages.
    pub pages: u64,
}

/// The RAM of a VM: regions in ascending order that do not overlap, at least one page in all.
///
/// Source and destination must have the same layout, since pages are named by [`PageIndex`] on the
/// wire. Deserialization goes through the same checks as [`MemoryLayout::new`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<MemoryRegion>", into = "Vec<MemoryRegion>")]
pub struct MemoryLayout {
    regions: Vec<MemoryRegion>,
    pages: u64,
}

impl MemoryLayout {
    /// A layout of `regions`.
    ///
    /// # Errors
    /// If there is no region or more than [`MAX_REGIONS`], if one is empty, ends past the physical
    /// address space or begins before its predecessor ends, or if there are more than [`MAX_PAGES`].
    pub fn new(regions: Vec<MemoryRegion>) -> Result<Self> {
        if regions.is_empty() || regions.len() > MAX_REGIONS {
            return Err(Error::RegionCount {
                regions: regions.len(),
            });
        }
        let mut previous_end = 0;
        let mut pages = 0;
        for region in &regions {
            let first = region.first.get();
            let end = first
                .checked_add(region.pages)
                .filter(|&end| region.pages > 0 && first >= previous_end && end <= MAX_PFN)
                .ok_or(Error::Region {
                    first,
                    pages: region.pages,
                })?;
            previous_end = end;
            pages += region.pages;
        }
        if pages > MAX_PAGES {
            return Err(Error::MemorySize { pages });
        }
        Ok(Self { regions, pages })
    }

    /// Number of RAM pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The regions in ascending order.
    pub fn regions(&self) -> &[MemoryRegion] {
        &self.regions
    }

    /// The page behind a guest-physical frame, if the frame is RAM.
    pub fn index_of(&self, pfn: Pfn) -> Option<PageIndex> {
        let mut before = 0;
        for region in &self.regions {
            let offset = pfn.get().checked_sub(region.first.get())?;
            if offset < region.pages {
                return Some(PageIndex::new(before + offset));
            }
            before += region.pages;
        }
        None
    }

    /// The guest-physical frame at which the guest sees a page, if the page exists.
    pub fn pfn_of(&self, page: PageIndex) -> Option<Pfn> {
        let mut offset = page.get();
        for region in &self.regions {
            if offset < region.pages {
                return Some(Pfn::new(region.first.get() + offset));
            }
            offset -= region.pages;
        }
        None
    }

    /// All pages as one range.
    pub fn all(&self) -> PageRange {
        PageRange::between(0, self.pages).expect("a layout has at least one page")
    }
}

impl fmt::Display for MemoryLayout {
    /// Writes the guest-physical addresses of the regions, the ends excluded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, region) in self.regions.iter().enumerate() {
            let before = if number == 0 { "" } else { ", " };
            let [first, end] =
                [region.first.get(), region.first.get() + region.pages].map(bytes_of);
            write!(f, "{before}{first:#x}-{end:#x}")?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<MemoryRegion>> for MemoryLayout {
    type Error = Error;

    fn try_from(regions: Vec<MemoryRegion>) -> Result<Self> {
        Self::new(regions)
    }
}

impl From<MemoryLayout> for Vec<MemoryRegion> {
    fn from(layout: MemoryLayout) -> Self {
        layout.regions
    }
}

#[cfg(test)]
mod tests;
