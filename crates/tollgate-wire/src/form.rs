//! Requests that are forms with a file (`multipart/form-data`), read without copying the file.
//!
//! Like a JSON body, a form is refused where it could be read in two ways: a known field twice, a
//! part without a plain name, lines that end in a bare line feed. Each field costs its own bytes,
//! the file is only jumped over. Source: RFC 7578, RFC 2046.

use bytes::Bytes;
use memchr::memmem;

use crate::openai::images;
use crate::peek::{BodyError, Input, Peek, Span};

/// The most parts of a form; transcriptions have about ten.
const MAX_PARTS: usize = 64;
/// The most pictures that are asked for at once.
const MAX_COUNT: u64 = 128;
/// The longest value of a field that is read.
const MAX_FIELD: usize = 16 * 1024;

/// What a form says about its cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// The same as of a JSON body. The length of the file is in its `input.audio_bytes`, that of
    /// pictures in its `input.image_bytes`.
    pub peek: Peek,
    /// The most output tokens of one picture, where pictures are asked for.
    pub picture: u64,
    /// The form of the answer that is asked for (`json`, `text`, `srt`, …).
    pub response_format: Option<Box<str>>,
    /// Where the file stands.
    pub file: Option<Span>,
}

/// Reads the fields of a form that bear on cost: `model`, `stream`, `response_format`, `user`, what
/// pictures are asked for and go in, and where the file is.
pub fn peek_form(content_type: &str, body: &[u8]) -> Result<Form, BodyError> {
    let boundary = boundary(content_type)?;
    let mut form = Form::default();
    let mut seen = Seen::default();
    for (count, part) in (Parts { body, delimiter: delimiter(boundary), at: None }).enumerate() {
        if count == MAX_PARTS {
            return Err(malformed("it has more than 64 parts"));
        }
        seen.take(&mut form, body, &part?)?;
    }
    if form.peek.model.is_empty() {
        return Err(BodyError::of("model", "`model` is missing: name the model to call"));
    }
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let audio = form.file.map_or(0, |file| u64::try_from(file.end - file.start).unwrap_or(0));
    let Seen { n, quality, size, partial, images, image_bytes, .. } = seen;
    form.picture = images::tokens(quality.as_deref(), size.as_deref(), partial);
    form.peek.choices = n.unwrap_or(1);
    let pictures = Input { image_bytes, images, ..Input::default() };
    form.peek.input = Input { bytes, audio_bytes: audio, items: 1, ..pictures };
    Ok(form)
}

/// The form with another name for the model; every other byte stays. `peek` must come from this
/// very body.
pub fn rewrite_form(body: &Bytes, peek: &Peek, model: &str) -> Bytes {
    let Some(span) = peek.model_span().filter(|_| *model != *peek.model) else {
        return body.clone();
    };
    // A line break would end the field; no name of a model has one.
    let model: String = model.chars().filter(|c| !c.is_control()).collect();
    let mut out = Vec::with_capacity(body.len() + model.len());
    out.extend_from_slice(body.get(..span.start).unwrap_or_default());
    out.extend_from_slice(model.as_bytes());
    out.extend_from_slice(body.get(span.end..).unwrap_or_default());
    out.into()
}

/// Known fields that have come.
#[derive(Default)]
struct Seen {
    names: Vec<&'static str>,
    n: Option<u64>,
    quality: Option<Box<str>>,
    size: Option<Box<str>>,
    partial: u64,
    images: u64,
    image_bytes: u64,
}

/// The fields that bear on cost, and stand once.
const KNOWN: [&str; 9] = [
    "model",
    "stream",
    "response_format",
    "user",
    "file",
    "n",
    "quality",
    "size",
    "partial_images",
];

impl Seen {
    fn take(&mut self, form: &mut Form, body: &[u8], part: &Part<'_>) -> Result<(), BodyError> {
        // Of pictures there may be several.
        if matches!(part.name, "image" | "image[]" | "mask") {
            let length = part.content.end.saturating_sub(part.content.start);
            self.images += 1;
            self.image_bytes += u64::try_from(length).unwrap_or(0);
            return Ok(());
        }
        let Some(name) = self.known(part.name)? else { return Ok(()) };
        if name == "file" {
            form.file = Some(part.content);
            return Ok(());
        }
        let value = body
            .get(part.content.start..part.content.end)
            .filter(|value| value.len() <= MAX_FIELD)
            .and_then(|value| str::from_utf8(value).ok())
            .ok_or_else(|| BodyError::of(name, format!("`{name}` is no text, or too long")))?;
        self.field(form, name, (value, part.content))
    }

