//! Every way of pre-paging, simulated in virtual time against guests that touch their memory in
//! different orders: what it costs them, as a table and as promises that are kept.
//!
//! `cargo test -p migration --test prepaging -- --nocapture` prints the table.

mod guest;
mod promises;
mod simulation;
