//! How many frames a guest sends and receives by its network card.
//!
//! The card's cable ends in a TAP interface on a bridge of the host. Frames are UDP datagrams to everybody:
//! what a guest sends is counted by the interface; what it receives comes from a socket of the host, as
//! fast as that can send, and is counted by the guest, which checks that they come whole and in order.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use guest_images::PROBE;

use super::monitor::Equipment;
use super::{Monitor, Row, Title};
use crate::bench::BenchError;
use crate::count::to_f64;
use crate::harness::{HarnessError, Network, Numberer, field};

/// Until frames flow as they will go on to.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long it is measured.
const MEASURED: Duration = Duration::from_secs(3);

/// What the guest does.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    direction: Direction,
    frame_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Send,
    Receive,
}

const LOADS: [Load; 4] = [
    Load {
        name: "send, frames of 1514 bytes",
        direction: Direction::Send,
        frame_bytes: 1514,
    },
    Load {
        name: "send, frames of 64 bytes",
        direction: Direction::Send,
        frame_bytes: 64,
    },
    Load {
        name: "receive, frames of 1514 bytes",
        direction: Direction::Receive,
        frame_bytes: 1514,
    },
    Load {
        name: "receive, frames of 64 bytes",
        direction: Direction::Receive,
        frame_bytes: 64,
    },
];

/// What the table is of. QEMU moves frames in its own process, as we do: no vhost.
pub const TITLE: Title = Title {
    device: "network card",
    unit: "1000 frames/s",
    host: "host's socket",
    claimed: None,
};

/// Measures every load on skiff and on its peer, in turns.
///
/// # Errors
/// There can be no network, or a monitor or guest fails.
pub fn measure(rounds: usize, peer: Option<Monitor>) -> Result<Vec<Row>, BenchError> {
    let directory = tempfile::tempdir().map_err(BenchError::system("make a directory"))?;
    let probe = directory.path().join("probe.elf");
    std::fs::write(&probe, PROBE).map_err(BenchError::system("write the probe"))?;
    let bench = Bench {
        network: Network::new(1)?,
        probe,
    };
    let mut rows = LOADS.map(|load| Row::new(load.name));
    for round in 0..rounds {
        for (row, load) in rows.iter_mut().zip(LOADS) {
            row.measure(
                peer,
                || bench.host(load),
                |monitor| bench.guest(monitor, load),
            )?;
        }
        eprintln!("network card: round {}/{rounds}", round + 1);
    }
    Ok(rows.into())
}

struct Bench {
    network: Network,
    probe: PathBuf,
}

impl Bench {
    /// What the host's own socket sends to the interface, where nobody is.
    fn host(&self, load: Load) -> Result<f64, BenchError> {
        let sent = flood(load, || {
            thread::sleep(MEASURED / 3);
            Ok(())
        });
        let ((), frames) = sent?;
        Ok(to_f64(frames) / (MEASURED / 3).as_secs_f64() / 1e3)
    }

    /// What a guest does.
    fn guest(&self, monitor: Monitor, load: Load) -> Result<f64, BenchError> {
        let run = |words: &str| {
            let tap = Equipment::Card(self.network.tap(0));
            monitor.run(&self.probe, tap, words)
        };
        match load.direction {
            Direction::Send => {
                let guest = run(&format!(
                    "workload=net-send frame={} ws=8M",
                    load.frame_bytes
                ))?;
                guest.wait(|line| field(line, "pages").ok().filter(|&sent| sent > 0))?;
                thread::sleep(WARM_UP);
                let rate = rate_of(|| Network::counted(self.network.tap(0), "rx_packets"))?;
                // It is still there.
                guest.wait(|line| field(line, "pages").ok())?;
                Ok(rate)
            }
            Direction::Receive => {
                let guest = run("workload=net-receive ws=8M")?;
                guest.wait(|line| field(line, "t_ms").ok())?;
                let (rate, _) = flood(load, || guest.rate(WARM_UP, MEASURED))?;
                Ok(rate / 1e3)
            }
        }
    }
}

/// Thousands a second that a counter gains.
fn rate_of(counter: impl Fn() -> Result<u64, HarnessError>) -> Result<f64, BenchError> {
    let (began, before) = (Instant::now(), counter()?);
    thread::sleep(MEASURED);
    let after = counter()?;
    Ok(to_f64(after - before) / began.elapsed().as_secs_f64() / 1e3)
}

/// Sends datagrams to everybody in the network as fast as the host can while `act` lasts, and says how
/// many.
fn flood<T>(
    load: Load,
    act: impl FnOnce() -> Result<T, BenchError>,
) -> Result<(T, u64), BenchError> {
    let numberer = Numberer::new(Network::HOST, load.frame_bytes);
    let mut numberer = numberer.map_err(BenchError::system("make a socket"))?;
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                numberer.send();
            }
            numberer.sent()
        });
        let done = act();
        ends.store(true, Ordering::Relaxed);
        let sent = sender
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((done?, sent))
    })
}
