//! Relays a stream and reads from it what it says about itself, whatever its form.
//!
//! Bytes pass as they came, in runs of whole events; the one event that may be left out is the
//! usage chunk that only we asked for. The last event is held apart, so that the call can be
//! settled before it leaves (LEDGER-1). What differs between forms is how a stream is divided into
//! events ([`crate::framing`]) and what an event says (a reader per form).

pub(crate) mod reader;

use std::ops::Range;

use bytes::Bytes;
use tollgate_domain::usage::Usage;

use crate::endpoint::Endpoint;
use crate::facts::{AnswerFacts, StreamFacts};
pub use crate::framing::StreamError;
use crate::framing::{Framing, Scanner, Step};
use crate::openai::UsageRules;
use crate::tally::Tally;
use reader::Reader;

/// Whether a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More is to come.
    More,
    /// The event that ends it, or an error, is held in [`Meter::take_final`]. Bytes that still
    /// arrive join it.
    Ended,
}

/// Where the bytes of an event go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// On, now.
    Out,
    /// On, after the settlement, unless another event shows that this one was not the last.
    Held,
    /// Nowhere.
    Left,
}

/// What the events of a stream have shown so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) facts: AnswerFacts,
    pub(crate) tally: Tally,
    /// Events that carried something.
    pub(crate) events: u64,
    /// Choices or candidates that have begun and not stopped, a bit each.
    pub(crate) open: u128,
    /// Content blocks that have begun and not stopped, by their index.
    pub(crate) blocks: Vec<u64>,
    /// The event came that ends a stream of this form.
    pub(crate) done: bool,
    /// What came would do as an end, in a form that has no event of its own for it.
    pub(crate) stopped: bool,
    /// The endpoint whose stream an unknown one has turned out to be like.
    pub(crate) like: Option<Endpoint>,
}

impl Seen {
    /// What becomes of an event after which the stream stands like this.
    pub(crate) fn fate(&self) -> Fate {
        if self.is_over() || self.stopped { Fate::Held } else { Fate::Out }
    }

    fn is_over(&self) -> bool {
        self.done || self.facts.error.is_some()
    }
}

/// A stream that is to be ended from our side (see [`crate::dialect::cut_events`]).
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) framing: Framing,
    pub(crate) seen: &'a Seen,
}

/// One stream on its way through.
#[derive(Debug)]
pub struct Meter {
    endpoint: Endpoint,
    scanner: Scanner,
    reader: Reader,
    seen: Seen,
    failed: Option<StreamError>,
    /// What became of the last event.
    last: Fate,
    held: Vec<Bytes>,
}

impl Meter {
    /// A stream that starts. `keep_usage_chunk` says whether the client asked for the usage chunk
    /// (chat completions only).
    pub fn new(endpoint: Endpoint, rules: UsageRules, keep_usage_chunk: bool) -> Self {
        Self {
            endpoint,
            scanner: Scanner::of(endpoint),
            reader: Reader::of(endpoint, rules, keep_usage_chunk),
            seen: Seen::default(),
            failed: None,
            last: Fate::Out,
            held: Vec::new(),
        }
    }

    /// An answer that is no events but sound: every byte passes at once, nothing is learned, and it
    /// is whole when it ends. What it consumed is estimated from the request.
    pub fn opaque(endpoint: Endpoint) -> Self {
        let mut meter = Self::new(endpoint, UsageRules::default(), true);
        meter.scanner = Scanner::Opaque;
        meter
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
                Ok(Step::Event { end } | Step::Tail { end }) => end,
                Ok(Step::More) => break,
                Err(error) => {
                    self.flush(&run, chunk, out);
                    self.failed = Some(error);
                    return Err(error);
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
        Ok(if self.seen.is_over() { Flow::Ended } else { Flow::More })
    }

    /// Takes what is held for after the settlement, in order.
    pub fn take_final(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.held)
    }

    /// Bytes of generated text so far: no fewer than its tokens.
    pub fn text_bytes(&self) -> u64 {
        self.seen.tally.bytes()
    }

    /// Whether generated text has passed.
    pub fn first_token_seen(&self) -> bool {
        self.seen.tally.bytes() > 0
    }

    /// Facts so far.
    pub fn facts(&self) -> &AnswerFacts {
        &self.seen.facts
    }

    /// Tokens of the generated text, counted with `count` (see [`crate::count::count_tokens`]).
    /// Reasoning that the provider does not show is not in it.
    pub fn estimate_output(&self, count: impl FnOnce(&str) -> u64) -> u64 {
        self.seen.tally.estimate(count)
    }

    /// How the stream is divided; server-sent events where nothing has come that would tell.
    pub fn framing(&self) -> Framing {
        self.scanner.framing()
    }

    /// The stream has ended, in whatever way. An event that lacks only its end counts as well; its
    /// bytes join what [`Meter::take_final`] gives.
    pub fn finish(&mut self) -> StreamFacts {
        if self.scanner.has_kept() && self.failed.is_none() {
            let event = self.scanner.take_kept();
            if self.read(&event) != Fate::Left {
                self.held.push(event.into());
            }
        }
        let mut facts = StreamFacts {
            answer: self.seen.facts.clone(),
            done: self.seen.done || self.seen.stopped || self.framing() == Framing::Opaque,
            text_bytes: self.seen.tally.bytes(),
            first_token_seen: self.first_token_seen(),
        };
        if !facts.is_complete() {
            facts.answer.cut = facts.answer.error.is_none();
            // Some providers send a usage without the visible output until the end.
            if facts.answer.usage.is_some_and(|usage| !plausible(&usage, facts.text_bytes)) {
                facts.answer.break_off();
            }
        }
        self.reader.complete(&mut facts);
        facts
    }

    /// The number that the next event would have, in the form that numbers its events.
    pub fn next_sequence(&self) -> Option<u64> {
        self.endpoint.is_responses().then_some(self.seen.events)
    }

    /// What is needed to end this stream from our side.
    pub fn cut(&self) -> Cut<'_> {
        let endpoint = self.seen.like.unwrap_or(self.endpoint);
        Cut { endpoint, framing: self.framing(), seen: &self.seen }
    }

    /// Takes the facts of an event and says where its bytes go.
    fn read(&mut self, event: &[u8]) -> Fate {
        let event = self.scanner.read(event);
        self.reader.read(&event, &mut self.seen)
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
            Fate::Out => {
                out.append(&mut self.held);
                out.push(whole.into());
            }
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
        if run.start >= run.end {
            return;
        }
        let bytes = chunk.slice(run.start..run.end);
        match run.fate {
            Fate::Out => {
                out.append(&mut self.held);
                out.push(bytes);
            }
            Fate::Held => self.held.push(bytes),
            Fate::Left => {}
        }
    }
}

/// Bytes `start..end` of one chunk that share a fate.
struct Run {
    start: usize,
    end: usize,
    fate: Fate,
}

/// Whether a usage that is stated within a stream can stand for what has come of it.
fn plausible(usage: &Usage, text_bytes: u64) -> bool {
    usage.output > 0 || text_bytes == 0
}
