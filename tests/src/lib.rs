//! End-to-end tests, the relay, the benchmark and the nested rig.

pub mod bench;
mod count;
pub mod demo;
pub mod harness;
pub mod page;
pub mod paper;
pub mod picture;
pub mod readme;
pub mod relay;
pub mod result_files;
pub mod rig;
