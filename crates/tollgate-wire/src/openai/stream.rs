//! What each event of a stream of the OpenAI form adds to the facts.
//!
//! Written for the hot path: a chunk of a chat repeats the members in front of its choices byte for
//! byte, so they are compared, not read; of the rest only what is asked for is looked at.

use std::borrow::Cow;

use crate::facts::{AnswerFacts, InbandError};
use crate::framing::Event;
use crate::inband::error_fields;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::meter::{Fate, Seen};
use crate::openai::answer::{member, response};
use crate::openai::text::generated;

use super::vendor::UsageRules;
use crate::endpoint::Endpoint;

/// The longest beginning of a chunk that is compared instead of read.
const PREFIX: usize = 1024;
/// How deep text is looked for inside a delta.
const DEPTH: u8 = 6;

/// What one chat chunk showed, beyond the facts.
#[derive(Default)]
struct Chunk {
    has_choices: bool,
    /// A choice stands in it.
    has_choice: bool,
    has_usage: bool,
    /// It carries something that is neither choice nor usage and that a client may wait for.
    has_more: bool,
}

/// Reads the events of one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    endpoint: Endpoint,
    rules: UsageRules,
    keep_usage: bool,
    /// The bytes of the last chunk object up to its choices: chunks repeat them, and what repeats
    /// need not be read again.
    prefix: Vec<u8>,
    searches: u64,
}

impl Reader {
    /// A reader; `keep_usage` says whether the client asked for the usage chunk.
    pub(crate) fn new(endpoint: Endpoint, rules: UsageRules, keep_usage: bool) -> Self {
        Self { endpoint, rules, keep_usage, prefix: Vec::new(), searches: 0 }
    }

    /// Takes the facts of an event and says where its bytes go. The `"usage":null` that asking for
    /// usage puts into other chunks stays: removing it would cost byte identity for nothing,
    /// clients ignore it.
    pub(crate) fn read(&mut self, event: &Event<'_>, seen: &mut Seen) -> Fate {
        let Some(data) = event.data.as_deref() else {
            return seen.fate();
        };
        if data.trim_ascii() == b"[DONE]" {
            seen.done = true;
            return Fate::Held;
        }
        seen.events += 1;
        if self.endpoint.is_responses() {
            self.response_event(event.name, data, seen);
            return seen.fate();
        }
        let chunk = self.chunk(data, seen);
        let only_usage = chunk.has_choices && !chunk.has_choice && chunk.has_usage;
        if only_usage && !chunk.has_more && !self.keep_usage {
            return Fate::Left;
        }
        seen.fate()
    }

    /// Adds the searches that were seen to a usage that states fewer.
    pub(crate) fn complete(&self, facts: &mut AnswerFacts) {
        if let Some(usage) = &mut facts.usage {
            usage.web_searches = usage.web_searches.max(self.searches);
        }
    }

    /// A chunk of a chat or a completion.
    fn chunk(&mut self, data: &[u8], seen: &mut Seen) -> Chunk {
        let mut chunk = Chunk::default();
        let repeated = data.strip_prefix(&*self.prefix).filter(|_| !self.prefix.is_empty());
        let mut pull = Pull::new(repeated.unwrap_or(data));
        if repeated.is_some() {
            choices(&mut pull, &mut chunk, seen);
        } else if !pull.enter_object() {
            return chunk;
        }
        while let Some(key) = pull.next_key() {
            match key {
                b"choices" => {
                    self.learn(data, &pull, &chunk, seen);
                    choices(&mut pull, &mut chunk, seen);
                }
                b"usage" => {
                    chunk.has_usage |= pull.next_byte() == Some(b'{');
                    self.member(key, &mut pull, seen);
                }
                b"error" => {
                    chunk.has_more = true;
                    self.member(key, &mut pull, seen);
                }
                b"object" => object(&mut pull, data, seen),
                b"x_groq" => {
                    chunk.has_usage = true;
                    self.member(key, &mut pull, seen);
                }
                b"moderation" | b"prompt_filter_results" => {
                    chunk.has_more = true;
                    pull.skip();
                }
                _ => self.member(key, &mut pull, seen),
            }
        }
        chunk
    }

    fn member(&self, key: &[u8], pull: &mut Pull<'_>, seen: &mut Seen) {
        member(key, pull, self.rules, true, &mut seen.facts);
    }

