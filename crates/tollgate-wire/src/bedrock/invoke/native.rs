//! Reads one document of a model's own form: a whole answer, or an event of its stream.

use super::with_caches;
use crate::bedrock::converse::{self, generated, skip};
use crate::dialect;
use crate::endpoint::Endpoint;
use crate::facts::{AnswerFacts, StreamFacts};
use crate::figures;
use crate::framing::Event;
use crate::json::lenient::Pull;
use crate::meter::Seen;
use crate::meter::reader::Reader;
use crate::openai::vendor;
use crate::tally::Tally;

/// How deep generated text is looked for.
const DEPTH: u8 = 6;

/// What has been stated so far; figures of later documents replace those of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Native {
    odd: bool,
    input: Option<u64>,
    output: Option<u64>,
    /// Bedrock's own count has come.
    metered: bool,
    foreign: Option<Box<Reader>>,
    /// The form tells lifetimes of the cache apart, which Bedrock's metrics do not.
    fine: bool,
}

impl Native {
    /// Takes what a document says; `false` where it ends too early.
    pub(super) fn document(&mut self, document: &[u8], seen: &mut Seen) -> bool {
        let foreign = foreign(document);
        if let Some(found) = foreign {
            self.fine |= found.0 == Endpoint::Messages;
            self.foreign(document, found, seen);
        }
        let mut pull = Pull::new(document);
        pull.object(|pull, key| match key {
            b"amazon-bedrock-invocationMetrics" => self.metrics(pull, seen),
            _ if foreign.is_none() => self.member(key, pull, seen),
            _ => skip(pull),
        });
        self.settle(&mut seen.facts);
        pull.ended_well()
    }

    /// Takes a document of another dialect: a whole answer, or an event of its stream.
    fn foreign(&mut self, document: &[u8], (endpoint, event): (Endpoint, bool), seen: &mut Seen) {
        if event {
            let new = || Box::new(Reader::of(endpoint, vendor::UNKNOWN.usage, true));
            let event = Event { name: b"", data: Some(document.into()) };
            self.foreign.get_or_insert_with(new).read(&event, seen);
        } else {
            seen.facts = dialect::read_answer(endpoint, vendor::UNKNOWN.usage, document);
        }
    }

    /// Adds to the facts of an ended stream what the reader of another dialect counted.
    pub(super) fn complete(&self, facts: &mut StreamFacts) {
        if let Some(reader) = &self.foreign {
            reader.complete(facts);
        }
    }

    fn member(&mut self, key: &[u8], pull: &mut Pull<'_>, seen: &mut Seen) {
        let Seen { facts, tally, .. } = seen;
        match key {
            // Nova, whose events are those of Converse, and its whole answer.
            b"contentBlockStart" | b"contentBlockDelta" | b"messageStop" | b"metadata" => {
                seen.done |= converse::event(key, pull, facts, tally);
            }
            b"output" => generated(pull, tally, DEPTH),
            b"usage" | b"stopReason" => converse::member(key, pull, facts),
            // Titan.
            b"results" => pull.array(|pull| {
                pull.object(|pull, key| self.member_of_result(key, pull, facts, tally));
            }),
            b"inputTextTokenCount" | b"prompt_token_count" => {
                self.input = figures::count(pull, &mut self.odd).or(self.input);
            }
            b"totalOutputTextTokenCount" | b"generation_token_count" => {
                self.output = figures::count(pull, &mut self.odd).or(self.output);
            }
            // Embeddings: nothing is generated.
            b"embedding" | b"embeddings" | b"embeddingsByType" => {
                self.output = Some(0);
                skip(pull);
            }
            // Mistral, Cohere.
            b"outputs" | b"generations" => pull.array(|pull| {
                pull.object(|pull, key| self.member_of_result(key, pull, facts, tally));
            }),
            _ => self.member_of_result(key, pull, facts, tally),
        }
    }

    /// A member of one result, or of a document that is one.
    fn member_of_result(
        &mut self,
        key: &[u8],
        pull: &mut Pull<'_>,
        facts: &mut AnswerFacts,
        tally: &mut Tally,
    ) {
        match key {
            b"outputText" | b"generation" | b"text" | b"completion" => {
                if let Some(text) = pull.string_or_skip() {
                    tally.push(text);
                }
            }
            b"tokenCount" => self.output = figures::count(pull, &mut self.odd).or(self.output),
            b"completionReason" | b"stop_reason" | b"finish_reason" => {
                pull.keep(&mut facts.finish_reason);
            }
            _ => skip(pull),
        }
    }

    /// What Bedrock itself counted; it comes with the last document of a stream.
    fn metrics(&mut self, pull: &mut Pull<'_>, seen: &mut Seen) {
        let (mut input, mut output, mut read, mut written) = (None, None, 0, 0);
        pull.object(|pull, key| match key {
            b"inputTokenCount" => input = figures::count(pull, &mut self.odd),
            b"outputTokenCount" => output = figures::count(pull, &mut self.odd),
            b"cacheReadInputTokenCount" => read = figures::count(pull, &mut self.odd).unwrap_or(0),
            b"cacheWriteInputTokenCount" => {
                written = figures::count(pull, &mut self.odd).unwrap_or(0);
            }
            _ => skip(pull),
        });
        seen.done = true;
        let (Some(input), Some(output)) = (input, output) else { return };
        if !(self.fine && seen.facts.usage.is_some()) {
            seen.facts.usage = Some(with_caches(input, output, read, written));
        }
        self.metered = true;
    }

    fn settle(&self, facts: &mut AnswerFacts) {
        facts.anomaly |= self.odd;
        if self.metered || self.foreign.is_some() {
            return;
        }
        if let (Some(input), Some(output)) = (self.input, self.output) {
            facts.usage = Some(with_caches(input, output, 0, 0));
        }
    }
}

/// The endpoint whose form a document has, told by members of its top level, and whether it is an
/// event of a stream.
pub(super) fn foreign(document: &[u8]) -> Option<(Endpoint, bool)> {
    let (mut found, mut chunk) = (None, false);
    Pull::new(document).object(|pull, key| match key {
        b"choices" => {
            let choices = pull.skip().unwrap_or_default();
            chunk |= memchr::memmem::find(choices, b"\"delta\"").is_some();
            found = found.or(Some((Endpoint::ChatCompletions, false)));
        }
        b"object" => {
            let object = pull.string_or_skip();
            chunk |= object.is_some_and(|object| object.raw == b"chat.completion.chunk");
        }
        b"type" => {
            let kind = pull.string_or_skip().map(|kind| kind.raw).unwrap_or_default();
            let event = matches!(kind, b"ping" | b"error")
                || kind.starts_with(b"message_")
                || kind.starts_with(b"content_block_");
            if event || kind == b"message" {
                found = Some((Endpoint::Messages, event));
            }
        }
        _ => skip(pull),
    });
    found.map(|(endpoint, event)| (endpoint, event || chunk))
}
