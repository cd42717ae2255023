//! The phases of both ends: small tables without I/O that say what may follow what, and who owns
//! the guest.

mod destination;
mod source;

pub(crate) use destination::DestinationEvent;
pub use destination::DestinationPhase;
pub(crate) use source::SourceEvent;
pub use source::SourcePhase;

#[cfg(test)]
mod tests;
