//! The dialects behind one door: what is read from and changed in requests and answers, by
//! endpoint. Streams have a door of their own, [`crate::meter::Meter`].
//!
//! A form is known in its own module; here is only which endpoint has which form.

use bytes::Bytes;
use tollgate_domain::usage::Usage;

use crate::bedrock;
use crate::cohere;
use crate::endpoint::Endpoint;
use crate::facts::{AnswerFacts, InbandError};
use crate::meter::Cut;
use crate::ollama;
use crate::openai::{self, UsageRules};
use crate::peek::{BodyError, Peek};
pub use crate::rewrite::Rewrite;
use crate::{native, other};

/// Reads what a request says about its cost. `path_model` is the model that the path names, in the
/// forms where it does ([`Endpoint::names_model_in_path`]).
pub fn peek(endpoint: Endpoint, path_model: Option<&str>, body: &[u8]) -> Result<Peek, BodyError> {
    match endpoint {
        Endpoint::Converse
        | Endpoint::ConverseStream
        | Endpoint::Invoke
        | Endpoint::InvokeStream
        | Endpoint::CohereChat
        | Endpoint::CohereEmbed
        | Endpoint::OllamaChat
        | Endpoint::Other => native::peek(endpoint, path_model, body),
        _ => openai::peek(endpoint, body),
    }
}

/// The body as it is sent: `body` itself, not copied, where nothing changes.
///
/// `peek` must come from this very body and endpoint.
pub fn rewrite(endpoint: Endpoint, body: &Bytes, peek: &Peek, change: &Rewrite<'_>) -> Bytes {
    match endpoint {
        Endpoint::Converse
        | Endpoint::ConverseStream
        | Endpoint::Invoke
        | Endpoint::InvokeStream
        | Endpoint::CohereChat
        | Endpoint::CohereEmbed
        | Endpoint::OllamaChat
        | Endpoint::Other => native::rewrite(endpoint, body, peek, change),
        _ => openai::rewrite(endpoint, body, peek, change),
    }
}

/// Reads the facts of a whole answer. Never fails: what cannot be read is not stated, and a body
/// that ends too early is marked [`AnswerFacts::cut`].
pub fn read_answer(endpoint: Endpoint, rules: UsageRules, body: &[u8]) -> AnswerFacts {
    match endpoint {
        Endpoint::Converse => bedrock::converse::read_answer(body),
        Endpoint::Invoke => bedrock::invoke::read_answer(body),
        Endpoint::CohereChat | Endpoint::CohereEmbed => {
            cohere::read_answer(endpoint.generates(), body)
        }
        Endpoint::OllamaChat => ollama::read_answer(body),
        Endpoint::Other => other::read_answer(rules, body),
        Endpoint::Images | Endpoint::Speech | Endpoint::Transcriptions => {
            openai::media::read_answer(endpoint, rules, body)
        }
        _ => openai::read_answer(endpoint, rules, body),
    }
}

/// Reads the error of a body with an error status, in the form of any provider.
pub fn read_error(body: &[u8]) -> Option<InbandError> {
    openai::read_error(body)
}

/// Counts the generated text of a whole answer with `count`, for an answer without usage.
pub fn answer_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    match endpoint {
        Endpoint::Converse => bedrock::converse::answer_text(body, count),
        Endpoint::Invoke => bedrock::invoke::answer_text(body, count),
        Endpoint::CohereChat => cohere::answer_text(body, count),
        Endpoint::OllamaChat => ollama::answer_text(body, count),
        Endpoint::Other => other::answer_text(body, count),
        _ => openai::answer_text(endpoint, body, count),
    }
}

/// The events that end a stream from our side, in the words of its form, as if the caller's own
/// maximum had been reached. `usage` is stated to the client where it asked for it (always, in
/// forms that always state it); `model` names the model where no event did so far.
pub fn cut_events(cut: &Cut<'_>, model: &str, usage: Option<&Usage>) -> Bytes {
    match cut.endpoint {
        Endpoint::ConverseStream | Endpoint::InvokeStream => bedrock::cut(cut, model, usage),
        Endpoint::Images | Endpoint::Speech | Endpoint::Transcriptions => {
            openai::media::cut(cut.endpoint, usage)
        }
        Endpoint::CohereChat => cohere::cut(usage),
        Endpoint::OllamaChat => ollama::cut(model, usage),
        _ => openai::cut(cut, model, usage),
    }
}
