//! Moves in TLS, and whom it keeps out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use migration::{
    CancelToken, DestinationOptions, Failure, Key, MigrationError as Error, Mode, Progress, Report,
    SourceOptions, Streams, Timeouts, Tls, Trust, migrate, probe,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::machine::{FakeSource, Waiting, can_receive, written};
use crate::memory::Memory;

/// An authority, and what it needs to sign.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(parameters, key),
            certificate,
        }
    }

    /// A directory for `--tls`: a certificate for `host` that was good until that year.
    fn directory(&self, host: &str, year: i32) -> TempDir {
        let mut parameters = CertificateParams::new([host.to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(2000, 1, 1);
        parameters.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let directory = TempDir::new().unwrap();
        let write = |name, content: &str| fs::write(directory.path().join(name), content).unwrap();
        write("ca.pem", &self.certificate);
        write("cert.pem", &certificate.pem());
        write("key.pem", &key.serialize_pem());
        set_mode(&directory.path().join("key.pem"), 0o600);
        directory
    }

    fn trust(&self) -> Trust {
        trust(&self.directory("127.0.0.1", 2100))
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn trust(directory: &TempDir) -> Trust {
    Trust {
        key: None,
        tls: Some(Tls::read(directory.path()).unwrap()),
    }
}

fn waiting(trust: Trust) -> Waiting {
    Waiting::start_with(DestinationOptions {
        trust,
        ..DestinationOptions::default()
    })
}

fn migrate_to(waiting: &Waiting, mode: Mode, trust: Trust) -> Result<Report, Box<Failure>> {
    let options = SourceOptions {
        mode,
        trust,
        streams: Some(Streams::new(2).unwrap()),
        ..SourceOptions::new(waiting.address.to_string())
    };
    let vm = FakeSource::new(Memory::filled(4000));
    let cancel = CancelToken::new().unwrap();
    let result = migrate(&vm, &options, &|_: &Progress| {}, &cancel);
    assert_eq!(vm.runs(), result.is_err());
    result
}

#[test]
fn move_in_tls_delivers_every_page_with_and_without_a_key() {
    if !can_receive() {
        return;
    }
    let authority = Authority::new();
    let key = Key::new(b"a key that both ends have".to_vec()).unwrap();
    for (mode, key) in [(Mode::PostCopy, None), (Mode::StopAndCopy, Some(key))] {
        let trust = || Trust {
            key: key.clone(),
            ..authority.trust()
        };
        let waiting = waiting(trust());
        let address = waiting.address.to_string();
        probe(&address, &Timeouts::default(), &trust()).unwrap();
        let report = migrate_to(&waiting, mode, trust()).unwrap();
        let wire = &report.wire_bytes;
        assert!(wire.pages > report.pages.transferred * 4096);

        let arrived = waiting.arrived.clone();
        assert!(waiting.join().unwrap().outcome.is_ok());
        let guest = arrived.guest.lock().unwrap().take().unwrap();
        assert_eq!(guest.join().unwrap(), 0, "pages with wrong content");
        let memory = arrived.memory.lock().unwrap().take().unwrap();
        assert!((0..4000).all(|page| memory.read(page) == written(page)));
    }
}

/// Fails to migrate; gives the error and what the destination told.
fn fail(destination: Trust, source: Trust) -> (Error, String) {
    let waiting = waiting(destination);
    let failure = migrate_to(&waiting, Mode::PostCopy, source).unwrap_err();
    let told = waiting.rejection(|_| true);
    waiting.stop.cancel();
    assert!(waiting.join().is_err());
    (failure.error, told)
}

#[test]
fn end_without_tls_is_told_at_both_ends() {
    let authority = Authority::new();
    let (error, told) = fail(authority.trust(), Trust::default());
    assert!(matches!(error, Error::TlsWanted { .. }), "{error}");
    assert!(told.contains("does not speak TLS"), "{told}");
    let (error, told) = fail(Trust::default(), authority.trust());
    assert!(matches!(error, Error::TlsAbsent { .. }), "{error}");
    assert!(told.contains("speaks TLS"), "{told}");
}

#[test]
fn certificate_of_another_authority_host_or_time_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let elsewhere = || trust(&authority.directory("192.0.2.7", 2100));
    let expired = || trust(&authority.directory("127.0.0.1", 2001));
    for (destination, source) in [
        (authority.trust(), other.trust()),
        (other.trust(), authority.trust()),
        (elsewhere(), authority.trust()),
        (expired(), authority.trust()),
        (authority.trust(), expired()),
    ] {
        let (error, told) = fail(destination, source);
        // A source that is not trusted learns it when it first listens (RFC 8446, section 4.4.2.4).
        assert!(
            matches!(error, Error::Tls { .. } | Error::Receive { .. }),
            "{error:?}"
        );
        assert!(told.contains("TLS"), "{told}");
    }
}

#[test]
fn directory_with_a_file_missing_wrong_or_open_to_others_is_refused() {
    let authority = Authority::new();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        let directory = authority.directory("127.0.0.1", 2100);
        let path = directory.path().join(name);
        fs::write(&path, "nothing of the kind").unwrap();
        let error = Tls::read(directory.path()).unwrap_err();
        assert!(matches!(error, Error::Pem { .. }), "{name}: {error}");
        fs::remove_file(&path).unwrap();
        assert!(Tls::read(directory.path()).is_err(), "{name}");
    }
    let directory = authority.directory("127.0.0.1", 2100);
    let key = directory.path().join("key.pem");
    set_mode(&key, 0o640);
    let error = Tls::read(directory.path()).unwrap_err();
    assert!(matches!(error, Error::KeyExposed { .. }), "{error}");
    let another = authority.directory("127.0.0.1", 2100);
    fs::copy(another.path().join("key.pem"), &key).unwrap();
    set_mode(&key, 0o600);
    let error = Tls::read(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Certificates { .. }), "{error}");
}
