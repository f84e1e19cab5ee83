//! A well-behaved HTTP client: what an SDK would see, chunk by chunk.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// How long any single wait may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client with a key, for one base address.
#[derive(Clone, Debug)]
pub struct Http {
    base: String,
    headers: Vec<(String, String)>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// Why no whole answer came: the connection failed, or broke midway.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Status and headers, where they had come.
    pub head: Option<(u16, HeaderMap)>,
    /// What of the body had come.
    pub partial: Bytes,
    /// What happened.
    pub why: String,
}

impl Http {
    /// A client of `base` (`http://127.0.0.1:8080`) that sends `key` as its bearer token.
    pub fn new(base: &str, key: &str) -> Self {
        Self::without_key(base).with("authorization", &format!("Bearer {key}"))
    }

    /// A client that sends no credentials.
    pub fn without_key(base: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            base: base.to_owned(),
            headers: Vec::new(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// The same client with a further header on each request, in place of one of that name.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(each, _)| each != name);
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// GETs `path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Bytes::new()).await.expect("GET was not answered")
    }

    /// POSTs a JSON document and waits for the whole answer.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, serde_json::to_vec(body).unwrap()).await
    }

    /// POSTs bytes as `application/json` and waits for the whole answer.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::POST, path, body.into()).await.expect("POST was not answered")
    }

    /// Sends a request and waits for the whole answer, which may break off.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, Broken> {
        let mut stream = self.open(method, path, body).await?;
        let (status, headers) = (stream.status, stream.headers.clone());
        let mut whole = Vec::new();
        loop {
            match stream.next().await {
                Ok(Some(chunk)) => whole.extend_from_slice(&chunk),
                Ok(None) => {
                    return Ok(Answer { status, headers, body: whole.into() });
                }
                Err(why) => {
                    let head = Some((status, headers));
                    return Err(Broken { head, partial: whole.into(), why });
                }
            }
        }
    }

    /// POSTs a JSON document and returns once the head of the answer is there.
    pub async fn stream(&self, path: &str, body: &Value) -> Stream {
        let body = serde_json::to_vec(body).unwrap().into();
        self.open(Method::POST, path, body).await.expect("the stream was not opened")
    }

    /// Sends a request and returns once the head of the answer is there.
    pub async fn open(&self, method: Method, path: &str, body: Bytes) -> Result<Stream, Broken> {
        let mut request = Request::builder().method(&method).uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if method == Method::POST && !self.headers.iter().any(|(name, _)| name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(body)).unwrap();
        let broken = |why: String| Broken { head: None, partial: Bytes::new(), why };
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Err(_) => Err(broken(format!("no head of an answer within {PATIENCE:?}"))),
            Ok(Err(error)) => Err(broken(format!("{error:?}"))),
            Ok(Ok(answer)) => {
                let (head, body) = answer.into_parts();
                Ok(Stream { status: head.status.as_u16(), headers: head.headers, body })
            }
        }
    }
}

/// An answer that is still coming. Dropping it closes the connection.
#[derive(Debug)]
pub struct Stream {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Stream {
    /// The next chunk as it arrives, `None` at the end; an error where the connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match tokio::time::timeout(PATIENCE, self.body.frame()).await {
                Err(_) => return Err(format!("no chunk within {PATIENCE:?}")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(format!("{error:?}")),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_trailers) => {}
                },
            }
        }
    }

    /// Everything that is still to come; panics where it breaks off.
    pub async fn rest(&mut self) -> Bytes {
        let mut whole = Vec::new();
        while let Some(chunk) = self.next().await.expect("the stream broke") {
            whole.extend_from_slice(&chunk);
        }
        whole.into()
    }
}

impl Answer {
    /// The body as JSON; panics with the body where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The `code` of an error in the `OpenAI` dialect; panics where the body is not of that shape.
    pub fn error_code(&self) -> String {
        let body = self.json();
        let error = &body["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "not an error: {body}");
        error["code"].as_str().unwrap_or_else(|| panic!("no code in {body}")).to_owned()
    }
}
