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
use crate::openai::{self, UsageRules, media};
use crate::peek::{BodyError, Peek};
use crate::{anthropic, bedrock, cohere, gemini, native, ollama, other};

pub use crate::inband::{read_error, retry_after};
pub use crate::rewrite::Rewrite;

/// The form of requests, answers and streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Openai,
    /// Pictures and sound of the OpenAI dialect.
    Media,
    Anthropic,
    Gemini,
    /// Bedrock's own form.
    Converse,
    /// A model's own form behind Bedrock.
    Invoke,
    Cohere,
    Ollama,
    /// Not known: told by what it looks like.
    Other,
}

impl Form {
    pub(crate) fn of(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Messages | Endpoint::MessageTokens => Self::Anthropic,
            Endpoint::Images | Endpoint::Speech | Endpoint::Transcriptions => Self::Media,
            Endpoint::Converse | Endpoint::ConverseStream => Self::Converse,
            Endpoint::Invoke | Endpoint::InvokeStream => Self::Invoke,
            Endpoint::CohereChat | Endpoint::CohereEmbed => Self::Cohere,
            Endpoint::OllamaChat => Self::Ollama,
            Endpoint::Other => Self::Other,
            _ if endpoint.gemini_method().is_some() => Self::Gemini,
            _ => Self::Openai,
        }
    }

    /// Whether streams of this form are known in this framing. An unknown one is taken for the form
    /// that most vendors speak.
    const fn comes_in(self, framing: Framing) -> bool {
        match framing {
            Framing::Events => !matches!(self, Self::Converse | Self::Invoke | Self::Ollama),
            Framing::Array => matches!(self, Self::Gemini),
            Framing::Lines => matches!(self, Self::Ollama),
            Framing::Frames => matches!(self, Self::Converse | Self::Invoke),
            Framing::Opaque => false,
        }
    }
}

/// Reads what a request says about its cost. `path_model` is the model that the path names, with the
/// prefix `models/` or without; then the body need not.
///
/// Forms with a file (transcriptions) are read by [`crate::form::peek_form`].
pub fn peek(endpoint: Endpoint, path_model: Option<&str>, body: &[u8]) -> Result<Peek, BodyError> {
    match Form::of(endpoint) {
        Form::Openai => openai::peek_at(endpoint, path_model, body),
        Form::Media => media::peek(endpoint, body),
        Form::Anthropic => anthropic::peek(endpoint, path_model, body),
        Form::Gemini => gemini::peek(endpoint, path_model, body),
        Form::Converse | Form::Invoke | Form::Cohere | Form::Ollama | Form::Other => {
            native::peek(endpoint, path_model, body)
        }
    }
}

/// The body as it is sent: `body` itself, not copied, where nothing changes.
///
/// `peek` must come from this very body and endpoint.
pub fn rewrite(endpoint: Endpoint, body: &Bytes, peek: &Peek, change: &Rewrite<'_>) -> Bytes {
    match Form::of(endpoint) {
        Form::Openai => openai::rewrite(endpoint, body, peek, change),
        // Their outputs have no bound that could be lowered.
        Form::Media => {
            openai::rewrite(endpoint, body, peek, &Rewrite { max_output: None, ..*change })
        }
        Form::Anthropic => anthropic::rewrite(endpoint, body, peek, change),
        Form::Gemini => gemini::rewrite(endpoint, body, peek, change),
        Form::Converse | Form::Invoke | Form::Cohere | Form::Ollama | Form::Other => {
            native::rewrite(endpoint, body, peek, change)
        }
    }
}

/// Reads the facts of a whole answer. Never fails: what cannot be read is not stated, and a body
/// that ends too early is marked [`AnswerFacts::cut`].
pub fn read_answer(endpoint: Endpoint, rules: UsageRules, body: &[u8]) -> AnswerFacts {
    match Form::of(endpoint) {
        Form::Openai => openai::read_answer(endpoint, rules, body),
        Form::Media => media::read_answer(endpoint, rules, body),
        Form::Anthropic => anthropic::read_answer(endpoint, body),
        Form::Gemini => gemini::read_answer(endpoint, body),
        Form::Converse => bedrock::converse::read_answer(body),
        Form::Invoke => bedrock::invoke::read_answer(body),
        Form::Cohere => cohere::read_answer(endpoint.generates(), body),
        Form::Ollama => ollama::read_answer(body),
        Form::Other => other::read_answer(rules, body),
    }
}

