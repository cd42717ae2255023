//! What snapshot is to be written, as asked of a monitor.

use std::path::PathBuf;

use migration::snapshot::{Afterwards, Liveness};
use serde::{Deserialize, Serialize};

/// A snapshot that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotConfig {
    /// The directory it goes to; absolute, since the monitor has a working directory of its own.
    pub to: PathBuf,
    /// The directory of the snapshot to which it is to be a difference; absolute as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// What the guest does while its memory is written.
    #[serde(default)]
    pub liveness: Liveness,
    /// What becomes of the VM.
    #[serde(default)]
    pub afterwards: Afterwards,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_alone_is_a_snapshot_of_a_vm_that_pauses_and_goes_on() {
        let config: SnapshotConfig = serde_json::from_str(r#"{"to":"/snapshots/web"}"#).unwrap();
        assert_eq!(
            config,
            SnapshotConfig {
                to: "/snapshots/web".into(),
                base: None,
                liveness: Liveness::Paused,
                afterwards: Afterwards::Resumed,
            }
        );
        assert!(serde_json::from_str::<SnapshotConfig>(r#"{"to":"/a","live":true}"#).is_err());
    }
}
