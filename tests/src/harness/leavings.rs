//! What a test or demonstration would leave behind if it were interrupted, and its removal.
//!
//! Dropped values clean up after themselves, but a signal drops nothing. A program that starts
//! monitors calls [`remove_on_signal`] first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use vmm::console::Signals;

use super::HarnessError;

/// Exit status of a program that a user interrupted, as in a shell: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

static LEAVINGS: Mutex<Leavings> = Mutex::new(Leavings {
    processes: Vec::new(),
    paths: Vec::new(),
    interfaces: Vec::new(),
});

#[derive(Debug)]
struct Leavings {
    processes: Vec<u32>,
    paths: Vec<PathBuf>,
    interfaces: Vec<String>,
}

fn lock() -> MutexGuard<'static, Leavings> {
    LEAVINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn add_process(id: u32) {
    lock().processes.push(id);
}

pub(super) fn forget_process(id: u32) {
    lock().processes.retain(|known| *known != id);
}

pub(super) fn add_path(path: &Path) {
    lock().paths.push(path.to_owned());
}

pub(super) fn forget_path(path: &Path) {
    lock().paths.retain(|known| known != path);
}

pub(super) fn add_interface(name: &str) {
    lock().interfaces.push(name.to_owned());
}

pub(super) fn forget_interface(name: &str) {
    lock().interfaces.retain(|known| known != name);
}

/// From now on Ctrl-C and the other signals that end a program end the monitors it has started and
/// remove their directories and network interfaces first. To be called before any thread is started.
///
/// # Errors
/// Signals cannot be received, or no thread be started.
pub fn remove_on_signal() -> Result<(), HarnessError> {
    let failed = HarnessError::process("receive signals");
    let signals = Signals::block().map_err(io::Error::other).map_err(failed)?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut fds = [PollFd::new(&signals, PollFlags::IN)];
            while poll(&mut fds, None).is_err() {}
            remove_all();
            process::exit(INTERRUPTED);
        })
        .map_err(HarnessError::process("start a thread"))?;
    Ok(())
}

/// Keeps the lock: nothing new may be started any more.
fn remove_all() {
    let leavings = lock();
    for id in &leavings.processes {
        if let Some(pid) = i32::try_from(*id).ok().and_then(Pid::from_raw) {
            // One that has just ended by itself is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for path in &leavings.paths {
        // What cannot be removed cannot be helped: the program is ending.
        let _ = fs::remove_dir_all(path);
    }
    for name in &leavings.interfaces {
        let _ = Command::new("ip").args(["link", "del", name]).output();
    }
    std::mem::forget(leavings);
}
