//! The migration protocol, version 1: what the bytes between two monitors mean.
//!
//! A source opens three kinds of TCP connections, all to the port the destination listens on:
//! one for control, one for urgent pages, and one or more for pages in the background. Each begins
//! with a [`Preamble`] from both ends; then come frames, each a [`Header`] and a payload. All
//! numbers are little-endian. Which frame is due when is the business of [`crate::phase`].
//!
//! ```text
//! control     -> Hello   <- Accept | Refuse   -> State   <- Ready
//!             -> Run     <- Running           -> Drained <- Complete      (or Failed, from both)
//! urgent      -> Attach  <- Want ..           -> Pages | Absent ..
//! background  -> Attach  -> Absent .. Pages ..
//! probe       <- About
//! ```
//!
//! Where the two ends share a key, `Challenge` and `Proof` go both ways before anything else but an
//! `Attach`: see [`crate::auth`].
//!
//! In post-copy `Run` comes before `Drained`, in stop-and-copy after `Complete`. In modes with rounds
//! pages come before `State` as well, and the control connection says how they stand:
//!
//! ```text
//! control     -> Flush   <- Flushed           -> Discard ..
//! ```
//!
//! No page is in flight between a `Flushed` and what follows it, so that of several versions of a
//! page the last one is the one that stays.

mod control;
mod fields;
mod header;
mod pages;
mod preamble;
mod proof;

pub(crate) use control::{
    About, Accept, Attach, Complete, Drained, Failed, Flush, Flushed, Hello, Ready, Refuse, Role,
    Run, Running, SessionId, State,
};
pub(crate) use fields::{Frame, decode};
pub use header::FrameKind;
pub(crate) use header::{HEADER_BYTES, Header, MAX_STATE_BYTES};
pub(crate) use pages::{
    MAX_FRAME_PAGES, MAX_FRAME_RANGES, MAX_FRAME_WANTS, MAX_FRAME_WORDS, absent_payload,
    decode_absent, decode_discards, decode_pages, decode_wants, discard_payload, pages_prefix,
    want_payload,
};
pub(crate) use preamble::{Access, MAGIC, PREAMBLE_BYTES, Preamble, Purpose, VERSION};
pub(crate) use proof::{Challenge, Proof};

#[cfg(test)]
mod tests;
