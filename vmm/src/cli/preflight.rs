//! `skiff preflight`: what this host, and the one a VM would move to, can do.

use std::fmt::Write;

use serde_json::json;

use super::args::PreflightArgs;
use super::errors::{ClientError, CommandError};
use super::format::{bytes, table};
use super::output::{Format, print, to_json};
use crate::config::{HostPort, TrustConfig};
use crate::control::Failure;
use crate::host::{
    Capability, Finding, HostMemory, HostReport, Limits, PeerReport, Severity, Userfault,
};

/// Shows what the host can do, and what the monitor at `--to` says through `ask_peer`.
pub(super) fn preflight(
    args: &PreflightArgs,
    ask_peer: impl FnOnce(&HostPort, &TrustConfig) -> Result<PeerReport, Failure>,
) -> Result<(), CommandError> {
    let host = HostReport::gather();
    let findings = host.findings();
    let peer = args.to.as_ref().map(|to| {
        (
            to,
            ask_peer(to, &args.trust()).unwrap_or_else(unreachable_peer),
        )
    });
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
    let mut rows = vec![
        [
            "host".to_owned(),
            format!(
                "Linux {}, {} processors, skiff {}",
                host.kernel, host.cpus, host.version
            ),
        ],
        ["kvm".to_owned(), kvm_in_words(host)],
    ];
    if host.kvm.is_some() {
        rows.push([
            "  present".to_owned(),
            capabilities(host, |capability| capability.present),
        ]);
        rows.push([
            "  absent".to_owned(),
            capabilities(host, |capability| !capability.present),
        ]);
    }
    rows.extend([
        [
            "userfaultfd".to_owned(),
            userfault_in_words(&host.userfaultfd).to_owned(),
        ],
        ["memory".to_owned(), memory_in_words(host.memory)],
        ["limits".to_owned(), limits_in_words(host.limits)],
    ]);
    let mut text = table(&rows);
    text.push_str(&text_findings(findings));
    if findings.is_empty() {
        text.push_str("\nVMs run here, and move from and to here.\n");
    }
    text
}

fn capabilities(host: &HostReport, wanted: impl Fn(&&Capability) -> bool) -> String {
    host.kvm_capabilities
        .iter()
        .filter(wanted)
        .map(|capability| capability.name)
        .collect::<Vec<_>>()
        .join(" ")
}

fn userfault_in_words(userfaultfd: &Userfault) -> &'static str {
    match userfaultfd {
        Userfault::Granted => "granted",
        Userfault::Denied { .. } => "denied",
    }
}

fn memory_in_words(memory: HostMemory) -> String {
    format!(
        "{} free of {}",
        bytes(memory.available_bytes),
        bytes(memory.total_bytes)
    )
}

fn limits_in_words(limits: Limits) -> String {
    let Limits {
        open_files,
        locked_memory_bytes,
        max_map_count,
    } = limits;
    let files = open_files.map_or_else(|| "any number of".to_owned(), |count| count.to_string());
    let locked = locked_memory_bytes.map_or_else(|| "any amount".to_owned(), bytes);
    format!("{files} open files, {locked} of locked memory, {max_map_count} mappings")
}

fn kvm_in_words(host: &HostReport) -> String {
    match (host.kvm, host.kvm_api_version) {
        (Some(kind), Some(version)) => format!("{kind}, API version {version}"),
        _ => "none".to_owned(),
    }
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
