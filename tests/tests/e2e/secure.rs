//! Who may connect, through the real binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tests::harness::Host;

use crate::ground::{has_kvm, key};

#[test]
fn guest_moves_to_who_has_its_key_and_to_nobody_else() {
    if !has_kvm("keys") {
        return;
    }
    let (host, directory) = (Host::new().unwrap(), TempDir::new().unwrap());
    let right = key(directory.path(), "right", "sixteen bytes or more\n");
    let wrong = key(directory.path(), "wrong", "sixteen bytes or less\n");
    let source = host.boot_probe("keyed", "64M", "workload=idle").unwrap();
    source.wait_output("t_ms=").unwrap();
    let (target, address) = host.receive_with("keyed2", &["--key", &right]).unwrap();
    for (options, words) in [
        (&[][..], "wants a key: give --key FILE"),
        (&["--key", &wrong], "differ"),
        (&["--key", "/nonexistent/key"], "/nonexistent/key"),
    ] {
        let error = source.migrate(&address, options).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        let words = ["preflight", "--to", &address];
        assert!(host.command(&[&words, options].concat()).is_err());
        assert_eq!(source.info().unwrap()["state"], "running");
    }
    let told = host.command(&["preflight", "--to", &address, "--key", &right]);
    assert!(told.unwrap().contains("migration protocol"));
    let report = source.migrate(&address, &["--key", &right]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    target.wait_output("t_ms=").unwrap();
}

/// Makes a directory for `--tls`, with an authority of its own.
fn certificates() -> TempDir {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let own_key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = parameters.signed_by(&own_key, &issuer).unwrap().pem();
    let directory = TempDir::new().unwrap();
    for (name, content) in [
        ("ca.pem", root),
        ("cert.pem", certificate),
        ("key.pem", own_key.serialize_pem()),
    ] {
        key(directory.path(), name, &content);
    }
    directory
}

#[test]
fn guest_moves_in_tls_to_who_has_a_certificate_of_the_same_authority() {
    if !has_kvm("tls") {
        return;
    }
    let (host, ours, others) = (Host::new().unwrap(), certificates(), certificates());
    let [ours, others] = [&ours, &others].map(|directory| directory.path().to_str().unwrap());
    let words = "workload=seq-write ws=16M";
    let source = host.boot_probe("tls", "64M", words).unwrap();
    source.wait_output("passes=1").unwrap();
    let (target, address) = host.receive_with("tls2", &["--tls", ours]).unwrap();
    for (options, words) in [
        (&[][..], "speaks TLS: give --tls DIR"),
        (&["--tls", others], "TLS"),
        (&["--tls", "/nonexistent"], "/nonexistent"),
    ] {
        let error = source.migrate(&address, options).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let report = source.migrate(&address, &["--tls", ours]).unwrap();
    assert_eq!(report["outcome"], "completed", "{report}");
    target.wait_output("t_ms=").unwrap();
    let lines = target.skiff.output().all();
    assert!(
        lines.iter().all(|line| !line.contains("corrupt")),
        "{lines:?}"
    );
}

#[test]
fn key_file_that_others_can_read_is_refused_with_the_remedy() {
    let (host, directory) = (Host::new().unwrap(), TempDir::new().unwrap());
    let path = key(directory.path(), "open", "sixteen bytes or more\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let words = ["preflight", "--to", "127.0.0.1:1", "--key", &path];
    let error = host.command(&words).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn listening_where_others_can_connect_needs_a_key_or_the_word_for_it() {
    if !has_kvm("insecure") {
        return;
    }
    let host = Host::new().unwrap();
    let words = ["receive", "--name", "exposed", "--listen", "0.0.0.0:0"];
    let error = host.command(&words).unwrap_err().to_string();
    for words in ["other hosts", "--key FILE", "--insecure"] {
        assert!(error.contains(words), "{error}");
    }
    let (target, _) = host
        .receive_at("open", "0.0.0.0:0", &["--insecure"])
        .unwrap();
    assert_eq!(target.info().unwrap()["state"], "receiving");
    let told = target.skiff.messages().all();
    assert!(
        told.iter().any(|line| line.contains("insecure")),
        "{told:?}"
    );
}
