//! Writes the parts of a conversation as blocks.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::peek::BodyError;
use crate::translate::arguments;
use crate::translate::dialogue::{At, Said};
use crate::translate::ids::tidy;
use crate::translate::prompt::{CallResult, Part, Prompt, Role, Source};
use crate::translate::tree::Tree as _;

/// Letters of an id.
const ID: usize = 128;

/// A message with its blocks; `None` where nothing of it can be said here.
pub(super) fn message(prompt: &Prompt, said: &Said<'_>) -> Result<Option<Value>, BodyError> {
    let mut blocks = Vec::with_capacity(said.parts.len());
    for (at, part) in &said.parts {
        blocks.extend(block(prompt, *at, part)?);
    }
    let role = match said.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System => "system",
    };
    Ok((!blocks.is_empty()).then(|| json!({"role": role, "content": blocks})))
}

fn block(prompt: &Prompt, at: At, part: &Part) -> Result<Option<Value>, BodyError> {
    Ok(Some(match part {
        Part::Text(text) | Part::Refusal(text) => json!({"type": "text", "text": text}),
        Part::Image { source, .. } => {
            let source = image(source).ok_or_else(|| at.refuse(prompt, "image"))?;
            json!({"type": "image", "source": source})
        }
        Part::Document { source, name } => {
            let source = document(source).ok_or_else(|| at.refuse(prompt, "file"))?;
            let mut block = json!({"type": "document", "source": source});
            if let Some(name) = name {
                block.put("title", json!(name));
            }
            block
        }
        Part::Audio(_) => return Err(at.refuse(prompt, "input_audio")),
        Part::Call(call) => {
            let input = arguments::object(&call.arguments);
            json!({"type": "tool_use", "id": tidy(&call.id, ID), "name": call.name, "input": input})
        }
        Part::Result(result) => self::result(prompt, at, result)?,
        Part::Thought(thought) => match &thought.proof {
            Some(proof) if thought.sealed => json!({"type": "redacted_thinking", "data": proof}),
            Some(proof) => {
                json!({"type": "thinking", "thinking": thought.text, "signature": proof})
            }
            // Without its signature a thought is refused.
            None => return Ok(None),
        },
    }))
}

fn result(prompt: &Prompt, at: At, result: &CallResult) -> Result<Value, BodyError> {
    let mut content = Vec::with_capacity(result.parts.len());
    for part in &result.parts {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(_) | Part::Image { .. } | Part::Document { .. } => {
                content.extend(block(prompt, at, part)?);
            }
            _ => return Err(at.refuse(prompt, "output")),
        }
    }
    let id = tidy(&result.id, ID);
    let mut block = json!({"type": "tool_result", "tool_use_id": id, "content": content});
    if result.failed {
        block.put("is_error", json!(true));
    }
    Ok(block)
}

/// `None` where Anthropic has no word for it: its own list of types, and no other provider's files.
fn image(source: &Source) -> Option<Value> {
    match source {
        Source::Data { media_type, base64 } => {
            let media_type = match media_type.as_str() {
                "image/jpg" | "image/jpeg" => "image/jpeg",
                same @ ("image/png" | "image/gif" | "image/webp") => same,
                _ => return None,
            };
            Some(json!({"type": "base64", "media_type": media_type, "data": base64}))
        }
        Source::Url(url) => fetched(url),
        Source::File(_) | Source::Text(_) => None,
    }
}

fn document(source: &Source) -> Option<Value> {
    match source {
        Source::Data { media_type, base64 } if media_type == "application/pdf" => {
            Some(json!({"type": "base64", "media_type": media_type, "data": base64}))
        }
        Source::Data { media_type, base64 } => {
            let written = media_type.starts_with("text/") || media_type == "application/json";
            let bytes = written.then(|| BASE64_STANDARD.decode(base64).ok()).flatten()?;
            String::from_utf8(bytes).ok().map(|text| plain(&text))
        }
        Source::Url(url) => fetched(url),
        Source::Text(text) => Some(plain(text)),
        Source::File(_) => None,
    }
}

fn plain(text: &str) -> Value {
    json!({"type": "text", "media_type": "text/plain", "data": text})
}

fn fetched(url: &str) -> Option<Value> {
    let web = url.starts_with("https://") || url.starts_with("http://");
    web.then(|| json!({"type": "url", "url": url}))
}
