//! One connection, with or without TLS.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::settings::Place;

/// What is read from and written to.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to a service. Boxed, because it is opened seldom and writes whole batches.
pub(crate) type Stream = Box<dyn Io>;

/// Connects to `place`. Whoever calls watches the time.
pub(crate) async fn connect(place: &Place, tls: &Arc<ClientConfig>) -> io::Result<Stream> {
    let tcp = TcpStream::connect((&*place.host, place.port)).await?;
    tcp.set_nodelay(true)?;
    if !place.tls {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(place.host.to_string())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await?))
}
