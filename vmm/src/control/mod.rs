//! The control socket of a running monitor, from both ends.
//!
//! A monitor listens on a Unix socket of its own (`SocketPath`). Each line a client sends is one JSON
//! object, a [`Request`]; the monitor answers it by any number of progress lines and then exactly one
//! final line ([`Response`]), and reads the client's next request only after that:
//!
//! ```text
//! client                                   monitor
//!   {"command":"info"} ----------------->
//!   <----------------------------------- {"ok":{"name":"web","state":"running",...}}
//!   {"command":"migrate","to":"b:7000"} ->
//!   <----------------------------------- {"progress":{"phase":"transfer","pages_done":...}}
//!   <----------------------------------- {"ok":{"outcome":"completed",...}}
//!   nonsense --------------------------->
//!   <----------------------------------- {"error":{"message":...,"causes":[...],"remedy":...}}
//!                                          and the connection is closed
//! ```
//!
//! The server lives on the monitor's event loop and never waits for a client: it reads what is there,
//! writes what fits, and drops a client that does not take its answers.

mod client;
mod error;
mod failure;
mod lines;
mod path;
mod protocol;
mod reply;
mod server;
mod socket;

pub use client::ControlClient;
pub use error::ControlError;
pub use failure::Failure;
pub use path::{SocketPath, VmAddress, runtime_directory, sockets_in};
pub use protocol::{
    BalloonInfo, Direction, DiskInfo, MigrationInfo, NetInfo, Progress, Request, Response,
    SelfBallooningWish, VmInfo, VmState, VsockInfo,
};
pub use reply::Reply;
pub use server::{ControlHandler, ControlServer, MAX_CLIENTS};
pub use socket::{ControlSocket, remove_if_dead};
