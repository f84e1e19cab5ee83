//! What an event says, by form: a reader each, behind one step.

use crate::dialect::Form;
use crate::endpoint::Endpoint;
use crate::facts::StreamFacts;
use crate::framing::Event;
use crate::openai::{self, UsageRules};
use crate::{anthropic, bedrock, cohere, gemini, ollama, other};

use super::{Fate, Seen};

/// The reader of one stream.
#[derive(Debug)]
pub(crate) enum Reader {
    Openai(openai::Reader),
    /// Pictures and sound of the OpenAI form.
    Media(UsageRules),
    Anthropic(anthropic::Reader),
    Gemini(gemini::Reader),
    Bedrock(bedrock::Reader),
    Cohere,
    Ollama,
    /// An unknown form, until an event tells which it is.
    Other(UsageRules),
}

impl Reader {
    pub(crate) fn of(endpoint: Endpoint, rules: UsageRules, keep_usage: bool) -> Self {
        match Form::of(endpoint) {
            Form::Openai => Self::Openai(openai::Reader::new(endpoint, rules, keep_usage)),
            Form::Media => Self::Media(rules),
            Form::Anthropic => Self::Anthropic(anthropic::Reader::default()),
            Form::Gemini => Self::Gemini(gemini::Reader::default()),
            Form::Converse | Form::Invoke => Self::Bedrock(bedrock::Reader::default()),
            Form::Cohere => Self::Cohere,
            Form::Ollama => Self::Ollama,
            Form::Other => Self::Other(rules),
        }
    }

    /// Takes what an event says into `seen`, and says where the event's bytes go.
    pub(crate) fn read(&mut self, event: &Event<'_>, seen: &mut Seen) -> Fate {
        if let Self::Other(rules) = self
            && let Some(endpoint) = event.data.as_deref().and_then(other::stream_like)
        {
            *self = Self::of(endpoint, *rules, true);
            seen.like = Some(endpoint);
        }
        match self {
            Self::Openai(reader) => reader.read(event, seen),
            Self::Media(rules) => openai::media::read_event(*rules, event, seen),
            Self::Anthropic(reader) => reader.read(event, seen),
            Self::Gemini(reader) => reader.read(event, seen),
            Self::Bedrock(reader) => reader.read(event, seen),
            Self::Cohere => cohere::read_event(event, seen),
            Self::Ollama => ollama::read_event(event, seen),
            Self::Other(rules) => other::read_event(*rules, event, seen),
        }
    }

    /// Adds to the facts of an ended stream what was counted on the way.
    pub(crate) fn complete(&self, facts: &mut StreamFacts) {
        match self {
            Self::Openai(reader) => reader.complete(&mut facts.answer),
            Self::Anthropic(reader) => reader.complete(&mut facts.answer),
            Self::Gemini(_) => gemini::complete(facts),
            Self::Bedrock(reader) => reader.complete(facts),
            Self::Media(_) | Self::Cohere | Self::Ollama | Self::Other(_) => {}
        }
    }
}
