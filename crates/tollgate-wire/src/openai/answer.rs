//! Reads what an answer of the OpenAI form says about itself: whole bodies, and the objects that
//! streams carry.
//!
//! Only members of the top level count: generated text may well contain the word "usage".

use tollgate_domain::usage::Usage;

use crate::facts::{AnswerFacts, InbandError, ResponseStatus};
use crate::json::Text;
use crate::json::lenient::Pull;
use crate::tally::Tally;

use super::Endpoint;
use super::usage;
use super::vendor::UsageRules;

/// How much of an error's message is kept.
const MESSAGE: usize = 1024;
/// How deep text is looked for inside a message.
const DEPTH: u8 = 8;

/// Reads the facts of a whole answer. Never fails: what cannot be read is not stated, and a body
/// that ends too early is marked [`AnswerFacts::cut`].
pub fn read_answer(endpoint: Endpoint, rules: UsageRules, body: &[u8]) -> AnswerFacts {
    let mut facts = AnswerFacts::default();
    let mut pull = Pull::new(body);
    if endpoint.is_responses() {
        response(&mut pull, rules, &mut facts);
    } else if pull.enter_object() {
        while let Some(key) = pull.next_key() {
            match key {
                b"choices" => finish_reasons(&mut pull, &mut facts),
                _ => member(key, &mut pull, rules, endpoint.generates(), &mut facts),
            }
        }
    } else {
        pull.skip();
    }
    if !endpoint.is_billed() {
        facts.usage = None;
    }
    facts.cut = !pull.ended_well() || body.is_empty();
    facts
}

/// Reads the error of a body with an error status, in any of the forms that vendors use:
/// `{"error":{…}}`, `{"error":"…"}`, `{"message":…}`, `{"detail":…}`, or the first of a list.
pub fn read_error(body: &[u8]) -> Option<InbandError> {
    let mut pull = Pull::new(body);
    if pull.enter_array() && !pull.next_item() {
        return None;
    }
    error_fields(&mut pull).filter(|error| *error != InbandError::default())
}

/// Counts the generated text of a whole answer with `count`, for an answer without usage.
pub fn answer_text(endpoint: Endpoint, body: &[u8], count: impl FnOnce(&str) -> u64) -> u64 {
    let mut tally = Tally::default();
    let mut pull = Pull::new(body);
    let list: &[u8] = if endpoint.is_responses() {
        b"output"
    } else {
        b"choices"
    };
    if endpoint.generates() && pull.enter_object() {
        while let Some(key) = pull.next_key() {
            if key == list {
                generated(&mut pull, &mut tally, DEPTH);
            } else {
                pull.skip();
            }
        }
    }
    tally.estimate(count)
}

/// Reads one top-level member of a completion or a chunk, except its choices.
pub(super) fn member(
    key: &[u8],
    pull: &mut Pull<'_>,
    rules: UsageRules,
    generates: bool,
    facts: &mut AnswerFacts,
) {
    match key {
        b"usage" => {
            if usage::read(pull, rules, generates, facts) {
                facts.usage_is_secondary = false;
            }
        }
        b"x_groq" => groq(pull, rules, generates, facts),
        b"model" => keep(&mut facts.model, pull),
        b"id" => keep(&mut facts.id, pull),
        b"service_tier" => keep(&mut facts.service_tier, pull),
        b"created" => facts.created = seconds(pull.skip()),
        b"error" => {
            if let Some(error) = error_value(pull) {
                facts.error = Some(error);
            }
        }
        _ => {
            pull.skip();
        }
    }
}

/// Groq repeats the usage here; where it stands alone it is the only one.
fn groq(pull: &mut Pull<'_>, rules: UsageRules, generates: bool, facts: &mut AnswerFacts) {
    if !pull.enter_object() {
        pull.skip();
        return;
    }
    while let Some(key) = pull.next_key() {
        match key {
            b"usage" if facts.usage.is_none() || facts.usage_is_secondary => {
                facts.usage_is_secondary |= usage::read(pull, rules, generates, facts);
            }
            b"error" => facts.error = error_value(pull).or_else(|| facts.error.take()),
            _ => {
                pull.skip();
            }
        }
    }
}

