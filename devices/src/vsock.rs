//! The socket device (virtio 1.2, section 5.10): byte streams between programs in the guest and programs
//! of the host, without a network.
//!
//! ```text
//! guest connects to CID 2, port P  -->  the program that listens on the socket PATH_P
//! program connects to the socket PATH, says "CONNECT P"  -->  who listens on port P in the guest
//! ```
//! One thread moves bytes both ways for as long as the device runs. While the guest is paused, its
//! connections wait with it. They belong to this host: a guest that goes on elsewhere is told that all of
//! them are gone, and the programs here find theirs closed.

mod cid;
mod connection;
mod counters;
mod credit;
mod device;
mod engine;
mod error;
mod handle;
mod host;
mod packet;
#[cfg(test)]
mod tests;
mod turns;

pub use cid::{GuestCid, NoGuestCid};
pub use counters::VsockCounters;
pub use device::{Vsock, VsockState};
pub use error::VsockError;
pub use handle::VsockHandle;
pub use host::VsockListener;
