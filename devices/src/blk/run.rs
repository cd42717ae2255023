//! Requests that lie side by side on the disk, done by one system call: what a guest asks for piece by
//! piece, its host reads or writes at once.

use vm_memory::GuestAddress;

use super::request::{Extent, Request};
use crate::virtio::{Chain, GuestRange};

/// The most that is done at once. Our choice: twice what Linux asks for at a time, so that no request
/// waits long for its neighbours.
const MOST_BYTES: u64 = 1 << 20;

/// The most pieces of guest memory: half of what a system call takes (UIO_MAXIOV), because each may lie in
/// two pieces of the host's.
const MOST_PIECES: usize = 512;

/// A request that was taken out of the queue.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) chain: Chain,
    pub(super) request: Request,
    pub(super) status_place: GuestAddress,
}

/// One request, or reads or writes side by side.
#[derive(Debug)]
pub(super) struct Run {
    taken: Vec<Taken>,
    /// Of all of them, if they have one.
    len_bytes: u64,
    pieces: usize,
}

/// The part of the disk that is read or written, and the memory.
fn transfer(request: &Request) -> Option<(Extent, &[GuestRange])> {
    match request {
        Request::Read(extent, data) | Request::Write(extent, data) => Some((*extent, data)),
        Request::Flush | Request::Identify(_) | Request::Zero(_) => None,
    }
}

impl Run {
    /// A run of one.
    pub(super) fn of(taken: Taken) -> Self {
        let transfer = transfer(&taken.request);
        let (len_bytes, pieces) =
            transfer.map_or((0, 0), |(extent, data)| (extent.len_bytes, data.len()));
        Self {
            taken: vec![taken],
            len_bytes,
            pieces,
        }
    }

    /// What it begins with.
    pub(super) fn first(&self) -> &Request {
        &self.taken[0].request
    }

    /// Whether it is more than one request.
    pub(super) fn has_several(&self) -> bool {
        self.taken.len() > 1
    }

    /// Bytes of the disk that it is about.
    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// All memory, in the order of the disk.
    pub(super) fn data(&self) -> impl Iterator<Item = &GuestRange> {
        let transfers = self
            .taken
            .iter()
            .filter_map(|taken| transfer(&taken.request));
        transfers.flat_map(|(_, data)| data)
    }

    /// The requests, to be returned.
    pub(super) fn into_taken(self) -> Vec<Taken> {
        self.taken
    }

    /// Adds a request; gives it back if it does not follow, or would be too much.
    pub(super) fn add(&mut self, taken: Taken) -> Option<Taken> {
        let same_kind = matches!(
            (self.first(), &taken.request),
            (Request::Read(..), Request::Read(..)) | (Request::Write(..), Request::Write(..))
        );
        let (Some((begin, _)), Some((extent, data))) =
            (transfer(self.first()), transfer(&taken.request))
        else {
            return Some(taken);
        };
        let len_bytes = self.len_bytes + extent.len_bytes;
        let pieces = self.pieces + data.len();
        let follows = begin.offset_bytes + self.len_bytes == extent.offset_bytes;
        if !same_kind || !follows || len_bytes > MOST_BYTES || pieces > MOST_PIECES {
            return Some(taken);
        }
        self.taken.push(taken);
        (self.len_bytes, self.pieces) = (len_bytes, pieces);
        None
    }
}
