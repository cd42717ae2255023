//! The corpora of the fuzz targets: every frame by its real encoder, and what is nearly one.

use std::time::Duration;

use super::Seed;
use crate::auth::{Nonce, Tag};
use crate::digest::Digest;
use crate::layout::{MemoryLayout, MemoryRegion};
use crate::offer::{Offer, PeerText, Refusal};
use crate::options::{Mode, Streams};
use crate::page::{PAGE_BYTES, PageIndex, PageRange, Pfn};
use crate::report::{Latency, LatencyParts};
use crate::wire::{
    About, Accept, Access, Attach, Challenge, Complete, Done, Drained, Failed, Flush, Flushed,
    Frame, FrameKind, Header, Hello, MAX_STATE_BYTES, PagesPrefix, Preamble, Proof, Purpose, Ready,
    Recover, Refuse, Role, Run, Running, SessionId, Standing, State, ranges_payload, want_payload,
    words_payload,
};

/// Pages of the memory that the frames here are about.
const LIMIT: u64 = 200;

/// Every seed of this crate's targets.
///
/// # Panics
/// If there is a kind of frame without a seed: see the two lists below.
pub fn seeds() -> Vec<Seed> {
    let values = values();
    let pages = pages();
    let all: Vec<_> = values.iter().chain(&pages).collect();
    for number in 0..=u16::MAX {
        let [n0, n1] = number.to_le_bytes();
        if let Ok(Header { kind, .. }) = Header::decode([n0, n1, 0, 0, 0, 0, 0, 0]) {
            let has_seed = all.iter().any(|(of, ..)| *of == kind);
            assert!(has_seed, "no seed is a frame of the kind {kind:?}");
        }
    }
    let mut seeds = preambles();
    for (kind, name, payload) in all {
        let head = kind_bytes(*kind);
        let (target, prefix) = match pages.iter().any(|(of, ..)| of == kind) {
            false => ("control", head.to_vec()),
            true => ("pages", [&head[..], &LIMIT.to_le_bytes()].concat()),
        };
        let header = header(*kind, payload.len());
        seeds.extend(near(target, name, &prefix, payload));
        seeds.push(seed("header", name, header.to_vec()));
        let whole = [&header[..], payload].concat();
        seeds.push(seed("reader", name, stream(0, &whole, 239)));
        seeds.push(seed(
            "reader",
            &format!("{name}-in-pieces"),
            stream(2, &whole, 7),
        ));
    }
    seeds.extend(lies());
    seeds.extend(crate::snapshot::fuzzing::seeds());
    seeds
}

/// Frames whose payload is a value.
fn values() -> Vec<(FrameKind, &'static str, Vec<u8>)> {
    let session = SessionId([3; 16]);
    let digest = Digest::from_bits(0x1122_3344_5566_7788);
    vec![
        value("hello", &hello()),
        value("accept", &Accept { session }),
        value("refuse-busy", &Refuse(Refusal::Busy)),
        value("refuse-memory", &Refuse(refusal_of_memory())),
        value(
            "refuse-machine",
            &Refuse(Refusal::Machine(PeerText::from("no"))),
        ),
        value(
            "attach",
            &Attach {
                session,
                role: Role::Urgent,
                lap: 0,
            },
        ),
        value(
            "attach-background",
            &Attach {
                session,
                role: Role::Background,
                lap: 3,
            },
        ),
        value("state", &State(vec![1, 2, 3])),
        value("ready", &Ready { restore_us: 258 }),
        value("run", &Run {}),
        value("running", &Running { resume_us: 7 }),
        value(
            "drained",
            &Drained {
                sent_pages: 5,
                absent_pages: 6,
                digest,
            },
        ),
        value("complete", &complete(digest)),
        value("failed", &Failed(PeerText::from("vCPU 1 hangs"))),
        value(
            "about",
            &About {
                available_bytes: 1 << 30,
                serves_faults: 1,
                busy: 0,
            },
        ),
        value("flush", &Flush { pages: 9 }),
        value("flushed", &Flushed {}),
        value("recover", &Recover { session }),
        value("standing", &standing()),
        value("done", &Done {}),
        value("challenge", &Challenge(Nonce([4; 32]))),
        value("proof", &Proof(Tag([5; 32]))),
    ]
}

