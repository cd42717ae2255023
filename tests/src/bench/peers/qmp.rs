//! QEMU's control socket (QEMU Machine Protocol: objects of JSON, a line each).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bench::BenchError;

/// Longest that QEMU may take to make its socket, or to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Until the socket is looked for again.
const POLL: Duration = Duration::from_millis(5);

/// A connection to one QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
    /// What it has said by itself.
    events: Vec<Value>,
}

impl Qmp {
    /// Connects to the socket at `path`, which may be about to be made.
    pub(super) fn connect(path: &Path) -> Result<Self, BenchError> {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < deadline => thread::sleep(POLL),
                Err(error) => return Err(BenchError::system("connect to QEMU")(error)),
            }
        };
        stream
            .set_read_timeout(Some(PATIENCE))
            .map_err(BenchError::system("set a time limit"))?;
        let mut qmp = Self {
            stream: BufReader::new(stream),
            events: Vec::new(),
        };
        // Its greeting.
        qmp.line()?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Has a command done, and returns what it returns.
    pub(super) fn execute(
        &mut self,
        command: &str,
        arguments: &Value,
    ) -> Result<Value, BenchError> {
        let mut words = json!({ "execute": command, "arguments": arguments }).to_string();
        words.push('\n');
        self.stream
            .get_mut()
            .write_all(words.as_bytes())
            .map_err(BenchError::system("tell QEMU something"))?;
        loop {
            let mut line = self.line()?;
            if !line["error"].is_null() {
                return Err(BenchError::Peer {
                    command: command.to_owned(),
                    reason: line["error"]["desc"].to_string(),
                });
            }
            if line.get("return").is_some() {
                return Ok(line["return"].take());
            }
            self.events.push(line);
        }
    }

    /// When an event happened last of those that came before the last answer, in milliseconds since 1970.
    pub(super) fn event_ms(&self, name: &str) -> Option<f64> {
        let event = self.events.iter().rfind(|event| event["event"] == name)?;
        let number = |unit: &str| event["timestamp"][unit].as_f64();
        Some(number("seconds")? * 1e3 + number("microseconds")? / 1e3)
    }

    fn line(&mut self) -> Result<Value, BenchError> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        read.map_err(BenchError::system("hear from QEMU"))?;
        serde_json::from_str(&line).map_err(|_| BenchError::Lacks {
            what: "answer of QEMU",
            text: line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_event_of_a_name_counts() {
        let event = |name: &str, seconds: u64, microseconds: u64| json!({ "event": name, "timestamp": { "seconds": seconds, "microseconds": microseconds } });
        let (stream, _) = UnixStream::pair().unwrap();
        let qmp = Qmp {
            stream: BufReader::new(stream),
            events: vec![
                event("RESUME", 1, 0),
                event("RESUME", 2, 1500),
                event("STOP", 3, 0),
            ],
        };
        assert_eq!(qmp.event_ms("RESUME"), Some(2001.5));
        assert_eq!(qmp.event_ms("RESET"), None);
    }
}
