//! Connections to providers: made, kept, reused, and driven by the task that uses them.
//!
//! An HTTP/1.1 connection is polled by the very task that waits for its answer, not by one of its
//! own: a call then wakes one task instead of two. HTTP/2 connections are shared by many calls, so
//! they do have a task each. Nothing here knows a dialect, a key or a limit.

mod connect;
mod pool;
mod response;

pub use connect::{Connector, Origin};
pub use pool::{Pool, PoolConfig};
pub use response::{Bounds, Gathered, Response, ResponseBody};

use std::fmt;
use std::io;

use http::StatusCode;
use hyper::body::Bytes;

/// The body of a request to a provider: whole, since it was read whole.
pub type RequestBody = http_body_util::Full<Bytes>;

/// Where an exchange with a provider broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No connection was made: nothing was sent.
    Connect,
    /// The request was being sent or its answer awaited: it may have been worked on.
    Request,
    /// The answer had begun.
    Body,
}

/// An exchange with a provider that broke.
#[derive(Debug)]
pub struct Broken {
    /// Where.
    pub phase: Phase,
    /// Whether it took too long, rather than failing.
    pub timed_out: bool,
    /// Whether a reused connection turned out to be closed before a byte came back. The provider
    /// had most likely closed it while idle, so one more try on a new connection is safe.
    pub stale: bool,
    /// What had come of an answer that was not to be a stream.
    pub part: Option<Box<Part>>,
    /// What happened.
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// The part of an answer that had come when it broke off.
#[derive(Debug)]
pub struct Part {
    /// The status of the answer.
    pub status: StatusCode,
    /// What had come of its body.
    pub body: Bytes,
}

impl Broken {
    pub(crate) fn new(
        phase: Phase,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { phase, timed_out: false, stale: false, part: None, source: source.into() }
    }

    pub(crate) fn timed_out(phase: Phase, what: &'static str) -> Self {
        let source = io::Error::new(io::ErrorKind::TimedOut, what).into();
        Self { phase, timed_out: true, stale: false, part: None, source }
    }

    /// The same of an answer of which this had come.
    pub(crate) fn after(self, status: StatusCode, body: Bytes) -> Self {
        Self { part: Some(Box::new(Part { status, body })), ..self }
    }

    /// What had come of an answer that the provider most likely generated to its end: one that
    /// was a success.
    pub fn generated(&self) -> Option<&Bytes> {
        self.part.as_deref().filter(|part| part.status.is_success()).map(|part| &part.body)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.phase {
            Phase::Connect => "cannot connect",
            Phase::Request => "no answer",
            Phase::Body => "the answer broke off",
        };
        write!(f, "{what}: {}", self.source)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