/// Reads a response object (responses form), which is also what the last event of a stream holds.
pub(super) fn response(pull: &mut Pull<'_>, rules: UsageRules, facts: &mut AnswerFacts) {
    if !pull.enter_object() {
        pull.skip();
        return;
    }
    let (mut searches, mut stated, mut files) = (0, None, 0);
    while let Some(key) = pull.next_key() {
        match key {
            b"output" => (searches, files) = hosted_calls(pull),
            b"tool_usage" => stated = searches_stated(pull),
            b"status" => {
                let word = pull.string_or_skip().and_then(Text::decode);
                facts.status = word.and_then(|word| ResponseStatus::from_word(&word));
            }
            b"incomplete_details" => reason(pull, facts),
            b"created_at" => facts.created = seconds(pull.skip()),
            _ => member(key, pull, rules, true, facts),
        }
    }
    if let Some(usage) = &mut facts.usage {
        usage.web_searches = usage.web_searches.max(stated.unwrap_or(searches));
        usage.file_searches = files;
    }
    if facts.status == Some(ResponseStatus::Completed) && facts.finish_reason.is_none() {
        facts.finish_reason = Some("completed".into());
    }
}

/// Counts the searches among the output items. Opening a page that a search found is no search.
fn hosted_calls(pull: &mut Pull<'_>) -> (u64, u64) {
    let (mut web, mut files) = (0, 0);
    if !pull.enter_array() {
        pull.skip();
        return (0, 0);
    }
    while pull.next_item() {
        if !pull.enter_object() {
            pull.skip();
            continue;
        }
        let (mut kind, mut action) = (None, None);
        while let Some(key) = pull.next_key() {
            match key {
                b"type" => kind = pull.string_or_skip(),
                b"action" => action = type_of(pull),
                _ => {
                    pull.skip();
                }
            }
        }
        let searched = action.is_none_or(|action| action.raw == b"search");
        match kind.map(|kind| kind.raw) {
            Some(b"web_search_call") => web += u64::from(searched),
            Some(b"file_search_call") => files += 1,
            _ => {}
        }
    }
    (web, files)
}

fn type_of<'a>(pull: &mut Pull<'a>) -> Option<Text<'a>> {
    if !pull.enter_object() {
        pull.skip();
        return None;
    }
    let mut kind = None;
    while let Some(key) = pull.next_key() {
        if key == b"type" {
            kind = pull.string_or_skip();
        } else {
            pull.skip();
        }
    }
    kind
}

/// `tool_usage.web_search.num_requests`
fn searches_stated(pull: &mut Pull<'_>) -> Option<u64> {
    let mut stated = None;
    within(pull, b"web_search", &mut |pull| {
        within(pull, b"num_requests", &mut |pull| {
            stated = seconds(pull.skip());
        });
    });
    stated
}

/// Reads an object and hands the member `name` to `each`, which must read its value.
fn within(pull: &mut Pull<'_>, name: &[u8], each: &mut dyn FnMut(&mut Pull<'_>)) {
    if !pull.enter_object() {
        pull.skip();
        return;
    }
    while let Some(key) = pull.next_key() {
        if key == name {
            each(pull);
        } else {
            pull.skip();
        }
    }
}

fn reason(pull: &mut Pull<'_>, facts: &mut AnswerFacts) {
    let finish = &mut facts.finish_reason;
    within(pull, b"reason", &mut |pull| keep(finish, pull));
}

fn finish_reasons(pull: &mut Pull<'_>, facts: &mut AnswerFacts) {
    if !pull.enter_array() {
        pull.skip();
        return;
    }
    while pull.next_item() {
        within(pull, b"finish_reason", &mut |pull| {
            keep(&mut facts.finish_reason, pull);
        });
    }
}

/// Keeps a text that is not empty; the last one counts. Allocates only where it differs.
pub(super) fn keep(slot: &mut Option<Box<str>>, pull: &mut Pull<'_>) {
    let Some(text) = pull.string_or_skip().filter(|text| !text.raw.is_empty()) else {
        return;
    };
    if slot.as_ref().is_none_or(|kept| kept.as_bytes() != text.raw) {
        *slot = Some(text.decode_lossy().into());
    }
}

fn seconds(raw: Option<&[u8]>) -> Option<u64> {
    let text = str::from_utf8(raw?).ok()?;
    text.split('.').next()?.parse().ok()
}

