//! What a model answers, whatever its dialect: a sequence of events, the same for whole answers
//! and for streams. A whole answer is read into all of its events at once and written from them.
//!
//! Readers may leave out what the provider leaves out (the beginning, the ends of blocks): the hub
//! puts it in, so that writers see `Begin`, then for each block `Open`, `Proof` or `Delta` and
//! `Close`, then `Stop` and `End`, with `Usage` anywhere between. Writers see a call's arguments as
//! at least one piece, proofs that are marked with their origin, and no proofs of calls (those are
//! in the ids).

use tollgate_domain::usage::Usage;

use crate::facts::InbandError;

/// A step of an answer. Blocks are opened, filled and closed; their numbers count from zero in the
/// order in which they open. Several may be open at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first event.
    Begin {
        /// The provider's id of the answer.
        id: Option<String>,
        /// The model that serves.
        model: Option<String>,
        /// Seconds since the epoch.
        created: Option<u64>,
    },
    /// A block begins.
    Open(u32, Block),
    /// More of the text, thought or refusal of a block, or of a call's arguments.
    Delta(u32, String),
    /// The proof of a thought, whole; or of a call (see [`super::prompt::Call::signature`]), which
    /// comes right behind its `Open`.
    Proof(u32, String),
    /// A block ends.
    Close(u32),
    /// Why generation ended.
    Stop(Stop),
    /// What was used; the last one counts.
    Usage(Usage),
    /// The provider failed. Nothing follows but [`Event::End`].
    Error(InbandError),
    /// The last event.
    End,
}

/// A whole answer, gathered from its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The provider's id.
    pub id: Option<String>,
    /// The model that served.
    pub model: Option<String>,
    /// Seconds since the epoch.
    pub created: Option<u64>,
    /// What was said, in order.
    pub blocks: Vec<Filled>,
    /// Why generation ended.
    pub stop: Option<Stop>,
    /// What was used.
    pub usage: Option<Usage>,
    /// The provider failed.
    pub error: Option<InbandError>,
}

/// A block with all that came for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Its number.
    pub number: u32,
    /// What it holds.
    pub block: Block,
    /// The text, thought, refusal or arguments.
    pub text: String,
    /// The proof.
    pub proof: Option<String>,
}

impl Answer {
    /// Gathers events.
    pub fn of(events: &[Event]) -> Self {
        let mut answer = Self::default();
        for event in events {
            answer.push(event);
        }
        answer
    }

    /// Takes one event in.
    pub fn push(&mut self, event: &Event) {
        match event {
            Event::Begin { id, model, created } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.created = *created;
            }
            Event::Open(number, block) => self.blocks.push(Filled {
                number: *number,
                block: block.clone(),
                text: String::new(),
                proof: None,
            }),
            Event::Delta(number, text) => {
                if let Some(filled) = self.block(*number) {
                    filled.text.push_str(text);
                }
            }
            Event::Proof(number, proof) => {
                if let Some(filled) = self.block(*number) {
                    filled.proof = Some(proof.clone());
                }
            }
            Event::Stop(stop) => self.stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Error(error) => self.error = Some(error.clone()),
            Event::Close(_) | Event::End => {}
        }
    }

    fn block(&mut self, number: u32) -> Option<&mut Filled> {
        self.blocks.iter_mut().rfind(|filled| filled.number == number)
    }
}

/// What a block holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Text.
    Text,
    /// A thought.
    Thought,
    /// A thought that is not shown; its proof follows.
    SealedThought,
    /// A call of a tool; its arguments follow as pieces of a JSON document.
    Call {
        /// The id; made here where the provider states none.
        id: String,
        /// The tool.
        name: String,
    },
    /// A refusal.
    Refusal,
}

/// Why generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The reason, on the scale that dialects share.
    pub reason: Reason,
    /// The provider's own word.
    pub native: String,
    /// The text at which it ended, where the provider says so.
    pub sequence: Option<String>,
}

/// A reason to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model had finished, or came to a stop text.
    End,
    /// The output was as long as it may be.
    Length,
    /// The model calls tools.
    Calls,
    /// A filter, or the model's own refusal.
    Filtered,
}
