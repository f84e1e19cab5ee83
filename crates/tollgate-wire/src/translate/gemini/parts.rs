//! Reads the parts of a conversation.

use serde_json::Value;

use crate::peek::BodyError;
use crate::translate::fields::{Fields, must};
use crate::translate::items::in_camel_case;
use crate::translate::prompt::{Call, CallResult, Part, Role, Source, Thought, Turn};

/// The members of an object under the names that Gemini documents.
pub(super) fn fields(value: Value, path: String) -> Result<Fields, BodyError> {
    match value {
        Value::Object(members) => Fields::of(Value::Object(in_camel_case(members)), path),
        other => Fields::of(other, path),
    }
}

/// An object among the members.
pub(super) fn object(holder: &mut Fields, name: &str) -> Result<Option<Fields>, BodyError> {
    let path = holder.at(name);
    holder.value(name).map(|value| fields(value, path)).transpose()
}

/// The objects of a list among the members; one object alone is a list of it.
pub(super) fn items(holder: &mut Fields, name: &str) -> Result<Vec<Fields>, BodyError> {
    let path = holder.at(name);
    let items = match holder.value(name) {
        None => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(alone @ Value::Object(_)) => vec![alone],
        Some(_) => return Err(must(&path, "a list of objects")),
    };
    let items = items.into_iter().enumerate();
    items.map(|(at, item)| fields(item, format!("{path}[{at}]"))).collect()
}

/// Reads a content.
pub(super) fn turn(at: usize, mut content: Fields) -> Result<Turn, BodyError> {
    let role = match content.string("role")?.as_deref() {
        None | Some("user" | "function") => Role::User,
        Some("model") => Role::Assistant,
        Some(_) => return Err(must(&content.at("role"), "user or model")),
    };
    let parts = items(&mut content, "parts")?.into_iter().map(part).collect::<Result<_, _>>()?;
    content.end(&[])?;
    Ok(Turn { role, at, parts })
}

/// Joins the pieces in which a thought was streamed: SDKs keep each chunk as a content of its own,
/// and the last piece has the proof of all.
pub(super) fn join_thoughts(turns: &mut [Turn]) {
    let mut begun: Option<Thought> = None;
    // Each turn gives up its parts and gets back what it is to keep; pieces go on to the next.
    for turn in turns.iter_mut() {
        let mut kept = Vec::with_capacity(turn.parts.len());
        for part in std::mem::take(&mut turn.parts) {
            match part {
                Part::Thought(piece) if !piece.sealed => {
                    let mut whole = begun.take().unwrap_or_default();
                    whole.text.push_str(&piece.text);
                    whole.proof = piece.proof;
                    match whole.proof {
                        Some(_) => kept.push(Part::Thought(whole)),
                        None => begun = Some(whole),
                    }
                }
                other => {
                    // A thought that goes on without a proof is none that a provider takes back.
                    begun = None;
                    kept.push(other);
                }
            }
        }
        turn.parts = kept;
    }
}

fn part(mut fields: Fields) -> Result<Part, BodyError> {
    let thought = fields.flag("thought")? == Some(true);
    let signature = fields.string("thoughtSignature")?;
    let part = if thought {
        let text = fields.string("text")?;
        let sealed = text.is_none();
        Part::Thought(Thought { text: text.unwrap_or_default(), proof: signature, sealed })
    } else if let Some(text) = fields.string("text")? {
        Part::Text(text)
    } else if let Some(call) = object(&mut fields, "functionCall")? {
        Part::Call(self::call(call, signature)?)
    } else if let Some(result) = object(&mut fields, "functionResponse")? {
        Part::Result(self::result(result)?)
    } else if let Some(blob) = object(&mut fields, "inlineData")? {
        inline(blob)?
    } else if let Some(file) = object(&mut fields, "fileData")? {
        self::file(file)?
    } else if let Some((name, _)) = fields.rest().next() {
        return Err(BodyError::of(&name, format!("`{name}`: only Gemini has such parts")));
    } else {
        // A part that says nothing but its signature.
        return Ok(Part::Text(String::new()));
    };
    fields.end(&[])?;
    Ok(part)
}

fn call(mut call: Fields, signature: Option<String>) -> Result<Call, BodyError> {
    let read = Call {
        id: call.string("id")?.unwrap_or_default(),
        name: call.required("name")?,
        arguments: call.value("args").map_or_else(|| "{}".to_owned(), |args| args.to_string()),
        signature,
    };
    call.end(&[])?;
    Ok(read)
}

/// SDKs put what a function returns under `result` or `output`, and what it throws under `error`.
fn result(mut result: Fields) -> Result<CallResult, BodyError> {
    let response =
        result.value("response").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let alone = |name: &str| {
        let members = response.as_object().filter(|members| members.len() == 1)?;
        members.get(name)
    };
    let told = alone("result").or_else(|| alone("output")).or_else(|| alone("error"));
    let text = match told.unwrap_or(&response) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut parts = vec![Part::Text(text)];
    for media in items(&mut result, "parts")? {
        let path = media.path().to_owned();
        match part(media)? {
            media @ (Part::Image { .. } | Part::Document { .. }) => parts.push(media),
            _ => return Err(must(&path, "an image or a document")),
        }
    }
    let read = CallResult {
        id: result.string("id")?.unwrap_or_default(),
        name: Some(result.required("name")?),
        parts,
        failed: alone("error").is_some(),
    };
    // When the model is to be told: at once, as everywhere else.
    result.end(&["scheduling", "willContinue"])?;
    Ok(read)
}

fn inline(mut blob: Fields) -> Result<Part, BodyError> {
    let media_type = blob.required("mimeType")?;
    let path = blob.path().to_owned();
    let name = blob.string("displayName")?;
    let base64 = plain_base64(blob.required("data")?);
    blob.end(&[])?;
    let kind = media_type.clone();
    media(&kind, name, Source::Data { media_type, base64 })
        .ok_or_else(|| must(&path, "an image, sound or a document"))
}

fn file(mut file: Fields) -> Result<Part, BodyError> {
    let kind = file.string("mimeType")?.unwrap_or_default();
    let name = file.string("displayName")?;
    let path = file.path().to_owned();
    let uri = file.required("fileUri")?;
    file.end(&[])?;
    // What was uploaded to Google, or lies there, no other provider can fetch.
    let uploaded = uri.starts_with("gs://")
        || uri.starts_with("files/")
        || uri.starts_with("https://generativelanguage.googleapis.com/");
    let source = if uploaded { Source::File(uri) } else { Source::Url(uri) };
    media(&kind, name, source).ok_or_else(|| must(&path, "an image, sound or a document"))
}

/// The part that a media type makes; `None` for video, which only Gemini sees.
fn media(kind: &str, name: Option<String>, source: Source) -> Option<Part> {
    match kind.split_once('/') {
        Some(("image", _)) => Some(Part::Image { source, detail: None }),
        Some(("audio", _)) => Some(Part::Audio(source)),
        Some(("video", _)) => None,
        _ => Some(Part::Document { source, name }),
    }
}

/// Google's SDKs write the alphabet for URLs, other providers read the usual one.
fn plain_base64(data: String) -> String {
    if data.contains(['-', '_']) { data.replace('-', "+").replace('_', "/") } else { data }
}
