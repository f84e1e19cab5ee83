//! What TLS trusts and shows: the machine's authorities, or the files that the configuration names.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::settings::TlsConfig;

/// The TLS of a sink: `machine` where it names no files of its own.
pub fn trust(machine: &Arc<ClientConfig>, tls: &TlsConfig) -> io::Result<Arc<ClientConfig>> {
    let TlsConfig { ca_file, cert_file, key_file } = tls;
    let shown = match (cert_file, key_file) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some((certificates(cert)?, key_of(key)?)),
        _ => return Err(io::Error::other("a certificate and its key go together")),
    };
    if ca_file.is_none() && shown.is_none() {
        return Ok(Arc::clone(machine));
    }
    let Some(ca_file) = ca_file else {
        return Err(io::Error::other("a certificate that is shown needs `ca_file`"));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match shown {
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(io::Error::other)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, error))?.collect();
    let found = found.map_err(|error| wrong(path, error))?;
    if found.is_empty() { Err(wrong(path, "no certificate in it")) } else { Ok(found) }
}

fn key_of(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(path, error))
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}
