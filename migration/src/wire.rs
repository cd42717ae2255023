//! The migration protocol, version 2: what the bytes between two monitors mean.
//!
//! A source opens three kinds of TCP connections, all to the port the destination listens on:
//! one for control, one for urgent pages, and one or more for pages in the background. Each begins
//! with a [`Preamble`] from both ends; then come frames, each a [`Header`] and a payload. All
//! numbers are little-endian. Which frame is due when is the business of [`crate::phase`].
//!
//! ```text
//! control     -> Hello   <- Accept | Refuse   -> State   <- Ready
//!             -> Run     <- Running           -> Drained <- Complete -> Done
//!                                                            (or Failed, from both)
//! urgent      -> Attach  <- Want .. Again ..  -> Pages | Absent ..
//! background  -> Attach  -> Absent .. Pages ..
//! recovery    -> Recover <- Standing, Missing .. | Refuse, then as a control connection
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
//!
//! The set of all connections of a session is called a lap. When one of them is lost from the token
//! on, both ends drop the others, and the source comes back with `Recover`; `Standing` begins the
//! next lap, and what `Missing` names goes again.

mod control;
mod fields;
mod header;
mod pages;
mod preamble;
mod proof;

pub(crate) use control::{
    About, Accept, Attach, Complete, Done, Drained, Failed, Flush, Flushed, Hello, Ready, Recover,
    Refuse, Role, Run, Running, SessionId, Standing, State,
};
pub(crate) use fields::{Frame, decode};
pub use header::FrameKind;
pub(crate) use header::{HEADER_BYTES, Header, MAX_STATE_BYTES};
pub(crate) use pages::{
    MAX_FRAME_PAGES, MAX_FRAME_RANGES, MAX_FRAME_WANTS, MAX_FRAME_WORDS, PagesPrefix, decode_pages,
    decode_ranges, decode_wants, decode_words, ranges_payload, want_payload, words_payload,
};
pub(crate) use preamble::{Access, MAGIC, PREAMBLE_BYTES, Preamble, Purpose, VERSION};
pub(crate) use proof::{Challenge, Proof};

#[cfg(test)]
mod tests;
