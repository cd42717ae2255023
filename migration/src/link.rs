//! A TCP connection whose every wait has a limit and can be stopped, and frames over it.

mod frames;
mod lowat;
mod records;
mod socket;

pub(crate) use frames::{FrameReader, FrameWriter, Now, Received};
pub(crate) use socket::{Link, Patience};

#[cfg(test)]
mod tests;
