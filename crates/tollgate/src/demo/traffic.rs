//! A trickle of calls through the front door, as applications would make them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use tollgate_proxy::upstream::{Origin, Pool, PoolConfig};

use crate::serve::Started;

/// The pause between two calls.
const PAUSE: Duration = Duration::from_millis(400);
/// Largest answer that is read.
const MAX_ANSWER: usize = 1 << 20;

/// Who calls with what: key, end user, feature, body.
const CALLS: [(&str, Option<&str>, &str, &str); 6] = [
    ("tg_demo_alice", None, "", CHAT),
    ("tg_demo_backend", Some("minji"), "diary_analysis", CHAT_STREAM),
    ("tg_demo_backend", Some("jisoo"), "translation", CHAT_LARGE),
    ("tg_demo_bob", None, "", EMBEDDING),
    ("tg_demo_backend", Some("minji"), "summary", RESPONSE),
    ("tg_demo_backend", Some("harin"), "diary_analysis", CHAT_STREAM),
];
const CHAT: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Name three rivers of Europe."}]}"#;
const CHAT_STREAM: &str = r#"{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"오늘 일기를 두 문장으로 정리해 주세요: 비가 왔고, 친구를 만났다."}]}"#;
const CHAT_LARGE: &str = r#"{"model":"sim-large","messages":[{"role":"user","content":"Translate into Korean: the toll is paid before the gate opens."}]}"#;
const EMBEDDING: &str = r#"{"model":"text-embedding-3-small","input":"a diary of one rainy day"}"#;
const RESPONSE: &str =
    r#"{"model":"gpt-4.1-mini","input":"Summarise: the meeting moved to Tuesday."}"#;

/// Starts the trickle on the runtime of the server; it ends with it.
pub(super) fn start(started: &Started, listen: SocketAddr) {
    let origin = Origin { tls: false, host: listen.ip().to_string().into(), port: listen.port() };
    let config = PoolConfig {
        max_idle: 4,
        idle_for: Duration::from_secs(20),
        connect: Duration::from_secs(1),
        first_byte: Some(Duration::from_secs(30)),
    };
    let ground = &started.ground;
    let pool = Pool::new(
        origin,
        ground.connector.clone(),
        config,
        ground.clock.clone(),
        ground.tasks.clone(),
    );
    ground.tasks.spawn(async move {
        for turn in CALLS.iter().cycle() {
            tokio::time::sleep(PAUSE).await;
            // A call that fails is part of the picture: the simulated provider fails now and then.
            drop(call(&pool, listen, turn).await);
        }
    });
}

async fn call(
    pool: &Arc<Pool>,
    listen: SocketAddr,
    (key, user, feature, body): &(&str, Option<&'static str>, &'static str, &'static str),
) -> anyhow::Result<()> {
    let path = if body.contains("\"messages\"") {
        "/v1/chat/completions"
    } else if body.contains("embedding") {
        "/v1/embeddings"
    } else {
        "/v1/responses"
    };
    let mut request = Request::new(Full::new(Bytes::from_static(body.as_bytes())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() =
        Uri::builder().scheme("http").authority(listen.to_string()).path_and_query(path).build()?;
    let headers = request.headers_mut();
    headers.insert(http::header::HOST, HeaderValue::from_str(&listen.to_string())?);
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}"))?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(user) = user {
        headers.insert("x-tollgate-user", HeaderValue::from_static(user));
        headers.insert("x-tollgate-feature", HeaderValue::from_static(feature));
    }
    let mut response = pool.send(request).await?;
    response.body_mut().collect(MAX_ANSWER).await?;
    Ok(())
}
