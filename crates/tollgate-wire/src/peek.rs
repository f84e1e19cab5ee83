//! What a request says about its own cost, whatever its dialect.
//!
//! A peek is taken once, before admission: it holds everything that the reservation needs and the
//! places of the few bytes that may be changed. It keeps no prompt text (PRIVACY-1).

pub(crate) mod fields;

use crate::json::strict::Invalid;

/// A body that is refused. `message` names no content of the body beyond key names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BodyError {
    /// What is wrong and what would be right.
    pub message: String,
    /// The field that is meant, as the dialect names it.
    pub param: Option<String>,
}

impl BodyError {
    pub(crate) fn of(param: &str, message: impl Into<String>) -> Self {
        Self { message: message.into(), param: Some(param.to_owned()) }
    }
}

impl From<Invalid> for BodyError {
    fn from(invalid: Invalid) -> Self {
        let Invalid { offset, expected } = invalid;
        let message = format!("the body is not valid JSON: expected {expected} at byte {offset}");
        Self { message, param: None }
    }
}

/// A place in the body: the bytes `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
}

/// What the input consists of, as far as it bears on its token count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Length of the whole body.
    pub bytes: u64,
    /// Part of `bytes` that is pictures written out as `data:` URLs.
    pub image_bytes: u64,
    /// Part of `bytes` that is sound written out in base64.
    pub audio_bytes: u64,
    /// Pictures, written out or named by URL.
    pub images: u64,
    /// Pictures and pages named by URL, which the provider fetches.
    pub remote_media: u64,
    /// Files, documents and videos: their token count has no bound in bytes.
    pub files: u64,
    /// Messages, texts to embed, or prompts.
    pub items: u64,
    /// Earlier turns are billed again as input: `previous_response_id`, `conversation`, references.
    pub earlier_turns: bool,
    /// A prompt stored at the provider is put in front.
    pub stored_prompt: bool,
    /// Bytes of a predicted output; what is rejected of it is billed as output.
    pub prediction_bytes: u64,
    /// Tokens, at most, that no byte of the body shows but that are known: what a provider writes
    /// about tools into the prompt, and sound that makes more tokens a second than elsewhere.
    pub hidden_tokens: u64,
}

/// Which tools the model may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// Tools that the client itself runs.
    pub functions: bool,
    /// A search of the web by the provider, billed per search.
    pub web_search: bool,
    /// The most searches of the web that the request allows; `None` leaves it to the model.
    pub max_web_searches: Option<u64>,
    /// A search of files by the provider, billed per search.
    pub file_search: bool,
    /// Any tool that the provider runs: its results are billed as input.
    pub hosted: bool,
}

/// What a request says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peek {
    /// The model asked for; never empty.
    pub model: Box<str>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the client is told the usage of a stream: it asked for it, or its form always states
    /// it.
    pub usage_asked: bool,
    /// The most output tokens per choice that the caller allows.
    pub max_output: Option<u64>,
    /// How many answers are generated; each may be `max_output` long.
    pub choices: u64,
    /// The tier asked for; the answer's own tier decides the price.
    pub service_tier: Option<Box<str>>,
    /// The speed asked for, where a provider sells speeds apart from tiers.
    pub speed: Option<Box<str>>,
    /// Where the model is to run, where that has a price.
    pub geo: Option<Box<str>>,
    /// The end user that the application names.
    pub user: Option<Box<str>>,
    /// The answer comes later, by polling.
    pub background: bool,
    /// The id of a stored answer that this one follows.
    pub previous: Option<Box<str>>,
    /// The field that names, by its id, something else that the provider keeps: a conversation, or
    /// an item of an earlier answer.
    pub kept: Option<&'static str>,
    /// Whether the provider is to store the answer; `None` leaves it to the provider.
    pub store: Option<bool>,
    /// The body names further models or a routing of its own (an aggregator's extension), so the
    /// model that serves may not be the one in [`Peek::model`].
    pub alternatives: bool,
    /// Spoken output is asked for.
    pub audio_output: bool,
    /// Pictures as output are asked for, in an answer that is otherwise text.
    pub image_output: bool,
    /// The model is asked to think before it answers; its thoughts are part of the output.
    pub thinks: bool,
    /// What goes in.
    pub input: Input,
    /// What may be called.
    pub tools: Tools,
    pub(crate) spans: Spans,
}

impl Tools {
    /// Notes a tool that searches the web, so often at most.
    pub(crate) fn searches_the_web(&mut self, most: Option<u64>) {
        self.max_web_searches = match (self.web_search, self.max_web_searches, most) {
            (false, ..) => most,
            (true, Some(before), Some(most)) => Some(before.saturating_add(most)),
            (true, ..) => None,
        };
        (self.web_search, self.hosted) = (true, true);
    }
}

impl Peek {
    /// The most output tokens that can be billed, where a choice may be `model_max` tokens long
    /// unless the caller set less.
    pub fn output_bound(&self, model_max: u64) -> u64 {
        let each = self.max_output.unwrap_or(model_max);
        each.saturating_mul(self.choices.max(1)).saturating_add(self.input.prediction_bytes)
    }

    /// Where the model's name stands, quotes included; `None` where the body does not name one.
    pub fn model_span(&self) -> Option<Span> {
        self.spans.model
    }
}

/// Where the bytes stand that a rewrite may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(crate) model: Option<Span>,
    /// Where a body that need not name its model does so (Gemini), with a prefix or without.
    pub(crate) models: Vec<Span>,
    pub(crate) stream_options: Nested,
    /// The value of `stream_options.include_usage`.
    pub(crate) include_usage: Option<Span>,
    pub(crate) generation_config: Nested,
    /// Places of the keys that bound the output, with the value that stands there.
    pub(crate) max_tokens: Option<(Span, Option<u64>)>,
    pub(crate) max_completion_tokens: Option<(Span, Option<u64>)>,
    pub(crate) max_output_tokens: Option<(Span, Option<u64>)>,
    /// A budget for thinking, which must stay below the maximum (Anthropic).
    pub(crate) thinking_budget: Option<(Span, Option<u64>)>,
    /// Behind the opening brace of the body.
    pub(crate) insert_at: usize,
}

/// An object within a body that another key may be put into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nested {
    #[default]
    Absent,
    Null(Span),
    Object {
        /// Behind its opening brace.
        insert_at: usize,
        empty: bool,
    },
}
