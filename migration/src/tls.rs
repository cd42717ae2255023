//! TLS between the two ends, each of which shows a certificate that the other's authority signed.
//!
//! TLS 1.3 only (RFC 8446), without resumption: a migration has a handful of connections, and each
//! of them proves both ends anew. The destination's certificate has to name the host as the source
//! addresses it; the source's has to be of the same authority.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use crate::auth::check_private;
use crate::error::{Error, Result};

/// Certificate of the authority that both ends trust.
const AUTHORITY: &str = "ca.pem";
/// This end's certificate, and those between it and the authority's.
const CERTIFICATE: &str = "cert.pem";
/// The private key of this end's certificate.
const PRIVATE_KEY: &str = "key.pem";

/// What an end needs to speak TLS, as either side.
#[derive(Clone)]
pub struct Tls {
    source: Arc<ClientConfig>,
    destination: Arc<ServerConfig>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Tls {
    /// Reads `ca.pem`, `cert.pem` and `key.pem` in `directory`.
    ///
    /// # Errors
    /// If a file cannot be read or is not what its name says, if others than its owner may read the
    /// private key, or if key and certificate do not belong together.
    pub fn read(directory: &Path) -> Result<Self> {
        let authority = read_certificates(&directory.join(AUTHORITY))?;
        let certificates = read_certificates(&directory.join(CERTIFICATE))?;
        let path = directory.join(PRIVATE_KEY);
        let metadata = fs::metadata(&path).map_err(|source| Error::KeyRead {
            path: path.clone(),
            source,
        })?;
        check_private(&path, metadata.mode())?;
        let key = PrivateKeyDer::from_pem_file(&path).map_err(unreadable(&path))?;
        Self::new(authority, certificates, key).map_err(|source| Error::Certificates {
            directory: directory.to_owned(),
            source,
        })
    }

    fn new(
        authority: Vec<CertificateDer<'static>>,
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in authority {
            roots.add(certificate)?;
        }
        let roots = Arc::new(roots);
        let mut source = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(certificates.clone(), key.clone_key())?;
        source.resumption = Resumption::disabled();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let mut destination = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)?;
        destination.session_storage = Arc::new(NoServerSessionStorage {});
        destination.send_tls13_tickets = 0;
        Ok(Self {
            source: Arc::new(source),
            destination: Arc::new(destination),
        })
    }

    /// A source's side of a connection with `destination`, which is `HOST:PORT`.
    pub(crate) fn connect(&self, destination: &str) -> Result<Connection> {
        let host = destination
            .rsplit_once(':')
            .map_or(destination, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let failed = |source| Error::TlsName {
            host: host.to_owned(),
            source,
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(rustls::Error::General("it is no host name".to_owned())))?;
        ClientConnection::new(self.source.clone(), name)
            .map(Connection::from)
            .map_err(failed)
    }

    /// A destination's side of a connection with whoever it is.
    pub(crate) fn accept(&self) -> Result<Connection> {
        ServerConnection::new(self.destination.clone())
            .map(Connection::from)
            .map_err(|source| Error::TlsName {
                host: String::new(),
                source,
            })
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(unreadable(path))?;
    if certificates.is_empty() {
        return Err(unreadable(path)(
            rustls::pki_types::pem::Error::NoItemsFound,
        ));
    }
    Ok(certificates)
}

fn unreadable(path: &Path) -> impl FnOnce(rustls::pki_types::pem::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Pem { path, source }
}
