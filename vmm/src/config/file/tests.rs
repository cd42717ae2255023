//! Configuration files that work, and what is said about those that do not.

use std::error::Error;
use std::io::Write;

use super::*;

fn parse(text: &str) -> Result<VmSettings, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    VmSettings::read(file.path())
}

fn cause(text: &str) -> String {
    let error = parse(text).unwrap_err();
    assert!(matches!(error, ConfigError::FileSyntax { .. }), "{error}");
    error.source().unwrap().to_string()
}

#[test]
fn file_with_every_key_sets_every_option() {
    let settings = parse(
        r#"{"kernel": "vmlinuz", "initrd": "initrd.img", "cmdline": "quiet", "memory": "1G",
            "cpus": 2, "disk": ["a.img", "b.img,ro"], "net": "tap=tap0", "vsock": "socket=v,cid=4", "serial": "none", "balloon": "off", "name": "web", "api": "/run/web.sock"}"#,
    )
    .unwrap();
    let expected = VmSettings {
        kernel: Some(KernelSource::File("vmlinuz".into())),
        initrd: Some("initrd.img".into()),
        cmdline: Some("quiet".into()),
        memory: Some(ByteSize::from_mib(1024)),
        cpus: Some("2".parse().unwrap()),
        disk: ["a.img", "b.img,ro"]
            .map(|disk| disk.parse().unwrap())
            .into(),
        net: vec!["tap=tap0".parse().unwrap()],
        vsock: Some("socket=v,cid=4".parse().unwrap()),
        serial: Some(SerialMode::None),
        balloon: Some(BalloonMode::Off),
        name: Some("web".parse().unwrap()),
        api: Some("/run/web.sock".into()),
    };
    assert_eq!(settings, expected);
}

#[test]
fn file_with_numbers_or_strings_means_the_same() {
    let numbers = parse(r#"{"memory": 67108864, "cpus": 4}"#).unwrap();
    let strings = parse(r#"{"memory": "64M", "cpus": "4"}"#).unwrap();
    assert_eq!(numbers, strings);
}

#[test]
fn file_with_unknown_key_is_refused_with_the_known_ones() {
    let cause = cause(r#"{"memroy": "1G"}"#);
    assert!(
        cause.contains("`memroy`") && cause.contains("`memory`"),
        "{cause}"
    );
}

#[test]
fn file_with_bad_value_is_refused_with_the_value_and_its_line() {
    let cause = cause("{\"cpus\": 1,\n\"memory\": \"12Q\"}");
    assert!(
        cause.contains("`12Q`") && cause.contains("line 2"),
        "{cause}"
    );
}

#[test]
fn file_that_is_no_object_of_options_is_refused() {
    for text in [
        "",
        "[]",
        "{",
        "{\"cpus\": null}",
        "{\"cpus\": -1}",
        "{\"cpus\": [1]}",
        "\0",
        "{} {}",
    ] {
        assert!(!cause(text).is_empty());
    }
}

#[test]
fn file_too_long_or_absent_is_refused_with_its_path() {
    let error = parse(&" ".repeat(70 << 10)).unwrap_err();
    assert!(matches!(
        error,
        ConfigError::FileSize {
            limit_bytes: 65536,
            ..
        }
    ));
    let error = VmSettings::read(Path::new("/nonexistent/vm.json")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/vm.json"));
}

#[test]
fn settings_merged_keep_the_first_and_fill_from_the_second() {
    let typed = parse(r#"{"memory": "1G"}"#).unwrap();
    let file = parse(r#"{"memory": "2G", "cpus": 2}"#).unwrap();
    assert_eq!(
        typed.or(file),
        parse(r#"{"memory": "1G", "cpus": 2}"#).unwrap()
    );
}
