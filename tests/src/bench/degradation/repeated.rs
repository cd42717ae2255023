//! How much longer work takes while its VM moves again and again, with a pause of 5 s after each move.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::guest::{boot, counters, last_pages};
use super::{Application, PATIENCE};
use crate::bench::BenchError;
use crate::bench::column::Column;
use crate::bench::ground::Ground;
use crate::bench::noise::{Noise, Watch};
use crate::count::to_f64;
use crate::harness::VmProcess;

/// The paper's pause between two moves.
const PAUSE: Duration = Duration::from_secs(5);

/// How long the guest is left alone before the first move and after the last. What it does then is what it
/// does alone.
const ALONE: Duration = Duration::from_secs(4);

/// What moves again and again cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repeated {
    /// What the guest did.
    pub application: String,
    /// How it moved.
    pub column: String,
    /// Its size.
    pub memory_mib: u32,
    /// How often it moved.
    pub moves: usize,
    /// Work a second when it was left alone: pages, or bytes at the client.
    pub alone_per_s: f64,
    /// Work a second from the beginning of the first move to the end of the last pause.
    pub moved_per_s: f64,
    /// How much longer the same work took.
    pub slowdown_percent: f64,
    /// What else the machine did.
    pub noise: Noise,
}

/// Moves a VM with that application to and fro, as `column` says.
///
/// # Errors
/// It does not arrive.
pub fn measure(
    ground: &Ground,
    (application, memory_mib): (Application, u32),
    column: &Column,
    moves: usize,
) -> Result<Repeated, BenchError> {
    let watch = Watch::begin()?;
    let mut vm = boot(ground, application, memory_mib)?;
    let before = rate_alone(ground, application, &vm)?;
    let (began, from) = (Instant::now(), done(ground, application, &vm)?);
    for number in 0..moves {
        (vm, _) = ground.move_on(vm, number, &column.options, PATIENCE, |_| ())?;
        thread::sleep(PAUSE);
    }
    let until = done(ground, application, &vm)?;
    let moved_per_s = to_f64(until.saturating_sub(from)) / began.elapsed().as_secs_f64();
    let alone_per_s = f64::midpoint(before, rate_alone(ground, application, &vm)?);
    Ok(Repeated {
        application: application.to_string(),
        column: column.name.clone(),
        memory_mib,
        moves,
        alone_per_s,
        moved_per_s,
        slowdown_percent: (alone_per_s / moved_per_s - 1.0) * 100.0,
        noise: watch.end()?,
    })
}

fn rate_alone(
    ground: &Ground,
    application: Application,
    vm: &VmProcess,
) -> Result<f64, BenchError> {
    let (began, from) = (Instant::now(), done(ground, application, vm)?);
    thread::sleep(ALONE);
    let until = done(ground, application, vm)?;
    Ok(to_f64(until.saturating_sub(from)) / began.elapsed().as_secs_f64())
}

/// What is done by now: as the guest says, or what came to a client.
fn done(ground: &Ground, application: Application, vm: &VmProcess) -> Result<u64, BenchError> {
    match application {
        Application::Web | Application::Build | Application::Torrent => {
            // What it said last is a tenth of a second old at most: the next line is waited for.
            let line = vm.wait_fresh_output("pages=")?;
            Ok(last_pages(&[line]))
        }
        Application::Sender => Ok(counters(ground).client_bytes()?),
    }
}
