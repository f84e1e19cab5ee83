//! A provider on 127.0.0.1 that answers as a test scripts it, and keeps a tally of what it was sent.
//!
//! It speaks HTTP/1.1 over bare sockets, because a test must be able to stall, cut, reset and lie at
//! any byte, which an HTTP library rightly prevents. It must not judge: tests do, from the tally.

mod reply;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use reply::{Framing, Gate, Piece, Reply};

use crate::wait::eventually;

/// A request as the provider saw it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Order of arrival, from zero.
    pub seq: usize,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, without transfer coding.
    pub body: Bytes,
    /// How far the answer came.
    pub answer: Answered,
}

/// How far an answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Still being sent, or never sent.
    Running,
    /// Every byte of the script was written.
    Whole,
    /// The peer went away before.
    Abandoned {
        /// Pieces that had been sent by then.
        sent: usize,
    },
}

impl Received {
    /// Value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| each == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

type Handler = dyn Fn(&Received) -> Reply + Send + Sync;

struct Shared {
    handler: Mutex<Arc<Handler>>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
}

/// A running scripted provider. It stops when dropped.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Starts on a free port; `handler` makes the answer to each request.
    pub async fn start(handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            handler: Mutex::new(Arc::new(handler)),
            received: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let task = tokio::spawn(serve::accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Starts one that gives the same answer to everything, until [`Upstream::answer`] changes it.
    pub async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    /// From now on gives `reply` to everything.
    pub fn answer(&self, reply: Reply) {
        self.answer_with(move |_| reply.clone());
    }

    /// From now on answers as `handler` says.
    pub fn answer_with(&self, handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
        *self.shared.handler.lock().unwrap() = Arc::new(handler);
    }

    /// The address followed by `path`, such as `http://127.0.0.1:4000/v1`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.shared.received.lock().unwrap().len()
    }

    /// The latest request; panics where there was none.
    pub fn last(&self) -> Received {
        self.shared.received.lock().unwrap().last().cloned().expect("nothing was received")
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.received.lock().unwrap().clear();
    }

    /// How many connections were ever accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Waits until the request number `seq` has been answered, or abandoned.
    pub async fn answered(&self, seq: usize, within: Duration) -> Answered {
        eventually("the provider finishes its answer", within, || async {
            match self.shared.received.lock().unwrap().get(seq).map(|each| each.answer) {
                None => Err("no such request yet".to_owned()),
                Some(Answered::Running) => Err("still running".to_owned()),
                Some(answer) => Ok(answer),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Http;
    use crate::raw::Raw;
    use serde_json::json;

    #[tokio::test]
    async fn a_gate_holds_the_second_chunk_until_the_test_opens_it() {
        let gate = Gate::new();
        let reply =
            Reply::events(["data: 1\n\n", "data: 2\n\n"]).after(1, Piece::Gate(gate.clone()));
        let upstream = Upstream::always(reply).await;
        let client = Http::without_key(&upstream.url(""));
        let mut stream = client.stream("/v1/chat/completions", &json!({"n": 1})).await;
        assert_eq!(stream.next().await.unwrap().unwrap(), "data: 1\n\n");
        assert_eq!(upstream.last().answer, Answered::Running);
        gate.open();
        assert_eq!(stream.rest().await, "data: 2\n\n");
        assert_eq!(upstream.answered(0, Duration::from_secs(5)).await, Answered::Whole);
        assert_eq!(upstream.last().json(), json!({"n": 1}));
    }

    #[tokio::test]
    async fn a_cut_answer_breaks_at_the_client_and_a_gone_client_is_noticed() {
        for how in [Piece::Reset, Piece::Close] {
            let upstream = Upstream::always(Reply::events(["a", "b", "c"]).cut(2, how)).await;
            let client = Http::without_key(&upstream.url(""));
            let broken = client.send(http::Method::POST, "/", Bytes::new()).await.unwrap_err();
            assert!(broken.head.is_none() || broken.partial.len() <= 2, "{broken:?}");
        }
        let reply = Reply::events(["a", "b"]).after(1, Piece::Hang);
        let upstream = Upstream::always(reply).await;
        let mut raw = Raw::connect(&upstream.address.to_string()).await;
        assert!(raw.send("GET / HTTP/1.1\r\n\r\n").await);
        let seen = eventually("a request", Duration::from_secs(5), || async {
            if upstream.count() == 1 { Ok(()) } else { Err("none".to_owned()) }
        });
        seen.await;
        drop(raw);
        let answer = upstream.answered(0, Duration::from_secs(5)).await;
        assert!(matches!(answer, Answered::Abandoned { .. }), "{answer:?}");
    }
}
