//! Command lines, right and wrong.

use super::words::{Misuse, Parsed, parse};
use super::*;
use crate::config::{Attachments, ConfigError, MemoryMode, MigrationMode, SerialMode};
use migration::snapshot::{Afterwards, Liveness, MergeOptions};

use super::args::SnapshotDeed;
use migration::{Order, Pivots, Prepaging, Streams};

fn parse_line(line: &[&str]) -> Result<Parsed, Misuse> {
    parse(
        std::iter::once("skiff")
            .chain(line.iter().copied())
            .map(OsString::from),
    )
}

fn command(line: &[&str]) -> Command {
    match parse_line(line).unwrap() {
        Parsed::Command(command) => *command,
        Parsed::Text(text) => panic!("{line:?} prints {text}"),
    }
}

fn text(line: &[&str]) -> String {
    match parse_line(line).unwrap() {
        Parsed::Text(text) => text,
        Parsed::Command(command) => panic!("{line:?} is {command:?}"),
    }
}

fn misuse(line: &[&str]) -> (String, &'static str) {
    let misuse = parse_line(line).unwrap_err();
    (misuse.failure.message, misuse.topic)
}

fn run_config(line: &[&str]) -> Result<VmConfig, CommandError> {
    let Command::Run(args) = command(line) else {
        panic!("{line:?} is not run")
    };
    Ok(VmConfig::new(args.into_settings()?, "64G".parse()?)?)
}

#[test]
fn run_with_every_option_becomes_a_configuration() {
    let config = run_config(&[
        "run",
        "--kernel",
        "vmlinuz",
        "--initrd=initrd.img",
        "--cmdline",
        "--quiet=1 root=/dev/vda",
        "--memory=1G",
        "--cpus",
        "2",
        "--disk=a.img",
        "--disk",
        "b.img,ro,serial=b",
        "--net=tap=tap0",
        "--vsock=socket=web.vsock,cid=9",
        "--serial=file=console.log",
        "--name",
        "web",
        "--api",
        "./w.sock",
    ])
    .unwrap();
    assert_eq!(config.kernel.to_string(), "vmlinuz");
    assert_eq!(config.command_line, "--quiet=1 root=/dev/vda");
    assert_eq!(config.memory.to_string(), "1G");
    assert_eq!(config.cpus.get(), 2);
    assert_eq!(config.disks[0], "a.img".parse().unwrap());
    assert_eq!(config.disks[1], "b.img,ro,serial=b".parse().unwrap());
    assert_eq!(config.disks.len(), 2);
    assert_eq!(config.nets, ["tap=tap0".parse().unwrap()]);
    assert_eq!(config.vsock.unwrap().cid.get(), 9);
    assert_eq!(config.serial, SerialMode::File("console.log".into()));
    assert_eq!(config.name.as_str(), "web");
    assert_eq!(config.api.unwrap().to_str(), Some("./w.sock"));
}

#[test]
fn run_with_a_file_lets_the_command_line_win() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("vm.json");
    std::fs::write(&file, r#"{"kernel": "probe", "memory": "1G", "cpus": 4}"#).unwrap();
    let file = file.to_str().unwrap();
    let config = run_config(&["run", "--config", file, "--memory", "2G"]).unwrap();
    assert_eq!(
        (config.memory.to_string().as_str(), config.cpus.get()),
        ("2G", 4)
    );
}

#[test]
fn run_that_cannot_be_meant_is_wrong_usage_and_beyond_the_host_a_failure() {
    assert!(matches!(run_config(&["run"]), Err(CommandError::Usage(_))));
    let too_much = run_config(&["run", "--kernel", "probe", "--memory", "65G"]);
    assert!(matches!(too_much, Err(CommandError::Failed(_))));
    let no_file = run_config(&["run", "--config", "/nonexistent/vm.json"]);
    assert!(matches!(no_file, Err(CommandError::Failed(_))));
}

#[test]
fn migrate_takes_a_name_or_a_socket_in_any_place() {
    let Command::Migrate(args) = command(&["migrate", "--to", "[::1]:7000", "./web.sock"]) else {
        panic!("not migrate")
    };
    assert_eq!(args.vm.to_string(), "./web.sock");
    assert_eq!((args.to.host(), args.mode), ("::1", MigrationMode::Auto));
    let Command::Migrate(args) = command(&[
        "migrate",
        "web",
        "--to=b:1",
        "--mode=stop-and-copy",
        "--report",
        "-",
    ]) else {
        panic!("not migrate")
    };
    assert_eq!(
        (args.mode, args.report.unwrap().to_str()),
        (MigrationMode::StopAndCopy, Some("-"))
    );
}

