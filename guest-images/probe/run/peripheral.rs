//! The device that a workload is about, if it is about one. The boot processor drives it, does nothing
//! else, and looks for what is back all the time.

use super::Plan;
use super::card::Card;
use super::disk::Disk;
use crate::pure::options::Workload;
use crate::pure::pages::Pages;
use crate::pure::text::Line;
use crate::pure::virtio::Kind;

/// Why a device is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Useless {
    /// There is none.
    Absent,
    /// It is not as this driver knows them.
    Unknown,
    /// Not one block fits into it.
    Small,
    /// The working set has no room for what is under way.
    NoRoom,
    /// It answered so.
    Status(u8),
}

/// A device that is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    why: Useless,
}

impl Failure {
    /// What is said of it.
    pub fn line(self) -> Line {
        let mut line = Line::record("error the ");
        line.text(self.kind.name()).text(" ");
        match self.why {
            Useless::Absent => line.text("is missing"),
            Useless::Unknown => line.text("is not one for this driver"),
            Useless::Small => line.text("is smaller than block="),
            Useless::NoRoom => line.text("does not get all that is under way at once into ws="),
            Useless::Status(status) => line.text("answered ").decimal(status.into()),
        };
        line
    }
}

/// A device at work.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is only one")]
pub enum Peripheral {
    /// A disk.
    Disk(Disk),
    /// A network card.
    Card(Card),
}

impl Peripheral {
    /// Finds and starts the device that the workload is about, if it is about one.
    ///
    /// # Errors
    /// There is none that can be used.
    pub fn open(
        plan: &Plan,
        command_line: &[u8],
        pages: &mut impl Pages,
    ) -> Result<Option<Self>, Failure> {
        let workload = plan.options.workload;
        let Some(kind) = workload.device() else {
            return Ok(None);
        };
        let opened = match workload {
            Workload::NetSend | Workload::NetReceive => {
                Card::open(plan, command_line, pages).map(Self::Card)
            }
            _ => Disk::open(plan, command_line).map(Self::Disk),
        };
        opened.map(Some).map_err(|why| Failure { kind, why })
    }

    /// Takes what is back, and asks for as much again.
    ///
    /// # Errors
    /// The device has failed.
    pub fn turn(&mut self, pages: &mut impl Pages) -> Result<(), Failure> {
        match self {
            Self::Disk(disk) => disk.turn(pages).map_err(|why| Failure {
                kind: Kind::Disk,
                why,
            }),
            Self::Card(card) => {
                card.turn(pages);
                Ok(())
            }
        }
    }
}