    /// The known field of this name, which has not come before.
    fn known(&mut self, name: &str) -> Result<Option<&'static str>, BodyError> {
        let Some(known) = KNOWN.iter().copied().find(|known| name.eq_ignore_ascii_case(known))
        else {
            return Ok(None);
        };
        if name != known {
            let message = format!("a field is spelled unlike `{known}`, but alike");
            return Err(BodyError::of(known, message));
        }
        if self.names.contains(&known) {
            return Err(BodyError::of(known, format!("`{known}` stands twice")));
        }
        self.names.push(known);
        Ok(Some(known))
    }

    fn field(
        &mut self,
        form: &mut Form,
        name: &'static str,
        (value, place): (&str, Span),
    ) -> Result<(), BodyError> {
        match name {
            "model" => {
                let plain = value.trim() == value && !value.chars().any(char::is_control);
                if value.is_empty() || !plain {
                    let message = "`model` must be the plain name of a model";
                    return Err(BodyError::of(name, message));
                }
                form.peek.model = value.into();
                form.peek.spans.model = Some(place);
            }
            // As servers of this form read a flag in a form.
            "stream" => {
                form.peek.stream = match value.to_ascii_lowercase().as_str() {
                    "true" | "1" | "on" | "yes" => true,
                    "false" | "0" | "off" | "no" | "" => false,
                    _ => return Err(BodyError::of(name, "`stream` must be true or false")),
                };
            }
            "response_format" => form.response_format = Some(value.into()),
            "n" => self.n = Some(count(name, value)?).filter(|n| *n > 0),
            "quality" => self.quality = Some(value.into()),
            "size" => self.size = Some(value.into()),
            "partial_images" => self.partial = count(name, value)?,
            _ => form.peek.user = Some(value.into()),
        }
        Ok(())
    }
}

/// A small number in a form; an empty field is as good as none.
fn count(name: &str, value: &str) -> Result<u64, BodyError> {
    let digits = !value.starts_with('+');
    let count = if value.is_empty() { Some(0) } else { value.parse::<u64>().ok() };
    count.filter(|count| digits && *count <= MAX_COUNT).ok_or_else(|| {
        BodyError::of(name, format!("`{name}` must be a whole number of at most {MAX_COUNT}"))
    })
}

/// One part of a form.
#[derive(Debug)]
struct Part<'a> {
    name: &'a str,
    content: Span,
}

/// The parts in order. After an error there are no more.
struct Parts<'a> {
    body: &'a [u8],
    /// CRLF, two hyphens, the boundary.
    delimiter: Vec<u8>,
    /// Behind the last delimiter; `None` before the first, and `usize::MAX` after the end.
    at: Option<usize>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = match self.at {
            Some(at) => at,
            // Nothing may stand before the first delimiter, which has no line end in front of it.
            None => match self.delimiter.get(2..) {
                Some(first) if self.body.starts_with(first) => first.len(),
                _ => return Some(self.fail("it does not begin with its boundary")),
            },
        };
        let rest = self.body.get(at..)?;
        if rest.starts_with(b"--") {
            self.at = Some(usize::MAX);
            return None;
        }
        let Some(rest) = rest.strip_prefix(b"\r\n") else {
            return Some(self.fail("a boundary is not followed by a line end"));
        };
        let Some(head_length) = memmem::find(rest, b"\r\n\r\n") else {
            return Some(self.fail("a part has no content"));
        };
        let start = at + 2 + head_length + 4;
        let content = self.body.get(start..).unwrap_or_default();
        let Some(length) = memmem::find(content, &self.delimiter) else {
            return Some(self.fail("its last boundary is missing"));
        };
        self.at = Some(start + length + self.delimiter.len());
        match rest.get(..head_length).and_then(part_name) {
            Some(name) => Some(Ok(Part { name, content: Span { start, end: start + length } })),
            None => Some(self.fail("a part has no plain name")),
        }
    }
}

