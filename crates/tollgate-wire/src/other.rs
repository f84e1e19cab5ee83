//! Answers of operations that are not known: the usage is looked for in the usual places.
//!
//! Which form an answer has is told by the members of its top level; then it is read as that form.
//! What has none of them states nothing, and unknown is not zero (PRICE-1).

use tollgate_domain::usage::Usage;

use crate::dialect;
use crate::endpoint::Endpoint;
use crate::facts::{AnswerFacts, InbandError};
use crate::figures;
use crate::framing::Event;
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::meter::{Fate, Seen};
use crate::openai::UsageRules;

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    /// Like the answers of this endpoint, by its very form.
    Like(Endpoint),
    /// It has a usage like theirs, in a form of its own.
    States(Endpoint),
    /// `usage_metadata` with snake-case members: Gemini's figures behind somebody's own form.
    SnakeGemini,
    /// `predictions` of Vertex, each with statistics of its own (embeddings).
    Predictions,
}

/// The facts of a whole answer. Never fails: what cannot be read is not stated.
pub(crate) fn read_answer(rules: UsageRules, body: &[u8]) -> AnswerFacts {
    match looks(body) {
        Some(Looks::Like(endpoint) | Looks::States(endpoint)) => {
            dialect::read_answer(endpoint, rules, body)
        }
        Some(Looks::SnakeGemini) => own_form(body, b"usage_metadata", snake),
        Some(Looks::Predictions) => own_form(body, b"predictions", predictions),
        None => {
            let mut pull = Pull::new(body);
            pull.skip();
            let cut = !pull.ended_well() || body.is_empty();
            AnswerFacts { error: error_of(body), cut, ..AnswerFacts::default() }
        }
    }
}

/// Counts the generated text of a whole answer without usage. Where its form is not known, all of
/// it counts: that errs towards more, and unknown is not zero.
pub(crate) fn answer_text(body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    match looks(body) {
        Some(Looks::Like(endpoint)) => dialect::answer_text(endpoint, body, count),
        _ => count(&String::from_utf8_lossy(body)),
    }
}

/// The endpoint like whose streams this one is, where an event tells.
pub(crate) fn stream_like(event: &[u8]) -> Option<Endpoint> {
    match looks(event) {
        Some(Looks::Like(endpoint)) => Some(match endpoint {
            Endpoint::GenerateContent => Endpoint::StreamGenerateContent,
            endpoint => endpoint,
        }),
        _ => None,
    }
}

/// Takes an event of a form that is not known. Any usage would do as an end; without one, all that
/// comes counts as generated.
pub(crate) fn read_event(rules: UsageRules, event: &Event<'_>, seen: &mut Seen) -> Fate {
    let Some(data) = event.data.as_deref() else { return seen.fate() };
    if data.trim_ascii() == b"[DONE]" {
        seen.done = true;
        return Fate::Held;
    }
    seen.events += 1;
    let facts = read_answer(rules, data);
    if let Some(usage) = facts.usage {
        seen.facts.usage = Some(usage);
        seen.facts.anomaly = facts.anomaly;
        seen.stopped = true;
    } else {
        seen.tally.push(Text { raw: data });
    }
    let slots = [
        (&mut seen.facts.model, facts.model),
        (&mut seen.facts.id, facts.id),
        (&mut seen.facts.service_tier, facts.service_tier),
        (&mut seen.facts.finish_reason, facts.finish_reason),
    ];
    for (slot, found) in slots {
        *slot = found.or_else(|| slot.take());
    }
    seen.facts.error = facts.error.or_else(|| seen.facts.error.take());
    seen.fate()
}

/// The error of an answer of status 200 that has nothing else to say.
fn error_of(body: &[u8]) -> Option<InbandError> {
    let mut has_error = false;
    Pull::new(body).object(|pull, key| {
        let value = pull.skip();
        has_error |= key == b"error" && value.is_some_and(|value| value.starts_with(b"{"));
    });
    has_error.then(|| dialect::read_error(body)).flatten()
}

/// What a document looks like, be it a whole answer or an event of a stream.
fn looks(document: &[u8]) -> Option<Looks> {
    let mut looks = None;
    let mut stated = None;
    Pull::new(document).object(|pull, key| match key {
        b"usage" => stated = by_usage(pull).or(stated),
        b"meta" => {
            let raw = pull.skip().unwrap_or_default();
            let billed = memchr::memmem::find(raw, b"\"billed_units\"").is_some();
            stated = stated.or_else(|| billed.then_some(Endpoint::CohereEmbed));
        }
        b"type" | b"object" => {
            let kind = pull.string_or_skip().map(|kind| kind.raw).unwrap_or_default();
            looks = by_kind(kind).map(Looks::Like).or(looks);
        }
        key => {
            looks = looks.or_else(|| by_member(key));
            pull.skip();
        }
    });
    looks.or_else(|| stated.map(Looks::States))
}

