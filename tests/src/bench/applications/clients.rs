//! The programs that ask a guest for something.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{Application, Served};
use crate::bench::BenchError;

/// The address of the guest.
const GUEST: &str = "10.77.0.2";

const WRK: &str = "wrk";
const IPERF: &str = "iperf3";
const REDIS: &str = "redis-benchmark";

/// Asks for any of the files that the guest has.
const ANY_FILE: &str =
    "request = function() return wrk.format(\"GET\", \"/\" .. math.random(0, 999)) end\n";

/// Values in the store, and bytes in each.
const STORED: [&str; 4] = ["-r", "50000", "-d", "512"];

/// Sets of the store by which is found out how many it does in a second.
const TRIAL: u32 = 2000;

/// Several times what filling the store took.
const FILLED: Duration = Duration::from_secs(300);

/// Where the programs of the clients are, each of which has to be.
///
/// # Errors
/// One of them is not there.
pub fn programs() -> Result<[PathBuf; 3], BenchError> {
    let find = |program: &'static str| {
        let path = Path::new("/usr/bin").join(program);
        if path.exists() {
            Ok(path)
        } else {
            Err(BenchError::NoProgram { program })
        }
    };
    Ok([find(WRK)?, find(IPERF)?, find(REDIS)?])
}

/// All clients.
#[derive(Debug)]
pub(super) struct Clients {
    directory: TempDir,
}

impl Clients {
    pub(super) fn new() -> Result<Self, BenchError> {
        let make = BenchError::system("make a directory");
        let directory = tempfile::tempdir().map_err(make)?;
        let clients = Self { directory };
        let write = BenchError::system("write what a client asks for");
        fs::write(clients.script(), ANY_FILE).map_err(write)?;
        Ok(clients)
    }

    fn script(&self) -> PathBuf {
        self.directory.path().join("any-file.lua")
    }

    /// Has the client of `application` ask for `span`, and gives what it got; nothing, after the same time,
    /// where there is no client.
    pub(super) fn get(
        &self,
        application: Application,
        span: Duration,
    ) -> Result<Option<Served>, BenchError> {
        let seconds = span.as_secs().to_string();
        // One that gets nothing any more might wait for ever.
        let limit = 3 * span + Duration::from_secs(60);
        let iperf = ["-c", GUEST, "-t", &seconds, "-i", "0.1", "--json"];
        let served = match application {
            Application::Web => {
                let (script, during) = (self.script(), format!("-d{seconds}s"));
                let (script, url) = (script.to_string_lossy(), format!("http://{GUEST}:80/"));
                let words = [
                    "-t1",
                    "-c4",
                    &during,
                    "--timeout",
                    &seconds,
                    "-s",
                    &script,
                    &url,
                ];
                ask(WRK, limit, &words, Served::by_wrk)
            }
            Application::Torrent => ask(
                IPERF,
                limit,
                &[&iperf[..], &["-b", "8M"]].concat(),
                by_iperf,
            ),
            Application::Sender => ask(
                IPERF,
                limit,
                &[&iperf[..], &["--reverse"]].concat(),
                by_iperf,
            ),
            Application::Store => {
                let trial = ask_store(limit, &TRIAL.to_string(), &[])?;
                // The trial has had its part of the span.
                let left_s = span.as_secs_f64() - f64::from(TRIAL) / trial.per_s;
                ask_store(
                    limit,
                    &format!("{:.0}", (trial.per_s * left_s).max(1.0)),
                    &[],
                )
            }
            Application::Build => {
                thread::sleep(span);
                return Ok(None);
            }
        };
        served.map(Some)
    }

    /// Gives the store most of what it is to have.
    pub(super) fn fill_store(&self) -> Result<(), BenchError> {
        ask_store(FILLED, "75000", &["-P", "16"]).map(drop)
    }
}

fn ask_store(limit: Duration, count: &str, more: &[&str]) -> Result<Served, BenchError> {
    let words = ["-h", GUEST, "-t", "set", "-c", "4", "--csv", "-n", count];
    ask(
        REDIS,
        limit,
        &[&words[..], &STORED, more].concat(),
        Served::by_redis,
    )
}

fn by_iperf(text: &str) -> Option<Served> {
    let json: Value = serde_json::from_str(text).ok()?;
    Served::by_iperf(&json)
}

/// Runs a client to its end, which is to come within `limit`.
fn ask(
    client: &'static str,
    limit: Duration,
    words: &[&str],
    told: impl FnOnce(&str) -> Option<Served>,
) -> Result<Served, BenchError> {
    let done = Command::new("timeout")
        .args([&limit.as_secs().to_string(), client])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(BenchError::system("run a client"))?;
    let text = String::from_utf8_lossy(&done.stdout);
    told(&text)
        .filter(|_| done.status.success())
        .ok_or_else(|| {
            let said = [text, String::from_utf8_lossy(&done.stderr)].concat();
            let reason = format!("{} within {limit:?}\n{said}", done.status);
            BenchError::Client { client, reason }
        })
}
