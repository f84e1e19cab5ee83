//! The content of chat messages: a text, or a list of parts.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::fields::{Fields, must};
use crate::translate::names::refusal_as;
use crate::translate::prompt::{Part, Prompt, Source, Turn};
use crate::translate::source;

/// What may stand beside any part and says nothing of it.
pub(super) const HINTS: &[&str] = &["cache_control", "prompt_cache_breakpoint"];

/// Takes the content of a message out; none where it is absent or `null`. Hints go to `extras`.
pub(super) fn read(
    message: &mut Fields,
    extras: &mut Map<String, Value>,
) -> Result<Vec<Part>, BodyError> {
    let path = message.at("content");
    match message.value("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::Text(text)]),
        Some(Value::Array(parts)) => parts
            .into_iter()
            .enumerate()
            .map(|(at, part)| self::part(Fields::of(part, format!("{path}[{at}]"))?, extras))
            .collect(),
        Some(_) => Err(must(&path, "a string or a list of parts")),
    }
}

fn part(mut part: Fields, extras: &mut Map<String, Value>) -> Result<Part, BodyError> {
    let kind = part.required("type")?;
    let read = match &*kind {
        "text" => Part::Text(part.required("text")?),
        "refusal" => Part::Refusal(part.required("refusal")?),
        "image_url" => {
            let mut image = inner(&mut part, &kind)?;
            let url = image.required("url")?;
            let source = source::of_url(url, &image.at("url"))?;
            Part::Image { source, detail: image.string("detail")? }
        }
        "input_audio" => {
            let mut audio = inner(&mut part, &kind)?;
            let media_type = source::audio_type(&audio.required("format")?);
            Part::Audio(Source::Data { media_type, base64: audio.required("data")? })
        }
        "file" => file(inner(&mut part, &kind)?)?,
        _ => {
            let why = format!("is a part of the kind `{kind}`, which is not known here");
            return Err(refusal_as(part.path(), &why));
        }
    };
    part.hints(HINTS, extras);
    part.end(&[])?;
    Ok(read)
}

fn inner(part: &mut Fields, kind: &str) -> Result<Fields, BodyError> {
    let path = part.at(kind);
    part.object(kind)?.ok_or_else(|| must(&path, "an object"))
}

fn file(mut file: Fields) -> Result<Part, BodyError> {
    let name = file.string("filename")?;
    let source = match (file.string("file_id")?, file.string("file_data")?) {
        (Some(id), _) => Source::File(id),
        (None, Some(data)) => source::of_file(data, &file.at("file_data"))?,
        (None, None) => return Err(must(&file.at("file_data"), "a string")),
    };
    Ok(Part::Document { source, name })
}

/// Writes a part of what the user says.
pub(super) fn write(
    prompt: &Prompt,
    turn: &Turn,
    at: usize,
    part: &Part,
) -> Result<Value, BodyError> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Ok(json!({"type": "text", "text": text})),
        Part::Image { source, detail } => {
            let url = source::picture_url(source)
                .ok_or_else(|| prompt.refuse_part(turn, at, "file_id"))?;
            let mut image = json!({"url": url});
            if let (Some(detail), Some(image)) = (detail, image.as_object_mut()) {
                image.insert("detail".to_owned(), detail.as_str().into());
            }
            Ok(json!({"type": "image_url", "image_url": image}))
        }
        Part::Document { source: Source::Text(text), name } => {
            Ok(json!({"type": "text", "text": source::titled(name.as_deref(), text)}))
        }
        Part::Document { source: Source::Data { media_type, base64 }, name } => {
            let name = name.as_deref().unwrap_or("document.pdf");
            let data = source::data_url(media_type, base64);
            Ok(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
        }
        Part::Document { .. } => Err(prompt.refuse_part(turn, at, "file")),
        Part::Audio(Source::Data { media_type, base64 }) => {
            let Some(format) = source::audio_format(media_type) else {
                return Err(prompt.refuse_part(turn, at, "audio"));
            };
            Ok(json!({"type": "input_audio", "input_audio": {"data": base64, "format": format}}))
        }
        Part::Audio(_) => Err(prompt.refuse_part(turn, at, "audio")),
        Part::Call(_) | Part::Result(_) | Part::Thought(_) => {
            Err(prompt.refuse_part(turn, at, "type"))
        }
    }
}
