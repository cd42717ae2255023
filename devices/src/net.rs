//! The network device (virtio 1.2, section 5.1): a card whose cable ends in a TAP interface of the host.
//!
//! ```text
//! driver --kick--> thread `net`: a frame out of the ring --writev--> TAP
//! driver <-interrupt-- thread `net`: a frame into the ring <--readv-- TAP
//! ```
//! One thread per card moves frames both ways, between guest memory and the kernel, for as long as the
//! device runs. To stop it is to wait for the frame it is at; buffers it holds for frames to come go back
//! to the ring, and frames it has not taken wait in the interface, so that there is nothing of either to
//! save. A card that goes on elsewhere announces itself there, so that the network finds it. The driver sees
//! its link up or down as the interface is.

mod announce;
mod card;
mod config;
mod control;
mod counters;
mod device;
mod error;
mod link;
mod mac;
mod receive;
mod tap;
#[cfg(test)]
mod tests;
mod transmit;
mod worker;

pub use card::NetHandle;
pub use counters::NetCounters;
pub use device::{Net, NetState};
pub use error::TapError;
pub use link::Link;
pub use mac::{MacAddress, NoMacAddress};
pub use tap::{InterfaceName, NoInterfaceName, Tap};
