//! A client that writes any bytes it likes: for requests that no HTTP library would send.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// A bare connection.
#[derive(Debug)]
pub struct Raw {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// What came back: as much of an answer as there was.
#[derive(Clone, Debug, Default)]
pub struct RawAnswer {
    /// Status; 0 where no status line came.
    pub status: u16,
    /// Head as text, names as sent.
    pub head: String,
    /// Body, as far as it came, without transfer coding.
    pub body: Vec<u8>,
    /// Whether the connection ended (in good order or not) before a whole answer was there. With
    /// status 0 and not closed, nothing came in time.
    pub closed: bool,
}

impl RawAnswer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `error.code` of a JSON body; empty where there is none.
    pub fn error_code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Raw {
    /// Connects to `address` (`127.0.0.1:8080`).
    pub async fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.expect("no connection");
        socket.set_nodelay(true).unwrap();
        Self { socket, unread: Vec::new() }
    }

    /// Connects to `address`, and takes little before it is read: a peer whose sockets do not hide
    /// that it is slow.
    pub async fn connect_narrow(address: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let socket = socket.connect(address.parse().unwrap()).await.expect("no connection");
        Self { socket, unread: Vec::new() }
    }

    /// Writes bytes; `false` where the peer no longer takes them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) -> bool {
        self.socket.shutdown().await.is_ok()
    }

    /// Writes bytes and reads the answer meanwhile, as a peer that may answer before it has read
    /// everything requires.
    pub async fn exchange(&mut self, bytes: &[u8], within: Duration) -> RawAnswer {
        let (mut read, mut write) = self.socket.split();
        let unread = &mut self.unread;
        let reading =
            async { timeout(within, read_answer(&mut read, unread)).await.unwrap_or_default() };
        let writing = async {
            // A refusal may close the connection before all is written.
            let _written = write.write_all(bytes).await;
            std::future::pending::<RawAnswer>().await
        };
        tokio::select! { answer = reading => answer, answer = writing => answer }
    }

    /// Reads one answer.
    pub async fn answer(&mut self, within: Duration) -> RawAnswer {
        self.exchange(b"", within).await
    }

    /// Reads until `mark` has come; `false` where the connection ends before, or time runs out.
    pub async fn read_until(&mut self, mark: &[u8], within: Duration) -> bool {
        let reading = async {
            while !self.unread.windows(mark.len()).any(|window| window == mark) {
                match self.socket.read_buf(&mut self.unread).await {
                    Ok(0) | Err(_) => return false,
                    Ok(_) => {}
                }
            }
            true
        };
        timeout(within, reading).await.unwrap_or_default()
    }

    /// Waits until the peer closes, dropping what it sends; `false` where it does not within.
    pub async fn closed(&mut self, within: Duration) -> bool {
        let mut buffer = vec![0; 16 * 1024];
        timeout(within, async {
            while let Ok(n) = self.socket.read(&mut buffer).await {
                if n == 0 {
                    break;
                }
            }
        })
        .await
        .is_ok()
    }

    /// Closes with a reset instead of in good order.
    pub fn reset(self) {
        // Where the option cannot be set, the plain close that follows has to do.
        let _set = self.socket.set_zero_linger();
    }
}

async fn read_answer(socket: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> RawAnswer {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if let Some(answer) = parse(unread) {
            return answer;
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return unfinished(unread),
            Ok(n) => unread.extend_from_slice(&buffer[..n]),
        }
    }
}

fn unfinished(unread: &[u8]) -> RawAnswer {
    let mut answer = RawAnswer { closed: true, ..RawAnswer::default() };
    if let Some((status, head, at)) = head(unread) {
        answer.status = status;
        answer.head = head;
        answer.body = unread[at..].to_vec();
    }
    answer
}

fn head(bytes: &[u8]) -> Option<(u16, String, usize)> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    Some((status, head, at))
}

/// Takes one whole answer off the front of `bytes`.
fn parse(bytes: &mut Vec<u8>) -> Option<RawAnswer> {
    let (status, head, at) = head(bytes)?;
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (each, value) = line.split_once(':')?;
            each.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    if field("transfer-encoding").is_some() {
        let (body, end) = dechunk(bytes, at)?;
        bytes.drain(..end);
        return Some(RawAnswer { status, head, body, closed: false });
    }
    let length: usize = field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let body = bytes.get(at..at + length)?.to_vec();
    bytes.drain(..at + length);
    Some(RawAnswer { status, head, body, closed: false })
}

fn dechunk(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    loop {
        let line = bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        bytes.get(at + size..at + size + 2)?;
        at += size + 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}