impl<'a> Parts<'a> {
    fn fail(&mut self, wrong: &str) -> Result<Part<'a>, BodyError> {
        self.at = Some(usize::MAX);
        Err(malformed(wrong))
    }
}

/// The name in the one `Content-Disposition` of a part.
fn part_name(head: &[u8]) -> Option<&str> {
    let head = str::from_utf8(head).ok()?;
    let mut disposition = None;
    for line in head.split("\r\n") {
        // A folded line, a bare line end or a line without a colon could be read in two ways.
        if line.starts_with([' ', '\t']) || line.contains(['\r', '\n']) {
            return None;
        }
        let (field, value) = line.split_once(':')?;
        if field.eq_ignore_ascii_case("content-disposition")
            && disposition.replace(value.trim()).is_some()
        {
            return None;
        }
    }
    let (kind, parameters) = disposition?.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    parameter(parameters, "name")
}

/// The value of a parameter that stands once.
fn parameter<'a>(parameters: &'a str, wanted: &str) -> Option<&'a str> {
    let mut found = None;
    let mut rest = parameters.trim_start();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once('=')?;
        let (value, tail) = match tail.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted)?;
                (quoted.get(..end)?, quoted.get(end + 1..)?)
            }
            None => tail.split_at(tail.find(';').unwrap_or(tail.len())),
        };
        let key = key.trim();
        // `name*=` would be a second name in another encoding.
        if key.strip_suffix('*').is_some_and(|key| key.eq_ignore_ascii_case(wanted)) {
            return None;
        }
        if key.eq_ignore_ascii_case(wanted) && found.replace(value.trim_end()).is_some() {
            return None;
        }
        let tail = tail.trim_start();
        rest = match tail.strip_prefix(';') {
            Some(more) => more.trim_start(),
            None if tail.is_empty() => tail,
            None => return None,
        };
    }
    found
}

/// Where a quoted text ends; a backslash hides the character behind it.
fn closing_quote(text: &str) -> Option<usize> {
    let mut hidden = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !hidden;
        hidden = byte == b'\\' && !hidden;
        ends
    })
}

fn boundary(content_type: &str) -> Result<&str, BodyError> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        let message = "the body must be a form: content-type multipart/form-data".to_owned();
        return Err(BodyError { message, param: None });
    }
    parameter(parameters, "boundary")
        .filter(|boundary| (1..=70).contains(&boundary.len()) && !boundary.contains('\\'))
        .ok_or_else(|| malformed("its content-type names no boundary"))
}

fn delimiter(boundary: &str) -> Vec<u8> {
    ["\r\n--", boundary].concat().into_bytes()
}

