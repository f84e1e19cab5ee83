//! What an event says, by form: a reader each, behind one step.

use crate::anthropic;
use crate::dialect::Form;
use crate::endpoint::Endpoint;
use crate::facts::StreamFacts;
use crate::framing::Event;
use crate::gemini;
use crate::openai::{self, UsageRules};

use super::{Fate, Seen};

/// The reader of one stream.
#[derive(Debug)]
pub(super) enum Reader {
    Openai(openai::Reader),
    Anthropic(anthropic::Reader),
    Gemini(gemini::Reader),
}

impl Reader {
    pub(super) fn of(endpoint: Endpoint, rules: UsageRules, keep_usage: bool) -> Self {
        match Form::of(endpoint) {
            Form::Openai => Self::Openai(openai::Reader::new(endpoint, rules, keep_usage)),
            Form::Anthropic => Self::Anthropic(anthropic::Reader::default()),
            Form::Gemini => Self::Gemini(gemini::Reader::default()),
        }
    }

    /// Takes what an event says into `seen`, and says where the event's bytes go.
    pub(super) fn read(&mut self, event: &Event<'_>, seen: &mut Seen) -> Fate {
        match self {
            Self::Openai(reader) => reader.read(event, seen),
            Self::Anthropic(reader) => reader.read(event, seen),
            Self::Gemini(reader) => reader.read(event, seen),
        }
    }

    /// Adds to the facts of an ended stream what was counted on the way.
    pub(super) fn complete(&self, facts: &mut StreamFacts) {
        match self {
            Self::Openai(reader) => reader.complete(&mut facts.answer),
            Self::Anthropic(reader) => reader.complete(&mut facts.answer),
            Self::Gemini(_) => gemini::complete(facts),
        }
    }
}
