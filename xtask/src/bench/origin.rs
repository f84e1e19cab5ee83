//! The provider behind the proxies: a thread of its own that writes prepared bytes, so that it is
//! never what is measured.
//!
//! The prompt holds `mode=…`: `fast` answers 1 KB of JSON at once, `delay` after 20 ms, `stream` sends
//! 54 events as fast as they are taken, `paced` 54 events 5 ms apart, `slow` one event a second.
#![expect(
    clippy::disallowed_methods,
    reason = "a measuring tool reads the clock, sleeps precisely and spawns its own tasks"
)]

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const DELAY: Duration = Duration::from_millis(20);
const EVENTS: usize = 54;

/// How a provider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers as it is asked to.
    Good,
    /// It answers 500.
    Error,
    /// It closes the connection instead of answering.
    Cut,
    /// It takes requests and says nothing.
    Stall,
}

/// A provider that runs until the process ends.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    health: Arc<AtomicU8>,
}

impl Origin {
    /// From now on every request fares so; those under way end as they began.
    pub(super) fn turns(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }
}

/// Starts a provider on this process's cores.
pub(super) fn start() -> Result<Origin> {
    start_on("none")
}

/// Starts a provider on that core; `none` pins nothing.
pub(super) fn start_on(core: &str) -> Result<Origin> {
    let core = core.to_owned();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let health = Arc::new(AtomicU8::new(Health::Good as u8));
    let seen = Arc::clone(&health);
    thread::Builder::new().name("provider".to_owned()).spawn(move || {
        // Without the right to pin it runs where it may.
        let _pinned = pin_this_thread(&core);
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, accept(listener, seen))
    })?;
    Ok(Origin { address, health })
}

/// Puts this thread, and those that it starts, on a core.
fn pin_this_thread(core: &str) -> io::Result<()> {
    if core == "none" {
        return Ok(());
    }
    let thread = std::fs::read_link("/proc/thread-self")?;
    let id = thread.file_name().unwrap_or_default();
    let mut taskset = Command::new("taskset");
    taskset.args(["-pc", core]).arg(id).stdout(Stdio::null()).status().map(drop)
}

async fn accept(listener: std::net::TcpListener, health: Arc<AtomicU8>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let answers = Rc::new(Answers::new(health));
    loop {
        let (socket, _) = listener.accept().await?;
        let answers = Rc::clone(&answers);
        tokio::task::spawn_local(async move {
            // A proxy that closes its connection ends the task; nobody else is concerned.
            let _ended = answers.connection(socket).await;
        });
    }
}

/// Wakes tasks a fixed time after they ask. The runtime's own timers count whole milliseconds, too
/// coarse where tens of microseconds are to be seen.
struct Delays(mpsc::Sender<(Instant, oneshot::Sender<()>)>);

impl Delays {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel::<(Instant, oneshot::Sender<()>)>();
        thread::spawn(move || {
            while let Ok((due, wake)) = receiver.recv() {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // A task that has ended in the meantime needs no waking.
                let _woken = wake.send(());
            }
        });
        Self(sender)
    }

    async fn wait(&self) {
        let (wake, woken) = oneshot::channel();
        if self.0.send((Instant::now() + DELAY, wake)).is_ok() {
            // An error means that the thread is gone: then there is no delay.
            let _woken = woken.await;
        }
    }
}

struct Answers {
    json: Vec<u8>,
    head: &'static [u8],
    events: Vec<Vec<u8>>,
    delays: Delays,
    health: Arc<AtomicU8>,
}

/// What a provider says that fails.
const ERROR: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\n\
    content-length: 68\r\n\r\n{\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}";

/// Where OTLP is sent to, and what is said to it.
const TELEMETRY: &[u8] = b"POST /otlp/";
const TAKEN: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

impl Answers {
    fn new(health: Arc<AtomicU8>) -> Self {
        let words =
            "A reverse proxy stands in front of servers and passes requests on. ".repeat(10);
        let body = format!(
            "{{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1764000000,\
             \"model\":\"bench-1\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\
             \"content\":\"{words}\",\"refusal\":null}},\"logprobs\":null,\"finish_reason\":\"stop\"}}],\
             \"usage\":{{\"prompt_tokens\":43,\"completion_tokens\":130,\"total_tokens\":173,\
             \"prompt_tokens_details\":{{\"cached_tokens\":0}},\
             \"completion_tokens_details\":{{\"reasoning_tokens\":0}}}}}}"
        );
        let json = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Self {
            json: json.into_bytes(),
            head: b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                    cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n",
            events: events(),
            delays: Delays::new(),
            health,
        }
    }

