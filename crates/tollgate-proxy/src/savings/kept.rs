//! An answer as it is kept: its bytes as the first client got them, and what they cost.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::fault::Code;
use tollgate_domain::money::NanoUsd;

use super::shelf::Weighed;
use crate::metrics::TargetMetrics;
use crate::stop::Stop;

/// What of the first answer's headers holds for the others as well. The rest is about one exchange.
const SHARED: [HeaderName; 4] = [
    CONTENT_TYPE,
    RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-tollgate-left-out"),
];
/// Rough bytes of a header, of the fixed part and of texts that are shared with nobody.
const HEADER_BYTES: usize = 128;
const FIXED_BYTES: usize = 256;

/// The head of an answer, as far as others get it too.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: Box<[(HeaderName, HeaderValue)]>,
}

impl Head {
    /// What others get of a head. Values are copied, because they stand in the buffer of a
    /// connection, which would be kept with them.
    pub(crate) fn of(status: u16, headers: &HeaderMap) -> Self {
        let shared = SHARED.into_iter().filter_map(|name| {
            let value = headers.get(&name)?.as_bytes();
            let value = match value {
                b"application/json" => HeaderValue::from_static("application/json"),
                b"text/event-stream" => HeaderValue::from_static("text/event-stream"),
                other => HeaderValue::from_bytes(other).ok()?,
            };
            Some((name, value))
        });
        Self { status, headers: shared.collect() }
    }
}

/// How the call ended that bought an answer.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// The outcome.
    pub(crate) outcome: Outcome,
    /// The class of its error.
    pub(crate) error_type: Option<Arc<str>>,
    /// What it would cost to buy it again.
    pub(crate) value: NanoUsd,
    /// The model that served.
    pub(crate) model: Arc<str>,
    /// The price that was used.
    pub(crate) price_version: Arc<str>,
}

impl Ending {
    /// How others get the promise of an answer that comes later, and is charged then.
    pub(crate) fn promised() -> Self {
        Self {
            outcome: Outcome::Success,
            error_type: None,
            value: NanoUsd::ZERO,
            model: Arc::default(),
            price_version: Arc::default(),
        }
    }

    /// How others get what this call got.
    pub(crate) fn of(record: &CallRecord, outcome: Outcome) -> Self {
        let cut = outcome != record.outcome;
        Self {
            outcome,
            // That its own client went away is nothing to the others.
            error_type: record.error_type.clone().filter(|_| !cut),
            value: record.cost + record.saved,
            model: Arc::clone(&record.model),
            price_version: Arc::clone(&record.price_version),
        }
    }
}

/// What a call ended with instead of an answer, for all who waited for it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: Code,
    message: Box<str>,
    param: Option<Box<str>>,
    spent: bool,
}

impl Failure {
    /// The same for others.
    pub(crate) fn of(stop: &Stop) -> Self {
        Self {
            code: stop.code,
            message: (*stop.message).into(),
            param: stop.param.as_deref().map(Into::into),
            spent: stop.spent,
        }
    }

    /// What a client is told.
    pub(crate) fn stop(&self) -> Stop {
        Stop {
            param: self.param.as_deref().map(|param| param.to_owned().into()),
            spent: self.spent,
            ..Stop::new(self.code, String::from(&*self.message))
        }
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A body that is no stream.
    Whole(Bytes),
    /// A stream: all of it, and where each part ended as it came.
    Stream(Bytes, Box<[u32]>),
    /// No answer but an error of ours.
    Failure(Failure),
}

/// An answer that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its head.
    pub(crate) head: Head,
    /// Its body.
    pub(crate) content: Content,
    /// How the call ended that bought it.
    pub(crate) ending: Ending,
    /// Who served it.
    pub(crate) provider: Arc<str>,
    /// Handles of the metrics of calls like it.
    pub(crate) metrics: Arc<TargetMetrics>,
    /// Digest of the request, where an idempotency key keeps it.
    pub(crate) request: [u8; 16],
}

impl Kept {
    /// The parts of a stream, as they came; all of a body that is none.
    pub(crate) fn pieces(&self) -> Vec<Bytes> {
        match &self.content {
            Content::Whole(bytes) => vec![bytes.clone()],
            Content::Failure(_) => Vec::new(),
            Content::Stream(bytes, ends) => {
                let mut from = 0;
                let piece = |end: &u32| {
                    let end = usize::try_from(*end).unwrap_or(usize::MAX).min(bytes.len());
                    let start = std::mem::replace(&mut from, end).min(end);
                    bytes.slice(start..end)
                };
                ends.iter().map(piece).collect()
            }
        }
    }
}

impl Weighed for Kept {
    fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Whole(bytes) => bytes.len(),
            Content::Stream(bytes, ends) => bytes.len() + ends.len() * 4,
            Content::Failure(failure) => failure.message.len(),
        };
        content + self.head.headers.len() * HEADER_BYTES + FIXED_BYTES
    }
}
