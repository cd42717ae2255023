//! Everything `skiff preflight` says about a host, and what follows from it.

use std::fs;
use std::thread;

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use super::{Capability, HostKvm, HostMemory, KvmKind, Need, Userfault};
use crate::config::DEFAULT_MEMORY;
use crate::control::Failure;

/// The least number of open files that a VM with several vCPUs and a migration's streams stays below.
const MIN_OPEN_FILES: u64 = 256;

/// The kernel's own default (`DEFAULT_MAX_MAP_COUNT` in include/linux/mm.h).
const DEFAULT_MAX_MAP_COUNT: u64 = 65530;

/// What a host can do, gathered by trying it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostReport {
    /// The version of this program.
    pub version: &'static str,
    /// The kernel's release, as `uname -r` shows it.
    pub kernel: String,
    /// Processors this process may use.
    pub cpus: usize,
    /// KVM's kind; absent if there is none to use.
    pub kvm: Option<KvmKind>,
    /// The version of KVM's interface; absent if there is none to use.
    pub kvm_api_version: Option<i32>,
    /// Why there is no KVM to use.
    pub kvm_failure: Option<Failure>,
    /// KVM's capabilities, empty without KVM.
    pub kvm_capabilities: Vec<Capability>,
    /// The permission to use userfaultfd.
    pub userfaultfd: Userfault,
    /// The memory.
    pub memory: HostMemory,
    /// The limits of this process.
    pub limits: Limits,
}

/// Limits that the kernel sets to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Open files (`ulimit -n`); absent if unlimited.
    pub open_files: Option<u64>,
    /// Locked memory (`ulimit -l`); absent if unlimited.
    pub locked_memory_bytes: Option<u64>,
    /// Areas of an address space (`vm.max_map_count`).
    pub max_map_count: u64,
}

/// What a monitor that waits on another host says about that host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerReport {
    /// Facts worth showing, a line each.
    pub facts: Vec<String>,
    /// What keeps VMs from moving there.
    pub findings: Vec<Finding>,
}

/// Something a host lacks, with its consequence and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it keeps the host from.
    pub severity: Severity,
    /// What is so, and what follows.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// What a finding keeps a host from, gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing that can move is kept from moving; good to know.
    Note,
    /// Some VMs, or moves, will not work.
    Warning,
    /// No VM runs here.
    Blocking,
}

impl HostReport {
    /// Tries everything; takes a few milliseconds.
    pub fn gather() -> Self {
        let opened = HostKvm::open();
        let host = opened.as_ref().ok();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            kvm: host.map(|host| host.kind),
            kvm_api_version: host.map(|host| host.kvm.get_api_version()),
            kvm_failure: opened.as_ref().err().map(|error| Failure::of(error)),
            kvm_capabilities: host.map(HostKvm::capabilities).unwrap_or_default(),
            userfaultfd: Userfault::probe(),
            memory: HostMemory::now(),
            limits: Limits::of_this_process(),
        }
    }

    /// What this host lacks, gravest first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = [
            self.kvm_finding(),
            self.kind_finding(),
            self.missing_finding(Need::Run, Severity::Blocking, "no VM runs"),
            self.missing_finding(Need::Move, Severity::Warning, "no VM moves from or to here"),
            self.userfault_finding(),
            self.memory_finding(),
            self.open_files_finding(),
            self.map_count_finding(),
        ]
        .into_iter()
        .flatten()
        .collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }

    fn kvm_finding(&self) -> Option<Finding> {
        let failure = self.kvm_failure.as_ref()?;
        let causes: String = failure
            .causes
            .iter()
            .map(|cause| format!(" ({cause})"))
            .collect();
        Some(Finding {
            severity: Severity::Blocking,
            message: format!("{}{causes}", failure.message),
            remedy: failure.remedy.clone(),
        })
    }

    fn kind_finding(&self) -> Option<Finding> {
        let kind = self.kvm.filter(|kind| !kind.runs_stock_kernels())?;
        Some(Finding {
            severity: Severity::Warning,
            message: format!(
                "this host's KVM is {kind}, which has no hardware virtualization: stock Linux guests \
                 do not finish booting, the probe guest runs at full speed"
            ),
            remedy: Some(
                "use a host with VT-x or AMD-V, or run Linux guests in the nested rig of the tests"
                    .into(),
            ),
        })
    }

    fn missing_finding(&self, need: Need, severity: Severity, so: &str) -> Option<Finding> {
        let missing: Vec<&str> = self
            .kvm_capabilities
            .iter()
            .filter(|capability| capability.need == need && !capability.present)
            .map(|capability| capability.name)
            .collect();
        (!missing.is_empty()).then(|| Finding {
            severity,
            message: format!("KVM lacks {}: {so}", missing.join(", ")),
            remedy: Some("boot a current Linux kernel".into()),
        })
    }

    fn userfault_finding(&self) -> Option<Finding> {
        let Userfault::Denied { reason } = &self.userfaultfd else {
            return None;
        };
        Some(Finding {
            severity: Severity::Warning,
            message: format!("userfaultfd is denied, so no VM arrives here by post-copy: {reason}"),
            remedy: Some(
                "give your user read and write access to /dev/userfaultfd, \
                 or sudo sysctl vm.unprivileged_userfaultfd=1, or run as root"
                    .into(),
            ),
        })
    }

    fn memory_finding(&self) -> Option<Finding> {
        (self.memory.available_bytes < DEFAULT_MEMORY.bytes()).then(|| Finding {
            severity: Severity::Warning,
            message: format!(
                "{} MiB of memory are free, less than a VM of the default size {DEFAULT_MEMORY} can use",
                self.memory.available_bytes >> 20
            ),
            remedy: Some("end other programs, or give VMs less --memory".into()),
        })
    }

    fn open_files_finding(&self) -> Option<Finding> {
        let open_files = self
            .limits
            .open_files
            .filter(|limit| *limit < MIN_OPEN_FILES)?;
        Some(Finding {
            severity: Severity::Warning,
            message: format!("only {open_files} files may be open, a VM may need {MIN_OPEN_FILES}"),
            remedy: Some(format!("ulimit -n {MIN_OPEN_FILES}")),
        })
    }

    fn map_count_finding(&self) -> Option<Finding> {
        let count = self.limits.max_map_count;
        (count < DEFAULT_MAX_MAP_COUNT).then(|| Finding {
            severity: Severity::Note,
            message: format!("vm.max_map_count is {count}, below the kernel's default"),
            remedy: Some(format!(
                "sudo sysctl vm.max_map_count={DEFAULT_MAX_MAP_COUNT}"
            )),
        })
    }
}

impl Limits {
    fn of_this_process() -> Self {
        let max_map_count = fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(DEFAULT_MAX_MAP_COUNT);
        Self {
            open_files: getrlimit(Resource::Nofile).current,
            locked_memory_bytes: getrlimit(Resource::Memlock).current,
            max_map_count,
        }
    }
}

#[cfg(test)]
mod tests;
