//! Where pictures, documents and sounds are, in the words of OpenAI's forms.

use crate::peek::BodyError;

use super::names::refusal_as;
use super::prompt::Source;

/// A `data:` URL written out, or an address.
pub(super) fn of_url(url: String, path: &str) -> Result<Source, BodyError> {
    match url.strip_prefix("data:") {
        None => Ok(Source::Url(url)),
        Some(rest) => of_data(rest).ok_or_else(|| refusal_as(path, "must be base64")),
    }
}

/// The data of a file: a `data:` URL, or base64 of a PDF.
pub(super) fn of_file(data: String, path: &str) -> Result<Source, BodyError> {
    if data.starts_with("data:") {
        return of_url(data, path);
    }
    Ok(Source::Data { media_type: "application/pdf".to_owned(), base64: data })
}

fn of_data(rest: &str) -> Option<Source> {
    let (head, base64) = rest.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    // Parameters such as a charset say nothing about what is in it.
    let media_type = media_type.split(';').next().unwrap_or(media_type);
    let media_type = if media_type == "image/jpg" { "image/jpeg" } else { media_type };
    Some(Source::Data { media_type: media_type.to_owned(), base64: base64.to_owned() })
}

/// The address of a picture for OpenAI's forms: a URL, or the picture itself as one.
pub(super) fn picture_url(source: &Source) -> Option<String> {
    match source {
        Source::Data { media_type, base64 } => Some(data_url(media_type, base64)),
        Source::Url(url) => Some(url.clone()),
        Source::File(_) | Source::Text(_) => None,
    }
}

/// A `data:` URL.
pub(super) fn data_url(media_type: &str, base64: &str) -> String {
    ["data:", media_type, ";base64,", base64].concat()
}

/// The media type of OpenAI's word for a format of sound.
pub(super) fn audio_type(format: &str) -> String {
    match format {
        "mp3" => "audio/mpeg".to_owned(),
        other => format!("audio/{other}"),
    }
}

/// OpenAI's word for a media type, where it has one.
pub(super) fn audio_format(media_type: &str) -> Option<&'static str> {
    match media_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}

/// A document that is text, as text with its name.
pub(super) fn titled(name: Option<&str>, text: &str) -> String {
    match name {
        Some(name) => format!("{name}:\n\n{text}"),
        None => text.to_owned(),
    }
}
