//! What follows from a host's facts.

use super::*;

fn good_host() -> HostReport {
    let capability = |name, need| Capability {
        name,
        present: true,
        need,
    };
    HostReport {
        version: "0",
        kernel: "6.18.0".into(),
        cpus: 2,
        kvm: Some(KvmKind::AmdV),
        kvm_api_version: Some(12),
        kvm_failure: None,
        kvm_capabilities: vec![
            capability("IRQCHIP", Need::Run),
            capability("XCRS", Need::Move),
            capability("XSAVE2", Need::Improve),
        ],
        userfaultfd: Userfault::Granted,
        memory: HostMemory {
            total_bytes: 8 << 30,
            available_bytes: 4 << 30,
        },
        limits: Limits {
            open_files: Some(1024),
            locked_memory_bytes: None,
            max_map_count: DEFAULT_MAX_MAP_COUNT,
        },
    }
}

fn severities(report: &HostReport) -> Vec<Severity> {
    report
        .findings()
        .iter()
        .map(|finding| finding.severity)
        .collect()
}

#[test]
fn host_that_has_everything_has_no_findings() {
    assert!(good_host().findings().is_empty());
}

#[test]
fn host_without_kvm_runs_nothing_and_says_the_remedy() {
    let error = super::super::HostError::KvmMissing {
        source: std::io::ErrorKind::NotFound.into(),
    };
    let report = HostReport {
        kvm: None,
        kvm_failure: Some(Failure::of(&error)),
        kvm_capabilities: Vec::new(),
        ..good_host()
    };
    let findings = report.findings();
    assert_eq!(severities(&report), [Severity::Blocking]);
    assert!(findings[0].remedy.as_ref().unwrap().contains("modprobe"));
}

#[test]
fn host_of_kvm_pvm_is_told_that_stock_kernels_do_not_boot() {
    let report = HostReport {
        kvm: Some(KvmKind::Pvm),
        ..good_host()
    };
    let findings = report.findings();
    assert_eq!(severities(&report), [Severity::Warning]);
    assert!(findings[0].message.contains("stock Linux") && findings[0].message.contains("kvm_pvm"));
    assert!(findings[0].remedy.as_ref().unwrap().contains("nested rig"));
}

#[test]
fn host_lacking_capabilities_is_told_which_and_what_follows() {
    let mut report = good_host();
    for capability in &mut report.kvm_capabilities {
        capability.present = false;
    }
    let findings = report.findings();
    assert_eq!(severities(&report), [Severity::Blocking, Severity::Warning]);
    assert!(findings[0].message.contains("IRQCHIP") && findings[1].message.contains("XCRS"));
}

#[test]
fn host_without_userfaultfd_memory_or_files_is_warned() {
    let report = HostReport {
        userfaultfd: Userfault::Denied {
            reason: "permission denied".into(),
        },
        memory: HostMemory {
            total_bytes: 1 << 30,
            available_bytes: 1 << 20,
        },
        limits: Limits {
            open_files: Some(64),
            locked_memory_bytes: Some(0),
            max_map_count: 100,
        },
        ..good_host()
    };
    assert_eq!(
        severities(&report),
        [
            Severity::Warning,
            Severity::Warning,
            Severity::Warning,
            Severity::Note
        ]
    );
    assert!(
        report
            .findings()
            .iter()
            .all(|finding| finding.remedy.is_some())
    );
}

#[test]
fn host_this_one_is_gathered_and_serializes() {
    let report = HostReport::gather();
    let json = serde_json::to_value(&report).unwrap();
    assert!(json["memory"]["total_bytes"].as_u64().unwrap() > 0);
    assert!(json["kernel"].as_str().unwrap().contains('.'));
}
