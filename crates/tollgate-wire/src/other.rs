//! Answers of operations that are not known: the usage is looked for in the usual places.
//!
//! Which form an answer has is told by the members of its top level; then it is read as that form.
//! What has none of them states nothing, and unknown is not zero (PRICE-1).

use tollgate_domain::usage::Usage;

use crate::endpoint::Endpoint;
use crate::facts::AnswerFacts;
use crate::figures;
use crate::json::lenient::Pull;

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// Like the answers of this endpoint.
    Like(Endpoint),
    /// `usage_metadata` with snake-case members: Gemini's figures behind somebody's own form.
    SnakeGemini,
    /// `predictions` of Vertex, each with statistics of its own (embeddings).
    Predictions,
}

/// What a document looks like, be it a whole answer or an event of a stream.
pub(crate) fn looks(document: &[u8]) -> Option<Looks> {
    let mut looks = None;
    let mut stated = None;
    Pull::new(document).object(|pull, key| match key {
        b"choices" => found(&mut looks, Endpoint::ChatCompletions, pull),
        b"candidates" | b"usageMetadata" | b"promptFeedback" => {
            found(&mut looks, Endpoint::GenerateContent, pull);
        }
        b"prompt_eval_count" | b"eval_count" => found(&mut looks, Endpoint::OllamaChat, pull),
        b"billed_units" => found(&mut looks, Endpoint::CohereEmbed, pull),
        b"type" | b"object" => {
            let kind = pull.string_or_skip().map(|kind| kind.raw).unwrap_or_default();
            if let Some(endpoint) = by_kind(kind) {
                looks = Some(Looks::Like(endpoint));
            }
        }
        b"usage_metadata" => {
            looks = looks.or(Some(Looks::SnakeGemini));
            pull.skip();
        }
        b"predictions" => {
            looks = looks.or(Some(Looks::Predictions));
            pull.skip();
        }
        b"usage" => stated = by_usage(pull).or(stated),
        b"meta" => {
            let billed = pull.skip().is_some_and(|raw| holds(raw, b"\"billed_units\""));
            if billed {
                stated = Some(Endpoint::CohereEmbed);
            }
        }
        _ => {
            pull.skip();
        }
    });
    looks.or(stated.map(Looks::Like))
}

fn found(looks: &mut Option<Looks>, endpoint: Endpoint, pull: &mut Pull<'_>) {
    *looks = looks.or(Some(Looks::Like(endpoint)));
    pull.skip();
}

/// By the word that a document names itself with.
fn by_kind(kind: &[u8]) -> Option<Endpoint> {
    let responses = kind == b"response" || kind.starts_with(b"response.");
    let messages = kind == b"message" || kind.starts_with(b"message_") || kind == b"ping";
    let media = kind.starts_with(b"transcript.") || kind.starts_with(b"speech.")
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

fn holds(raw: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(raw, part).is_some()
}

/// The facts of an answer in one of the two forms that no endpoint has.
pub(crate) fn read_answer(looks: Looks, body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut pull = Pull::new(body);
    pull.object(|pull, key| match (looks, key) {
        (Looks::SnakeGemini, b"usage_metadata") => facts.usage = snake(pull),
        (Looks::Predictions, b"predictions") => facts.usage = predictions(pull),
        _ => {
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
                        tokens = value.and_then(|value| figures::count(&mut Pull::new(value), &mut false));
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