/// Takes from the headers of a whole answer what its body does not state. `lookup` finds a header by
/// its name in lower case.
pub fn read_headers<'h>(
    endpoint: Endpoint,
    lookup: &dyn Fn(&str) -> Option<&'h str>,
    facts: &mut AnswerFacts,
) {
    bedrock::invoke::read_headers(endpoint, lookup, facts);
}

/// Counts the generated text of a whole answer with `count`, for an answer without usage.
pub fn answer_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    match Form::of(endpoint) {
        Form::Openai => openai::answer_text(endpoint, body, count),
        Form::Media => media::answer_text(endpoint, body, count),
        Form::Anthropic => anthropic::answer_text(endpoint, body, count),
        Form::Gemini => gemini::answer_text(endpoint, body, count),
        Form::Converse => bedrock::converse::answer_text(body, count),
        Form::Invoke => bedrock::invoke::answer_text(body, count),
        Form::Cohere => cohere::answer_text(body, count),
        Form::Ollama => ollama::answer_text(body, count),
        Form::Other => other::answer_text(body, count),
    }
}

/// The events that end a stream from our side, in the words of its form, as if the caller's own
/// maximum had been reached. `usage` is stated to the client where it asked for it (always, in
/// forms that always state it); `model` names the model where no event did so far.
///
/// A stream whose form has no end in its framing (an unknown one of lines, sound) just stops; an
/// array is closed.
pub fn cut_events(cut: &Cut<'_>, model: &str, usage: Option<&Usage>) -> Bytes {
    let form = Form::of(cut.endpoint);
    if !form.comes_in(cut.framing) {
        return match (cut.framing, cut.seen.events) {
            (Framing::Array, 0) => Bytes::from_static(b"[]\r\n"),
            (Framing::Array, _) => Bytes::from_static(b"\r\n]\r\n"),
            _ => Bytes::new(),
        };
    }
    match form {
        Form::Openai | Form::Other => openai::cut(cut, model, usage),
        Form::Media => media::cut(cut, usage),
        Form::Anthropic => anthropic::cut_events(cut, model, usage),
        Form::Gemini => gemini::cut_events(cut, model, usage),
        Form::Converse | Form::Invoke => bedrock::cut(cut, model, usage),
        Form::Cohere => cohere::cut(usage),
        Form::Ollama => ollama::cut(model, usage),
    }
}

/// An error inside a stream that has begun, in the dialect and the framing of the stream. Sound
/// that has begun can only break off.
pub fn error_events(cut: &Cut<'_>, error: &ErrorView<'_>) -> Bytes {
    let dialect = cut.endpoint.dialect();
    let sequence = cut.endpoint.is_responses().then_some(cut.seen.events);
    let body = |before: &[u8], after: &[u8]| -> Bytes {
        [before, &error_body(dialect, error), after].concat().into()
    };
    match (cut.framing, cut.seen.events) {
        (Framing::Events, _) if cut.endpoint == Endpoint::CohereChat => {
            cohere::error_event(error.message)
        }
        (Framing::Events, _) => error_event(dialect, error, sequence),
        (Framing::Lines, _) if cut.endpoint == Endpoint::OllamaChat => {
            ollama::error_line(error.message)
        }
        (Framing::Lines, _) => body(b"", b"\n"),
        (Framing::Array, 0) => body(b"[", b"]\r\n"),
        (Framing::Array, _) => body(b",\r\n", b"\r\n]\r\n"),
        (Framing::Frames, _) => bedrock::error_frame(error),
        (Framing::Opaque, _) => Bytes::new(),
    }
}
