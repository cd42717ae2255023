//! What the vCPU's thread did, as the kernel sees it.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::count::to_f64;

/// How the monitor names the threads that run a guest.
const VCPU: &str = "vcpu";

/// The time from when the guest ran again until its move was complete, shared out. Of a guest that
/// always has work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VcpuTimes {
    /// It ran.
    pub ran_ms: f64,
    /// It could have run, but others did.
    pub queued_ms: f64,
    /// It waited: for pages, there being nothing else.
    pub blocked_ms: f64,
}

impl VcpuTimes {
    /// Asks for the threads of the monitor `pid`, to which a VM has just moved; `None` if it has not
    /// exactly one vCPU, or the kernel does not tell.
    pub(super) fn of(pid: u32, report: &Value) -> Option<Self> {
        let tasks = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).ok()?;
        let mut vcpus = tasks.flatten().map(|task| task.path()).filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with(VCPU))
        });
        let (vcpu, None) = (vcpus.next()?, vcpus.next()) else {
            return None;
        };
        let schedstat = fs::read_to_string(vcpu.join("schedstat")).ok()?;
        Self::shared_out(report["resume_ms"].as_f64()?, &schedstat)
    }

    /// Shares `whole_ms` out by the first two numbers of `schedstat`: nanoseconds on a processor and
    /// in its queue (kernel documentation, `scheduler/sched-stats`).
    fn shared_out(whole_ms: f64, schedstat: &str) -> Option<Self> {
        let mut numbers = schedstat.split_whitespace();
        let mut next_ms = || -> Option<f64> {
            let ns: u64 = numbers.next()?.parse().ok()?;
            Some(to_f64(ns) / 1e6)
        };
        let (ran_ms, queued_ms) = (next_ms()?, next_ms()?);
        Some(Self {
            ran_ms,
            queued_ms,
            // The thread was asked a moment after the move was complete, and ran meanwhile.
            blocked_ms: (whole_ms - ran_ms - queued_ms).max(0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_neither_run_nor_queued_was_blocked() {
        let times = VcpuTimes::shared_out(1000.0, "300000000 100000000 17\n").unwrap();
        assert_eq!(
            (times.ran_ms, times.queued_ms, times.blocked_ms),
            (300.0, 100.0, 600.0)
        );
        let busy = VcpuTimes::shared_out(100.0, "105000000 0 1").unwrap();
        assert_eq!(busy.blocked_ms, 0.0);
    }

    #[test]
    fn schedstat_of_a_kernel_without_it_is_none() {
        assert_eq!(VcpuTimes::shared_out(1.0, ""), None);
        assert_eq!(VcpuTimes::shared_out(1.0, "7"), None);
    }
}
