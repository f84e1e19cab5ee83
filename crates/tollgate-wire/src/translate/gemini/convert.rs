//! Writes the parts of a conversation.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::arguments;
use crate::translate::dialogue::{At, Said};
use crate::translate::prompt::{CallResult, Part, Prompt, Role, Source};
use crate::translate::tree::Tree as _;

/// What Google documents for calls whose signature was lost: the model goes on without its thought.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// A content; `None` where nothing of the message can be said here. `signs` says whether the model
/// wants its signatures back and takes media within the result of a function.
pub(super) fn content(
    prompt: &Prompt,
    said: &Said<'_>,
    signs: bool,
) -> Result<Option<Value>, BodyError> {
    let mut parts = Vec::with_capacity(said.parts.len());
    let mut media = Vec::new();
    let mut unsigned = signs;
    for (at, part) in &said.parts {
        // All results come first: what they show stands behind the last.
        if !matches!(part.as_ref(), Part::Result(_)) {
            parts.append(&mut media);
        }
        match part.as_ref() {
            Part::Text(text) | Part::Refusal(text) => parts.push(json!({"text": text})),
            Part::Call(call) => {
                let args = arguments::object(&call.arguments);
                let mut part = json!({"functionCall": {"name": call.name, "args": args}});
                // Of calls made at once only the first is signed.
                let missing = std::mem::take(&mut unsigned).then_some(NO_SIGNATURE);
                if let Some(signature) = call.signature.as_deref().or(missing) {
                    part.put("thoughtSignature", json!(signature));
                }
                parts.push(part);
            }
            Part::Result(result) => {
                let (part, shown) = self::result(prompt, *at, result, signs)?;
                parts.push(part);
                media.extend(shown);
            }
            // Gemini does not read its thoughts again.
            Part::Thought(_) => {}
            Part::Image { .. } | Part::Document { .. } | Part::Audio(_) => {
                parts.push(shown(prompt, *at, part)?);
            }
        }
    }
    parts.append(&mut media);
    let role = if said.role == Role::Assistant { "model" } else { "user" };
    Ok((!parts.is_empty()).then(|| json!({"role": role, "parts": parts})))
}

/// A result, and what it shows where that must stand beside it.
fn result(
    prompt: &Prompt,
    at: At,
    result: &CallResult,
    within: bool,
) -> Result<(Value, Vec<Value>), BodyError> {
    let Some(name) = &result.name else {
        // Gemini knows results by the names of their functions.
        return Err(at.refuse(prompt, "tool_call_id"));
    };
    let mut texts = Vec::new();
    let mut media = Vec::new();
    for part in &result.parts {
        match part {
            Part::Text(text) => texts.push(text.as_str()),
            Part::Image { .. } | Part::Document { .. } | Part::Audio(_) => {
                media.push(shown(prompt, at, part)?);
            }
            _ => return Err(at.refuse(prompt, "output")),
        }
    }
    let response = response(&texts.join("\n"), result.failed);
    let mut function = json!({"name": name, "response": response});
    if within && !media.is_empty() {
        function.put("parts", Value::Array(std::mem::take(&mut media)));
    }
    Ok((json!({"functionResponse": function}), media))
}

/// The object that a function must return.
fn response(text: &str, failed: bool) -> Map<String, Value> {
    let key = if failed { "error" } else { "result" };
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) if !failed => members,
        Ok(value @ (Value::Array(_) | Value::Number(_) | Value::Bool(_))) => {
            Map::from_iter([(key.to_owned(), value)])
        }
        _ => Map::from_iter([(key.to_owned(), json!(text))]),
    }
}

/// A picture, a sound or a document.
fn shown(prompt: &Prompt, at: At, part: &Part) -> Result<Value, BodyError> {
    let (source, field, guess) = match part {
        Part::Image { source, .. } => (source, "image_url", "image/jpeg"),
        Part::Audio(source) => (source, "input_audio", "audio/wav"),
        Part::Document { source, .. } => (source, "file", "application/pdf"),
        _ => return Err(at.refuse(prompt, "content")),
    };
    match source {
        Source::Data { media_type, base64 } => {
            let media_type = if media_type == "image/jpg" { "image/jpeg" } else { media_type };
            Ok(json!({"inlineData": {"mimeType": media_type, "data": base64}}))
        }
        Source::Url(url) => {
            let media_type = by_extension(url).unwrap_or(guess);
            Ok(json!({"fileData": {"mimeType": media_type, "fileUri": url}}))
        }
        Source::Text(text) => Ok(json!({"text": text})),
        // It lies at another provider.
        Source::File(_) => Err(at.refuse(prompt, field)),
    }
}

/// The media type that an address suggests; Gemini wants one stated.
fn by_extension(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "html" => "text/html",
        "csv" => "text/csv",
        "md" => "text/md",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        _ => return None,
    })
}
