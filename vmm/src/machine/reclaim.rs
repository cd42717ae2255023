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
}
