//! What an event says, by form: a reader each, behind one step.

use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::framing::Event;
use crate::openai::{self, UsageRules};

use super::{Fate, Seen};

/// The reader of one stream.
#[derive(Debug)]
pub(super) enum Reader {
    Openai(openai::Reader),
}

impl Reader {
    pub(super) fn of(endpoint: Endpoint, rules: UsageRules, keep_usage: bool) -> Self {
        Self::Openai(openai::Reader::new(endpoint, rules, keep_usage))
    }

    /// Takes what an event says into `seen`, and says where the event's bytes go.
    pub(super) fn read(&mut self, event: &Event<'_>, seen: &mut Seen) -> Fate {
        match self {
            Self::Openai(reader) => reader.read(event, seen),
        }
    }

    /// Adds to the facts of an ended stream what was counted on the way.
    pub(super) fn complete(&self, facts: &mut AnswerFacts) {
        match self {
            Self::Openai(reader) => reader.complete(facts),
        }
    }
}
