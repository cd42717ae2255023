//! What no migration can beat on this machine over this link: the raw costs of moving bytes and of
//! answering faults.

mod tcp;
mod userfault;

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::BenchError;
use super::link::Link;
use super::statistics::quantile;
use crate::count::to_f64;
use tcp::PageServer;
use userfault::FaultMemory;

/// Bytes of a page, and of what a stop-and-wait fetch brings.
const PAGE_BYTES: usize = 4096;

/// Faults and fetches of one measurement.
const FETCHES: usize = 400;

/// Memory of the bulk copy, and how much of it each call installs.
const BULK_BYTES: usize = 128 << 20;
const BULK_CALL_BYTES: usize = 2 << 20;

/// The floors of one link at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Floors {
    /// UFFDIO_COPY of 2 MiB at a time into memory nobody waits for.
    pub bulk_copy_bytes_per_s: f64,
    /// One TCP stream over the link.
    pub tcp_bytes_per_s: f64,
    /// Request and answer of 4 KiB over an idle link, median.
    pub fetch_us: f64,
    /// A fault on another thread, from when it is noticed until its page is installed, the page
    /// being at hand, median.
    pub local_fault_us: f64,
    /// The same with the page fetched over the idle link, median.
    pub network_fault_us: f64,
    /// The same, 99th percentile.
    pub network_fault_p99_us: f64,
    /// The same as the thread felt it that touched the page, median.
    pub network_touch_us: f64,
}

/// Measures the floors of `link`, which must be idle; takes about a second.
///
/// # Errors
/// userfaultfd or sockets are not to be had.
pub fn measure(link: &Link) -> Result<Floors, BenchError> {
    let bulk_copy_bytes_per_s = bulk_copy()?;
    let tcp_bytes_per_s = tcp::throughput(link)?;
    let mut local = faults(|_| Ok(()))?;

    let server = PageServer::start(link)?;
    let mut client = server.connect(link)?;
    let mut fetches = Vec::with_capacity(FETCHES);
    let mut page = [0; PAGE_BYTES];
    for _ in 0..FETCHES {
        let began = Instant::now();
        client.fetch(&mut page)?;
        fetches.push(us(began.elapsed()));
    }
    let mut network = faults(|page| client.fetch(page))?;
    let typical = |values: &mut Vec<f64>| quantile(values, 0.5).expect("there were fetches");
    Ok(Floors {
        bulk_copy_bytes_per_s,
        tcp_bytes_per_s,
        fetch_us: typical(&mut fetches),
        local_fault_us: typical(&mut local.served_us),
        network_fault_us: typical(&mut network.served_us),
        network_fault_p99_us: quantile(&mut network.served_us, 0.99).expect("there were faults"),
        network_touch_us: typical(&mut network.touched_us),
    })
}

impl Floors {
    /// The typical floors of several measurements; `None` if there are none.
    #[must_use]
    pub fn median(all: &[Self]) -> Option<Self> {
        let of = |number: fn(&Self) -> f64| {
            quantile(&mut all.iter().map(number).collect::<Vec<_>>(), 0.5)
        };
        Some(Self {
            bulk_copy_bytes_per_s: of(|one| one.bulk_copy_bytes_per_s)?,
            tcp_bytes_per_s: of(|one| one.tcp_bytes_per_s)?,
            fetch_us: of(|one| one.fetch_us)?,
            local_fault_us: of(|one| one.local_fault_us)?,
            network_fault_us: of(|one| one.network_fault_us)?,
            network_fault_p99_us: of(|one| one.network_fault_p99_us)?,
            network_touch_us: of(|one| one.network_touch_us)?,
        })
    }
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Bytes per second of installing pages without a fault. The content comes from memory, as that of a
/// guest does, and not from a processor's cache.
fn bulk_copy() -> Result<f64, BenchError> {
    let content = vec![0x5a_u8; BULK_BYTES];
    let memory = FaultMemory::new(BULK_BYTES)?;
    let began = Instant::now();
    for (call, part) in content.chunks(BULK_CALL_BYTES).enumerate() {
        memory.install(call * BULK_CALL_BYTES, part)?;
    }
    Ok(to_f64(BULK_BYTES as u64) / began.elapsed().as_secs_f64())
}

/// Latencies of faults in two views.
struct Faults {
    /// From noticing to having installed.
    served_us: Vec<f64>,
    /// From touching to having read.
    touched_us: Vec<f64>,
}

/// Touches page after page on one thread while another brings them with `fetch`.
fn faults(
    mut fetch: impl FnMut(&mut [u8; PAGE_BYTES]) -> Result<(), BenchError>,
) -> Result<Faults, BenchError> {
    let memory = FaultMemory::new(FETCHES * PAGE_BYTES)?;
    thread::scope(|scope| {
        let toucher = scope.spawn(|| {
            let touch = |page| {
                let began = Instant::now();
                memory.touch(page * PAGE_BYTES);
                us(began.elapsed())
            };
            (0..FETCHES).map(touch).collect::<Vec<_>>()
        });
        let mut served_us = Vec::with_capacity(FETCHES);
        let mut page = [0x5a; PAGE_BYTES];
        let mut serve = || {
            for _ in 0..FETCHES {
                let offset = memory.next_fault()?;
                let began = Instant::now();
                fetch(&mut page)?;
                memory.install(offset, &page)?;
                served_us.push(us(began.elapsed()));
            }
            Ok(())
        };
        let served = serve();
        // Whatever was not served must not keep the toucher waiting.
        memory.release()?;
        let touched_us = toucher
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        served.map(|()| Faults {
            served_us,
            touched_us,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_floors_is_taken_of_each_number_by_itself() {
        let floors = |bulk_copy_bytes_per_s, fetch_us| Floors {
            bulk_copy_bytes_per_s,
            tcp_bytes_per_s: 1.0,
            fetch_us,
            local_fault_us: 1.0,
            network_fault_us: 1.0,
            network_fault_p99_us: 1.0,
            network_touch_us: 1.0,
        };
        let median = Floors::median(&[floors(1.0, 30.0), floors(2.0, 10.0), floors(3.0, 20.0)]);
        let median = median.unwrap();
        assert_eq!((median.bulk_copy_bytes_per_s, median.fetch_us), (2.0, 20.0));
        assert_eq!(Floors::median(&[]), None);
    }
}