/// The value of an `error` member; `null`, `false` and an empty text are no error.
pub(super) fn error_value(pull: &mut Pull<'_>) -> Option<InbandError> {
    match pull.next_byte() {
        Some(b'{') => error_fields(pull),
        Some(b'"') => {
            let message = short(pull.string()?);
            (!message.is_empty()).then(|| InbandError {
                message,
                ..InbandError::default()
            })
        }
        _ => {
            pull.skip();
            None
        }
    }
}

/// The members of an error object, or of a body that holds one.
pub(super) fn error_fields(pull: &mut Pull<'_>) -> Option<InbandError> {
    if !pull.enter_object() {
        pull.skip();
        return None;
    }
    let mut error = InbandError::default();
    let mut inner = None;
    while let Some(key) = pull.next_key() {
        match key {
            b"message" | b"detail" => error.message = message(pull),
            b"type" | b"status" => error.kind = word(pull.skip()).or(error.kind),
            b"code" => error.code = word(pull.skip()),
            b"status_code" | b"raw_status_code" => {
                let status = seconds(pull.skip()).and_then(|n| u16::try_from(n).ok());
                error.status = status.or(error.status);
            }
            b"error" => inner = error_value(pull).or(inner),
            _ => {
                pull.skip();
            }
        }
    }
    Some(inner.unwrap_or(error))
}

fn message(pull: &mut Pull<'_>) -> Box<str> {
    if pull.next_byte() == Some(b'"') {
        return pull.string().map(short).unwrap_or_default();
    }
    let raw = pull
        .skip()
        .filter(|raw| *raw != b"null")
        .unwrap_or_default();
    clip(&String::from_utf8_lossy(raw))
}

fn word(raw: Option<&[u8]>) -> Option<Box<str>> {
    let raw = raw.filter(|raw| *raw != b"null")?;
    let bare = raw
        .strip_prefix(b"\"")
        .and_then(|r| r.strip_suffix(b"\""))
        .unwrap_or(raw);
    Some(clip(&Text { raw: bare }.decode_lossy()))
}

fn short(text: Text<'_>) -> Box<str> {
    // Six bytes of escape are the most that one byte of meaning takes.
    let raw = text.raw.get(..MESSAGE * 6).unwrap_or(text.raw);
    clip(&Text { raw }.decode_lossy())
}

fn clip(text: &str) -> Box<str> {
    Box::from(
        text.get(..text.floor_char_boundary(MESSAGE))
            .unwrap_or_default(),
    )
}

/// Takes into `tally` the text that a model generated, wherever it stands in this value.
///
/// Members that repeat others (`reasoning_details`) or that are no text (ids, roles) are left out.
pub(super) fn generated(pull: &mut Pull<'_>, tally: &mut Tally, depth: u8) {
    match pull.next_byte() {
        Some(b'[') if depth > 0 && pull.enter_array() => {
            while pull.next_item() {
                generated(pull, tally, depth - 1);
            }
        }
        Some(b'{') if depth > 0 && pull.enter_object() => {
            let mut reasoned = false;
            while let Some(key) = pull.next_key() {
                generated_member(key, &mut reasoned, pull, tally, depth - 1);
            }
        }
        _ => {
            pull.skip();
        }
    }
}

/// One member of an object that holds generated text.
fn generated_member(
    key: &[u8],
    reasoned: &mut bool,
    pull: &mut Pull<'_>,
    tally: &mut Tally,
    depth: u8,
) {
    match key {
        // Some servers send both names for the same text.
        b"reasoning" | b"reasoning_content" if *reasoned => {
            pull.skip();
        }
        b"content" | b"text" | b"reasoning" | b"reasoning_content" | b"refusal" | b"arguments"
        | b"name" | b"thinking" | b"transcript" | b"input" | b"code" => {
            *reasoned |= key.starts_with(b"reasoning");
            if pull.next_byte() != Some(b'"') {
                generated(pull, tally, depth);
            } else if let Some(text) = pull.string() {
                tally.push(text);
            }
        }
        b"message" | b"delta" | b"tool_calls" | b"function_call" | b"function" | b"audio"
        | b"summary" => generated(pull, tally, depth),
        _ => {
            pull.skip();
        }
    }
}

/// What an estimate stands for where a provider states no usage.
pub(super) fn plausible(usage: &Usage, text_bytes: u64) -> bool {
    usage.output > 0 || text_bytes == 0
}
