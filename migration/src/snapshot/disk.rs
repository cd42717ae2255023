//! The disk takes what was written while more is being written, so that little is left to wait for.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::error::{Error, Result};

/// Bytes after which the disk is told to begin with them. Our choice: a disk is busy with them for
/// some tens of milliseconds.
const STRIDE_BYTES: u64 = 32 << 20;

/// A thread that has the disk take what was written to a file so far, as often as it is told.
pub(super) struct EarlySync<'scope> {
    begin: SyncSender<()>,
    thread: ScopedJoinHandle<'scope, io::Result<()>>,
    told_bytes: u64,
}

impl<'scope> EarlySync<'scope> {
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn start(scope: &'scope Scope<'scope, '_>, file: &'scope File) -> Result<Self> {
        let (begin, beginnings) = sync_channel(1);
        let name = "snapshot-sync";
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn_scoped(scope, move || {
                beginnings.iter().try_for_each(|()| file.sync_data())
            })
            .map_err(|source| Error::Spawn {
                name: name.to_owned(),
                source,
            })?;
        Ok(Self {
            begin,
            thread,
            told_bytes: 0,
        })
    }

    /// So many bytes have been written in all.
    pub(super) fn wrote(&mut self, bytes: u64) {
        if bytes - self.told_bytes >= STRIDE_BYTES {
            self.told_bytes = bytes;
            match self.begin.try_send(()) {
                // It is busy and has been told, or has failed, which it says in the end.
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
            }
        }
    }

    /// Waits for the disk.
    ///
    /// # Errors
    /// If the disk did not take something. It says so only once, so nobody else would be told.
    pub(super) fn finish(self) -> io::Result<()> {
        let Self { begin, thread, .. } = self;
        drop(begin);
        thread.join().expect("a thread that syncs does not panic")
    }
}
