//! The RAM of a guest that stands still: it is lent, not copied.
#![expect(
    unsafe_code,
    reason = "only who has stopped the guest knows that nobody writes"
)]

use std::slice;

use crate::page::PageRange;
use crate::ram::RamMapping;

/// All RAM of a VM, which nobody writes as long as this value lives.
///
/// Who sends or hashes it does so from where it lies. There is one for each pause of a VM; whoever
/// lets the guest run again takes it back first, which the compiler checks for what was lent.
#[derive(Debug)]
pub struct FrozenRam {
    mapping: RamMapping,
}

impl FrozenRam {
    /// Wraps the memory of a VM that was stopped.
    ///
    /// # Safety
    /// Until the value is dropped, nobody writes the memory or gives pages of it back: no vCPU, no
    /// device, no kernel on their behalf, and nothing in this process.
    pub unsafe fn new(mapping: RamMapping) -> Self {
        Self { mapping }
    }

    /// The mapping, which also tells where the memory lies.
    pub(crate) fn mapping(&self) -> &RamMapping {
        &self.mapping
    }

    /// Number of pages.
    pub(crate) fn pages(&self) -> u64 {
        self.mapping.pages()
    }

    /// The content of the pages of `range`, one after the other.
    ///
    /// # Panics
    /// If a page does not exist.
    pub(crate) fn content(&self, range: PageRange) -> &[u8] {
        let address = self.mapping.address_of(range);
        // SAFETY: the range lies in the mapping, which is readable and stays as long as `self`
        // (checked by `address_of`, and by the contract of `RamMapping::new`), and nobody writes it
        // as long as `self` lives (by the contract of `new`).
        unsafe { slice::from_raw_parts(address.as_ptr(), range.bytes()) }
    }
}
