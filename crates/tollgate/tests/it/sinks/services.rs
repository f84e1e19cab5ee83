//! Services that take log lines, as a test plays them: each keeps what it was sent, and goes away
//! and comes back as it is told.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::read::GzDecoder;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tollgate_testkit::upstream::{Received, Reply, Upstream};

/// An Elasticsearch: documents by id, each created once.
pub(super) struct Elastic {
    pub(super) upstream: Upstream,
    documents: Arc<Mutex<BTreeMap<String, Value>>>,
    down: Arc<AtomicBool>,
}

impl Elastic {
    pub(super) async fn start() -> Self {
        let documents = Arc::<Mutex<BTreeMap<String, Value>>>::default();
        let down = Arc::<AtomicBool>::default();
        let (store, gone) = (Arc::clone(&documents), Arc::clone(&down));
        let upstream = Upstream::start(move |request| {
            if gone.load(Ordering::Acquire) { Reply::status(503) } else { bulk(&store, request) }
        })
        .await;
        Self { upstream, documents, down }
    }

    pub(super) fn go_down(&self, down: bool) {
        self.down.store(down, Ordering::Release);
    }

    /// Request ids of its documents.
    pub(super) fn request_ids(&self) -> Vec<String> {
        request_ids(self.documents.lock().values())
    }

    /// A sink that leads here, with `lines` of its own.
    pub(super) fn sink(&self, lines: &str) -> String {
        format!(
            "[[logs.sinks]]\nkind = \"elasticsearch\"\nurl = \"{}\"\ngzip = false\n{QUICK}{lines}\n",
            self.upstream.url("")
        )
    }
}

/// Nothing waits long in a test.
pub(super) const QUICK: &str =
    "batch = { age = \"20ms\" }\nretry = { base = \"50ms\", max = \"200ms\" }\n";

fn bulk(store: &Mutex<BTreeMap<String, Value>>, request: &Received) -> Reply {
    let lines: Vec<Value> = json_lines(&request.body);
    let mut items = Vec::new();
    let mut store = store.lock();
    for pair in lines.chunks(2) {
        let [action, document] = pair else { panic!("an action without a document") };
        let id = action["create"]["_id"].as_str().unwrap().to_owned();
        let known = store.insert(id, document.clone()).is_some();
        items.push(json!({"create": {"status": if known { 409 } else { 201 }}}));
    }
    Reply::json(200, &json!({"errors": false, "items": items}))
}

pub(super) fn json_lines(text: &[u8]) -> Vec<Value> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// Request ids of lines, sorted; one that comes twice is there twice.
pub(super) fn request_ids<'a>(lines: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let id = |line: &Value| line["request_id"].as_str().unwrap().to_owned();
    let mut ids: Vec<String> = lines.into_iter().map(id).collect();
    ids.sort_unstable();
    ids
}

/// A Logstash: lines over TCP. It can go away, once everything that arrived was read, and come back
/// at the same address.
pub(super) struct Logstash {
    pub(super) address: String,
    lines: Arc<Mutex<Vec<u8>>>,
    task: Mutex<JoinHandle<()>>,
}

impl Drop for Logstash {
    fn drop(&mut self) {
        self.task.lock().abort();
    }
}

impl Logstash {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let lines = Arc::<Mutex<Vec<u8>>>::default();
        let task = Mutex::new(tokio::spawn(listen(listener, Arc::clone(&lines))));
        Self { address, lines, task }
    }

    /// Ends the process, as far as a peer can tell.
    pub(super) fn go_away(&self) {
        self.task.lock().abort();
    }

    pub(super) async fn come_back(&self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        *self.task.lock() = tokio::spawn(listen(listener, Arc::clone(&self.lines)));
    }

    pub(super) fn text(&self) -> Vec<u8> {
        self.lines.lock().clone()
    }
}

async fn listen(listener: TcpListener, lines: Arc<Mutex<Vec<u8>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            lines.lock().append(&mut line);
        }
    }
}

/// Everything that a service over HTTP was sent, one after the other, with compression undone.
pub(super) fn bodies(upstream: &Upstream) -> Vec<u8> {
    let mut all = Vec::new();
    for request in upstream.received() {
        if request.header("content-encoding") == Some("gzip") {
            GzDecoder::new(&*request.body).read_to_end(&mut all).unwrap();
        } else {
            all.extend_from_slice(&request.body);
        }
        all.push(b'\n');
    }
    all
}

/// The lines of all pushes to a Loki.
pub(super) fn pushed(requests: &[Received]) -> Vec<Value> {
    let mut lines = Vec::new();
    for request in requests {
        for stream in request.json()["streams"].as_array().unwrap() {
            let values = stream["values"].as_array().unwrap().iter();
            lines.extend(
                values.map(|value| serde_json::from_str(value[1].as_str().unwrap()).unwrap()),
            );
        }
    }
    lines
}

/// The items of all requests to a path of a collector: spans or log records.
pub(super) fn collected(requests: &[Received], path: &str, names: [&str; 3]) -> Vec<Value> {
    let [resources, scopes, items] = names;
    let mut all = Vec::new();
    for request in requests.iter().filter(|request| request.path == path) {
        let message = request.json();
        all.extend(message[resources][0][scopes][0][items].as_array().unwrap().clone());
    }
    all
}

/// Answers with 503 while it is away, else as it does; what it takes is kept.
pub(super) struct Away {
    pub(super) upstream: Upstream,
    down: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<Received>>>,
}

impl Away {
    pub(super) async fn start(status: u16) -> Self {
        let down = Arc::<AtomicBool>::default();
        let taken = Arc::<Mutex<Vec<Received>>>::default();
        let (gone, kept) = (Arc::clone(&down), Arc::clone(&taken));
        let upstream = Upstream::start(move |request| {
            if gone.load(Ordering::Acquire) {
                return Reply::status(503);
            }
            kept.lock().push(request.clone());
            Reply::status(status)
        })
        .await;
        Self { upstream, down, taken }
    }

    pub(super) fn go_down(&self, down: bool) {
        self.down.store(down, Ordering::Release);
    }

    pub(super) fn taken(&self) -> Vec<Received> {
        self.taken.lock().clone()
    }
}