/// By a member that only one form has.
fn by_member(key: &[u8]) -> Option<Looks> {
    Some(match key {
        b"choices" => Looks::Like(Endpoint::ChatCompletions),
        b"candidates" | b"usageMetadata" | b"promptFeedback" => {
            Looks::Like(Endpoint::GenerateContent)
        }
        b"prompt_eval_count" | b"eval_count" => Looks::Like(Endpoint::OllamaChat),
        b"usage_metadata" => Looks::SnakeGemini,
        b"predictions" => Looks::Predictions,
        _ => return None,
    })
}

/// By the word that a document names itself with.
fn by_kind(kind: &[u8]) -> Option<Endpoint> {
    let responses = kind == b"response" || kind.starts_with(b"response.");
    let messages = kind == b"message" || kind.starts_with(b"message_") || kind == b"ping";
    let media = kind.starts_with(b"transcript.")
        || kind.starts_with(b"speech.")
        || kind.starts_with(b"image_");
    if responses {
        Some(Endpoint::Responses)
    } else if messages {
        Some(Endpoint::Messages)
    } else if media {
        Some(Endpoint::Images)
    } else if kind == b"message-start" || kind == b"message-end" || kind == b"stream-end" {
        Some(Endpoint::CohereChat)
    } else {
        None
    }
}

/// By the members of a usage. One without any output is of an operation that generates nothing
/// (embeddings, rankings), as Voyage states it: `{"total_tokens":7}`.
fn by_usage(pull: &mut Pull<'_>) -> Option<Endpoint> {
    let mut like = None;
    pull.object(|pull, key| {
        let value = pull.skip();
        let endpoint = match key {
            b"billed_units" => Endpoint::CohereChat,
            b"inputTokens" | b"outputTokens" => Endpoint::Converse,
            b"cache_read_input_tokens" | b"cache_creation_input_tokens" => Endpoint::Messages,
            b"completion_tokens" | b"output_tokens" if like.is_none() => Endpoint::ChatCompletions,
            b"prompt_tokens" | b"input_tokens" | b"total_tokens" if like.is_none() => {
                Endpoint::Embeddings
            }
            b"completion_tokens" | b"output_tokens" if like == Some(Endpoint::Embeddings) => {
                Endpoint::ChatCompletions
            }
            b"seconds" if like.is_none() => Endpoint::Transcriptions,
            _ => return,
        };
        if value.is_some_and(|value| value != b"null") {
            like = Some(endpoint);
        }
    });
    like
}

/// The facts of an answer in a form that no endpoint has.
fn own_form(body: &[u8], member: &[u8], read: fn(&mut Pull<'_>) -> Option<Usage>) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut pull = Pull::new(body);
    pull.object(|pull, key| {
        if key == member {
            facts.usage = read(pull);
        } else {
            pull.skip();
        }
    });
    facts.cut = !pull.ended_well() || body.is_empty();
    facts
}

/// Thoughts are output and stand outside of the candidates.
fn snake(pull: &mut Pull<'_>) -> Option<Usage> {
    let (mut input, mut output, mut thoughts, mut cached, mut odd) = (None, None, 0, 0, false);
    pull.object(|pull, key| match key {
        b"prompt_token_count" | b"input_tokens" => input = figures::count(pull, &mut odd),
        b"candidates_token_count" | b"output_tokens" => output = figures::count(pull, &mut odd),
        b"thoughts_token_count" => thoughts = figures::count(pull, &mut odd).unwrap_or(0),
        b"cached_content_token_count" => cached = figures::count(pull, &mut odd).unwrap_or(0),
        _ => {
            pull.skip();
        }
    });
    let output = output?.saturating_add(thoughts);
    let mut usage =
        Usage { reasoning: thoughts, cache_read: cached, ..Usage::tokens(input?, output) };
    usage.clamp_parts();
    Some(usage)
}

/// The sum over `predictions[].embeddings.statistics.token_count`; unknown where one states none.
fn predictions(pull: &mut Pull<'_>) -> Option<Usage> {
    let (mut sum, mut all) = (0u64, true);
    let mut any = false;
    pull.array(|pull| {
        let mut tokens = None;
        pull.object(|pull, key| match key {
            b"embeddings" => pull.object(|pull, key| match key {
                b"statistics" => pull.object(|pull, key| {
                    let value = pull.skip();
                    if key == b"token_count" {
                        tokens = value
                            .and_then(|value| figures::count(&mut Pull::new(value), &mut false));
                    }
                }),
                _ => {
                    pull.skip();
                }
            }),
            _ => {
                pull.skip();
            }
        });
        any = true;
        all &= tokens.is_some();
        sum = sum.saturating_add(tokens.unwrap_or(0));
    });
    (any && all).then(|| Usage::tokens(sum, 0))
}
