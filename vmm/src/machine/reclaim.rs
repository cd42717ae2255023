//! Pages that the guest gives up go back to the host.

use std::io;

use balloon::{PageReclaim, PfnRange};
use migration::{ArrivingMemory, Pfn};

use crate::memory::GuestRam;

/// Discards pages of guest RAM: all by itself, or, while pages are arriving, through the engine that
/// installs them.
#[derive(Debug)]
pub(super) struct RamReclaim {
    ram: GuestRam,
    arriving: Option<ArrivingMemory>,
}

impl RamReclaim {
    pub(super) fn new(ram: GuestRam, arriving: Option<ArrivingMemory>) -> Self {
        Self { ram, arriving }
    }
}

impl PageReclaim for RamReclaim {
    fn discard(&self, range: PfnRange) -> io::Result<()> {
        for pages in self.ram.pages_of(Pfn::new(range.start.0), range.pages) {
            let arriving = self.arriving.as_ref();
            match arriving.and_then(|arriving| arriving.give_up(pages)) {
                Some(given_up) => given_up.map_err(io::Error::other)?,
                None => self.ram.discard(pages).map_err(io::Error::other)?,
            }
            // What a round of a migration has sent of them is out of date.
            self.ram.note_written(pages);
        }
        Ok(())
    }

    fn prepare(&self, range: PfnRange) {
        // The engine alone installs pages while they arrive.
        if self
            .arriving
            .as_ref()
            .is_some_and(|arriving| !arriving.has_arrived())
        {
            return;
        }
        for pages in self.ram.pages_of(Pfn::new(range.start.0), range.pages) {
            if let Err(error) = self.ram.populate(pages) {
                log::debug!("balloon: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::boot::RamLayout;

    const RANGE: PfnRange = PfnRange {
        start: balloon::Pfn(256),
        pages: 16,
    };

    /// How many pages of [`RANGE`] the host has memory for (`Documentation/admin-guide/mm/pagemap.rst`).
    fn present(ram: &GuestRam) -> usize {
        let base = ram.regions().next().unwrap().host_start;
        let mut entries = [0; 16 * 8];
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        let first = base / balloon::PAGE_BYTES + RANGE.start.0;
        pagemap.read_exact_at(&mut entries, first * 8).unwrap();
        let is_present = |entry: &&[u8]| entry[7] & 0x80 != 0;
        entries.chunks(8).filter(is_present).count()
    }

    #[test]
    fn pages_made_ready_are_there_with_what_was_in_them_until_they_are_discarded() {
        let ram = GuestRam::new(RamLayout::new(16 << 20).unwrap()).unwrap();
        let reclaim = RamReclaim::new(ram.clone(), None);
        let address = GuestAddress(257 << 12);
        ram.guest().write_obj(7_u64, address).unwrap();
        assert_eq!(present(&ram), 1);
        reclaim.prepare(RANGE);
        assert_eq!(present(&ram), 16);
        assert_eq!(ram.guest().read_obj::<u64>(address).unwrap(), 7);
        reclaim.discard(RANGE).unwrap();
        assert_eq!(present(&ram), 0);
        assert_eq!(ram.guest().read_obj::<u64>(address).unwrap(), 0);
    }
}
