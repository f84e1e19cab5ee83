//! Writes the parts of a conversation.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::peek::BodyError;
use crate::translate::arguments;
use crate::translate::dialogue::{At, Said};
use crate::translate::ids::tidy;
use crate::translate::prompt::{CallResult, Part, Prompt, Role, Source};

/// Letters of an id and of a document's name.
const ID: usize = 64;
const NAME: usize = 200;

/// A message; `None` where nothing of it can be said here.
pub(super) fn message(prompt: &Prompt, said: &Said<'_>) -> Result<Option<Value>, BodyError> {
    let mut blocks = Vec::with_capacity(said.parts.len());
    for (at, part) in &said.parts {
        let number = blocks.len();
        blocks.extend(block(prompt, *at, part, number)?);
    }
    let role = if said.role == Role::Assistant { "assistant" } else { "user" };
    Ok((!blocks.is_empty()).then(|| json!({"role": role, "content": blocks})))
}

/// `number` makes the names of documents that have none differ.
fn block(prompt: &Prompt, at: At, part: &Part, number: usize) -> Result<Option<Value>, BodyError> {
    Ok(Some(match part {
        Part::Text(text) | Part::Refusal(text) => json!({"text": text}),
        Part::Image { source, .. } => {
            let (format, source) = image(source).ok_or_else(|| at.refuse(prompt, "image_url"))?;
            json!({"image": {"format": format, "source": source}})
        }
        Part::Document { source, name } => {
            let (format, source) = document(source).ok_or_else(|| at.refuse(prompt, "file"))?;
            let name = document_name(name.as_deref(), number);
            json!({"document": {"format": format, "name": name, "source": source}})
        }
        Part::Audio(_) => return Err(at.refuse(prompt, "input_audio")),
        Part::Call(call) => {
            let input = arguments::object(&call.arguments);
            let id = tidy(&call.id, ID);
            json!({"toolUse": {"toolUseId": id, "name": call.name, "input": input}})
        }
        Part::Result(result) => self::result(prompt, at, result)?,
        Part::Thought(thought) => match &thought.proof {
            Some(proof) if thought.sealed => {
                json!({"reasoningContent": {"redactedContent": proof}})
            }
            Some(proof) => json!({"reasoningContent":
                {"reasoningText": {"text": thought.text, "signature": proof}}}),
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
                let number = content.len();
                content.extend(block(prompt, at, part, number)?);
            }
            _ => return Err(at.refuse(prompt, "output")),
        }
    }
    if content.is_empty() {
        // Bedrock refuses a result without content, and a text without letters.
        content.push(json!({"json": {}}));
    }
    let status = if result.failed { "error" } else { "success" };
    let id = tidy(&result.id, ID);
    Ok(json!({"toolResult": {"toolUseId": id, "content": content, "status": status}}))
}

/// The format and the source; `None` where Bedrock has no word for it: it fetches nothing but what
/// lies in S3.
fn image(source: &Source) -> Option<(&'static str, Value)> {
    match source {
        Source::Data { media_type, base64 } => {
            let format = image_format(media_type.strip_prefix("image/")?)?;
            Some((format, json!({"bytes": base64})))
        }
        Source::Url(url) | Source::File(url) => {
            let (_, extension) = url.rsplit_once('.')?;
            Some((image_format(extension)?, in_s3(url)?))
        }
        Source::Text(_) => None,
    }
}

fn image_format(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "jpeg" | "jpg" => "jpeg",
        "png" => "png",
        "gif" => "gif",
        "webp" => "webp",
        _ => return None,
    })
}

fn document(source: &Source) -> Option<(&'static str, Value)> {
    match source {
        Source::Data { media_type, base64 } => {
            let format = match media_type.as_str() {
                "application/pdf" => "pdf",
                "text/csv" => "csv",
                "text/html" => "html",
                "text/markdown" => "md",
                "application/msword" => "doc",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
                "application/vnd.ms-excel" => "xls",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
                "application/json" => "txt",
                kind if kind.starts_with("text/") => "txt",
                _ => return None,
            };
            Some((format, json!({"bytes": base64})))
        }
        Source::Text(text) => Some(("txt", json!({"bytes": BASE64_STANDARD.encode(text)}))),
        Source::Url(url) | Source::File(url) => Some(("pdf", in_s3(url)?)),
    }
}

fn in_s3(url: &str) -> Option<Value> {
    url.starts_with("s3://").then(|| json!({"s3Location": {"uri": url}}))
}

/// A name in the letters that Bedrock takes.
fn document_name(name: Option<&str>, number: usize) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let words = name.unwrap_or_default().split(|c| !plain(c)).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join(" ");
    let name: String = name.chars().take(NAME).collect();
    let name = name.trim_end();
    if name.is_empty() { format!("document {}", number + 1) } else { name.to_owned() }
}
