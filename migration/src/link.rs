//! A TCP connection whose every wait has a limit and can be stopped, and frames over it.

mod frames;
mod records;
mod socket;
mod tcp;

pub(crate) use frames::{FrameReader, FrameWriter, Now, Received};
pub(crate) use socket::{Link, Patience};

#[cfg(test)]
mod tests;
