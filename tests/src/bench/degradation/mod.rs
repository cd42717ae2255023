//! What moves do to an application, as the guest, the wire and a client in the network see it.
//!
//! | suite | question | in the paper |
//! |---|---|---|
//! | [`course`] | what happens while a VM moves, on one time axis, and what does it cost? | figures 9 and 10, table 1 |
//! | [`repeated`] | how much longer does work take while its VM moves again and again? | figures 7 and 8 |
//!
//! ```text
//!  place 0             bridge of this host              place 1
//!  guest -- tap0 -- br0 ------- client ------- br0 -- tap0 -- guest
//!  monitor --------/   1 Gb/s           1 Gb/s    \-------- monitor
//! ```
//!
//! Each place is a network namespace. What the guest sends and what its monitor sends share one link, as
//! they shared the one card of the paper's machines.

pub mod course;
mod guest;
pub mod repeated;
mod watch;

use std::fmt;
use std::time::Duration;

use super::column::Column;

/// How the VM moves, as in the paper's figures.
#[must_use]
pub fn columns() -> [Column; 2] {
    ["post-copy:--mode post-copy", "pre-copy:--mode pre-copy"]
        .map(|text| text.parse().expect("a name and options"))
}

/// An application in a guest: the probe, with as many pages as the paper's had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// For its web server: some of nearly all of its memory, some more often than others.
    Web,
    /// For its kernel build: work on one page after the other.
    Build,
    /// For its file sharing: pages all over, half of them written.
    Torrent,
    /// For its sender over TCP: datagrams.
    Sender,
}

impl Application {
    /// All of them, in the order of the paper's table.
    pub const ALL: [Self; 4] = [Self::Web, Self::Build, Self::Torrent, Self::Sender];

    /// Those that the paper moved again and again.
    pub const REPEATED: [Self; 2] = [Self::Build, Self::Sender];

    /// What it works on, or for the sender has besides, in pages. Not quite the web server's 130,000: in 512
    /// MiB there are no more.
    fn pages(self) -> u64 {
        match self {
            Self::Web => 112_000,
            Self::Build => 21_000,
            Self::Torrent => 34_000,
            Self::Sender => 29_000,
        }
    }

    /// What the probe guest is told.
    fn words(self) -> String {
        let set_kib = 4 * self.pages();
        match self {
            Self::Web => format!("workload=zipf ws={set_kib}K rate=50000"),
            Self::Build => format!("workload=zipf ws={set_kib}K"),
            Self::Torrent => format!("workload=random ws={set_kib}K rate=5000"),
            Self::Sender => "workload=net-send frame=1514 ws=8M balloon=manual".to_owned(),
        }
    }

    /// A command that gives the guest the pages that its work does not need.
    fn command(self) -> Option<String> {
        (self == Self::Sender).then(|| format!(":fill 0 {}\n", self.pages()))
    }
}

impl fmt::Display for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Web => "web",
            Self::Build => "build",
            Self::Torrent => "torrent",
            Self::Sender => "sender",
        })
    }
}

/// Rate of the link at each place, in Mb/s.
pub const LINK_MBIT: u32 = 1000;

/// What the card of a guest may send, in Mb/s. Our choice: half of the link. A sender that does not give way,
/// as this one, would leave nothing to the move otherwise.
pub const CARD_MBIT: u32 = 500;

/// Longest that a move or a guest may take.
const PATIENCE: Duration = Duration::from_secs(120);
