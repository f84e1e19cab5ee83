//! Reads the blocks of a conversation.

use serde_json::Value;

use crate::peek::BodyError;
use crate::translate::fields::{Fields, must};
use crate::translate::prompt::{Call, CallResult, Part, Role, Source, Thought, Turn};

/// Reads a message. `cached` is set where a block asks to be kept in the cache.
pub(super) fn turn(at: usize, mut message: Fields, cached: &mut bool) -> Result<Turn, BodyError> {
    let role = match message.required("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(must(&message.at("role"), "user, assistant or system")),
    };
    if !message.has("content") {
        return Err(must(&message.at("content"), "a string or a list of blocks"));
    }
    let parts = message
        .texts_or_items("content")?
        .into_iter()
        .map(|block| match block {
            Ok(text) => Ok(Part::Text(text)),
            Err(block) => self::block(block, cached),
        })
        .collect::<Result<_, _>>()?;
    message.end(&[])?;
    Ok(Turn { role, at, parts })
}

/// Reads a block that can only be text.
pub(super) fn text(block: Fields, cached: &mut bool) -> Result<String, BodyError> {
    let path = block.path().to_owned();
    match self::block(block, cached)? {
        Part::Text(text) => Ok(text),
        _ => Err(must(&path, "a block of text")),
    }
}

fn block(mut block: Fields, cached: &mut bool) -> Result<Part, BodyError> {
    *cached |= block.value("cache_control").is_some();
    let kind = block.required("type")?;
    let part = match kind.as_str() {
        "text" => Part::Text(block.required("text")?),
        "image" => Part::Image { source: source(&mut block)?, detail: None },
        "document" => document(&mut block)?,
        "tool_use" => Part::Call(Call {
            id: block.required("id")?,
            name: block.required("name")?,
            arguments: block.value("input").unwrap_or(Value::Null).to_string(),
            signature: None,
        }),
        "tool_result" => Part::Result(result(&mut block, cached)?),
        "thinking" => Part::Thought(Thought {
            text: block.required("thinking")?,
            proof: block.string("signature")?.filter(|proof| !proof.is_empty()),
            sealed: false,
        }),
        "redacted_thinking" => Part::Thought(Thought {
            text: String::new(),
            proof: Some(block.required("data")?),
            sealed: true,
        }),
        _ => {
            let message = format!(
                "`{}` is a block of the type `{kind}`, which only Anthropic has",
                block.path()
            );
            return Err(BodyError::of(block.path(), message));
        }
    };
    // Sources of a text that the model gave, and who called: kept by clients, told to no model.
    let known: &[&str] = match kind.as_str() {
        "text" => &["citations"],
        "tool_use" => &["caller"],
        _ => &[],
    };
    block.end(known)?;
    Ok(part)
}

fn document(block: &mut Fields) -> Result<Part, BodyError> {
    let name = block.string("title")?;
    if let Some(mut citations) = block.object("citations")? {
        if citations.flag("enabled")? == Some(true) {
            let at = citations.at("enabled");
            return Err(BodyError::of(&at, format!("`{at}`: only Claude cites its sources")));
        }
        citations.end(&[])?;
    }
    Ok(Part::Document { source: source(block)?, name })
}

fn source(block: &mut Fields) -> Result<Source, BodyError> {
    let Some(mut source) = block.object("source")? else {
        return Err(must(&block.at("source"), "an object"));
    };
    let read = match source.required("type")?.as_str() {
        "base64" => Source::Data {
            media_type: source.required("media_type")?,
            base64: source.required("data")?,
        },
        "url" => Source::Url(source.required("url")?),
        "file" => Source::File(source.required("file_id")?),
        "text" => Source::Text(source.required("data")?),
        _ => return Err(must(&source.at("type"), "base64, url, file or text here")),
    };
    source.end(&["media_type"])?;
    Ok(read)
}

fn result(block: &mut Fields, cached: &mut bool) -> Result<CallResult, BodyError> {
    let id = block.required("tool_use_id")?;
    let mut parts = Vec::new();
    for content in block.texts_or_items("content")? {
        let part = match content {
            Ok(text) => Part::Text(text),
            Err(content) => {
                let path = content.path().to_owned();
                match self::block(content, cached)? {
                    part @ (Part::Text(_) | Part::Image { .. } | Part::Document { .. }) => part,
                    _ => return Err(must(&path, "text, an image or a document")),
                }
            }
        };
        parts.push(part);
    }
    Ok(CallResult { id, name: None, parts, failed: block.flag("is_error")?.unwrap_or(false) })
}
