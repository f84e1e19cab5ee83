//! Fields that only one dialect has: which of them may be left out, and which are refused.
//!
//! A hint does not change what is answered: it tells of caches, of bookkeeping or of the end user.
//! It is left out and the client is told. Anything else must be expressed or refused.

use serde_json::{Map, Value};

use crate::peek::BodyError;

use super::Form;
use super::names::refusal;
use super::prompt::{Part, Prompt};

const CHAT: &[&str] = &[
    "cache_control",
    "metadata",
    "prompt_cache_breakpoint",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options.include_obfuscation",
    "user",
    "verbosity",
];

const RESPONSES: &[&str] = &[
    "client_metadata",
    "context_management",
    "max_tool_calls",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning.context",
    "reasoning.mode",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options.include_obfuscation",
    "text.verbosity",
    "user",
];

const MESSAGES: &[&str] = &[
    "anthropic_beta",
    "anthropic_version",
    "cache_control",
    "context_management",
    "diagnostics",
    "metadata",
    "metadata.user_id",
    "service_tier",
    "speed",
];

const GEMINI: &[&str] = &["generationConfig.mediaResolution", "labels", "serviceTier", "store"];

impl Form {
    const fn hints(self) -> &'static [&'static str] {
        match self {
            Self::Chat => CHAT,
            Self::Responses => RESPONSES,
            Self::Messages => MESSAGES,
            Self::Gemini => GEMINI,
            Self::Converse => &[],
        }
    }
}

/// What a writer could not express of [`Prompt::extras`]: the names of the hints among them, or the
/// refusal of the first that is none.
pub(crate) fn left_out(
    prompt: &Prompt,
    extras: &Map<String, Value>,
) -> Result<Vec<&'static str>, BodyError> {
    let mut left = Vec::new();
    for (name, value) in extras {
        match prompt.form.hints().iter().find(|hint| *hint == name) {
            _ if asks_nothing(value) => {}
            Some(hint) => left.push(*hint),
            None => return Err(refusal(name)),
        }
    }
    Ok(left)
}

/// The name of the detail in which a picture is wanted, for forms that have no word for it.
pub(crate) fn detail(prompt: &Prompt) -> Option<&'static str> {
    let wanted = |part: &Part| match part {
        Part::Image { detail, .. } => detail.as_deref().is_some_and(|detail| detail != "auto"),
        _ => false,
    };
    prompt.turns.iter().flat_map(|turn| &turn.parts).any(wanted).then_some("detail")
}

/// Whether a value is what the field has where it is not given.
fn asks_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Array(items) => items.is_empty(),
        // An empty object can switch something on, such as `web_search_options`.
        Value::Object(_) => false,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
    }
}
