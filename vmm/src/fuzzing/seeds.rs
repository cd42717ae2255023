//! The corpora of the fuzz targets, by the real encoders where there are any.

use balloon::{Balloon, SelfBallooningSettings};
use devices::blk::{Access, Discards, DiskKind, DiskSerial, DiskShape};
use devices::net::MacAddress;
use devices::virtio::{MmioTransport, VirtioTransport};
use devices::vsock::GuestCid;
use devices::{RateLimit, Rng, SerialState};
use kvm_bindings::kvm_cpuid_entry2;
use migration::fuzzing::Seed;

use super::{Checked, interrupt, memory};
use crate::boot::{RamLayout, VcpuCount};
use crate::config::{BalloonMode, MigrateConfig, MigrationMode};
use crate::control::{Request, SelfBallooningWish};
use crate::host::KvmKind;
use crate::machine::{Blueprint, CpuModel, DiskSpec, MachineState, NetSpec, VsockSpec};
use crate::memory::frames_of;
use crate::transfer::Demands;

/// Files that are read, and some that are not.
const CONFIGS: [(&str, &str); 9] = [
    (
        "probe",
        r#"{"kernel": "probe", "cmdline": "workload=idle ws=16M", "name": "p"}"#,
    ),
    (
        "every-key",
        r#"{"kernel": "vmlinuz", "initrd": "initrd.img", "cmdline": "quiet", "memory": "1G", "cpus": 2, "disk": ["a.img", "b.img,ro,serial=b"], "net": "tap=t,mac=52:54:00:12:34:56", "vsock": "socket=v,cid=4", "serial": "file=log", "balloon": "off", "name": "web", "api": "/run/web.sock"}"#,
    ),
    (
        "numbers",
        r#"{"kernel": "k", "memory": 67108864, "cpus": 4, "serial": "none"}"#,
    ),
    ("nothing", "{}"),
    ("array", r#"["vmlinuz"]"#),
    ("key-unknown", r#"{"memroy": "1G"}"#),
    ("key-twice", r#"{"name": "a", "name": "b"}"#),
    (
        "memory-huge",
        r#"{"kernel": "k", "memory": "18446744073709551615G"}"#,
    ),
    ("number-negative", r#"{"cpus": -1}"#),
];

/// Lines that are no request.
const NO_REQUESTS: [(&str, &str); 4] = [
    ("unknown", r#"{"command":"fly"}"#),
    ("no-destination", r#"{"command":"migrate"}"#),
    ("no-port", r#"{"command":"migrate","to":"nowhere"}"#),
    ("nested", r#"{"command":"migrate","to":[[[[{"a":[{}]}]]]]}"#),
];

/// Every seed of this crate's targets.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = demands();
    seeds.extend(states());
    seeds.extend(requests());
    seeds.extend(super::balloon::seeds());
    seeds.extend(super::blk::seeds());
    seeds.extend(super::net::seeds());
    seeds.extend(super::vsock::seeds());
    seeds.extend(super::rng::seeds());
    seeds.extend(CONFIGS.map(|(name, text)| seed("config", name, text.into())));
    seeds
}

fn demands() -> Vec<Seed> {
    let disk = DiskSpec {
        path: "/disk".into(),
        shape: DiskShape {
            kind: DiskKind::File,
            size_bytes: 1 << 30,
            access: Access::ReadWrite,
            discards: Discards::Supported,
        },
        serial: DiskSerial::new("root").expect("it is short"),
        limit: RateLimit::default(),
    };
    let net = NetSpec {
        tap: "tap0".parse().expect("it is a name"),
        mac: MacAddress::local([1; 6]),
        limit: RateLimit::default(),
    };
    let vsock = VsockSpec {
        path: "/run/web.vsock".into(),
        cid: GuestCid::FIRST,
    };
    let with = |mib: u64, vcpus: u32, leaves: usize, disks: usize| {
        let layout = RamLayout::new(mib << 20).expect("the size is allowed");
        let memory = frames_of(layout).expect("every size has a layout");
        let leaf = kvm_cpuid_entry2 {
            function: 1,
            edx: 0x0781_abfd,
            ..kvm_cpuid_entry2::default()
        };
        let cpu = CpuModel {
            kvm: KvmKind::AmdV,
            cpuid: vec![leaf; leaves],
            tsc_khz: Some(2_400_000),
        };
        let mut bytes = postcard::to_stdvec(&(memory, vcpus)).expect("plain data encodes");
        let blueprint = Blueprint {
            vcpus: VcpuCount::ONE,
            memory: layout,
            balloon: BalloonMode::On,
            disks: vec![disk.clone(); disks],
            // Half as many, so that 8 disks and 4 cards are a VM's most.
            nets: vec![net.clone(); disks / 2],
            vsock: (disks > 0).then(|| vsock.clone()),
            kernel: "vmlinuz".to_owned(),
            generation_id: [7; 16],
        };
        let demands = Demands::new(cpu, &blueprint);
        bytes.extend(postcard::to_stdvec(&demands).expect("plain data encodes"));
        bytes
    };
    let small = with(64, 1, 2, 0);
    let cut = small[..small.len() - 1].to_vec();
    vec![
        seed("demands", "small-cut", cut),
        seed("demands", "small", small),
        seed("demands", "above-the-hole", with(8192, 32, 3, 8)),
        seed("demands", "too-many-vcpus", with(64, 33, 1, 0)),
        seed("demands", "too-many-leaves", with(64, 1, 257, 0)),
        seed("demands", "too-many-disks", with(64, 1, 1, 9)),
    ]
}

/// A state of zeroes with so many vCPUs: for the decoder, what no KVM has to have made is as good.
fn state(vcpus: u8) -> MachineState {
    let mut bytes = vec![0, vcpus];
    bytes.resize(4096, 0);
    let (mut state, _) = postcard::take_from_bytes::<MachineState>(&bytes)
        .expect("zeroes are no structure, no number and no element");
    let mut rng =
        MmioTransport::new(Rng::default(), memory(), interrupt()).expect("a device can be made");
    rng.pause();
    let rng = rng.save().expect("a device that rests can be saved");
    let balloon = Balloon::new(memory(), Box::new(Checked));
    let mut balloon = MmioTransport::new(balloon, memory(), interrupt()).expect("so can this one");
    balloon.pause();
    let balloon = balloon.save().expect("a device that rests can be saved");
    let disk = super::blk::blk(Access::ReadWrite);
    let mut disk = MmioTransport::new(disk, memory(), interrupt()).expect("and this one");
    disk.pause();
    let disk = disk.save().expect("a device that rests can be saved");
    let (net, _far) = super::net::net();
    let mut net = MmioTransport::new(net, memory(), interrupt()).expect("and this one");
    net.pause();
    let net = net.save().expect("a device that rests can be saved");
    let vsock = super::vsock::vsock();
    let mut vsock = MmioTransport::new(vsock, memory(), interrupt()).expect("and this one");
    vsock.pause();
    let vsock = vsock.save().expect("a device that rests can be saved");
    let virtio = vec![rng, balloon, disk, net, vsock];
    let devices = postcard::to_stdvec(&(SerialState::default(), virtio));
    state.devices = postcard::from_bytes(&devices.expect("plain data encodes"))
        .expect("a struct is encoded as a tuple of its fields");
    state
}

fn states() -> Vec<Seed> {
    let whole = state(1).encode().expect("it is small");
    let mut damaged = whole.clone();
    damaged[30] ^= 1;
    let mut later = whole.clone();
    later[8] += 1;
    let payload = |state: &MachineState| postcard::to_stdvec(state).expect("plain data encodes");
    vec![
        seed("state", "envelope-cut", whole[..whole.len() - 1].to_vec()),
        seed("state", "envelope-damaged", damaged),
        seed("state", "envelope-later", later),
        seed("state", "envelope", whole),
        seed("state", "payload", payload(&state(2))),
        seed("state", "payload-no-vcpus", payload(&state(0))),
        seed("state", "payload-of-zeroes", vec![0; 64]),
        seed(
            "state",
            "payload-many-vcpus",
            [&[0, 0xff, 0x0f][..], &[0; 512]].concat(),
        ),
    ]
}

fn requests() -> Vec<Seed> {
    let to = || "node2:7000".parse().expect("it is a host and a port");
    let migrate = MigrateConfig {
        mode: MigrationMode::PreCopy,
        max_downtime: Some("300ms".parse().expect("it is a time")),
        ..MigrateConfig::new(to())
    };
    let plain = [
        Request::Info,
        Request::Pause,
        Request::Resume,
        Request::Stop,
        Request::Cancel,
        Request::Migrate(MigrateConfig::new(to())),
        Request::Balloon {
            target_bytes: Some(64 << 20),
            auto: Some(SelfBallooningWish::On(SelfBallooningSettings::default())),
        },
    ];
    let line = |request: &Request| serde_json::to_vec(request).expect("a request is plain data");
    let mut seeds: Vec<_> = plain
        .iter()
        .map(|request| seed("request", request.command(), line(request)))
        .collect();
    seeds.push(seed(
        "request",
        "migrate-pre-copy",
        line(&Request::Migrate(migrate)),
    ));
    seeds.extend(NO_REQUESTS.map(|(name, text)| seed("request", name, text.into())));
    seeds
}

pub(super) fn seed(target: &'static str, name: &str, bytes: Vec<u8>) -> Seed {
    let name = name.to_owned();
    Seed {
        target,
        name,
        bytes,
    }
}
