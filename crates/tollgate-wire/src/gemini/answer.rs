//! Reads what an answer of the Gemini form says about itself: whole answers, and the chunks of
//! streams, which have the same members.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::inband::error_value;
use crate::json::lenient::Pull;
use crate::tally::Tally;

use super::{bare, grounds_once, text, usage};

/// Reads the facts of a whole answer. Never fails. An array holds the chunks of a stream.
pub(crate) fn read_answer(endpoint: Endpoint, body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut chunk = Chunk::new(endpoint.generates());
    let mut pull = Pull::new(body);
    if pull.next_byte() == Some(b'[') {
        pull.array(|pull| chunk.read(pull, &mut facts, None));
    } else {
        chunk.read(&mut pull, &mut facts, None);
    }
    chunk.count_searches(&mut facts);
    if !endpoint.is_billed() {
        facts.usage = None;
    }
    facts.cut = !pull.ended_well() || body.is_empty();
    facts
}

/// Reads chunks, and remembers of one what the next may add to.
#[derive(Debug)]
pub(super) struct Chunk {
    generates: bool,
    /// Candidates that have begun and not stopped, a bit each.
    pub(super) open: u128,
    /// A candidate has stopped, or the prompt was blocked.
    pub(super) stopped: bool,
    /// Hashes of the searches so far; the same may be stated again by a later chunk.
    searched: HashSet<u64>,
    hashes: BuildHasherDefault<DefaultHasher>,
}

impl Chunk {
    pub(super) fn new(generates: bool) -> Self {
        Self {
            generates,
            open: 0,
            stopped: false,
            searched: HashSet::new(),
            hashes: BuildHasherDefault::default(),
        }
    }

    /// Reads a chunk; the generated text goes to `tally`, where there is one.
    pub(super) fn read(
        &mut self,
        pull: &mut Pull<'_>,
        facts: &mut AnswerFacts,
        mut tally: Option<&mut Tally>,
    ) {
        pull.object(|pull, key| match key {
            b"candidates" => pull.array(|pull| self.candidate(pull, facts, tally.as_deref_mut())),
            b"promptFeedback" => self.feedback(pull, facts),
            b"usageMetadata" => usage::read(pull, self.generates, facts),
            b"modelVersion" => {
                pull.keep(&mut facts.model);
                let named = facts.model.as_deref().map(bare);
                if named.map(str::len) != facts.model.as_deref().map(str::len) {
                    facts.model = named.map(Box::from);
                }
            }
            b"responseId" => pull.keep(&mut facts.id),
            b"error" => facts.error = error_value(pull).or_else(|| facts.error.take()),
            _ => {
                pull.skip();
            }
        });
    }

    fn candidate(
        &mut self,
        pull: &mut Pull<'_>,
        facts: &mut AnswerFacts,
        mut tally: Option<&mut Tally>,
    ) {
        let (mut index, mut stopped) = (0, false);
        pull.object(|pull, key| match (key, tally.as_deref_mut()) {
            (b"content", Some(tally)) => text::content(pull, tally),
            (b"finishReason", _) => {
                stopped = pull.next_byte() == Some(b'"');
                pull.keep(&mut facts.finish_reason);
            }
            (b"index", _) => index = pull.whole().unwrap_or(0),
            (b"groundingMetadata", _) => self.grounding(pull),
            _ => {
                pull.skip();
            }
        });
        let bit = u32::try_from(index).ok().and_then(|index| 1u128.checked_shl(index)).unwrap_or(0);
        self.open = if stopped { self.open & !bit } else { self.open | bit };
        self.stopped |= stopped;
    }

    /// A blocked prompt has no candidates; the reason stands here.
    fn feedback(&mut self, pull: &mut Pull<'_>, facts: &mut AnswerFacts) {
        pull.object(|pull, key| match key {
            b"blockReason" => {
                self.stopped |= pull.next_byte() == Some(b'"');
                pull.keep(&mut facts.finish_reason);
            }
            _ => {
                pull.skip();
            }
        });
    }

    fn grounding(&mut self, pull: &mut Pull<'_>) {
        pull.object(|pull, key| match key {
            b"webSearchQueries" => pull.array(|pull| {
                if let Some(query) = pull.string_or_skip().filter(|query| !query.raw.is_empty()) {
                    self.searched.insert(self.hashes.hash_one(query.raw));
                }
            }),
            _ => {
                pull.skip();
            }
        });
    }

    /// Puts the searches that are billed into the usage: each one, but for the models before
    /// Gemini 3, whose grounding is billed once for an answer.
    pub(super) fn count_searches(&self, facts: &mut AnswerFacts) {
        let model = facts.model.as_deref().unwrap_or_default();
        let once = grounds_once(model);
        let searches = u64::try_from(self.searched.len()).unwrap_or(u64::MAX);
        if let Some(usage) = &mut facts.usage {
            usage.web_searches = if once { searches.min(1) } else { searches };
        }
    }
}
