//! The dialects behind one door: what is read from and changed in requests and answers, by
//! endpoint. Streams have a door of their own, [`crate::meter::Meter`].
//!
//! A form is known in its own module; here is only which endpoint has which form.

use bytes::Bytes;
use tollgate_domain::usage::Usage;

use crate::endpoint::Endpoint;
use crate::error::{ErrorView, error_body, error_event};
use crate::facts::AnswerFacts;
use crate::framing::Framing;
use crate::meter::Cut;
use crate::openai::{self, UsageRules};
use crate::peek::{BodyError, Peek};
use crate::{anthropic, gemini};

pub use crate::inband::{read_error, retry_after};
pub use crate::rewrite::Rewrite;

/// The form of requests, answers and streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Openai,
    Anthropic,
    Gemini,
}

impl Form {
    pub(crate) fn of(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Messages | Endpoint::MessageTokens => Self::Anthropic,
            _ if endpoint.gemini_method().is_some() => Self::Gemini,
            _ => Self::Openai,
        }
    }
}

/// Reads what a request says about its cost. `path_model` is the model that the path names, in the
/// forms where it does ([`Endpoint::names_model_in_path`]), with the prefix `models/` or without.
pub fn peek(endpoint: Endpoint, path_model: Option<&str>, body: &[u8]) -> Result<Peek, BodyError> {
    match Form::of(endpoint) {
        Form::Openai => openai::peek(endpoint, body),
        Form::Anthropic => anthropic::peek(endpoint, body),
        Form::Gemini => gemini::peek(endpoint, path_model, body),
    }
}

/// The model that a path of the Gemini form names, at the developer API or at Vertex.
pub fn model_from_path(path: &str) -> Option<&str> {
    gemini::model_from_path(path)
}

/// The body as it is sent: `body` itself, not copied, where nothing changes.
///
/// `peek` must come from this very body and endpoint.
pub fn rewrite(endpoint: Endpoint, body: &Bytes, peek: &Peek, change: &Rewrite<'_>) -> Bytes {
    match Form::of(endpoint) {
        Form::Openai => openai::rewrite(endpoint, body, peek, change),
        Form::Anthropic => anthropic::rewrite(endpoint, body, peek, change),
        Form::Gemini => gemini::rewrite(endpoint, body, peek, change),
    }
}

/// Reads the facts of a whole answer. Never fails: what cannot be read is not stated, and a body
/// that ends too early is marked [`AnswerFacts::cut`].
pub fn read_answer(endpoint: Endpoint, rules: UsageRules, body: &[u8]) -> AnswerFacts {
    match Form::of(endpoint) {
        Form::Openai => openai::read_answer(endpoint, rules, body),
        Form::Anthropic => anthropic::read_answer(endpoint, body),
        Form::Gemini => gemini::read_answer(endpoint, body),
    }
}

/// Counts the generated text of a whole answer with `count`, for an answer without usage.
pub fn answer_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    match Form::of(endpoint) {
        Form::Openai => openai::answer_text(endpoint, body, count),
        Form::Anthropic => anthropic::answer_text(endpoint, body, count),
        Form::Gemini => gemini::answer_text(endpoint, body, count),
    }
}

/// The events that end a stream from our side, in the words of its form, as if the caller's own
/// maximum had been reached. `usage` is stated to the client where it asked for it (always, in
/// forms that always state it); `model` names the model where no event did so far.
pub fn cut_events(cut: &Cut<'_>, model: &str, usage: Option<&Usage>) -> Bytes {
    match Form::of(cut.endpoint) {
        Form::Openai => openai::cut(cut, model, usage),
        Form::Anthropic => anthropic::cut_events(cut, model, usage),
        Form::Gemini => gemini::cut_events(cut, model, usage),
    }
}

/// An error inside a stream that has begun, in the dialect and the framing of the stream.
pub fn error_events(cut: &Cut<'_>, error: &ErrorView<'_>) -> Bytes {
    let dialect = cut.endpoint.dialect();
    let sequence = cut.endpoint.is_responses().then_some(cut.seen.events);
    let body = |before: &[u8], after: &[u8]| -> Bytes {
        [before, &error_body(dialect, error), after].concat().into()
    };
    match (cut.framing, cut.seen.events) {
        (Framing::Events, _) => error_event(dialect, error, sequence),
        (Framing::Lines, _) => body(b"", b"\n"),
        (Framing::Array, 0) => body(b"[", b"]\r\n"),
        (Framing::Array, _) => body(b",\r\n", b"\r\n]\r\n"),
    }
}