/// Frames that name pages.
fn pages() -> Vec<(FrameKind, &'static str, Vec<u8>)> {
    let range = |first, pages| {
        PageRange::within(PageIndex::new(first), pages, LIMIT).expect("it is in the memory")
    };
    let filled = |fill: &dyn Fn(&mut Vec<u8>)| {
        let mut payload = Vec::new();
        fill(&mut payload);
        payload
    };
    let prefix = PagesPrefix {
        range: range(3, 1),
        digest: Digest::from_bits(0xd1),
        waited: Duration::from_nanos(0x77),
    };
    let content = [&prefix.encode()[..], &[0xa5; PAGE_BYTES]].concat();
    let ranges = filled(&|into| ranges_payload(&[range(1, 2), range(8, 1)], into));
    let words = filled(&|into| words_payload(&[(0, 1 << 63 | 1), (2, 4)], into));
    let want = filled(&|into| want_payload(&[3, 1].map(PageIndex::new), into));
    vec![
        (FrameKind::Pages, "pages", content),
        (FrameKind::Absent, "absent", ranges.clone()),
        (FrameKind::Again, "again", ranges.clone()),
        (FrameKind::GivenUp, "given-up", ranges),
        (FrameKind::Discard, "discard", words.clone()),
        (FrameKind::Missing, "missing", words),
        (FrameKind::Want, "want", want),
    ]
}

fn value<F: Frame>(name: &'static str, frame: &F) -> (FrameKind, &'static str, Vec<u8>) {
    let mut payload = Vec::new();
    frame.encode(&mut payload);
    (F::KIND, name, payload)
}

fn hello() -> Hello {
    let region = |first, pages| MemoryRegion {
        first: Pfn::new(first),
        pages,
    };
    let memory = MemoryLayout::new(vec![region(0, 3), region(0x100, 2)]);
    Hello {
        mode: Mode::PostCopy,
        streams: Streams::new(4).expect("four streams are allowed"),
        offer: Offer {
            name: PeerText::from("vm"),
            memory: memory.expect("the regions are apart"),
            vcpus: 2,
            machine: vec![0xaa, 0xbb],
        },
    }
}

fn refusal_of_memory() -> Refusal {
    Refusal::Memory {
        needed_bytes: 2 << 30,
        available_bytes: 300 << 20,
    }
}

fn complete(digest: Digest) -> Complete {
    let latency = Latency {
        p50_ns: 4,
        p90_ns: 5,
        p99_ns: 6,
        max_ns: 7,
        mean_ns: 8,
    };
    Complete {
        digest,
        network_faults: 3,
        underway_faults: 2,
        latency,
        parts: LatencyParts {
            queue_ns: 9,
            wire_ns: 10,
            install_ns: 11,
            wake_ns: 12,
        },
    }
}

fn standing() -> Standing {
    Standing {
        lap: 1,
        has_token: 1,
        missing_pages: 66,
    }
}

fn preambles() -> Vec<Seed> {
    let purposes = [
        ("answer", Purpose::Answer),
        ("migrate", Purpose::Migrate),
        ("attach", Purpose::Attach),
        ("probe", Purpose::Probe),
        ("recover", Purpose::Recover),
        ("later", Purpose::Unknown(77)),
    ];
    let accesses = [Access::Open, Access::Key, Access::Tls, Access::Unknown(77)];
    let mut seeds = Vec::new();
    for ((name, purpose), access) in purposes.into_iter().zip(accesses.into_iter().cycle()) {
        let bytes = Preamble::new(purpose, access).encode();
        seeds.extend(near("preamble", name, &[], &bytes));
        let then_run = [&bytes[..], &header(FrameKind::Run, 0)].concat();
        seeds.push(seed(
            "reader",
            &format!("preamble-{name}"),
            stream(1, &then_run, 5),
        ));
    }
    seeds
}

