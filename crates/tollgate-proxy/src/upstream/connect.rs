//! Makes one connection to a provider: name, TCP, TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Broken, Phase};

/// A scheme, host and port that requests are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The host name or address, IPv6 without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
}

impl Origin {
    /// The origin of an `http` or `https` address; `None` for any other.
    pub fn of(scheme: Option<&Scheme>, authority: Option<&Authority>) -> Option<Self> {
        let tls = match scheme?.as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = authority?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Self { tls, host: host.into(), port })
    }
}

/// A connection to a provider, with or without TLS.
pub(super) enum Stream {
    /// Plain TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection and whether the provider chose HTTP/2 on it.
pub(super) struct Connected {
    /// What to read and write.
    pub io: TokioIo<Stream>,
    /// Whether HTTP/2 was agreed on.
    pub http2: bool,
}

/// Makes connections. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    tls: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector(..)")
    }
}

impl Connector {
    /// A connector that trusts what `tls` trusts; offers HTTP/2 and HTTP/1.1.
    pub fn new(mut tls: rustls::ClientConfig) -> Self {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { tls: Arc::new(tls) }
    }

    /// Connects within `limit`, addresses of the name tried one after the other.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        limit: Duration,
    ) -> Result<Connected, Broken> {
        match tokio::time::timeout(limit, self.establish(origin)).await {
            Ok(Ok(connected)) => Ok(connected),
            Ok(Err(error)) => Err(Broken::new(Phase::Connect, error)),
            Err(_) => Err(Broken::timed_out(Phase::Connect, "connecting took too long")),
        }
    }

    async fn establish(&self, origin: &Origin) -> io::Result<Connected> {
        let tcp = TcpStream::connect((&*origin.host, origin.port)).await?;
        tcp.set_nodelay(true)?;
        if !origin.tls {
            return Ok(Connected { io: TokioIo::new(Stream::Plain(tcp)), http2: false });
        }
        let name = ServerName::try_from(origin.host.to_string())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Connected { io: TokioIo::new(Stream::Tls(Box::new(tls))), http2 })
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
