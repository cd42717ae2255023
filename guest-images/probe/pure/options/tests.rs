//! Tests of the command line.

use super::super::virtio::Kind;
use super::{BalloonUse, Options, Workload};

fn parse(line: &str) -> Options {
    Options::parse(line.as_bytes()).unwrap()
}

#[test]
fn parse_nothing_gives_the_defaults() {
    let options = parse("");
    assert_eq!(options.workload, Workload::Idle);
    assert_eq!((options.procs, options.seed), (8, 1));
    assert_eq!((options.rate_pages_per_s, options.passes), (None, None));
    assert_eq!((options.revisits, options.balloon), (1, BalloonUse::Follow));
    assert_eq!((options.lines_per_s, options.step_bytes), (10, 4096));
    assert_eq!(options.working_set_pages(1 << 30), 65536);
    assert_eq!(options.working_set_pages(101), 50);
}

#[test]
fn parse_every_key_reads_its_value() {
    let options = parse(
        "workload=seq-write ws=3M procs=128 rate=500 seed=42 passes=2\tinject=1K revisits=7\n",
    );
    assert_eq!(options.workload, Workload::SeqWrite);
    assert_eq!(options.working_set_pages(0), 768);
    assert_eq!((options.procs, options.seed), (128, 42));
    assert_eq!(
        (options.rate_pages_per_s, options.passes),
        (Some(500), Some(2))
    );
    assert_eq!(
        (options.inject_offset_bytes, options.revisits),
        (Some(1024), 7)
    );
    assert_eq!(parse("balloon=manual").balloon, BalloonUse::Manual);
    assert_eq!(parse("balloon=off").balloon, BalloonUse::Off);
    assert_eq!(parse("lines=2").lines_per_s, 2);
    assert_eq!(parse("step=128K").step_bytes, 128 << 10);
}

#[test]
fn parse_words_of_kernels_are_ignored() {
    let line = "console=ttyS0 quiet wsx=1 =3 nokaslr virtio_mmio.device=4K@0xd0000000:5 ws=4097";
    assert_eq!(parse(line).working_set_pages(0), 2);
}

#[test]
fn parse_workload_names_round_trip() {
    for name in [
        "idle",
        "seq-read",
        "seq-write",
        "random",
        "zipf",
        "chase",
        "quicksort",
        "grow-shrink",
    ] {
        assert_eq!(parse(&format!("workload={name}")).workload.name(), name);
    }
}

#[test]
fn parse_bad_value_names_the_word() {
    for word in [
        "workload=",
        "workload=Idle",
        "ws=",
        "ws=0",
        "ws=0M",
        "ws=12Q",
        "ws=M",
        "ws=-1",
        "ws=0x10",
        "ws=99999999999G",
        "ws=18446744073709551615",
        "procs=0",
        "procs=129",
        "rate=0",
        "rate=fast",
        "seed=",
        "passes=0",
        "passes=18446744073709551616",
        "inject=x",
        "revisits=0",
        "step=0",
        "balloon=on",
        "block=0",
        "block=5000",
        "block=132K",
        "depth=0",
        "depth=33",
        "lines=0",
        "lines=1001",
        "frame=63",
        "frame=1515",
    ] {
        let line = format!("quiet {word} seed=3");
        let bad = Options::parse(line.as_bytes()).unwrap_err();
        assert_eq!(bad.word, word.as_bytes());
        assert!(!bad.wanted.is_empty());
    }
}

#[test]
fn device_is_the_one_that_the_workload_is_named_after() {
    let device = |name: &str| parse(&format!("workload={name}")).workload.device();
    assert_eq!(
        ["disk-seq", "disk-random"].map(device),
        [Some(Kind::Disk); 2]
    );
    assert_eq!(
        ["net-send", "net-receive"].map(device),
        [Some(Kind::Card); 2]
    );
    assert_eq!(device("random"), None);
    let options = parse("block=128K depth=1 frame=64");
    assert_eq!((options.block_bytes, options.depth), (128 << 10, 1));
    assert_eq!(options.frame_bytes, 64);
}

#[test]
fn kept_pages_are_all_unless_the_work_gives_some_back() {
    let kept = |name: &str| parse(&format!("workload={name}")).kept_pages(10);
    assert_eq!(["idle", "grow-shrink"].map(kept), [0, 0]);
    assert_eq!(["seq-read", "chase", "quicksort"].map(kept), [10, 10, 10]);
}
