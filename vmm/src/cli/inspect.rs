//! `skiff ls` and `skiff info`: what runs here.

use std::time::Duration;

use devices::blk::DiskCounters;
use devices::net::NetCounters;
use devices::vsock::VsockCounters;
use serde_json::{Value, json};

use super::errors::CommandError;
use super::format::{bytes, table, uptime};
use super::output::{Format, print, to_json};
use super::summary::progress_line;
use crate::config::{ByteSize, VmName};
use crate::control::{
    ControlClient, ControlError, Direction, DiskInfo, MigrationInfo, NetInfo, Request, SocketPath,
    VmAddress, VmInfo, VsockInfo, remove_if_dead, runtime_directory, sockets_in,
};

/// How long one monitor may hold up the list of all.
const LIST_PATIENCE: Duration = Duration::from_secs(1);

/// What became of asking the monitor behind a socket.
#[derive(Debug)]
enum Listed {
    Here(Box<VmInfo>),
    Dead,
    Unanswered,
}

/// Lists the VMs that have a socket in the runtime directory, and removes the sockets of dead ones.
pub(super) fn ls(format: Format) -> Result<(), CommandError> {
    let mut listed = Vec::new();
    for (name, socket) in sockets_in(&runtime_directory())? {
        // A socket that is gone by now belonged to a VM that has ended in the meantime.
        if let Some(found) = look_behind(&socket) {
            listed.push((name, found));
        }
    }
    print(&match format {
        Format::Text => text_list(&listed),
        Format::Json => to_json(&json_list(&listed)),
    })?;
    Ok(())
}

fn look_behind(socket: &SocketPath) -> Option<Listed> {
    match ask(socket) {
        Ok(info) => Some(Listed::Here(Box::new(info))),
        Err(ControlError::NoSocket { .. }) => None,
        Err(ControlError::Dead { .. }) => match remove_if_dead(socket) {
            Ok(true) => Some(Listed::Dead),
            Ok(false) => Some(Listed::Unanswered),
            Err(error) => {
                log::warn!("{error}");
                Some(Listed::Dead)
            }
        },
        Err(error) => {
            log::warn!("{error}");
            Some(Listed::Unanswered)
        }
    }
}

fn ask(socket: &SocketPath) -> Result<VmInfo, ControlError> {
    let mut client = ControlClient::connect_to(socket)?;
    client.set_patience(Some(LIST_PATIENCE))?;
    client.call(&Request::Info, |_| {})
}

