//! What a vCPU's time went to apart from its guest, as the kernel sees it: of any monitor alike.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
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

/// What a vCPU's time went to apart from its guest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VcpuTimes {
    /// It waited for pages, by looks a millisecond apart.
    pub blocked_ms: f64,
    /// It could have run and did not, because other threads had the processors.
    pub queued_ms: f64,
    /// It ran in the host's kernel, which maps pages there, to some 10 ms.
    pub kernel_ms: f64,
}

/// Looks at the first vCPU of a process again and again.
#[derive(Debug)]
pub struct VcpuWatch {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Option<VcpuTimes>>,
}

impl VcpuWatch {
    /// Begins; the vCPU may come later.
    ///
    /// # Errors
    /// There is no thread left.
    pub fn begin(pid: u32) -> Result<Self, BenchError> {
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let process = Path::new("/proc").join(pid.to_string());
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watch(&process, &until))
            .map_err(BenchError::system("start a thread"))?;
        Ok(Self { is_over, thread })
    }

    /// What the vCPU's time went to since it was there; `None` if there is none, or the kernel does not tell.
    #[must_use]
    pub fn end(self) -> Option<VcpuTimes> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().ok()?
    }
}

fn watch(process: &Path, is_over: &AtomicBool) -> Option<VcpuTimes> {
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
    let before = (queued(&task)?, in_kernel(&task)?);
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
    let (queued_before, in_kernel_before) = before;
    let since = |now: Duration, before| now.saturating_sub(before).as_secs_f64() * 1e3;
    does_tell.then_some(VcpuTimes {
        blocked_ms: blocked.as_secs_f64() * 1e3,
        queued_ms: since(queued(&task)?, queued_before),
        kernel_ms: since(in_kernel(&task)?, in_kernel_before),
    })
}

/// How long a thread could have run and did not (Linux, `Documentation/scheduler/sched-stats.rst`).
fn queued(task: &Path) -> Option<Duration> {
    let text = fs::read_to_string(task.join("schedstat")).ok()?;
    let waited_ns = text.split(' ').nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(waited_ns))
}

/// How long a thread has run in the kernel (`proc_pid_stat(5)`).
fn in_kernel(task: &Path) -> Option<Duration> {
    let text = fs::read_to_string(task.join("stat")).ok()?;
    let ticks = kernel_ticks(&text)?;
    Some(Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second()).ok()?)
}

/// `stime`, the fifteenth field; the second is the name, in which there can be anything.
fn kernel_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(12)?.parse().ok()
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
    fn time_in_the_kernel_is_found_behind_any_name() {
        let stat = "7 (CPU 0) KVM) S 1 7 7 0 -1 64 1 2 3 4 51 103 0 0 20 0 9";
        assert_eq!(kernel_ticks(stat), Some(103));
        assert_eq!(kernel_ticks("7 (vcpu-0) S 1"), None);
    }

    #[test]
    fn thread_that_runs_is_nowhere() {
        assert!(names_a_place(b"futex_do_wait"));
        assert!(!names_a_place(b"0") && !names_a_place(b""));
    }

    #[test]
    fn process_without_a_vcpu_was_not_blocked_for_any_time() {
        let watch = VcpuWatch::begin(std::process::id()).unwrap();
        thread::sleep(Duration::from_millis(5));
        assert_eq!(watch.end(), None);
    }
}
