//! Where serial output goes: a bounded queue that a thread empties into a sink.
//!
//! A terminal can be stopped, a pipe's reader can hang, a disk can be full. None of that may stop
//! a vCPU, so a vCPU only ever appends to a queue; when the queue is full, output is lost and
//! counted.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::DeviceError;

/// Our choice: minutes of console text, and no more than a blip in the host's memory.
const QUEUE_LIMIT_BYTES: usize = 1 << 20;

/// The queue is written out when this much is in it; our choice: one page.
const BATCH_BYTES: usize = 4096;

/// How long a line may stay unfinished before it is written out; our choice: shorter than a
/// person notices, longer than a guest takes to print a line.
const LINE_PATIENCE: Duration = Duration::from_millis(2);

/// How soon a sink that said "would block" is tried again; our choice.
const RETRY_DELAY: Duration = Duration::from_millis(5);

/// A handle on the output of a serial port; clones mean the same output.
///
/// Bytes are written in batches: at the end of a line, when a page is full, or after 2 ms. The
/// thread that writes ends when the last handle is gone and the queue is empty.
#[derive(Clone)]
pub struct SerialOutput(Option<Arc<Handle>>);

/// Closes the queue with the last handle.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    bytes: VecDeque<u8>,
    /// Taken out of `bytes`, but not yet by the sink.
    in_flight_bytes: usize,
    lost_bytes: u64,
    /// Somebody waits in `flush`, or a line is complete, or a batch is full.
    urgent: bool,
    closed: bool,
}

impl Queue {
    fn pending_bytes(&self) -> usize {
        self.bytes.len() + self.in_flight_bytes
    }
}

impl SerialOutput {
    /// Output that nobody wants.
    pub fn null() -> Self {
        Self(None)
    }

    /// Output to `sink`, which may fail or block for as long as it likes.
    ///
    /// # Errors
    /// The thread that writes does not start.
    pub fn to_sink(sink: Box<dyn Write + Send>) -> Result<Self, DeviceError> {
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            shared: shared.clone(),
            sink,
            failed: false,
        };
        thread::Builder::new()
            .name("serial-out".into())
            .spawn(move || writer.run())
            .map_err(DeviceError::StartSerialOutput)?;
        Ok(Self(Some(Arc::new(Handle(shared)))))
    }

    /// Waits until the sink has taken everything written so far.
    ///
    /// # Errors
    /// It has not after `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<(), DeviceError> {
        let Some(handle) = &self.0 else { return Ok(()) };
        let mut queue = handle.0.lock();
        queue.urgent = true;
        handle.0.changed.notify_all();
        let (queue, _) = handle
            .0
            .changed
            .wait_timeout_while(queue, timeout, |queue| queue.pending_bytes() > 0)
            .unwrap_or_else(PoisonError::into_inner);
        match queue.pending_bytes() {
            0 => Ok(()),
            pending_bytes => Err(DeviceError::SerialOutputStalled { pending_bytes }),
        }
    }

    /// How many bytes were lost to a full queue or a failing sink.
    pub fn lost_bytes(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |handle| handle.0.lock().lost_bytes)
    }
}

/// Appends to the queue; never fails, never waits for the sink.
impl Write for SerialOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(handle) = &self.0 {
            handle.0.append(bytes);
        }
        Ok(bytes.len())
    }

    /// Does nothing: the queue is flushed by its thread.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, bytes: &[u8]) {
        let mut queue = self.lock();
        let was_empty = queue.bytes.is_empty();
        let room_bytes = QUEUE_LIMIT_BYTES.saturating_sub(queue.pending_bytes());
        let (kept, lost) = bytes.split_at(bytes.len().min(room_bytes));
        queue.bytes.extend(kept);
        queue.lost_bytes += lost.len() as u64;
        let becomes_urgent =
            !queue.urgent && (kept.contains(&b'\n') || queue.bytes.len() >= BATCH_BYTES);
        queue.urgent |= becomes_urgent;
        // The writer sleeps without a timeout while the queue is empty, and with one after that.
        if becomes_urgent || was_empty {
            self.changed.notify_all();
        }
    }

    /// Waits for output worth writing; `None` when there will be no more.
    fn next_batch(&self, batch: &mut Vec<u8>) -> Option<()> {
        let idle = |queue: &mut Queue| queue.bytes.is_empty() && !queue.closed;
        let queue = self
            .changed
            .wait_while(self.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        let (mut queue, _) = self
            .changed
            .wait_timeout_while(queue, LINE_PATIENCE, |queue| !queue.urgent && !queue.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.bytes.is_empty() {
            return None;
        }
        batch.clear();
        batch.extend(queue.bytes.drain(..));
        queue.bytes.shrink_to(BATCH_BYTES);
        queue.in_flight_bytes = batch.len();
        queue.urgent = false;
        Some(())
    }

    fn finish_batch(&self, lost_bytes: u64) {
        let mut queue = self.lock();
        queue.in_flight_bytes = 0;
        queue.lost_bytes += lost_bytes;
        self.changed.notify_all();
    }
}

/// The thread's side.
struct Writer {
    shared: Arc<Shared>,
    sink: Box<dyn Write + Send>,
    failed: bool,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        while self.shared.next_batch(&mut batch).is_some() {
            let written = self.write_out(&batch);
            self.shared.finish_batch((batch.len() - written) as u64);
            batch.shrink_to(BATCH_BYTES);
        }
    }

    /// Writes what the sink takes, and says how much that was. A sink that failed once may do
    /// better with the next batch (a disk that was full), but is complained about only once.
    fn write_out(&mut self, batch: &[u8]) -> usize {
        let mut written = 0;
        while written < batch.len() {
            match self.sink.write(&batch[written..]) {
                Ok(0) => return self.give_up(written, &ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
                Err(error) => return self.give_up(written, &error),
            }
        }
        match self.sink.flush() {
            Ok(()) => written,
            Err(error) => self.give_up(written, &error),
        }
    }

    fn give_up(&mut self, written: usize, error: &io::Error) -> usize {
        if !self.failed {
            log::warn!("serial output is being lost: {error}");
            self.failed = true;
        }
        written
    }
}

impl fmt::Debug for SerialOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("SerialOutput");
        if let Some(handle) = &self.0 {
            let queue = handle.0.lock();
            debug.field("pending_bytes", &queue.pending_bytes());
            debug.field("lost_bytes", &queue.lost_bytes);
        }
        debug.finish_non_exhaustive()
    }
}
