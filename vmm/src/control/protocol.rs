//! What is said over a control socket, one JSON object a line.

use serde::{Deserialize, Serialize};

use balloon::{SelfBallooningSettings, Statistics};
use devices::blk::DiskCounters;
use devices::net::{Link, NetCounters};
use devices::vsock::VsockCounters;

use super::Failure;
use crate::config::{MigrateConfig, SnapshotConfig, VmName};

/// What a client asks of a monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Describe the VM; answered by a [`VmInfo`].
    Info,
    /// Stop the vCPUs and the queues.
    Pause,
    /// Let them run again.
    Resume,
    /// End the VM and its monitor.
    Stop,
    /// Move the VM; answered by progress lines and the report.
    Migrate(MigrateConfig),
    /// Write a snapshot of the VM; answered by progress lines and the report.
    Snapshot(SnapshotConfig),
    /// Cancel a migration that has not handed over, or a snapshot that is not complete.
    Cancel,
    /// Ask the guest to have so much in its balloon, if anything is asked; answered by a
    /// [`BalloonInfo`].
    Balloon {
        /// How much.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_bytes: Option<u64>,
        /// Whether that is to follow from what the guest says of its memory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        auto: Option<SelfBallooningWish>,
    },
}

impl Request {
    /// The command's word, as in `"command"` and on the command line.
    pub fn command(&self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Migrate(_) => "migrate",
            Self::Snapshot(_) => "snapshot",
            Self::Cancel => "cancel",
            Self::Balloon { .. } => "balloon",
        }
    }
}

/// One line from a monitor; `T` is what the request is answered by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response<T = serde_json::Value> {
    /// The request is being worked on; more lines follow.
    Progress(Progress),
    /// It is done; the last line.
    Ok(T),
    /// It failed; the last line.
    Error(Failure),
}

/// How far a migration or a snapshot has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, in a word or two of the engine.
    pub phase: String,
    /// Rounds of copying that have begun; 0 in a mode without, and at the destination.
    pub round: u32,
    /// Pages of guest memory that need no more work.
    pub pages_done: u64,
    /// Pages of guest memory in all.
    pub pages_total: u64,
    /// Since the request was taken.
    pub elapsed_ms: u64,
    /// Bytes of pages in a second, smoothed; 0 as long as that is not known.
    pub rate_bytes_per_s: u64,
    /// Bytes of the pages that are not done.
    pub remaining_bytes: u64,
    /// How long those will take at that rate, if it is known.
    pub eta_ms: Option<u64>,
}

/// A migration that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationInfo {
    /// Whether the VM leaves or arrives.
    pub direction: Direction,
    /// The other end.
    pub peer: String,
    /// How it moves, as was asked for.
    pub mode: String,
    /// How far it is.
    #[serde(flatten)]
    pub progress: Progress,
}

/// Whether a VM leaves or arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To another monitor.
    Leaving,
    /// From another monitor.
    Arriving,
}

/// Whether the target of a balloon follows from what the guest says of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfBallooningWish {
    /// It stays where it is.
    Off,
    /// It does.
    On(SelfBallooningSettings),
}

/// What a monitor says about the balloon of its guest. Amounts are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalloonInfo {
    /// How much the host wants in the balloon.
    pub target_bytes: u64,
    /// How much the guest says is in it.
    pub actual_bytes: u64,
    /// How much the guest has reported free since it booted; the same memory may count many times.
    pub reported_bytes: u64,
    /// How much of that in a second, on average of the last 10 s.
    #[serde(default)]
    pub reported_bytes_per_s: u64,
    /// How much has gone back to a host since then, by inflating and by reporting.
    pub discarded_bytes: u64,
    /// How much of that in a second, on average of the last 10 s.
    #[serde(default)]
    pub discarded_bytes_per_s: u64,
    /// Resident memory of the monitor's process.
    pub resident_bytes: u64,
    /// How the target follows from what the guest says, if it does.
    #[serde(default)]
    pub self_ballooning: Option<SelfBallooningSettings>,
    /// What the guest said of its memory last, if it ever did.
    #[serde(default)]
    pub statistics: Option<Statistics>,
}

/// What a monitor says about a disk of its guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskInfo {
    /// Its image file or block device.
    pub path: String,
    /// Its length.
    pub size_bytes: u64,
    /// Whether the guest may only read it.
    pub read_only: bool,
    /// What it has done since the guest booted.
    #[serde(flatten)]
    pub counters: DiskCounters,
}

/// What a monitor says about a network card of its guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetInfo {
    /// The interface of the host that its cable ends in.
    pub tap: String,
    /// Its address.
    pub mac: String,
    /// Whether that interface is up.
    #[serde(default)]
    pub link: Link,
    /// What it has done since the guest booted.
    #[serde(flatten)]
    pub counters: NetCounters,
}

/// What a monitor says about the socket device of its guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VsockInfo {
    /// Where programs of the host find the guest.
    pub socket: String,
    /// The guest's address.
    pub cid: u32,
    /// What it has done since the guest booted.
    #[serde(flatten)]
    pub counters: VsockCounters,
}

