//! The content of items: a text, or a list of parts.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::fields::{Fields, must};
use crate::translate::names::refusal_as;
use crate::translate::prompt::{Part, Prompt, Source, Turn};
use crate::translate::source;

/// Takes content out of an item; none where it is absent or `null`.
pub(super) fn read(item: &mut Fields, name: &str) -> Result<Vec<Part>, BodyError> {
    let path = item.at(name);
    match item.value(name) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::Text(text)]),
        Some(Value::Array(parts)) => parts
            .into_iter()
            .enumerate()
            .map(|(at, part)| self::part(Fields::of(part, format!("{path}[{at}]"))?))
            .collect(),
        Some(_) => Err(must(&path, "a string or a list of parts")),
    }
}

fn part(mut part: Fields) -> Result<Part, BodyError> {
    let kind = part.required("type")?;
    match &*kind {
        "input_text" | "output_text" | "text" => Ok(Part::Text(part.required("text")?)),
        "refusal" => Ok(Part::Refusal(part.required("refusal")?)),
        "input_image" => image(part),
        "input_file" => file(part),
        "input_audio" => {
            let path = part.at("input_audio");
            let mut audio = part.object("input_audio")?.ok_or_else(|| must(&path, "an object"))?;
            let media_type = source::audio_type(&audio.required("format")?);
            Ok(Part::Audio(Source::Data { media_type, base64: audio.required("data")? }))
        }
        _ => {
            let why = format!("is a part of the kind `{kind}`, which is not known here");
            Err(refusal_as(part.path(), &why))
        }
    }
}

fn image(mut part: Fields) -> Result<Part, BodyError> {
    let detail = part.string("detail")?;
    let source = match (part.string("file_id")?, part.string("image_url")?) {
        (Some(id), _) => Source::File(id),
        (None, Some(url)) => source::of_url(url, &part.at("image_url"))?,
        (None, None) => return Err(must(&part.at("image_url"), "a string")),
    };
    part.end(&[])?;
    Ok(Part::Image { source, detail })
}

fn file(mut part: Fields) -> Result<Part, BodyError> {
    let name = part.string("filename")?;
    let (id, url) = (part.string("file_id")?, part.string("file_url")?);
    let source = match (id, url, part.string("file_data")?) {
        (Some(id), ..) => Source::File(id),
        (None, Some(url), _) => Source::Url(url),
        (None, None, Some(data)) => source::of_file(data, &part.at("file_data"))?,
        (None, None, None) => return Err(must(&part.at("file_data"), "a string")),
    };
    part.end(&["detail"])?;
    Ok(Part::Document { source, name })
}

/// Writes a part of what the user says, or of a tool's result.
pub(super) fn write(
    prompt: &Prompt,
    turn: &Turn,
    at: usize,
    part: &Part,
) -> Result<Value, BodyError> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Ok(json!({"type": "input_text", "text": text})),
        Part::Image { source, detail } => {
            let url = source::picture_url(source)
                .ok_or_else(|| prompt.refuse_part(turn, at, "file_id"))?;
            // This form wants a detail stated.
            let detail = detail.as_deref().unwrap_or("auto");
            Ok(json!({"type": "input_image", "image_url": url, "detail": detail}))
        }
        Part::Document { source: Source::Text(text), name } => {
            Ok(json!({"type": "input_text", "text": source::titled(name.as_deref(), text)}))
        }
        Part::Document { source, name } => {
            document(source, name.as_deref()).ok_or_else(|| prompt.refuse_part(turn, at, "file_id"))
        }
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

fn document(source: &Source, name: Option<&str>) -> Option<Value> {
    let mut part = Map::new();
    part.insert("type".to_owned(), "input_file".into());
    match source {
        Source::Data { media_type, base64 } => {
            let name = name.unwrap_or("document.pdf");
            part.insert("filename".to_owned(), name.into());
            part.insert("file_data".to_owned(), source::data_url(media_type, base64).into());
        }
        Source::Url(url) => {
            part.insert("file_url".to_owned(), url.as_str().into());
        }
        Source::File(_) | Source::Text(_) => return None,
    }
    Some(part.into())
}
