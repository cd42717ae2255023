//! The resume benchmark: how soon a guest runs again that was saved to a disk, how soon it is as fast
//! as before, and what its snapshot and its copies cost.
//!
//! | suite | question | floor |
//! |---|---|---|
//! | [`first`] | how long from the start of the process to the first instruction, by memory size? | an empty process |
//! | [`set`] | how long to touch 64 MiB out of 1 GiB, and with how many faults? | the same when all is resident, and a bulk copy |
//! | [`speed`] | how long until 90 % of full speed over 256 MiB out of 1 GiB? | the speed before the snapshot |
//! | [`mod@write`] | how much is written, how fast, and how long does the guest stand still? | `dd` of the same bytes |
//! | [`clones`] | what memory does each of 50 copies take beyond the shared? | what is shared |
//!
//! The guest is the probe. Runs of what is compared take turns. Files are in the page cache, as after
//! writing them, unless they are called cold.
//!
//! Where the host is a VM itself, memory that nobody had for some seconds is not there: it was reported to
//! whoever runs the host, and its return takes longer than a resume (2 MiB: 5 ms instead of 0.1, seen on
//! one). So [`first`] and [`speed`] take as much as the guest will and give it back, just before each resume, and tell
//! how long that took.

pub mod clones;
mod findings;
pub mod first;
mod guest;
pub mod set;
pub mod speed;
pub mod write;

pub use findings::Findings;

/// The way in which memory gets to a guest, as `skiff restore` is told.
const LAZY: [&str; 2] = ["--memory-mode", "lazy"];
const MAPPED: [&str; 2] = ["--memory-mode", "mapped"];
const EAGER: [&str; 2] = ["--memory-mode", "eager"];

/// What is noted of the time that it takes to get the host's memory.
const FETCHED: &str = "to have the host's memory at hand";
