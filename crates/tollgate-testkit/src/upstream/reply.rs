//! What the scripted provider answers: a head, then pieces that send, wait, or break the connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Sends these bytes as one chunk, in one write.
    Send(Bytes),
    /// Does nothing for a while.
    Wait(Duration),
    /// Does nothing until the test opens the gate.
    Gate(Gate),
    /// Ends the connection with a reset: the peer's reads fail.
    Reset,
    /// Ends the connection in good order, though the body is not finished.
    Close,
    /// Never says anything again, and keeps the connection open.
    Hang,
}

/// A door that a test opens, once, for everybody who waits at it or comes later.
#[derive(Clone, Debug)]
pub struct Gate(Arc<(Semaphore, Notify)>);

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new((Semaphore::new(0), Notify::new())))
    }

    /// Opens it for good.
    pub fn open(&self) {
        self.0.0.close();
    }

    /// Waits until somebody stands at the gate.
    pub async fn reached(&self) {
        self.0.1.notified().await;
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        self.0.1.notify_one();
        // The semaphore never has permits: an error means that the gate has been opened.
        drop(self.0.0.acquire().await);
    }
}

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// `transfer-encoding: chunked`, each piece one chunk.
    #[default]
    Chunked,
    /// `content-length` of so many bytes, whatever the pieces hold.
    Length(usize),
    /// Pieces are the whole of what is written, head included.
    Raw,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) framing: Framing,
    pub(crate) before_head: Vec<Piece>,
    pub(crate) pieces: Vec<Piece>,
}

impl Reply {
    /// An answer of that status without a body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            framing: Framing::Length(0),
            before_head: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// A JSON answer, whole.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::status(status)
            .header("content-type", "application/json")
            .whole(serde_json::to_vec(body).unwrap())
    }

    /// An event stream: each item is sent as one chunk as it stands.
    pub fn events<I, B>(chunks: I) -> Self
    where
        I: IntoIterator<Item = B>,
        B: Into<Bytes>,
    {
        Self::status(200)
            .header("content-type", "text/event-stream; charset=utf-8")
            .pieces(chunks.into_iter().map(|chunk| Piece::Send(chunk.into())))
    }

    /// Bytes that are written as they are, with no HTTP around them; the connection ends after.
    pub fn garbage(bytes: impl Into<Bytes>) -> Self {
        let mut reply = Self::status(200);
        reply.framing = Framing::Raw;
        reply.pieces = vec![Piece::Send(bytes.into()), Piece::Close];
        reply
    }

    /// Nothing is ever answered.
    pub fn never() -> Self {
        let mut reply = Self::status(200);
        reply.before_head = vec![Piece::Hang];
        reply
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a body that is sent in one piece under a `content-length`.
    #[must_use]
    pub fn whole(mut self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.framing = Framing::Length(body.len());
        self.pieces = vec![Piece::Send(body)];
        self
    }

    /// Sets a body that is sent chunked, piece by piece.
    #[must_use]
    pub fn pieces(mut self, pieces: impl IntoIterator<Item = Piece>) -> Self {
        self.framing = Framing::Chunked;
        self.pieces = pieces.into_iter().collect();
        self
    }

    /// States a `content-length` of `length`, though the pieces may hold less or more.
    #[must_use]
    pub fn stated_length(mut self, length: usize) -> Self {
        self.framing = Framing::Length(length);
        self
    }

    /// Does `piece` before the head is sent.
    #[must_use]
    pub fn first(mut self, piece: Piece) -> Self {
        self.before_head.push(piece);
        self
    }

    /// Does `piece` after the first `sends` pieces that send.
    #[must_use]
    pub fn after(mut self, sends: usize, piece: Piece) -> Self {
        let mut seen = 0;
        let at = self.pieces.iter().position(|each| {
            let here = seen == sends;
            seen += usize::from(matches!(each, Piece::Send(_)));
            here
        });
        self.pieces.insert(at.unwrap_or(self.pieces.len()), piece);
        self
    }

    /// Waits `pause` before each piece that sends, except the first.
    #[must_use]
    pub fn paced(mut self, pause: Duration) -> Self {
        let mut paced = Vec::with_capacity(self.pieces.len() * 2);
        for (at, piece) in self.pieces.drain(..).enumerate() {
            if at > 0 && matches!(piece, Piece::Send(_)) {
                paced.push(Piece::Wait(pause));
            }
            paced.push(piece);
        }
        self.pieces = paced;
        self
    }

    /// Drops the part of the script that follows the first `sends` pieces that send, and ends so.
    #[must_use]
    pub fn cut(mut self, sends: usize, how: Piece) -> Self {
        let mut seen = 0;
        self.pieces.retain(|piece| {
            seen += usize::from(matches!(piece, Piece::Send(_)));
            seen <= sends
        });
        self.pieces.push(how);
        self
    }
}
