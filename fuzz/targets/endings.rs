//! Errors as each dialect says them, whole and in a stream: they are read as they were meant.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_domain::call::Dialect;
use tollgate_domain::fault::Code;
use tollgate_domain::limit::Metric;
use tollgate_fuzz::{Input, assert_json, plain_events};
use tollgate_wire::bedrock;
use tollgate_wire::bedrock::frame::Frame;
use tollgate_wire::dialect::read_error;
use tollgate_wire::error::{ErrorView, LimitView, error_body, error_event};

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    let Ok(text) = str::from_utf8(input.body) else { return };
    let (message, rest) = text.split_once('\n').unwrap_or((text, ""));
    let code = Code::ALL[usize::from(input.choice) % Code::ALL.len()];
    let limit = LimitView {
        name: rest,
        scope: "key",
        metric: if input.choice & 1 == 0 { Metric::CostUsd } else { Metric::Tokens },
        window: rest,
        max: i64::from(input.choice) << 40,
        used: i64::MAX,
        reserved: i64::MIN,
        frees_at: Some(rest),
    };
    let error = ErrorView {
        param: Some(rest),
        limit: (input.choice & 2 == 0).then_some(limit),
        retry_after: Some(u64::from(input.choice)),
        request_id: Some(rest),
        ..ErrorView::new(code, message)
    };
    for dialect in [Dialect::Openai, Dialect::Anthropic, Dialect::Gemini] {
        let body = error_body(dialect, &error);
        assert_json(&body, "an error");
        let read = read_error(&body).expect("an error reads as one");
        assert!(message.starts_with(&*read.message), "{message:?} became {:?}", read.message);
        assert!(read.message.len() > 1000 || read.message.len() == message.len(), "cut short");
        for sequence in [None, Some(7)] {
            let event = error_event(dialect, &error, sequence);
            let events = plain_events::read(&event);
            assert_eq!(events.len(), 1, "one event");
            assert_json(&events[0].1, "an error in a stream");
        }
    }
    assert_json(&bedrock::error_body(&error), "an error of Bedrock");
    assert!(Frame::read(&bedrock::error_frame(&error)).is_ok(), "a frame that nobody reads");
});
