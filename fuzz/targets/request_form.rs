//! Requests that are forms with a file: what is read, and what another model's name changes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::Input;
use tollgate_wire::form::{peek_form, rewrite_form};
use tollgate_wire::openai::audio;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    let at = input.body.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (first, body) = input.body.split_at(at);
    let Ok(content_type) = str::from_utf8(first) else { return };
    let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
    let length = audio::length(&body);
    assert!(length.likely <= length.at_most, "likely more than at most");
    let Ok(form) = peek_form(content_type, &body) else { return };
    if let Some(file) = form.file {
        assert!(file.start <= file.end && file.end <= body.len(), "a file outside of its form");
    }
    let changed = rewrite_form(&body, &form.peek, "other");
    let again = peek_form(content_type, &changed).expect("a changed form is a form");
    assert_eq!(&*again.peek.model, "other");
    assert_eq!((again.peek.stream, &again.peek.user), (form.peek.stream, &form.peek.user));
    assert_eq!(again.response_format, form.response_format);
    assert_eq!(again.peek.input.audio_bytes, form.peek.input.audio_bytes);
    let back = rewrite_form(&changed, &again.peek, &form.peek.model);
    assert_eq!(back, body, "more than the model has changed");
});
