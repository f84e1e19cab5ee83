//! Whole answers of every endpoint, and errors: what is read, and what is translated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_domain::usage::Usage;
use tollgate_fuzz::{Input, assert_json, translated};
use tollgate_wire::dialect::{answer_text, read_answer, read_error, read_headers, retry_after};
use tollgate_wire::translate::translate_error;

/// A part that exceeds its whole would be charged twice.
fn consistent(mut usage: Usage) {
    assert!(!usage.clamp_parts(), "a part exceeds its whole: {usage:?}");
}

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    let endpoint = input.endpoint();
    let mut facts = read_answer(endpoint, input.rules(), input.body);
    facts.usage.into_iter().chain(facts.partial).for_each(consistent);
    facts.parts.iter().map(|part| part.usage).for_each(consistent);
    let header = str::from_utf8(input.body.get(..8).unwrap_or_default()).ok();
    read_headers(endpoint, &|_| header, &mut facts);
    let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
    // An escape is longer than what it stands for, except for bytes that are no text at all.
    let text = answer_text(endpoint, input.body, length);
    assert!(text <= 4 * length(&String::from_utf8_lossy(input.body)), "text out of nowhere");
    let _ = retry_after(input.body);
    if let Some(error) = read_error(input.body) {
        assert!(error.message.len() <= 1024, "a message without bound");
    }
    let (status, body) = translate_error(endpoint, 500, input.body, Some("req_1"));
    assert!((400..600).contains(&status), "{status}");
    assert_json(&body, "a translated error");
    translated::check_whole(&input);
});
