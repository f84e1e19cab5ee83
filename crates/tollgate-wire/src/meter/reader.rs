//! What an event says, by form: a reader each, behind one step.

use crate::bedrock;
use crate::cohere;
use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::framing::Event;
use crate::ollama;
use crate::openai::{self, UsageRules};
use crate::other;

use super::{Fate, Seen};

/// The reader of one stream.
#[derive(Debug)]
pub(crate) enum Reader {
    Openai(openai::Reader),
    Bedrock(bedrock::Reader),
    Cohere,
    Ollama,
    /// Pictures and sound of the OpenAI form.
    Media(UsageRules),
    /// An unknown form, until an event tells which it is.
    Other(UsageRules),
}

impl Reader {
    pub(crate) fn of(endpoint: Endpoint, rules: UsageRules, keep_usage: bool) -> Self {
        match endpoint {
            Endpoint::ConverseStream | Endpoint::InvokeStream => Self::Bedrock(Default::default()),
            Endpoint::CohereChat => Self::Cohere,
            Endpoint::OllamaChat => Self::Ollama,
            Endpoint::Images | Endpoint::Speech | Endpoint::Transcriptions => Self::Media(rules),
            Endpoint::Other => Self::Other(rules),
            _ => Self::Openai(openai::Reader::new(endpoint, rules, keep_usage)),
        }
    }

    /// Takes what an event says into `seen`, and says where the event's bytes go.
    pub(crate) fn read(&mut self, event: &Event<'_>, seen: &mut Seen) -> Fate {
        if let Self::Other(rules) = self
            && let Some(endpoint) = event.data.as_deref().and_then(other::stream_like)
        {
            *self = Self::of(endpoint, *rules, true);
        }
        match self {
            Self::Openai(reader) => reader.read(event, seen),
            Self::Bedrock(reader) => reader.read(event, seen),
            Self::Cohere => cohere::read_event(event, seen),
            Self::Ollama => ollama::read_event(event, seen),
            Self::Media(rules) => openai::media::read_event(*rules, event, seen),
            Self::Other(rules) => other::read_event(*rules, event, seen),
        }
    }

    /// Adds to the facts of an ended stream what was counted on the way.
    pub(crate) fn complete(&self, facts: &mut AnswerFacts) {
        match self {
            Self::Openai(reader) => reader.complete(facts),
            _ => {}
        }
    }
}
