//! What each event of a stream adds to the facts.
//!
//! Written for the hot path: a chunk of a chat repeats the members in front of its choices byte for
//! byte, so they are compared, not read; of the rest only what is asked for is looked at.

use std::borrow::Cow;

use crate::facts::{AnswerFacts, InbandError};
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::openai::answer::{keep, member, response};
use crate::openai::error::error_fields;
use crate::openai::text::generated;
use crate::sse::Event;

use super::{Fate, OpenAiStream};

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

impl OpenAiStream {
    /// Takes the facts of an event and says where its bytes go.
    pub(super) fn read(&mut self, event: &[u8]) -> Fate {
        let (name, data) = match self.scanner.read(event) {
            Event { data: None, .. } => return self.fate(),
            Event { name, data: Some(data) } => (name, data),
        };
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Fate::Held;
        }
        if self.endpoint.is_responses() {
            self.response_event(name, &data);
            self.events += 1;
            return self.fate();
        }
        let chunk = self.chunk(&data);
        self.events += 1;
        let only_usage = chunk.has_choices && !chunk.has_choice && chunk.has_usage;
        if only_usage && !chunk.has_more && !self.keep_usage {
            return Fate::Left;
        }
        self.fate()
    }

    fn fate(&self) -> Fate {
        if self.is_over() { Fate::Held } else { Fate::Out }
    }

    /// A chunk of a chat or a completion.
    fn chunk(&mut self, data: &[u8]) -> Chunk {
        let mut chunk = Chunk::default();
        let repeated = data.strip_prefix(&*self.prefix).filter(|_| !self.prefix.is_empty());
        let mut pull = Pull::new(repeated.unwrap_or(data));
        if repeated.is_some() {
            self.choices(&mut pull, &mut chunk);
        } else if !pull.enter_object() {
            return chunk;
        }
        while let Some(key) = pull.next_key() {
            match key {
                b"choices" => {
                    self.learn(data, &pull, &chunk);
                    self.choices(&mut pull, &mut chunk);
                }
                b"usage" => {
                    chunk.has_usage |= pull.next_byte() == Some(b'{');
                    self.member(key, &mut pull);
                }
                b"error" => {
                    chunk.has_more = true;
                    self.member(key, &mut pull);
                }
                b"object" => self.object(&mut pull, data),
                b"x_groq" => {
                    chunk.has_usage = true;
                    self.member(key, &mut pull);
                }
                b"moderation" | b"prompt_filter_results" => {
                    chunk.has_more = true;
                    pull.skip();
                }
                _ => self.member(key, &mut pull),
            }
        }
        chunk
    }

    fn member(&mut self, key: &[u8], pull: &mut Pull<'_>) {
        member(key, pull, self.rules, true, &mut self.facts);
    }

    /// Keeps the beginning of a chunk, up to the value of its choices, to compare the next with.
    fn learn(&mut self, data: &[u8], pull: &Pull<'_>, chunk: &Chunk) {
        let length = data.len() - pull.rest().len();
        let plain = !chunk.has_usage && !chunk.has_more && !chunk.has_choices;
        if plain && length <= PREFIX && self.facts.error.is_none() {
            self.prefix.clear();
            self.prefix.extend_from_slice(data.get(..length).unwrap_or_default());
        }
    }

    /// `"object":"error"` marks a chunk that is an error as a whole (Mistral).
    fn object(&mut self, pull: &mut Pull<'_>, data: &[u8]) {
        if pull.string_or_skip().is_some_and(|object| object.raw == b"error") {
            self.facts.error = error_fields(&mut Pull::new(data));
        }
    }

    fn choices(&mut self, pull: &mut Pull<'_>, chunk: &mut Chunk) {
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
            self.choice(pull);
        }
    }

    fn choice(&mut self, pull: &mut Pull<'_>) {
        let (mut index, mut stopped) = (0, false);
        while let Some(key) = pull.next_key() {
            match key {
                b"delta" | b"message" => generated(pull, &mut self.tally, DEPTH),
                b"text" => {
                    if let Some(text) = pull.string_or_skip() {
                        self.tally.push(text);
                    }
                }
                b"finish_reason" => {
                    stopped = pull.next_byte() == Some(b'"');
                    keep(&mut self.facts.finish_reason, pull);
                }
                b"index" => index = small(pull.skip()),
                _ => {
                    pull.skip();
                }
            }
        }
        let bit = 1u128.checked_shl(index).unwrap_or(0);
        self.open = if stopped { self.open & !bit } else { self.open | bit };
    }

    /// An event of the responses form. Its name says what to look for; where there is no `event`
    /// line, its `type` does.
    fn response_event(&mut self, name: &[u8], data: &[u8]) {
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
            self.tally.push(text);
        }
        match &*kind {
            b"error" => self.facts.error = Some(error_event(data)),
            b"response.web_search_call.completed" => self.searches += 1,
            _ => {}
        }
        if let Some(object) = object {
            response(&mut Pull::new(object), self.rules, &mut self.facts);
            let ends: [&[u8]; 4] = [
                b"response.completed",
                b"response.incomplete",
                b"response.failed",
                b"response.cancelled",
            ];
            self.done |= ends.contains(&&*kind);
            failed(&kind, &mut self.facts);
        }
    }
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