    /// Keeps the beginning of a chunk, up to the value of its choices, to compare the next with.
    fn learn(&mut self, data: &[u8], pull: &Pull<'_>, chunk: &Chunk, seen: &Seen) {
        let length = data.len() - pull.rest().len();
        let plain = !chunk.has_usage && !chunk.has_more && !chunk.has_choices;
        if plain && length <= PREFIX && seen.facts.error.is_none() {
            self.prefix.clear();
            self.prefix.extend_from_slice(data.get(..length).unwrap_or_default());
        }
    }

    /// An event of the responses form. Its name says what to look for; where there is no `event`
    /// line, its `type` does.
    fn response_event(&mut self, name: &[u8], data: &[u8], seen: &mut Seen) {
        let passing: [&[u8]; 5] =
            [b".done", b".added", b".searching", b".in_progress_item", b".partial_image"];
        if passing.iter().any(|end| name.ends_with(end)) {
            return;
        }
        let (mut kind, mut delta, mut object) = (Cow::Borrowed(name), None, None);
        let mut pull = Pull::new(data);
        if !pull.enter_object() {
            return;
        }
        while let Some(key) = pull.next_key() {
            match key {
                b"type" => {
                    if let Some(Text { raw }) = pull.string_or_skip() {
                        kind = Cow::Borrowed(raw);
                    }
                }
                b"delta" => delta = pull.string_or_skip(),
                b"response" => object = pull.skip(),
                _ => {
                    pull.skip();
                }
            }
        }
        let spoken = kind.starts_with(b"response.audio.");
        if let Some(text) = delta.filter(|_| kind.ends_with(b".delta") && !spoken) {
            seen.tally.push(text);
        }
        match &*kind {
            b"error" => seen.facts.error = Some(error_event(data)),
            b"response.web_search_call.completed" => self.searches += 1,
            _ => {}
        }
        if let Some(object) = object {
            response(&mut Pull::new(object), self.rules, &mut seen.facts);
            let ends: [&[u8]; 4] = [
                b"response.completed",
                b"response.incomplete",
                b"response.failed",
                b"response.cancelled",
            ];
            seen.done |= ends.contains(&&*kind);
            failed(&kind, &mut seen.facts);
        }
    }
}

/// `"object":"error"` marks a chunk that is an error as a whole (Mistral).
fn object(pull: &mut Pull<'_>, data: &[u8], seen: &mut Seen) {
    if pull.string_or_skip().is_some_and(|object| object.raw == b"error") {
        seen.facts.error = error_fields(&mut Pull::new(data));
    }
}

fn choices(pull: &mut Pull<'_>, chunk: &mut Chunk, seen: &mut Seen) {
    if !pull.enter_array() {
        pull.skip();
        return;
    }
    chunk.has_choices = true;
    while pull.next_item() {
        chunk.has_choice = true;
        if !pull.enter_object() {
            pull.skip();
            continue;
        }
        choice(pull, seen);
    }
}

fn choice(pull: &mut Pull<'_>, seen: &mut Seen) {
    let (mut index, mut stopped) = (0, false);
    while let Some(key) = pull.next_key() {
        match key {
            b"delta" | b"message" => generated(pull, &mut seen.tally, DEPTH),
            b"text" => {
                if let Some(text) = pull.string_or_skip() {
                    seen.tally.push(text);
                }
            }
            b"finish_reason" => {
                stopped = pull.next_byte() == Some(b'"');
                pull.keep(&mut seen.facts.finish_reason);
            }
            b"index" => index = small(pull.skip()),
            _ => {
                pull.skip();
            }
        }
    }
    let bit = 1u128.checked_shl(index).unwrap_or(0);
    seen.open = if stopped { seen.open & !bit } else { seen.open | bit };
}

/// A response that failed has an error, even where it does not say which.
fn failed(kind: &[u8], facts: &mut AnswerFacts) {
    if kind == b"response.failed" && facts.error.is_none() {
        facts.error = Some(InbandError {
            kind: Some("server_error".into()),
            message: "the response failed".into(),
            ..InbandError::default()
        });
    }
}

/// `{"type":"error","code":…,"message":…}`, or with the error in a member of its own.
fn error_event(data: &[u8]) -> InbandError {
    let mut error = error_fields(&mut Pull::new(data)).unwrap_or_default();
    error.kind.take_if(|kind| **kind == *"error");
    error
}

/// An index below 128; anything else is treated as one that is not followed.
fn small(raw: Option<&[u8]>) -> u32 {
    raw.and_then(|raw| str::from_utf8(raw).ok()).and_then(|text| text.parse().ok()).unwrap_or(999)
}
