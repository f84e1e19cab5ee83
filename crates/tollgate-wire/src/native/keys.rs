//! The keys of native requests that bear on cost, and how they are told from those that only look
//! alike.

use crate::endpoint::Endpoint;
use crate::json::Text;
use crate::peek::BodyError;

/// Keys that bound the output.
pub(super) const BOUNDS: [&str; 10] = [
    "maxTokens",
    "max_tokens",
    "max_gen_len",
    "max_new_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens_to_sample",
    "maxTokenCount",
    "maxOutputTokens",
    "num_predict",
];
/// Further keys that bear on cost.
pub(super) const OTHERS: [&str; 12] = [
    "model",
    "stream",
    "message",
    "messages",
    "texts",
    "input",
    "prompt",
    "num_generations",
    "serviceTier",
    "toolConfig",
    "tools",
    "connectors",
];

/// Objects of a form that hold a bound, besides the body itself.
pub(super) fn holders(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::Converse | Endpoint::ConverseStream => {
            &["inferenceConfig", "additionalModelRequestFields"]
        }
        Endpoint::Invoke | Endpoint::InvokeStream => &["inferenceConfig", "textGenerationConfig"],
        Endpoint::OllamaChat => &["options"],
        _ => &[],
    }
}

/// The known key that this one is; refuses one that another reader may take for it.
pub(super) fn known_as(
    key: Text<'_>,
    mut known: impl Iterator<Item = &'static str>,
) -> Result<Option<&'static str>, BodyError> {
    let text = key.decode_lossy();
    let Some(name) = known.find(|name| name.eq_ignore_ascii_case(&text)) else { return Ok(None) };
    if key.raw == name.as_bytes() {
        return Ok(Some(name));
    }
    Err(BodyError::of(name, format!("a key is spelled unlike `{name}`, but alike")))
}
