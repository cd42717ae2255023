//! Who may connect: both ends prove, on every connection, that they have the same key.
//!
//! The key never travels. Each end says a nonce, and then an HMAC-SHA-256 (RFC 2104) over both
//! nonces and all that the two have to agree on, the source first, so that a destination tells
//! nothing to who has not proved anything.
//!
//! ```text
//! source                                       destination
//!   Preamble(purpose, key) [Attach] Challenge ->|
//!   |<- Preamble(answer, key)       Challenge --|
//!   Proof ------------------------------------->|  or Refuse: the keys differ
//!   |<----------------------------------- Proof-|
//! ```
//!
//! The control connection and probes are proved with the key itself. From the nonces of the control
//! connection comes a session key, and page connections are proved with that: whoever has seen a
//! session's number, or recorded an earlier connection, cannot attach with it.
//!
//! This says who is at the other end when a connection begins. It hides nothing, and does not keep
//! somebody who sits on the path from changing what follows: that takes TLS.

mod exchange;
mod key;
mod proof;

pub(crate) use exchange::Parley;
pub(crate) use key::check_private;
pub use key::{Key, MAX_KEY_BYTES, MIN_KEY_BYTES};
pub(crate) use proof::{NONCE_BYTES, Nonce, Subject, TAG_BYTES, Tag};

#[cfg(test)]
mod tests;
