//! `skiff preflight --to`: the handshake with a monitor that waits, without a VM.

use migration::{PeerInfo, Timeouts};

use super::MonitorError;
use crate::config::{ByteSize, HostPort, TrustConfig};
use crate::host::{Finding, PeerReport, Severity};

/// Asks the monitor that listens on `to` about its host.
///
/// # Errors
/// Nobody answers there, or not a monitor of this protocol, or one that is not to be trusted.
pub fn ask_peer(to: &HostPort, trust: &TrustConfig) -> Result<PeerReport, MonitorError> {
    let PeerInfo {
        address,
        version,
        available_bytes,
        serves_faults,
        is_busy,
    } = migration::probe(&to.to_string(), &Timeouts::default(), &trust.load()?)?;
    let available = ByteSize::from_mib((available_bytes >> 20).max(1));
    let facts = vec![
        format!("address: {address}"),
        format!("migration protocol: version {version}"),
        format!("available memory: {available}"),
    ];
    let faults = (!serves_faults).then(|| Finding {
        severity: Severity::Blocking,
        message: "page faults of guests cannot be served there, so no VM can arrive".to_owned(),
        remedy: Some("run `skiff preflight` on that host".to_owned()),
    });
    let busy = is_busy.then(|| Finding {
        severity: Severity::Warning,
        message: "another VM is just arriving there".to_owned(),
        remedy: Some("wait until it has arrived, or start another `skiff receive`".to_owned()),
    });
    Ok(PeerReport {
        facts,
        findings: faults.into_iter().chain(busy).collect(),
    })
}
