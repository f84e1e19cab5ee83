//! The closed loop: prepared bytes over bare keep-alive connections, with as little reading of the
//! answers as tells their end. It must cost so little that the proxy is what limits.
#![expect(
    clippy::disallowed_methods,
    reason = "a measuring tool reads the clock, sleeps precisely and spawns its own tasks"
)]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One keep-alive connection.
pub(super) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(32 * 1024) })
    }

    /// Sends a request and reads its answer to the end; gives the status.
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<u16> {
        self.socket.write_all(request).await?;
        self.buffer.clear();
        let (end, length) = self.head().await?;
        let status = self.status();
        match length {
            Some(length) => {
                while self.buffer.len() < end + length {
                    self.read().await?;
                }
            }
            None => {
                while !self.buffer.get(end..).is_some_and(|body| body.ends_with(b"0\r\n\r\n")) {
                    self.read().await?;
                }
            }
        }
        Ok(status)
    }

    /// The same; an error where the status is not 200.
    pub(super) async fn good_call(&mut self, request: &[u8]) -> Result<()> {
        let status = self.call(request).await?;
        if status != 200 {
            bail!("not answered with 200: {}", String::from_utf8_lossy(&self.buffer));
        }
        Ok(())
    }

    /// Whether the last answer has this line in its head, in lower case.
    pub(super) fn says(&self, line: &str) -> bool {
        memchr::memmem::find(&self.buffer, line.as_bytes()).is_some()
    }

    /// The status of the last answer; 0 where it has none.
    fn status(&self) -> u16 {
        let digits = self.buffer.get("HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3));
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Reads to the end of the head: where it ends, and the length of the body where it is stated.
    async fn head(&mut self) -> Result<(usize, Option<usize>)> {
        loop {
            self.read().await?;
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.get(..at + 4).unwrap_or_default();
                return Ok((at + 4, content_length(head)));
            }
        }
    }

    async fn read(&mut self) -> Result<()> {
        loop {
            self.socket.readable().await?;
            match self.socket.try_read_buf(&mut self.buffer) {
                Ok(0) => bail!("closed after: {}", String::from_utf8_lossy(&self.buffer)),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The `content-length` of a head.
pub(super) fn content_length(head: &[u8]) -> Option<usize> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked("content-length:".len())?;
        if !name.eq_ignore_ascii_case(b"content-length:") {
            return None;
        }
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    })
}

/// A closed loop: so many connections, each with one call under way at any time.
pub(super) struct Burst {
    pub(super) address: SocketAddr,
    pub(super) request: Vec<u8>,
    pub(super) connections: usize,
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
}

/// What a burst did in the time that was measured.
pub(super) struct BurstResult {
    calls: u32,
    time: Duration,
    cpu: Duration,
}

impl BurstResult {
    pub(super) fn per_second(&self) -> f64 {
        f64::from(self.calls) / self.time.as_secs_f64()
    }

    pub(super) fn cpu_us_per_call(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.calls.max(1))
    }

    /// How many cores the proxy used.
    pub(super) fn cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.time.as_secs_f64()
    }
}

impl Burst {
    /// Runs it; `cpu` reads the CPU time that the proxy has used so far.
    pub(super) async fn run(self, cpu: impl Fn() -> Result<Duration>) -> Result<BurstResult> {
        let calls = Rc::new(Cell::new(0_u32));
        let stop = Rc::new(Cell::new(false));
        let request = Rc::new(self.request);
        let mut tasks = JoinSet::new();
        for _connection in 0..self.connections {
            let mut connection = Connection::open(self.address).await?;
            let (calls, stop) = (Rc::clone(&calls), Rc::clone(&stop));
            let request = Rc::clone(&request);
            tasks.spawn_local(async move {
                while !stop.get() {
                    connection.good_call(&request).await?;
                    calls.set(calls.get() + 1);
                }
                anyhow::Ok(())
            });
        }
        tokio::time::sleep(self.warm_up).await;
        let (calls_before, cpu_before, started) = (calls.get(), cpu()?, Instant::now());
        tokio::time::sleep(self.measured).await;
        let result = BurstResult {
            calls: calls.get() - calls_before,
            cpu: cpu()?.saturating_sub(cpu_before),
            time: started.elapsed(),
        };
        stop.set(true);
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(result)
    }
}

/// Opens so many streams, waits for the head and the first event of each, and keeps reading them
/// until the set is dropped.
pub(super) async fn hold(
    address: SocketAddr,
    request: Vec<u8>,
    streams: usize,
) -> Result<JoinSet<()>> {
    let request = Rc::new(request);
    let mut opening = JoinSet::new();
    for at in 0..streams {
        let request = Rc::clone(&request);
        opening.spawn_local(async move {
            let mut connection = Connection::open(address).await?;
            connection.buffer.shrink_to(0);
            connection.socket.write_all(&request).await?;
            let (end, _) = connection.head().await?;
            if connection.status() != 200 {
                bail!("no stream: {}", String::from_utf8_lossy(&connection.buffer));
            }
            while connection.buffer.len() <= end {
                connection.read().await?;
            }
            anyhow::Ok(connection)
        });
        if at % 50 == 49 {
            // Spares the listener's queue.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let mut held = JoinSet::new();
    while let Some(opened) = opening.join_next().await {
        let mut connection = opened?.context("opening a stream")?;
        held.spawn_local(async move {
            while connection.read().await.is_ok() {
                connection.buffer.clear();
            }
        });
    }
    Ok(held)
}
