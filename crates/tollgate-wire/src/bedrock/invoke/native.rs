//! Reads one document of a model's own form: a whole answer, or an event of its stream.

use super::with_caches;
use crate::bedrock::converse::{self, generated, keep, skip};
use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::figures::{Figures, array, object};
use crate::framing::Event;
use crate::json::lenient::Pull;
use crate::meter::Seen;
use crate::openai::{self, UsageRules, vendor};
use crate::tally::Tally;

/// How deep generated text is looked for.
const DEPTH: u8 = 6;

/// What has been stated so far; figures of later documents replace those of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Native {
    figures: Figures,
    input: Option<u64>,
    output: Option<u64>,
    /// Bedrock's own count: it wins over the model's, except where that is finer.
    metered: bool,
    openai: Option<openai::Reader>,
    claude: bool,
}

/// Whose form a document has.
enum Form {
    Claude,
    Openai,
    Other,
}

impl Native {
    /// Takes what a document says; `false` where it ends too early.
    pub(super) fn document(&mut self, document: &[u8], seen: &mut Seen) -> bool {
        match form(document) {
            Form::Claude => self.claude(document, seen),
            Form::Openai => self.openai(document, seen),
            Form::Other => {}
        }
        let other = matches!(form(document), Form::Other);
        let mut pull = Pull::new(document);
        object(&mut pull, |key, pull| match key {
            b"amazon-bedrock-invocationMetrics" => self.metrics(pull, seen),
            _ if other => self.member(key, pull, seen),
            _ => skip(pull),
        });
        self.settle(&mut seen.facts);
        pull.ended_well()
    }

    fn claude(&mut self, _document: &[u8], _seen: &mut Seen) {
        self.claude = true;
    }

    fn openai(&mut self, document: &[u8], seen: &mut Seen) {
        let whole = openai::read_answer(Endpoint::ChatCompletions, rules(), document);
        let is_chunk = memchr::memmem::find(document, b"\"delta\"").is_some();
        if !is_chunk && whole.usage.is_some() {
            seen.facts = whole;
            return;
        }
        let new = || openai::Reader::new(Endpoint::ChatCompletions, rules(), true);
        let reader = self.openai.get_or_insert_with(new);
        let event = Event { name: b"", data: Some(document.into()) };
        reader.read(&event, seen);
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
            b"results" => array(pull, |pull| {
                object(pull, |key, pull| self.member_of_result(key, pull, facts, tally));
            }),
            b"inputTextTokenCount" | b"prompt_token_count" => {
                self.input = self.figures.count(pull).or(self.input);
            }
            b"totalOutputTextTokenCount" | b"generation_token_count" => {
                self.output = self.figures.count(pull).or(self.output);
            }
            // Embeddings: nothing is generated.
            b"embedding" | b"embeddings" | b"embeddingsByType" => {
                self.output = Some(0);
                skip(pull);
            }
            // Mistral, Cohere.
            b"outputs" | b"generations" => array(pull, |pull| {
                object(pull, |key, pull| self.member_of_result(key, pull, facts, tally));
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
            b"tokenCount" => self.output = self.figures.count(pull).or(self.output),
            b"completionReason" | b"stop_reason" | b"finish_reason" => {
                keep(&mut facts.finish_reason, pull.string_or_skip());
            }
            _ => skip(pull),
        }
    }

    /// What Bedrock itself counted; it comes with the last document of a stream.
    fn metrics(&mut self, pull: &mut Pull<'_>, seen: &mut Seen) {
        let (mut input, mut output, mut read, mut written) = (None, None, 0, 0);
        object(pull, |key, pull| match key {
            b"inputTokenCount" => input = self.figures.count(pull),
            b"outputTokenCount" => output = self.figures.count(pull),
            b"cacheReadInputTokenCount" => read = self.figures.part(pull),
            b"cacheWriteInputTokenCount" => written = self.figures.part(pull),
            _ => skip(pull),
        });
        seen.done = true;
        let (Some(input), Some(output)) = (input, output) else { return };
        // The messages form tells lifetimes of the cache apart, the metrics do not.
        if !(self.claude && seen.facts.usage.is_some()) {
            seen.facts.usage = Some(with_caches(input, output, read, written));
        }
        self.metered = true;
    }

    fn settle(&self, facts: &mut AnswerFacts) {
        facts.anomaly |= self.figures.odd;
        if self.metered || self.claude {
            return;
        }
        if let (Some(input), Some(output)) = (self.input, self.output) {
            facts.usage = Some(with_caches(input, output, 0, 0));
        }
    }
}

fn rules() -> UsageRules {
    vendor::UNKNOWN.usage
}

/// Told by members of the top level.
fn form(document: &[u8]) -> Form {
    let mut form = Form::Other;
    object(&mut Pull::new(document), |key, pull| match key {
        b"choices" => {
            form = Form::Openai;
            skip(pull);
        }
        b"type" => {
            let kind = pull.string_or_skip().map(|kind| kind.raw);
            let claude = kind.is_some_and(|kind| {
                kind == b"message"
                    || kind == b"ping"
                    || kind == b"error"
                    || kind.starts_with(b"message_")
                    || kind.starts_with(b"content_block_")
            });
            if claude {
                form = Form::Claude;
            }
        }
        _ => skip(pull),
    });
    form
}
