//! One HTTP request to a service: its name is looked up once, the address is judged, and the
//! connection goes to the address that was judged, so that a second answer of a name server cannot
//! lead elsewhere. Nothing is followed, and little of the answer is read.

mod address;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use address::is_public;

/// How long a service has for its whole answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Largest answer that is read, in bytes; of more nothing is used.
const MAX_ANSWER: usize = 64 * 1024;

/// An `http` or `https` address, which may be a credential as a whole.
#[derive(Clone)]
pub struct Place {
    is_tls: bool,
    host: Box<str>,
    port: u16,
    path: Box<str>,
    basic: Option<HeaderValue>,
}

/// It is never shown: its path or its user may be secrets.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place(..)")
    }
}

/// Why a text is no address that can be posted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as https://HOST/PATH")]
pub struct NoPlace;

impl Place {
    /// Reads an address.
    pub fn read(text: &str) -> Result<Self, NoPlace> {
        let uri: Uri = text.trim().parse().map_err(|_| NoPlace)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(NoPlace),
        };
        let authority = uri.authority().ok_or(NoPlace)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(NoPlace);
        }
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        Ok(Self {
            is_tls,
            host: host.into(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).into(),
            basic: user.and_then(basic),
        })
    }

    /// Whether TLS is spoken.
    pub const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The same with another path behind its own.
    #[must_use]
    pub(crate) fn below(&self, path: &str) -> Self {
        let path = format!("{}{path}", self.path.trim_end_matches('/')).into();
        Self { path, ..self.clone() }
    }

    fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// The header of a user and a password, as an address has them.
fn basic(user: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(user))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Which addresses may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any.
    Anywhere,
    /// Those that are on the public internet, by `https` only.
    Public,
}

/// What is posted.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    pub(crate) headers: &'a [(HeaderName, String)],
    pub(crate) bearer: Option<&'a SecretString>,
    pub(crate) body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: String,
}

/// Why nothing came back. Texts name no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoReply {
    #[error("no answer in time")]
    TimedOut,
    #[error("the host is not found")]
    Unknown,
    #[error("the address is not on the public internet: set `allow_private` where that is meant")]
    Private,
    #[error("the address is not https: set `allow_private` where that is meant")]
    Plain,
    #[error("cannot connect: {0}")]
    Connect(io::ErrorKind),
    #[error("TLS fails: {0}")]
    Tls(String),
    #[error("the exchange broke off")]
    Broken,
    #[error("the request cannot be made")]
    Request,
}

impl NoReply {
    /// Whether trying again is in vain.
    pub(crate) const fn is_for_good(&self) -> bool {
        matches!(self, Self::Private | Self::Plain | Self::Request)
    }
}

/// Posts.
#[derive(Clone)]
pub struct Poster {
    tls: Arc<rustls::ClientConfig>,
    patience: Duration,
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Poster(..)")
    }
}

impl Poster {
    /// One that trusts what `tls` trusts.
    pub const fn new(tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls, patience: PATIENCE }
    }

    /// The same with another patience.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long a service has for its whole answer.
    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Posts, and waits for the answer.
    pub(crate) async fn post(
        &self,
        place: &Place,
        reach: Reach,
        post: Post<'_>,
    ) -> Result<Reply, NoReply> {
        if reach == Reach::Public && !place.is_tls {
            return Err(NoReply::Plain);
        }
        let request = request(place, post)?;
        let exchange = self.exchange(place, reach, request);
        tokio::time::timeout(self.patience, exchange).await.map_err(|_| NoReply::TimedOut)?
    }

    async fn exchange(
        &self,
        place: &Place,
        reach: Reach,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply, NoReply> {
        let tcp = connect(place, reach).await?;
        if !place.is_tls {
            return ask(tcp, request).await;
        }
        let name = ServerName::try_from(place.host.to_string()).map_err(|_| NoReply::Unknown)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, tcp).await;
        ask(stream.map_err(|error| NoReply::Tls(error.to_string()))?, request).await
    }
}

fn request(place: &Place, post: Post<'_>) -> Result<Request<Full<Bytes>>, NoReply> {
    let mut headers = HeaderMap::new();
    let agent = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let host = HeaderValue::from_str(&place.authority()).map_err(|_| NoReply::Request)?;
    headers.insert(HOST, host);
    if let Some(basic) = &place.basic {
        headers.insert(AUTHORIZATION, basic.clone());
    }
    if let Some(token) = post.bearer {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
        let mut value = value.map_err(|_| NoReply::Request)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    for (name, value) in post.headers {
        let value = HeaderValue::from_str(value).map_err(|_| NoReply::Request)?;
        headers.insert(name.clone(), value);
    }
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&*place.path)
        .body(Full::new(Bytes::from(post.body)))
        .map_err(|_| NoReply::Request)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Connects to the first address that answers; where one of them may not be asked, to none.
async fn connect(place: &Place, reach: Reach) -> Result<TcpStream, NoReply> {
    let found = tokio::net::lookup_host((&*place.host, place.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| NoReply::Unknown)?.collect();
    if reach == Reach::Public && !addresses.iter().all(|address| is_public(address.ip())) {
        return Err(NoReply::Private);
    }
    let mut failed = NoReply::Unknown;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = NoReply::Connect(error.kind()),
        }
    }
    Err(failed)
}

async fn ask<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, NoReply>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| NoReply::Broken)?;
    let exchange = async {
        let answered = sender.send_request(request).await.map_err(|_| NoReply::Broken)?;
        let (head, body) = answered.into_parts();
        let retry_after = retry_after(&head.headers);
        // What breaks off or is too long is no reason to send again: the status is there.
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply { status: head.status, retry_after, body })
    };
    let mut exchange = std::pin::pin!(exchange);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        reply = &mut exchange => reply,
        _ = &mut connection => exchange.await,
    }
}

/// How long the service asks to wait, in seconds (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_never_shown() {
        let place = Place::read("https://hooks.slack.com/services/T0/B0/secret").unwrap();
        assert_eq!((place.is_tls, place.port, &*place.path), (true, 443, "/services/T0/B0/secret"));
        assert_eq!(place.authority(), "hooks.slack.com");
        assert_eq!(format!("{place:?}"), "Place(..)");
        let member = Place::read("http://ops:pass@[::1]:9093/alert/").unwrap();
        assert_eq!((&*member.host, &*member.authority()), ("::1", "[::1]:9093"));
        assert_eq!(&*member.below("/api/v2/alerts").path, "/alert/api/v2/alerts");
        assert_eq!(member.basic.unwrap(), "Basic b3BzOnBhc3M=");
        for bad in ["", "hooks.slack.com/x", "ftp://host/", "https://", "https:///path"] {
            assert!(Place::read(bad).is_err(), "{bad}");
        }
    }
}