    fn health(&self) -> Health {
        let now = self.health.load(Ordering::Relaxed);
        let all = [Health::Good, Health::Error, Health::Cut, Health::Stall];
        all.into_iter().find(|health| *health as u8 == now).unwrap_or(Health::Good)
    }

    async fn connection(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(8 * 1024);
        while read_request(&socket, &mut buffer).await? {
            match self.health() {
                Health::Good => {}
                Health::Cut => return Ok(()),
                Health::Stall => std::future::pending().await,
                Health::Error => {
                    socket.write_all(ERROR).await?;
                    buffer.clear();
                    continue;
                }
            }
            if buffer.starts_with(TELEMETRY) {
                socket.write_all(TAKEN).await?;
                buffer.clear();
                continue;
            }
            let mode = mode(&buffer);
            match mode {
                Mode::Fast => socket.write_all(&self.json).await?,
                Mode::Delay => {
                    self.delays.wait().await;
                    socket.write_all(&self.json).await?;
                }
                Mode::Stream => self.stream(&mut socket, None).await?,
                Mode::Paced => {
                    self.stream(&mut socket, Some(Duration::from_millis(5))).await?;
                }
                Mode::Slow => self.slow(&mut socket).await?,
            }
            buffer.clear();
        }
        Ok(())
    }

    async fn stream(&self, socket: &mut TcpStream, pace: Option<Duration>) -> io::Result<()> {
        socket.write_all(self.head).await?;
        for event in &self.events {
            if let Some(pace) = pace {
                tokio::time::sleep(pace).await;
            }
            socket.write_all(event).await?;
        }
        socket.write_all(b"0\r\n\r\n").await
    }

    async fn slow(&self, socket: &mut TcpStream) -> io::Result<()> {
        socket.write_all(self.head).await?;
        loop {
            for event in self.events.iter().take(EVENTS - 3) {
                socket.write_all(event).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Fast,
    Delay,
    Stream,
    Paced,
    Slow,
}

fn mode(request: &[u8]) -> Mode {
    let at = memchr::memmem::find(request, b"mode=").map_or(request.len(), |at| at + 5);
    match request.get(at..).unwrap_or_default() {
        [b'd', ..] => Mode::Delay,
        [b'p', ..] => Mode::Paced,
        [b's', b't', ..] => Mode::Stream,
        [b's', b'l', ..] => Mode::Slow,
        _ => Mode::Fast,
    }
}

/// Reads one request whole; `false` where the peer has closed.
async fn read_request(socket: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        socket.readable().await?;
        match socket.try_read_buf(buffer) {
            Ok(0) => return Ok(false),
            Ok(_) if whole(buffer) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the bytes are a whole request, by `content-length` or by the last chunk.
fn whole(request: &[u8]) -> bool {
    let Some(end) = memchr::memmem::find(request, b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = request.split_at(end + 4);
    match super::load::content_length(head) {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"0\r\n\r\n"),
    }
}

/// 54 events, the last three being the end, the usage and `[DONE]`; each framed as one chunk.
fn events() -> Vec<Vec<u8>> {
    let chunk = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\
             \"created\":1764000000,\"model\":\"bench-1\",\"service_tier\":\"default\",\
             \"system_fingerprint\":\"fp_bench\",\"choices\":{choices},\"usage\":{usage},\
             \"obfuscation\":\"a1b2c3d4\"}}\n\n"
        )
    };
    let choice = |delta: &str, finish: &str| {
        format!("[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]")
    };
    let mut events =
        vec![chunk(&choice("{\"role\":\"assistant\",\"content\":\"\"}", "null"), "null")];
    while events.len() < EVENTS - 3 {
        events.push(chunk(&choice("{\"content\":\" word\"}", "null"), "null"));
    }
    events.push(chunk(&choice("{}", "\"stop\""), "null"));
    events.push(chunk(
        "[]",
        "{\"prompt_tokens\":43,\"completion_tokens\":50,\"total_tokens\":93,\
         \"prompt_tokens_details\":{\"cached_tokens\":0}}",
    ));
    events.push("data: [DONE]\n\n".to_owned());
    events
        .into_iter()
        .map(|event| format!("{:x}\r\n{event}\r\n", event.len()).into_bytes())
        .collect()
}
