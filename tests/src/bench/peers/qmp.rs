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
pub(super) struct Qmp(BufReader<UnixStream>);

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
        let mut qmp = Self(BufReader::new(stream));
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
        self.0
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
            // Everything else is an event.
            if line.get("return").is_some() {
                return Ok(line["return"].take());
            }
        }
    }

    fn line(&mut self) -> Result<Value, BenchError> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line);
        read.map_err(BenchError::system("hear from QEMU"))?;
        serde_json::from_str(&line).map_err(|_| BenchError::Lacks {
            what: "answer of QEMU",
            text: line,
        })
    }
}