fn text_list(listed: &[(VmName, Listed)]) -> String {
    let header = ["NAME", "STATE", "PID", "VCPUS", "MEMORY", "UPTIME"].map(str::to_owned);
    let rows = listed.iter().map(|(name, found)| {
        let name = name.to_string();
        match found {
            Listed::Here(info) => [
                name,
                info.state.as_str().to_owned(),
                info.pid.to_string(),
                info.vcpus.to_string(),
                memory(info.memory_bytes),
                uptime(info.uptime_ms),
            ],
            Listed::Dead => blank_row(name, "dead, removed"),
            Listed::Unanswered => blank_row(name, "no answer"),
        }
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

fn blank_row(name: String, state: &str) -> [String; 6] {
    let blank = || "-".to_owned();
    [name, state.to_owned(), blank(), blank(), blank(), blank()]
}

fn memory(bytes: u64) -> String {
    ByteSize::from_bytes(bytes).map_or_else(|| "-".to_owned(), |size| size.to_string())
}

fn json_list(listed: &[(VmName, Listed)]) -> Vec<Value> {
    listed
        .iter()
        .map(|(name, found)| match found {
            Listed::Here(info) => json!(info),
            Listed::Dead => json!({ "name": name, "state": "dead" }),
            Listed::Unanswered => json!({ "name": name, "state": "unanswered" }),
        })
        .collect()
}

/// Describes one VM.
pub(super) fn info(vm: &VmAddress, format: Format) -> Result<(), CommandError> {
    let mut client = ControlClient::connect(vm)?;
    let info: VmInfo = client.call(&Request::Info, |_| {})?;
    print(&match format {
        Format::Text => text_info(&info),
        Format::Json => to_json(&info),
    })?;
    Ok(())
}

fn text_info(info: &VmInfo) -> String {
    let mut rows = vec![
        ["name", info.name.as_str()].map(str::to_owned),
        ["state", info.state.as_str()].map(str::to_owned),
        ["vcpus".to_owned(), info.vcpus.to_string()],
        ["memory".to_owned(), memory(info.memory_bytes)],
        ["resident".to_owned(), bytes(info.resident_bytes)],
        ["uptime".to_owned(), uptime(info.uptime_ms)],
        ["pid".to_owned(), info.pid.to_string()],
        ["kvm", &info.kvm].map(str::to_owned),
        ["version", &info.version].map(str::to_owned),
    ];
    if let Some(balloon) = &info.balloon {
        let actual = bytes(balloon.actual_bytes);
        rows.insert(5, ["balloon".to_owned(), actual]);
    }
    if let Some(kernel) = &info.kernel {
        rows.insert(2, ["kernel", kernel].map(str::to_owned));
    }
    if let Some(MigrationInfo {
        direction,
        peer,
        mode,
        progress,
    }) = &info.migration
    {
        let way = match direction {
            Direction::Leaving => "to",
            Direction::Arriving => "from",
        };
        rows.insert(2, ["moving".to_owned(), format!("{way} {peer}, {mode}")]);
        rows.insert(3, ["progress".to_owned(), progress_line(progress)]);
    }
    rows.extend(
        info.disks
            .iter()
            .map(|disk| ["disk".to_owned(), disk_line(disk)]),
    );
    rows.extend(
        info.nets
            .iter()
            .map(|net| ["net".to_owned(), net_line(net)]),
    );
    rows.extend(
        info.vsock
            .iter()
            .map(|vsock| ["vsock".to_owned(), vsock_line(vsock)]),
    );
    table(&rows)
}

/// What a disk is, and what it has done.
fn disk_line(disk: &DiskInfo) -> String {
    let DiskInfo {
        path,
        size_bytes,
        read_only,
        counters,
    } = disk;
    let DiskCounters {
        reads,
        writes,
        flushes,
        discards,
        read_bytes,
        written_bytes,
        errors,
    } = counters;
    let size = bytes(*size_bytes);
    let access = if *read_only { ", read-only" } else { "" };
    let (read, written) = (bytes(*read_bytes), bytes(*written_bytes));
    format!(
        "{path}, {size}{access}: {reads} reads ({read}), {writes} writes ({written}), \
         {flushes} flushes, {discards} discards, {errors} errors"
    )
}

/// What a network card is, and what it has done.
fn net_line(net: &NetInfo) -> String {
    let NetInfo {
        tap,
        mac,
        link,
        counters,
    } = net;
    let NetCounters {
        received_frames,
        received_bytes,
        receive_drops,
        sent_frames,
        sent_bytes,
        send_drops,
    } = counters;
    let (received, sent) = (bytes(*received_bytes), bytes(*sent_bytes));
    format!(
        "{tap}, {mac}, link {link}: {received_frames} frames received ({received}, {receive_drops} \
         dropped), {sent_frames} sent ({sent}, {send_drops} dropped)"
    )
}

/// What a socket device is, and what it has done.
fn vsock_line(vsock: &VsockInfo) -> String {
    let VsockInfo {
        socket,
        cid,
        counters,
    } = vsock;
    let VsockCounters {
        connections,
        received_bytes,
        sent_bytes,
        refused,
    } = counters;
    let (received, sent) = (bytes(*received_bytes), bytes(*sent_bytes));
    format!(
        "{socket}, CID {cid}: {connections} connections ({received} received, {sent} sent), \
         {refused} refused"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Progress, VmState};

    fn web() -> VmInfo {
        VmInfo {
            name: "web".parse().unwrap(),
            state: VmState::Running,
            pid: 4711,
            vcpus: 2,
            memory_bytes: 512 << 20,
            resident_bytes: 5 << 20,
            uptime_ms: 61_000,
            kvm: "AMD-V (kvm_amd)".into(),
            kernel: Some("probe".into()),
            migration: None,
            balloon: None,
            disks: Vec::new(),
            nets: Vec::new(),
            vsock: None,
            version: "0.1.0".into(),
        }
    }

    fn listed() -> Vec<(VmName, Listed)> {
        vec![
            ("db".parse().unwrap(), Listed::Dead),
            ("hung".parse().unwrap(), Listed::Unanswered),
            ("web".parse().unwrap(), Listed::Here(Box::new(web()))),
        ]
    }

    #[test]
    fn list_shows_each_vm_on_a_line() {
        assert_eq!(
            text_list(&listed()),
            "NAME  STATE          PID   VCPUS  MEMORY  UPTIME\n\
             db    dead, removed  -     -      -       -\n\
             hung  no answer      -     -      -       -\n\
             web   running        4711  2      512M    1 m 1 s\n"
        );
    }

    #[test]
    fn list_for_programs_names_each_state() {
        let list = json_list(&listed());
        let states: Vec<_> = list
            .iter()
            .map(|vm| vm["state"].as_str().unwrap())
            .collect();
        assert_eq!(states, ["dead", "unanswered", "running"]);
        assert_eq!(list[2]["memory_bytes"], 512 << 20);
    }

    #[test]
    fn description_of_a_vm_that_moves_says_where_to_and_how_far() {
        let moving = VmInfo {
            migration: Some(MigrationInfo {
                direction: Direction::Leaving,
                peer: "node2:7000".into(),
                mode: "auto".into(),
                progress: Progress {
                    phase: "copying memory".into(),
                    round: 1,
                    pages_done: 1,
                    pages_total: 4,
                    elapsed_ms: 5,
                    rate_bytes_per_s: 0,
                    remaining_bytes: 3 << 12,
                    eta_ms: None,
                },
            }),
            ..web()
        };
        let text = text_info(&moving);
        assert!(text.contains("moving    to node2:7000, auto\n"), "{text}");
        assert!(
            text.contains("25%  4.0 KiB of 16.0 KiB  copying memory, round 1"),
            "{text}"
        );
        let json = json!(moving);
        assert_eq!(json["migration"]["direction"], "leaving");
        assert_eq!(json["migration"]["pages_total"], 4);
    }

    #[test]
    fn description_has_a_line_for_each_disk_with_what_it_did() {
        let counters = DiskCounters {
            reads: 2,
            read_bytes: 8192,
            errors: 1,
            ..DiskCounters::default()
        };
        let disk = DiskInfo {
            path: "/a.img".into(),
            size_bytes: 1 << 30,
            read_only: true,
            counters,
        };
        let disks = vec![disk];
        let text = text_info(&VmInfo { disks, ..web() });
        let line = "disk      /a.img, 1.0 GiB, read-only: 2 reads (8.0 KiB), 0 writes (0 B), \
                    0 flushes, 0 discards, 1 errors\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn description_has_a_line_for_each_network_card_with_what_it_did() {
        let net = NetInfo {
            tap: "tap0".into(),
            mac: "52:54:00:12:34:56".into(),
            link: devices::net::Link::Down,
            counters: NetCounters {
                received_frames: 3,
                received_bytes: 2048,
                send_drops: 1,
                ..NetCounters::default()
            },
        };
        let nets = vec![net];
        let text = text_info(&VmInfo { nets, ..web() });
        let line = "net       tap0, 52:54:00:12:34:56, link down: 3 frames received (2.0 KiB, 0 dropped), \
                    0 sent (0 B, 1 dropped)\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn description_has_a_line_for_the_socket_device_with_what_it_did() {
        let vsock = Some(VsockInfo {
            socket: "/run/web.vsock".into(),
            cid: 3,
            counters: VsockCounters {
                connections: 2,
                received_bytes: 1024,
                sent_bytes: 5,
                refused: 1,
            },
        });
        let text = text_info(&VmInfo { vsock, ..web() });
        let line = "vsock     /run/web.vsock, CID 3: 2 connections (1.0 KiB received, 5 B sent), \
                    1 refused\n";
        assert!(text.ends_with(line), "{text}");
    }

    #[test]
    fn description_shows_what_the_monitor_said() {
        let text = text_info(&web());
        for line in [
            "name      web",
            "kernel    probe",
            "memory    512M",
            "resident  5.0 MiB",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