/// What no honest peer sends.
fn lies() -> Vec<Seed> {
    let longest = header(FrameKind::State, MAX_STATE_BYTES);
    let promise = [&[0, 8][..], &longest, &[245, 245, 255, 255, 255, 255, 255]].concat();
    let after_run = [&[0, 8][..], &header(FrameKind::Run, 0), &[255]].concat();
    let text = |kind, bytes: &[u8]| [&kind_bytes(kind)[..], bytes].concat();
    let zero_page = [&header(FrameKind::Pages, PAGE_BYTES)[..]].concat();
    let control = |name, kind, bytes| seed("control", name, text(kind, bytes));
    vec![
        seed("header", "nothing-known", b"GET / HT".to_vec()),
        seed("header", "state-too-long", vec![5, 0, 0, 0, 1, 0, 0, 1]),
        seed("preamble", "ssh", b"SSH-2.0-OpenSSH_".to_vec()),
        seed(
            "reader",
            "tls",
            stream(1, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03abcde", 239),
        ),
        seed("reader", "promise-of-16-mib", promise),
        seed("reader", "zeroes-after-a-frame", after_run),
        seed(
            "reader",
            "page-of-zeroes",
            [&[0, 8][..], &zero_page, &[243]].concat(),
        ),
        control(
            "hello-no-streams",
            FrameKind::Hello,
            &[1, 0, 0, 1, 0, 3, 1, 0][..],
        ),
        control(
            "hello-overlap",
            FrameKind::Hello,
            &[1, 1, 0, 2, 0, 3, 2, 2, 1, 0],
        ),
        control(
            "hello-many-regions",
            FrameKind::Hello,
            &[1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xf],
        ),
        control(
            "hello-no-text",
            FrameKind::Hello,
            &[1, 1, 2, 0xff, 0xfe, 1, 0, 3, 1, 0],
        ),
        control(
            "failed-control-characters",
            FrameKind::Failed,
            b"\x05\x1b[2J\n",
        ),
        control(
            "failed-endless",
            FrameKind::Failed,
            b"\xff\xff\xff\xff\x0fno",
        ),
        control("attach-no-role", FrameKind::Attach, &[3; 20]),
        control("drained-overflow", FrameKind::Drained, &[0xff; 24]),
    ]
}

/// A valid input, and two that end too early and too late.
fn near(target: &'static str, name: &str, prefix: &[u8], bytes: &[u8]) -> Vec<Seed> {
    let cut = &bytes[..bytes.len().saturating_sub(1)];
    vec![
        seed(target, name, [prefix, bytes].concat()),
        seed(target, &format!("{name}-cut"), [prefix, cut].concat()),
        seed(
            target,
            &format!("{name}-long"),
            [prefix, bytes, &[0]].concat(),
        ),
    ]
}

/// An input of the reader: all bytes, in pieces of so many.
fn stream(due: u8, bytes: &[u8], piece: u8) -> Vec<u8> {
    let mut input = vec![due];
    for piece in bytes.chunks(usize::from(piece)) {
        input.push(u8::try_from(piece.len()).expect("a piece is short"));
        input.extend_from_slice(piece);
    }
    input
}

fn header(kind: FrameKind, length_bytes: usize) -> [u8; 8] {
    Header { kind, length_bytes }.encode()
}

fn kind_bytes(kind: FrameKind) -> [u8; 2] {
    (kind as u16).to_le_bytes()
}

fn seed(target: &'static str, name: &str, bytes: Vec<u8>) -> Seed {
    let name = name.to_owned();
    Seed {
        target,
        name,
        bytes,
    }
}
