//! Relays a stream of the OpenAI form and reads from it what it says about itself.
//!
//! Bytes pass as they came, in runs of whole events; the one event that may be left out is the
//! usage chunk that only we asked for. (The `"usage":null` that asking for it puts into the other
//! chunks stays: removing it would cost byte identity for nothing, clients ignore it.) The last
//! event is held apart, so that the call can be settled before it leaves (LEDGER-1).

mod events;

use std::ops::Range;

use bytes::Bytes;

use crate::facts::{AnswerFacts, StreamFacts};
use crate::sse::{Scanner, Step, TooLarge};
use crate::tally::Tally;

use super::Cut;
use super::answer::plausible;
use super::vendor::UsageRules;
use crate::endpoint::Endpoint;

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More is to come.
    More,
    /// The event that ends it, or an error, is held in [`OpenAiStream::take_final`]. Bytes that
    /// still arrive join it.
    Ended,
}

/// Why a stream cannot be relayed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It does not consist of events of a sane size.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Where the bytes of an event go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// On, now.
    Out,
    /// On, after the settlement.
    Held,
    /// Nowhere.
    Left,
}

/// One stream on its way through.
#[derive(Debug)]
pub struct OpenAiStream {
    endpoint: Endpoint,
    rules: UsageRules,
    keep_usage: bool,
    scanner: Scanner,
    facts: AnswerFacts,
    tally: Tally,
    /// The bytes of the last chunk object up to its choices: chunks repeat them, and what repeats
    /// need not be read again.
    prefix: Vec<u8>,
    /// Choices that have begun and not stopped, a bit each.
    open: u128,
    events: u64,
    searches: u64,
    done: bool,
    failed: Option<StreamError>,
    /// What became of the last event.
    last: Fate,
    held: Vec<Bytes>,
}

impl OpenAiStream {
    /// A stream that starts. `keep_usage_chunk` says whether the client asked for the usage chunk.
    pub fn new(endpoint: Endpoint, rules: UsageRules, keep_usage_chunk: bool) -> Self {
        Self {
            endpoint,
            rules,
            keep_usage: keep_usage_chunk,
            scanner: Scanner::default(),
            facts: AnswerFacts::default(),
            tally: Tally::default(),
            prefix: Vec::new(),
            open: 0,
            events: 0,
            searches: 0,
            done: false,
            failed: None,
            last: Fate::Out,
            held: Vec::new(),
        }
    }

    /// Takes bytes from the provider and appends to `out` what may leave now: every event that is
    /// whole. Bytes of an event that is not whole wait for the rest of it.
    ///
    /// After an error nothing more is taken.
    pub fn push(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> Result<Flow, StreamError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let mut run = Run { start: 0, end: 0, fate: Fate::Out };
        let mut from = 0;
        while from < chunk.len() {
            let step = self.scanner.step(chunk, from);
            let end = match step {
                Ok(Step::Event { end } | Step::LineFeed { end }) => end,
                Ok(Step::More) => break,
                Err(error) => {
                    self.flush(&run, chunk, out);
                    self.failed = Some(error.into());
                    return Err(error.into());
                }
            };
            if matches!(step, Ok(Step::Event { .. })) {
                self.event(&mut run, chunk, from..end, out);
            } else {
                self.pass(&mut run, chunk, from..end, out);
            }
            from = end;
        }
        self.flush(&run, chunk, out);
        Ok(if self.is_over() { Flow::Ended } else { Flow::More })
    }

    /// Takes what is held for after the settlement, in order.
    pub fn take_final(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.held)
    }

    /// Bytes of generated text so far: no fewer than its tokens.
    pub fn text_bytes(&self) -> u64 {
        self.tally.bytes()
    }

    /// Whether generated text has passed.
    pub fn first_token_seen(&self) -> bool {
        self.tally.bytes() > 0
    }

    /// Facts so far.
    pub fn facts(&self) -> &AnswerFacts {
        &self.facts
    }

    /// Tokens of the generated text, counted with `count` (see [`crate::count::count_tokens`]).
    /// Reasoning that the provider does not show is not in it.
    pub fn estimate_output(&self, count: impl FnOnce(&str) -> u64) -> u64 {
        self.tally.estimate(count)
    }

    /// The stream has ended, in whatever way. An event without its blank line counts as well; its
    /// bytes join what [`OpenAiStream::take_final`] gives.
    pub fn finish(&mut self) -> StreamFacts {
        if self.scanner.has_kept() && self.failed.is_none() {
            let event = self.scanner.take_kept();
            if self.read(&event) != Fate::Left {
                self.held.push(event.into());
            }
        }
        let mut facts = StreamFacts {
            answer: self.facts.clone(),
            done: self.done,
            text_bytes: self.tally.bytes(),
            first_token_seen: self.first_token_seen(),
        };
        if !facts.is_complete() {
            facts.answer.cut = facts.answer.error.is_none();
            // Some providers send a usage of zeros until the end.
            facts.answer.usage.take_if(|usage| !plausible(usage, facts.text_bytes));
        }
        if let Some(usage) = &mut facts.answer.usage {
            usage.web_searches = usage.web_searches.max(self.searches);
        }
        facts
    }

    /// The number that the next event would have, in the form that numbers its events.
    pub fn next_sequence(&self) -> Option<u64> {
        self.endpoint.is_responses().then_some(self.events)
    }

    /// What is needed to end this stream from our side (see [`super::cut_events`]).
    pub fn cut(&self) -> Cut<'_> {
        Cut {
            endpoint: self.endpoint,
            facts: &self.facts,
            open_choices: if self.open == 0 { 1 } else { self.open },
            sequence: self.events,
        }
    }

    fn is_over(&self) -> bool {
        self.done || self.facts.error.is_some()
    }

    /// An event has ended: its bytes are what the scanner kept and those of the chunk.
    fn event(&mut self, run: &mut Run, chunk: &Bytes, part: Range<usize>, out: &mut Vec<Bytes>) {
        let bytes = chunk.get(part.clone()).unwrap_or_default();
        if !self.scanner.has_kept() {
            self.last = self.read(bytes);
            self.pass(run, chunk, part, out);
            return;
        }
        // A kept event ends with the first that the chunk has, so the run is empty.
        let mut whole = self.scanner.take_kept();
        whole.extend_from_slice(bytes);
        self.last = self.read(&whole);
        match self.last {
            Fate::Out => out.push(whole.into()),
            Fate::Held => self.held.push(whole.into()),
            Fate::Left => {}
        }
        *run = Run { start: part.end, end: part.end, fate: Fate::Out };
    }

    /// Lengthens the run by bytes that share the fate of the last event.
    fn pass(&mut self, run: &mut Run, chunk: &Bytes, part: Range<usize>, out: &mut Vec<Bytes>) {
        if run.fate != self.last {
            self.flush(run, chunk, out);
            *run = Run { start: part.start, end: part.start, fate: self.last };
        }
        run.end = part.end;
    }

    fn flush(&mut self, run: &Run, chunk: &Bytes, out: &mut Vec<Bytes>) {
        let to = match run.fate {
            Fate::Out => out,
            Fate::Held => &mut self.held,
            Fate::Left => return,
        };
        if run.start < run.end {
            to.push(chunk.slice(run.start..run.end));
        }
    }
}

/// Bytes `start..end` of one chunk that share a fate.
struct Run {
    start: usize,
    end: usize,
    fate: Fate,
}