#[test]
fn snapshot_is_written_to_an_absolute_path_or_checked() {
    let deed = |words: &[&str]| match command(words) {
        Command::Snapshot(args) => args.deed(),
        other => panic!("{other:?}"),
    };
    let SnapshotDeed::Write { vm, config, .. } = deed(&[
        "snapshot",
        "web",
        "--to",
        "here/web.snap",
        "--live",
        "--stop",
    ])
    .unwrap() else {
        panic!("not to be written")
    };
    assert_eq!(vm.to_string(), "web");
    assert!(config.to.is_absolute() && config.to.ends_with("here/web.snap"));
    assert_eq!(config.liveness, Liveness::Live);
    assert_eq!(config.afterwards, Afterwards::Held);
    let check = deed(&["snapshot", "verify", "web.snap"]).unwrap();
    assert_eq!(check, SnapshotDeed::Verify("web.snap".into()));
    // A VM may have that name.
    for name in ["verify", "merge"] {
        assert!(matches!(
            deed(&["snapshot", name, "--to", "a"]),
            Ok(SnapshotDeed::Write { .. })
        ));
    }
    for words in [
        &["snapshot", "web"][..],
        &["snapshot", "web", "a", "--to", "b"],
        &["snapshot", "verify", "a", "--live"],
    ] {
        assert!(deed(words).is_err(), "{words:?}");
    }
}

#[test]
fn difference_is_written_to_a_base_with_an_absolute_path_or_merged() {
    let deed = |words: &[&str]| match command(words) {
        Command::Snapshot(args) => args.deed(),
        other => panic!("{other:?}"),
    };
    let written = deed(&["snapshot", "web", "--to", "web.diff", "--base", "web.snap"]);
    let Ok(SnapshotDeed::Write { config, .. }) = written else {
        panic!("{written:?}")
    };
    let base = config.base.unwrap();
    assert!(base.is_absolute() && base.ends_with("web.snap"));
    let merge = "snapshot merge web.diff --base web.snap --to web.new --report -";
    let merge: Vec<_> = merge.split(' ').collect();
    assert_eq!(
        deed(&merge).unwrap(),
        SnapshotDeed::Merge {
            options: MergeOptions {
                difference: "web.diff".into(),
                base: "web.snap".into(),
                directory: "web.new".into(),
            },
            report: Some("-".into()),
        }
    );
    for words in [
        &merge[..5],
        &["snapshot", "merge", "a", "--to", "b"],
        &[
            "snapshot", "merge", "a", "--base", "b", "--to", "c", "--live",
        ],
        &["snapshot", "verify", "a", "--base", "b"],
        &["snapshot", "web", "--base", "b"],
    ] {
        assert!(
            matches!(deed(words), Err(ConfigError::SnapshotForm)),
            "{words:?}"
        );
    }
}

#[test]
fn restore_of_several_copies_is_a_command_for_each() {
    let args = |words: &[&str]| match command(words) {
        Command::Restore(args) => args,
        other => panic!("{other:?}"),
    };
    let order = args(&[
        "restore",
        "web.snap",
        "--name",
        "w",
        "--clones",
        "2",
        "--serial",
        "file=log",
        "--net",
        "tap=t",
        "--vsock",
        "socket=/v",
    ]);
    let order = order.clones().unwrap().unwrap();
    assert_eq!(order.copies[1].0, "w-2");
    let words: Vec<&str> = order.copies[1].1.iter().map(String::as_str).collect();
    let config = RestoreConfig::try_from(args(&words)).unwrap();
    assert_eq!(config.name.as_str(), "w-2");
    assert_eq!(config.memory_mode, MemoryMode::Mapped);
    assert_eq!(config.serial, SerialMode::File("log.2".into()));
    let attachments = Attachments {
        taps: vec!["tap=t-2".parse().unwrap()],
        socket: Some("socket=/v-2".parse().unwrap()),
    };
    assert_eq!(config.attachments, attachments);
    for shared in [&["--serial", "stdio"], &["--api", "./a.sock"]] {
        let words = [&["restore", "a", "--clones", "2"][..], shared].concat();
        assert!(args(&words).clones().is_err(), "{shared:?}");
    }
    assert_eq!(args(&["restore", "a"]).clones().unwrap(), None);
}