fn malformed(wrong: &str) -> BodyError {
    BodyError { message: format!("the form is not valid: {wrong}"), param: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "multipart/form-data; boundary=XyZ";

    fn part(name: &str, content: &str) -> String {
        format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    }

    fn file(content: &str) -> String {
        format!(
            "--XyZ\r\ncontent-disposition: form-data; filename=\"a;\\\"b.mp3\"; name=\"file\"\r\n\
             Content-Type: audio/mpeg\r\n\r\n{content}\r\n"
        )
    }

    fn form(parts: &[String]) -> String {
        [&parts.concat(), "--XyZ--\r\n"].concat()
    }

    #[test]
    fn model_stream_and_format_are_found_and_the_file_stays_where_it_is() {
        let sound = "\0\r\n--Xy not a boundary\r\n\r\n";
        let body = form(&[
            file(sound),
            part("model", "gpt-4o-transcribe"),
            part("response_format", "srt"),
            part("stream", "True"),
            part("language", "ko"),
        ]);
        let form =
            peek_form("Multipart/Form-Data; charset=utf-8; boundary=\"XyZ\"", body.as_bytes())
                .unwrap();
        assert_eq!(&*form.peek.model, "gpt-4o-transcribe");
        assert!(form.peek.stream);
        assert_eq!(form.response_format.as_deref(), Some("srt"));
        let file = form.file.unwrap();
        assert_eq!(&body.as_bytes()[file.start..file.end], sound.as_bytes());
        assert_eq!(form.peek.input.audio_bytes, sound.len() as u64);
        assert_eq!(form.peek.input.bytes, body.len() as u64);
        let model = form.peek.model_span().unwrap();
        assert_eq!(&body.as_bytes()[model.start..model.end], b"gpt-4o-transcribe");
    }

    #[test]
    fn pictures_are_counted_that_go_in_and_that_are_asked_for() {
        let read = |parts: &[String]| {
            let model = part("model", "gpt-image-1");
            peek_form(TYPE, form(&[&[model], parts].concat()).as_bytes())
        };
        let one = read(&[part("image", "0123")]).unwrap();
        assert_eq!((one.peek.choices, one.picture), (1, 6_240));
        assert_eq!((one.peek.input.images, one.peek.input.image_bytes), (1, 4));
        let many = read(&[
            part("image[]", "0123"),
            part("image[]", "45"),
            part("mask", "6"),
            part("n", "3"),
            part("quality", "low"),
            part("size", "2048x1536"),
            part("partial_images", "2"),
        ])
        .unwrap();
        assert_eq!((many.peek.choices, many.picture), (3, 2 * 408 + 200));
        assert_eq!((many.peek.input.images, many.peek.input.image_bytes), (3, 7));
        assert_eq!(read(&[part("n", "")]).unwrap().peek.choices, 1);
        for bad in ["-1", "+3", "3.0", "three", "129", "99999999999999999999"] {
            assert!(read(&[part("n", bad)]).is_err(), "{bad}");
        }
        assert!(read(&[part("n", "1"), part("n", "9")]).is_err());
        assert!(read(&[part("N", "9")]).is_err());
    }

    #[test]
    fn only_the_model_changes() {
        let body = Bytes::from(form(&[part("model", "a"), file("sound")]));
        let seen = peek_form(TYPE, &body).unwrap();
        let changed = rewrite_form(&body, &seen.peek, "whisper-1\r\n");
        assert_eq!(changed, form(&[part("model", "whisper-1"), file("sound")]));
        assert_eq!(rewrite_form(&body, &seen.peek, "a").as_ptr(), body.as_ptr(), "not copied");
    }

    #[test]
    fn a_form_that_could_be_read_in_two_ways_is_refused() {
        let model = part("model", "m");
        let bare = model.replace("\r\n", "\n");
        let two_names = model.replace("name=\"model\"", "name=\"x\"; name=\"model\"");
        let starred = model.replace("name=\"model\"", "name=\"x\"; name*=UTF-8''model");
        let folded = model.replace("; name", ";\r\n name");
        for (body, why) in [
            (form(&[model.clone(), part("model", "n")]), "twice"),
            (form(&[model.clone(), part("Model", "n")]), "spelled"),
            (form(&[model.clone(), part("stream", "maybe")]), "true or false"),
            (form(&[part("stream", "true")]), "missing"),
            (form(&[part("model", " ")]), "plain name"),
            (form(&[part("model", "a\r\n-%x\r\nb")]), "plain name"),
            (form(&[bare]), "line end"),
            (form(&[two_names]), "no plain name"),
            (form(&[starred]), "no plain name"),
            (form(&[folded]), "no plain name"),
            (["preamble\r\n", &form(std::slice::from_ref(&model))].concat(), "begin"),
            (model.clone(), "missing"),
            (String::new(), "begin"),
            (form(&vec![part("x", "y"); 65]), "64 parts"),
        ] {
            let error = peek_form(TYPE, body.as_bytes()).unwrap_err();
            assert!(error.message.contains(why), "{why}: {}", error.message);
        }
        for content_type in ["application/json", "multipart/form-data", "multipart/form-data; x=1"]
        {
            assert!(peek_form(content_type, form(&[part("model", "m")]).as_bytes()).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_make_it_panic(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                &b"--XyZ"[..], b"\r\n", b"--", b"\r\n\r\n", b"\"", b"; ", b"m", b"\xff", b"=",
                b"Content-Disposition: form-data; name=\"model\""]), 0..30)
        ) {
            let body = pieces.concat();
            if let Ok(form) = peek_form(TYPE, &body) {
                prop_assert!(!form.peek.model.is_empty());
            }
        }
    }
}
