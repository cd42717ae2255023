//! The migration benchmark: what a move costs its guest, its network and its user, next to floors
//! measured in the same run.
//!
//! A [`Cell`] says what moves over which [`link`]; a [`Column`] says how. Runs of all cells and
//! columns take turns, so that whatever else the machine does falls on all of them alike. What a
//! run shows is a [`Sample`]; [`verdict`] holds samples against what was promised. Everything but
//! [`floors`], [`link`], [`noise`] and [`run`] is pure.

pub mod applications;
pub mod balloon;
mod cell;
mod column;
pub mod compare;
pub mod degradation;
pub mod devices;
mod error;
pub mod floors;
mod ground;
pub mod guest;
mod host_memory;
pub mod link;
mod matrix;
pub mod noise;
pub mod peers;
pub mod results;
pub mod resume;
mod rig;
pub mod run;
mod sample;
mod session;
mod statistics;
mod table;
mod vcpu;
pub mod verdict;

pub use cell::{Cell, LinkKind, Pace, Workload};
pub use column::Column;
pub use error::BenchError;
pub use ground::Ground;
pub use matrix::{Extent, Selection, Suite};
pub use results::Results;
pub use rig::{IN_RIG, results_in_rig, runs_linux};
pub use sample::{Sample, Summary};
pub use session::{Plan, measure};
pub use statistics::Spread;
pub use table::{METRICS, print};