#[test]
fn migrate_takes_the_order_of_pages() {
    let words = "migrate web --to b:1 --prepaging bubble --pivots 3 --order recency --streams 4";
    let words: Vec<&str> = words.split(' ').collect();
    let Command::Migrate(args) = command(&words) else {
        panic!("not migrate")
    };
    let config = args.config();
    assert_eq!(config.prepaging, Prepaging::Bubble);
    assert_eq!(config.pivots.map(Pivots::get), Some(3));
    assert_eq!(
        (config.order, config.streams.map(Streams::get)),
        (Order::Recency, Some(4))
    );
    for wrong in [
        "--prepaging=lru",
        "--pivots=0",
        "--growth=",
        "--order=",
        "--streams=65",
    ] {
        assert_eq!(
            misuse(&["migrate", "web", "--to", "b:1", wrong]).1,
            "migrate"
        );
    }
}

#[test]
fn receive_takes_its_defaults() {
    let Command::Receive(args) = command(&["receive", "--listen", "0.0.0.0:7000"]) else {
        panic!("not receive")
    };
    let config = ReceiveConfig::try_from(args).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:7000");
    assert_eq!((config.serial, config.api), (SerialMode::Stdio, None));
}

#[test]
fn every_command_has_help_with_an_example() {
    for name in [
        "run",
        "receive",
        "migrate",
        "cancel",
        "ls",
        "info",
        "pause",
        "resume",
        "stop",
        "preflight",
    ] {
        let help = text(&["help", name]);
        assert!(help.starts_with(&format!("Usage: skiff {name}")), "{help}");
        assert!(help.contains("Examples:"), "{help}");
        assert_eq!(help, text(&[name, "--help"]));
        assert_eq!(help, text(&[name, "-h"]));
        assert!(text(&["help"]).contains(&format!("\n  {name} ")));
    }
}

#[test]
fn version_is_shown() {
    assert_eq!(
        text(&["--version"]),
        format!("skiff {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn misuse_is_told_with_the_value_and_the_command() {
    for (line, words, topic) in [
        (
            &["run", "--memory", "12Q"][..],
            ["--memory", "`12Q`"],
            "run",
        ),
        (&["run", "--memory", "0"], ["--memory", "`0`"], "run"),
        (&["run", "--cpus=33"], ["--cpus", "1 to 32"], "run"),
        (&["run", "--disc", "x"], ["unrecognized", "--disc"], "run"),
        (&["run", "--disk=x,rw"], ["`x,rw`", "PATH[,ro]"], "run"),
        (&["run", "--net=tap0"], ["`tap0`", "tap=NAME"], "run"),
        (
            &["receive", "--listen=b:1", "--net=tap=a,mac=b"],
            ["`a,mac=b`", "interface"],
            "receive",
        ),
        (&["run", "--vsock=v"], ["`v`", "socket=PATH"], "run"),
        (&["run", "--memory"], ["no value", "--memory"], "run"),
        (&["migrate", "web"], ["required", "--to"], "migrate"),
        (&["migrate", "--to", "b:1"], ["required", "NAME"], "migrate"),
        (
            &["migrate", "web", "--to", "b:0"],
            ["`b:0`", "1 to 65535"],
            "migrate",
        ),
        (
            &["migrate", "web", "--to", "b:1", "--mode", "postcopy"],
            ["`postcopy`", "post-copy, hybrid"],
            "migrate",
        ),
        (&["info", ".."], ["`..`", "name"], "info"),
        (&["info", "a", "b"], ["unrecognized", "b"], "info"),
        (&["fly"], ["unrecognized", "fly"], ""),
        (&[], ["no command", ""], ""),
    ] {
        let (message, of) = misuse(line);
        assert!(
            words.iter().all(|word| message.contains(word)),
            "{line:?}: {message}"
        );
        assert!(
            !message.contains('\n') && of == topic,
            "{line:?}: {message} ({of})"
        );
    }
}

#[test]
fn misuse_with_bytes_that_are_no_text_is_told() {
    use std::os::unix::ffi::OsStringExt;
    let line = ["skiff".into(), OsString::from_vec(vec![b'r', 0xff])];
    assert!(parse(line).unwrap_err().failure.message.contains("UTF-8"));
}
