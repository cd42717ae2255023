//! The lines a process prints, collected by a thread, so that a test can wait for one of them.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::HarnessError;

/// How many lines are shown when one is missing.
const SHOWN_LINES: usize = 20;

#[derive(Debug, Default)]
struct Log {
    /// Everything as it came, line ends included.
    text: String,
    lines: Vec<String>,
    ended: bool,
}

/// Everything printed on one stream so far. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    shared: Arc<(Mutex<Log>, Condvar)>,
}

impl Lines {
    /// Collects the lines of `stream` until it ends.
    pub fn collect(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let collector = lines.clone();
        thread::spawn(move || collector.read_all(stream));
        lines
    }

    fn read_all(&self, stream: impl Read) {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|count| count > 0)
        {
            let line = String::from_utf8_lossy(&bytes);
            self.change(|log| {
                log.text.push_str(&line);
                log.lines.push(line.trim_end().to_owned());
            });
            bytes.clear();
        }
        self.change(|log| log.ended = true);
    }

    /// Waits until the stream has ended and all of it is here, for `patience` at most.
    pub fn drain(&self, patience: Duration) {
        let (log, changed) = &*self.shared;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_timeout_while(log, patience, |log| !log.ended));
    }

    fn change(&self, change: impl FnOnce(&mut Log)) {
        let (log, changed) = &*self.shared;
        change(&mut log.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    /// All lines so far.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.shared
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .clone()
    }

    /// All text so far. A line that a move cuts in two is whole again in the texts of both ends in a
    /// row.
    #[must_use]
    pub fn text(&self) -> String {
        let log = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.text.clone()
    }

    /// How many lines there are: the place from which to wait for new ones.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .len()
    }

    /// Waits for the first line from number `from` on that contains `text`.
    ///
    /// # Errors
    /// It does not come within `patience`, or the stream ends before.
    pub fn wait_from(
        &self,
        from: usize,
        text: &str,
        patience: Duration,
    ) -> Result<String, HarnessError> {
        let deadline = Instant::now() + patience;
        let (log, changed) = &*self.shared;
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let fresh = log.lines.get(from..).unwrap_or_default();
            if let Some(line) = fresh.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || log.ended {
                let first = log.lines.len().saturating_sub(SHOWN_LINES);
                return Err(HarnessError::NoLine {
                    wanted: text.to_owned(),
                    waited: patience,
                    seen: log.lines[first..].join("\n"),
                });
            }
            log = changed
                .wait_timeout(log, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a line that contains `text`, among all lines.
    ///
    /// # Errors
    /// As [`Lines::wait_from`].
    pub fn wait(&self, text: &str, patience: Duration) -> Result<String, HarnessError> {
        self.wait_from(0, text, patience)
    }
}
