//! Sees a request that states its length twice, by `content-length` and by `transfer-encoding`.
//!
//! Such a request means two things to two readers, which is how one client's bytes are made to look
//! like another's request (request smuggling, RFC 9112 §6.3). The HTTP library follows the RFC and
//! drops one of the two before anybody can see it, so the head is looked at as it is read: line
//! starts only, a few dozen nanoseconds each, and nothing is kept but the beginning of a line.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest name that is of interest.
const LONGEST: usize = TRANSFER_ENCODING.len();
const CONTENT_LENGTH: &[u8] = b"content-length:";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding:";

/// What the connection and its requests tell each other.
#[derive(Debug)]
pub struct HeadWatch {
    /// Whether the next bytes are a head.
    awaiting: AtomicBool,
    /// Whether the last head stated its length twice.
    ambiguous: AtomicBool,
}

impl Default for HeadWatch {
    fn default() -> Self {
        Self { awaiting: AtomicBool::new(true), ambiguous: AtomicBool::new(false) }
    }
}

impl HeadWatch {
    /// Whether the last head stated its length twice.
    pub fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Acquire)
    }

    /// The body of the request has been read: what comes next is a head.
    pub fn expect_head(&self) {
        self.awaiting.store(true, Ordering::Release);
    }
}

/// A connection whose request heads are watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    watch: Arc<HeadWatch>,
    scan: Scan,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Arc<HeadWatch>) -> Self {
        Self { stream, watch, scan: Scan::default() }
    }
}

/// How far a head has been looked at.
#[derive(Debug, Default)]
struct Scan {
    /// The beginning of the line that is not finished yet.
    line: [u8; LONGEST],
    len: usize,
    has_length: bool,
    has_encoding: bool,
}

impl Scan {
    /// Looks at the next bytes; says whether the head is over, and then whether it is ambiguous.
    fn push(&mut self, mut bytes: &[u8]) -> Option<bool> {
        while !bytes.is_empty() {
            let Some((end, rest)) =
                memchr(b'\n', bytes).and_then(|at| Some((bytes.get(..at)?, bytes.get(at + 1..)?)))
            else {
                self.keep(bytes);
                return None;
            };
            self.keep(end);
            if self.line_ended() {
                let ambiguous = self.has_length && self.has_encoding;
                *self = Self::default();
                return Some(ambiguous);
            }
            bytes = rest;
        }
        None
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(free) = self.line.get_mut(self.len..) {
            let taken = free.len().min(bytes.len());
            for (to, from) in free.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.len += taken;
        }
    }

    /// Judges a finished line; says whether it was the empty one that ends the head.
    fn line_ended(&mut self) -> bool {
        let line = self.line.get(..self.len).unwrap_or_default();
        let starts =
            |name: &[u8]| line.get(..name.len()).is_some_and(|l| l.eq_ignore_ascii_case(name));
        self.has_length |= starts(CONTENT_LENGTH);
        self.has_encoding |= starts(TRANSFER_ENCODING);
        let empty = line.is_empty() || line == b"\r";
        self.len = 0;
        empty
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_ready() && this.watch.awaiting.load(Ordering::Acquire) {
            let new = buffer.filled().get(before..).unwrap_or_default();
            if let Some(ambiguous) = this.scan.push(new) {
                this.watch.awaiting.store(false, Ordering::Release);
                this.watch.ambiguous.store(ambiguous, Ordering::Release);
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_with_two_lengths_is_seen_wherever_it_is_split() {
        let both = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-ENCODING: chunked\r\n\r\nbody";
        let one =
            "POST / HTTP/1.1\r\nHost: x\r\nX-Content-Length: 4\r\ntransfer-encoding: chunked\n\n";
        let text = "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\ntransfer-encoding: chunked\r\n";
        for (head, ambiguous) in [(both, true), (one, false), (text, false)] {
            for split in 0..head.len() {
                let mut scan = Scan::default();
                let (first, second) = head.split_at(split);
                let seen = scan.push(first.as_bytes()).or_else(|| scan.push(second.as_bytes()));
                assert_eq!(seen, Some(ambiguous), "{head:?} at {split}");
            }
        }
    }
}
