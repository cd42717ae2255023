//! How long a vCPU waited for pages, as the kernel sees it: of any monitor alike.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;

use crate::bench::BenchError;

/// How monitors begin the name of a thread that runs a guest: ours, and QEMU with `debug-threads=on`.
const VCPUS: [&str; 2] = ["vcpu", "CPU "];

/// Where a thread stands that waits for a page (Linux, `fs/userfaultfd.c`).
const WAITS: &[u8] = b"handle_userfault";

/// How often the thread is looked at. Our choice: a look takes some 10 us.
const EVERY: Duration = Duration::from_millis(1);

/// How often threads are looked through after there is another one, which names itself a moment later.
const LOOKS: u8 = 10;

/// The priority of who looks: so high that it is seldom late on busy processors.
const NICE: i32 = -20;

/// Looks at the first vCPU of a process again and again.
#[derive(Debug)]
pub struct BlockedWatch {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Option<Duration>>,
}

impl BlockedWatch {
    /// Begins; the vCPU may come later.
    ///
    /// # Errors
    /// There is no thread left.
    pub fn begin(pid: u32) -> Result<Self, BenchError> {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let process = Path::new("/proc").join(pid.to_string());
        let thread = thread::Builder::new()
            .name("blocked-watch".to_owned())
            .spawn(move || watch(&process, &until))
            .map_err(BenchError::system("start a thread"))?;
        Ok(Self { is_over, thread })
    }

    /// How long the vCPU has waited, in milliseconds; `None` if there is none, or the kernel does not tell.
    #[must_use]
    pub fn end(self) -> Option<f64> {
        self.is_over.store(true, Ordering::Relaxed);
        let blocked = self.thread.join().ok()??;
        Some(blocked.as_secs_f64() * 1e3)
    }
}

fn watch(process: &Path, is_over: &AtomicBool) -> Option<Duration> {
    // Without the privilege it looks a little late.
    let _ = setpriority_process(None, NICE);
    let mut search = Search::new(process);
    let task = loop {
        match search.look() {
            Some(task) => break task,
            None if is_over.load(Ordering::Relaxed) => return None,
            None => thread::sleep(EVERY),
        }
    };
    let vcpu = File::open(task.join("wchan")).ok()?;
    // A monitor's first thread waits for events nearly always.
    let main = File::open(process.join("wchan")).ok()?;
    let mut does_tell = false;
    let mut blocked = Duration::ZERO;
    let mut last = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(EVERY);
        does_tell = does_tell || names_a_place(place(&main, &mut [0; 64]).ok()?);
        let waits = place(&vcpu, &mut [0; 64]).is_ok_and(|place| place == WAITS);
        let now = Instant::now();
        if waits {
            blocked += now - last;
        }
        last = now;
    }
    does_tell.then_some(blocked)
}

/// The function of the kernel in which a thread waits, from its `wchan` (`proc_pid_wchan(5)`).
fn place<'a>(wchan: &File, buffer: &'a mut [u8; 64]) -> io::Result<&'a [u8]> {
    let read = wchan.read_at(buffer, 0)?;
    Ok(&buffer[..read])
}

/// One that runs is nowhere, and so is each on a kernel that does not tell.
fn names_a_place(place: &[u8]) -> bool {
    !place.is_empty() && place != b"0"
}

/// Looks for the first vCPU among threads that come and go.
struct Search {
    tasks: PathBuf,
    threads: u64,
    looks: u8,
}

impl Search {
    fn new(process: &Path) -> Self {
        Self {
            tasks: process.join("task"),
            threads: 0,
            looks: 0,
        }
    }

    fn look(&mut self) -> Option<PathBuf> {
        // Each thread is a folder, and so a link, more.
        let threads = fs::metadata(&self.tasks).ok()?.nlink();
        if threads != self.threads {
            self.threads = threads;
            self.looks = LOOKS;
        }
        self.looks = self.looks.checked_sub(1)?;
        let mut tasks = fs::read_dir(&self.tasks)
            .ok()?
            .flatten()
            .map(|task| task.path());
        tasks.find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| is_vcpu(&name)))
    }
}

fn is_vcpu(name: &str) -> bool {
    VCPUS.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_run_a_guest_are_known_by_their_names() {
        assert!(is_vcpu("vcpu-0\n") && is_vcpu("CPU 0/KVM\n"));
        assert!(!is_vcpu("receive-faults\n") && !is_vcpu("qemu-system-x86\n"));
    }

    #[test]
    fn thread_that_runs_is_nowhere() {
        assert!(names_a_place(b"futex_do_wait"));
        assert!(!names_a_place(b"0") && !names_a_place(b""));
    }

    #[test]
    fn process_without_a_vcpu_was_not_blocked_for_any_time() {
        let watch = BlockedWatch::begin(std::process::id()).unwrap();
        thread::sleep(Duration::from_millis(5));
        assert_eq!(watch.end(), None);
    }
}
