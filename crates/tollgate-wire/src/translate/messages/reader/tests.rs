//! What is read of Claude's answers, whole and streamed.

use super::*;
use crate::translate::reply::Reason;
use serde_json::json;
use tollgate_domain::usage::Usage;

fn stream(events: &[Value]) -> Vec<Event> {
    let mut out = Vec::new();
    let mut reader = Reader::default();
    for event in events {
        reader.event(b"", event.to_string().as_bytes(), &mut out);
    }
    out
}

fn stopped(native: &str, reason: Reason) -> Event {
    Event::Stop(Stop { reason, native: native.to_owned(), sequence: None })
}

#[test]
fn a_stream_tells_the_same_as_the_whole_answer() {
    let usage = json!({"input_tokens": 5, "output_tokens": 9});
    let whole = read_whole(
        json!({"id": "msg_1", "model": "m", "type": "message", "role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "d"},
            {"type": "text", "text": "hi"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
            "stop_reason": "tool_use", "stop_sequence": null, "usage": usage})
        .to_string()
        .as_bytes(),
    );
    let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let streamed = stream(&[
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": [],
            "stop_reason": null, "usage": {"input_tokens": 5, "output_tokens": 1}}}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "ping"}),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(0, json!({"type": "signature_delta", "signature": "sig"})),
        stop(0),
        start(1, json!({"type": "redacted_thinking", "data": "d"})),
        stop(1),
        start(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "hi"})),
        stop(2),
        start(3, json!({"type": "tool_use", "id": "t", "name": "f", "input": {}})),
        delta(3, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(3, json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"})),
        stop(3),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use",
            "stop_sequence": null}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ]);
    let sorted = |events: Vec<Event>| {
        let stop = |event: &Event| matches!(event, Event::Stop(_));
        let (stops, rest): (Vec<_>, Vec<_>) = events.into_iter().partition(stop);
        (stops, rest)
    };
    assert_eq!(sorted(streamed), sorted(whole.clone()));
    assert!(whole.contains(&Event::Usage(Usage::tokens(5, 9))));
    assert!(whole.contains(&stopped("tool_use", Reason::Calls)));
}

#[test]
fn what_a_tool_of_the_provider_did_is_passed_over_and_numbers_stay_dense() {
    let events = read_whole(
        json!({"content": [{"type": "server_tool_use", "id": "s", "name": "x", "input": {}},
            {"type": "text", "text": "hi"}], "stop_reason": "model_context_window_exceeded"})
        .to_string()
        .as_bytes(),
    );
    assert_eq!(events[1], Event::Open(0, Block::Text));
    assert!(events.contains(&stopped("model_context_window_exceeded", Reason::Length)));
}

#[test]
fn an_error_in_a_stream_or_in_place_of_an_answer_is_an_error() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}});
    let kind = |event: &Event| match event {
        Event::Error(error) => error.kind.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(&stream(std::slice::from_ref(&error))[0]).as_deref(), Some("overloaded_error"));
    let whole = read_whole(error.to_string().as_bytes());
    assert_eq!(kind(&whole[0]).as_deref(), Some("overloaded_error"));
    assert!(
        matches!(&read_whole(b"<html>")[..], [Event::Error(error)] if error.status == Some(502))
    );
}

#[test]
fn a_call_that_a_vendor_sends_whole_keeps_its_arguments() {
    let events = stream(&[
        json!({"type": "content_block_start", "index": 0, "content_block":
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}}),
        json!({"type": "content_block_stop", "index": 0}),
    ]);
    assert!(events.contains(&Event::Delta(0, "{\"a\":1}".to_owned())));
}
