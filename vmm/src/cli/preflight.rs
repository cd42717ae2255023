//! `skiff preflight`: what this host, and the one a VM would move to, can do.

use std::fmt::Write;

use serde_json::json;

use super::args::PreflightArgs;
use super::errors::{ClientError, CommandError};
use super::format::{bytes, table};
use super::output::{Format, print, to_json};
use crate::config::HostPort;
use crate::control::Failure;
use crate::host::{Finding, HostReport, PeerReport, Severity, Userfault};

/// Shows what the host can do, and what the monitor at `--to` says through `ask_peer`.
pub(super) fn preflight(
    args: &PreflightArgs,
    ask_peer: impl FnOnce(&HostPort) -> Result<PeerReport, Failure>,
) -> Result<(), CommandError> {
    let host = HostReport::gather();
    let findings = host.findings();
    let peer = args
        .to
        .as_ref()
        .map(|to| (to, ask_peer(to).unwrap_or_else(unreachable_peer)));
    print(&match args.format() {
        Format::Text => {
            let mut text = text_report(&host, &findings);
            if let Some((to, peer)) = &peer {
                text.push_str(&text_peer(to, peer));
            }
            text
        }
        Format::Json => to_json(&json!({
            "host": host,
            "findings": findings,
            "peer": peer.as_ref().map(|(_, peer)| peer),
        })),
    })?;
    if is_blocked(&findings) {
        return Err(ClientError::NotReady { place: "this host" }.into());
    }
    if peer.is_some_and(|(_, peer)| is_blocked(&peer.findings)) {
        return Err(ClientError::NotReady {
            place: "the destination",
        }
        .into());
    }
    Ok(())
}

fn is_blocked(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity == Severity::Blocking)
}

/// A peer that does not answer is a finding like others, so that both hosts are shown.
fn unreachable_peer(failure: Failure) -> PeerReport {
    let Failure {
        message,
        causes,
        remedy,
    } = failure;
    let message = causes
        .into_iter()
        .fold(message, |message, cause| format!("{message}: {cause}"));
    PeerReport {
        facts: Vec::new(),
        findings: vec![Finding {
            severity: Severity::Blocking,
            message,
            remedy,
        }],
    }
}

fn text_report(host: &HostReport, findings: &[Finding]) -> String {
    let with = |present: bool| {
        host.kvm_capabilities
            .iter()
            .filter(|capability| capability.present == present)
            .map(|capability| capability.name)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let limit = |limit: Option<u64>| {
        limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
    };
    let mut rows = vec![
        [
            "host".to_owned(),
            format!(
                "Linux {}, {} processors, skiff {}",
                host.kernel, host.cpus, host.version
            ),
        ],
        [
            "kvm".to_owned(),
            host.kvm
                .map_or_else(|| "none".to_owned(), |kind| kind.to_string()),
        ],
    ];
    if host.kvm.is_some() {
        rows.push(["  present".to_owned(), with(true)]);
        rows.push(["  absent".to_owned(), with(false)]);
    }
    rows.push([
        "userfaultfd".to_owned(),
        match host.userfaultfd {
            Userfault::Granted => "granted".to_owned(),
            Userfault::Denied { .. } => "denied".to_owned(),
        },
    ]);
    rows.push([
        "memory".to_owned(),
        format!(
            "{} free of {}",
            bytes(host.memory.available_bytes),
            bytes(host.memory.total_bytes)
        ),
    ]);
    rows.push([
        "limits".to_owned(),
        format!(
            "{} open files, {} bytes of locked memory, {} mappings",
            limit(host.limits.open_files),
            limit(host.limits.locked_memory_bytes),
            host.limits.max_map_count
        ),
    ]);
    let mut text = table(&rows);
    text.push_str(&text_findings(findings));
    if findings.is_empty() {
        text.push_str("\nVMs run here, and move from and to here.\n");
    }
    text
}

fn text_peer(to: &HostPort, peer: &PeerReport) -> String {
    let mut text = format!("\ndestination {to}\n");
    for fact in &peer.facts {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {fact}");
    }
    text.push_str(&text_findings(&peer.findings));
    text
}

fn text_findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding {
        severity,
        message,
        remedy,
    } in findings
    {
        let word = match severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Blocking => "error",
        };
        text.push_str(&format!("\n{word}: {message}\n"));
        if let Some(remedy) = remedy {
            text.push_str(&format!("  try: {remedy}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_shown_with_their_remedies() {
        let finding = |severity, remedy: Option<&str>| Finding {
            severity,
            message: "KVM is missing".into(),
            remedy: remedy.map(str::to_owned),
        };
        assert_eq!(
            text_findings(&[
                finding(Severity::Blocking, Some("load it")),
                finding(Severity::Note, None)
            ]),
            "\nerror: KVM is missing\n  try: load it\n\nnote: KVM is missing\n"
        );
    }

    #[test]
    fn peer_that_does_not_answer_is_a_finding_with_every_cause() {
        let peer = unreachable_peer(Failure {
            message: "cannot connect to node2:7000".into(),
            causes: vec!["connection refused".into()],
            remedy: Some("start skiff receive there".into()),
        });
        assert!(is_blocked(&peer.findings));
        let text = text_peer(&"node2:7000".parse().unwrap(), &peer);
        assert!(
            text.contains("node2:7000: connection refused") && text.contains("try: start"),
            "{text}"
        );
    }

    #[test]
    fn report_of_this_host_names_its_parts() {
        let host = HostReport::gather();
        let text = text_report(&host, &host.findings());
        for part in ["host", "kvm", "userfaultfd", "memory", "limits"] {
            assert!(text.lines().any(|line| line.starts_with(part)), "{text}");
        }
    }
}