/// What a monitor says about its VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmInfo {
    /// Its name.
    pub name: VmName,
    /// What it is doing.
    pub state: VmState,
    /// The monitor's process.
    pub pid: u32,
    /// Its vCPUs; 0 before it has arrived.
    pub vcpus: u8,
    /// Guest memory; 0 before it has arrived.
    pub memory_bytes: u64,
    /// Resident memory of the monitor's process, guest memory in use included.
    pub resident_bytes: u64,
    /// Since the monitor started.
    pub uptime_ms: u64,
    /// The host's KVM, as `skiff preflight` names it.
    pub kvm: String,
    /// The kernel it booted, as typed; absent when it arrived from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The migration that is under way.
    #[serde(default)]
    pub migration: Option<MigrationInfo>,
    /// The guest's balloon, if it has one.
    #[serde(default)]
    pub balloon: Option<BalloonInfo>,
    /// The guest's disks, in the order in which it finds them.
    #[serde(default)]
    pub disks: Vec<DiskInfo>,
    /// The guest's network cards, in the order in which it finds them.
    #[serde(default)]
    pub nets: Vec<NetInfo>,
    /// The guest's socket device, if it has one.
    #[serde(default)]
    pub vsock: Option<VsockInfo>,
    /// The monitor's version.
    pub version: String,
}

/// What a VM is doing.
///
/// ```text
/// run ----------------------------> Running <--> Paused
///                                      |  ^         |
/// receive --> Receiving --> Arriving --+  | failed  | migrate
///                                      v  |         v
///                                    Migrating ------> the monitor ends
///
/// Snapshotting stands beside Migrating: it leads back to where it came from.
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VmState {
    /// The monitor waits for a VM.
    Receiving,
    /// The VM runs here, and some of its pages are still at the source.
    Arriving,
    /// The vCPUs run.
    Running,
    /// The vCPUs stand still by request.
    Paused,
    /// The VM is on its way to another monitor.
    Migrating,
    /// A snapshot of the VM is being written.
    Snapshotting,
}

impl VmState {
    /// The state as shown and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Arriving => "arriving",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Migrating => "migrating",
            Self::Snapshotting => "snapshotting",
        }
    }
}

#[cfg(test)]
mod tests {
    use migration::snapshot::{Afterwards, Liveness};

    use super::*;
    use crate::config::MigrationMode;

    #[test]
    fn request_of_each_kind_has_the_documented_form() {
        let migrate = Request::Migrate(MigrateConfig {
            mode: MigrationMode::PostCopy,
            streams: Some("1".parse().unwrap()),
            ..MigrateConfig::new("node2:7000".parse().unwrap())
        });
        for (request, line) in [
            (Request::Info, r#"{"command":"info"}"#),
            (Request::Pause, r#"{"command":"pause"}"#),
            (Request::Resume, r#"{"command":"resume"}"#),
            (Request::Stop, r#"{"command":"stop"}"#),
            (Request::Cancel, r#"{"command":"cancel"}"#),
            (
                Request::Snapshot(SnapshotConfig {
                    to: "/a".into(),
                    base: None,
                    liveness: Liveness::Live,
                    afterwards: Afterwards::Held,
                }),
                r#"{"command":"snapshot","to":"/a","liveness":"live","afterwards":"held"}"#,
            ),
            (
                Request::Snapshot(SnapshotConfig {
                    to: "/a".into(),
                    base: Some("/b".into()),
                    liveness: Liveness::Paused,
                    afterwards: Afterwards::Resumed,
                }),
                r#"{"command":"snapshot","to":"/a","base":"/b","liveness":"paused","afterwards":"resumed"}"#,
            ),
            (
                Request::Balloon {
                    target_bytes: None,
                    auto: None,
                },
                r#"{"command":"balloon"}"#,
            ),
            (
                Request::Balloon {
                    target_bytes: Some(0),
                    auto: Some(SelfBallooningWish::Off),
                },
                r#"{"command":"balloon","target_bytes":0,"auto":"off"}"#,
            ),
            (
                migrate,
                r#"{"command":"migrate","to":"node2:7000","mode":"post-copy","prepaging":"bubble","growth":"adaptive","order":"physical","streams":1,"verify":"off"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
            assert!(line.contains(request.command()));
        }
    }

    #[test]
    fn request_malformed_is_refused_with_a_reason() {
        for (line, word) in [
            (r#"{"command":"fly"}"#, "`info`"),
            (r#"{"command":"migrate"}"#, "`to`"),
            (r#"{"command":"migrate","to":"nowhere"}"#, "HOST:PORT"),
            (
                r#"{"command":"migrate","to":"b:1","mdoe":"auto"}"#,
                "`mdoe`",
            ),
            (r#"{}"#, "`command`"),
            (r#"[]"#, ""),
            ("null", ""),
        ] {
            let error = serde_json::from_str::<Request>(line)
                .unwrap_err()
                .to_string();
            assert!(error.contains(word), "{line}: {error}");
        }
    }

    #[test]
    fn response_of_each_kind_has_the_documented_form() {
        let ok: Response<u8> = Response::Ok(7);
        assert_eq!(serde_json::to_string(&ok).unwrap(), r#"{"ok":7}"#);
        let progress = Progress {
            phase: "transfer".into(),
            round: 2,
            pages_done: 1,
            pages_total: 2,
            elapsed_ms: 3,
            rate_bytes_per_s: 4,
            remaining_bytes: 4096,
            eta_ms: None,
        };
        assert_eq!(
            serde_json::to_string(&Response::<()>::Progress(progress)).unwrap(),
            r#"{"progress":{"phase":"transfer","round":2,"pages_done":1,"pages_total":2,"elapsed_ms":3,"rate_bytes_per_s":4,"remaining_bytes":4096,"eta_ms":null}}"#
        );
    }

    #[test]
    fn state_shown_is_the_state_sent() {
        for state in [
            VmState::Receiving,
            VmState::Arriving,
            VmState::Running,
            VmState::Paused,
            VmState::Migrating,
            VmState::Snapshotting,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for link in [Link::Up, Link::Down] {
            assert_eq!(serde_json::to_value(link).unwrap(), link.to_string());
        }
    }
}
