//! HTTP/1.1 to one service: a connection that is kept, one request at a time, whole bodies.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::settings::{HttpConfig, Place, Secret};
use crate::transport::stream::connect;
use crate::worker::Delivery;

/// Largest answer that is read, in bytes. What a service says of a batch is shorter.
const MAX_ANSWER: usize = 16 << 20;
/// A connection that was idle for longer is not trusted: services close theirs after five seconds
/// and more.
const IDLE: Duration = Duration::from_secs(4);
/// Bodies shorter than this are not worth compressing.
const SMALL: usize = 1_024;

/// The way to one service.
pub(crate) struct HttpClient {
    place: Place,
    headers: HeaderMap,
    gzip: bool,
    tls: Arc<ClientConfig>,
    timeout: Duration,
    kept: Option<(SendRequest<Full<Bytes>>, Instant)>,
}

/// What is asked of a service.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Path and query, after those of the service's place.
    pub(crate) path: &'a str,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

/// What a service answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("no answer in time")]
    TimedOut,
    #[error("cannot connect: {0}")]
    Connect(#[source] std::io::Error),
    #[error("the exchange broke: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the request cannot be made: {0}")]
    Request(#[source] http::Error),
}

impl HttpClient {
    pub(crate) fn new(config: &HttpConfig, tls: Arc<ClientConfig>, timeout: Duration) -> Self {
        let place = config.place.clone();
        let mut headers = HeaderMap::new();
        let agent = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Ok(host) = HeaderValue::from_str(&place.authority()) {
            headers.insert(HOST, host);
        }
        if let Some(basic) = &place.basic {
            insert(&mut headers, AUTHORIZATION, basic);
        }
        for (name, value) in &config.headers {
            if let Ok(name) = HeaderName::try_from(name) {
                insert(&mut headers, name, value);
            }
        }
        Self { place, headers, gzip: config.gzip, tls, timeout, kept: None }
    }

    /// Asks, and waits for the whole answer.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> Result<Answer, NoAnswer> {
        let request = self.request(ask)?;
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(NoAnswer::TimedOut),
        }
    }

    fn request(&self, ask: Ask<'_>) -> Result<Request<Full<Bytes>>, NoAnswer> {
        let Ask { method, path, content_type, body } = ask;
        let packed = (self.gzip && body.len() >= SMALL).then(|| gzip(&body)).flatten();
        let is_packed = packed.is_some();
        let body = packed.unwrap_or(body);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.place.path))
            .body(Full::new(Bytes::from(body)))
            .map_err(NoAnswer::Request)?;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if is_packed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(request)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
        let kept = self.kept.take().filter(|(sender, since)| {
            since.elapsed() < IDLE && sender.is_ready() && !sender.is_closed()
        });
        let mut sender = match kept {
            Some((sender, _)) => sender,
            None => self.connect().await?,
        };
        let answered = sender.send_request(request).await;
        let (head, body) = answered.map_err(|error| NoAnswer::Broken(error.into()))?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(NoAnswer::Broken)?;
        self.kept = Some((sender, Instant::now()));
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
        let stream = connect(&self.place, &self.tls).await.map_err(NoAnswer::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| NoAnswer::Broken(error.into()))?;
        // It lives as long as its sender, on the runtime of this sink's own thread.
        tokio::runtime::Handle::current().spawn(connection);
        Ok(sender)
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &Secret) {
    if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).ok()
}

impl Answer {
    /// How long the service asks to wait (RFC 9110 §10.2.3, in seconds).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// What became of a batch that was answered with a status other than success. What is refused
    /// for its size or its contents is divided; what an operator can mend (credentials, a missing
    /// index) waits as well as what passes by itself.
    pub(crate) fn failed(&self) -> Delivery {
        let status = self.status;
        match status.as_u16() {
            400 | 413 | 415 | 422 => {
                Delivery::Divide { why: format!("it answers {}", status.as_u16()) }
            }
            code => {
                Delivery::Later { why: format!("it answers {code}"), after: self.retry_after() }
            }
        }
    }
}

impl From<NoAnswer> for Delivery {
    fn from(error: NoAnswer) -> Self {
        Self::later(error.to_string())
    }
}
