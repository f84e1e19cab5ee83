//! What is read of answers of Bedrock's models, whole and streamed.

use super::*;
use serde_json::json;

fn stream(frames: &[(&str, Value)]) -> Vec<Event> {
    let mut out = Vec::new();
    let mut reader = Reader::default();
    for (name, payload) in frames {
        reader.event(name.as_bytes(), payload.to_string().as_bytes(), &mut out);
    }
    reader.finish(&mut out);
    out
}

fn delta(index: u64, delta: &Value) -> (&'static str, Value) {
    ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta, "p": "abc"}))
}

fn closed(index: u64) -> (&'static str, Value) {
    ("contentBlockStop", json!({"contentBlockIndex": index}))
}

#[test]
fn a_stream_tells_the_same_as_the_whole_answer() {
    let usage = json!({"inputTokens": 2, "outputTokens": 5, "totalTokens": 17,
        "cacheReadInputTokens": 7, "cacheWriteInputTokens": 3});
    let streamed = stream(&[
        ("messageStart", json!({"role": "assistant", "p": "x"})),
        delta(0, &json!({"reasoningContent": {"text": "hm"}})),
        delta(0, &json!({"reasoningContent": {"signature": "sig"}})),
        closed(0),
        delta(1, &json!({"reasoningContent": {"redactedContent": "c2VhbGVk"}})),
        closed(1),
        delta(2, &json!({"text": "hi"})),
        closed(2),
        (
            "contentBlockStart",
            json!({"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}),
        ),
        delta(3, &json!({"toolUse": {"input": "{\"a\":1}"}})),
        closed(3),
        ("messageStop", json!({"stopReason": "tool_use"})),
        ("metadata", json!({"usage": usage, "metrics": {"latencyMs": 1}})),
    ]);
    let whole = read_whole(
        json!({"output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
            {"reasoningContent": {"redactedContent": "c2VhbGVk"}},
            {"text": "hi"},
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}]}},
            "stopReason": "tool_use", "usage": usage})
        .to_string()
        .as_bytes(),
    );
    let parted = |events: Vec<Event>| -> (Vec<Event>, Vec<Event>) {
        events.into_iter().partition(|event| matches!(event, Event::Stop(_)))
    };
    assert_eq!(parted(streamed.clone()), parted(whole));
    let expected = Usage { cache_read: 7, cache_write: 3, ..Usage::tokens(12, 5) };
    assert!(streamed.contains(&Event::Usage(expected)));
    assert_eq!(streamed.iter().filter(|event| **event == Event::End).count(), 1);
}

#[test]
fn reasons_of_bedrock_are_filters_too() {
    for (word, reason) in [
        ("end_turn", Reason::End),
        ("max_tokens", Reason::Length),
        ("content_filtered", Reason::Filtered),
        ("guardrail_intervened", Reason::Filtered),
        ("malformed_tool_use", Reason::End),
    ] {
        let events = stream(&[("messageStop", json!({"stopReason": word}))]);
        let native = word.to_owned();
        assert_eq!(events[0], Event::Stop(Stop { reason, native, sequence: None }));
        assert_eq!(events[1], Event::End, "the usage may never come");
    }
}

#[test]
fn an_exception_in_a_stream_is_an_error_with_its_status() {
    let events = stream(&[("throttlingException", json!({"message": "slow down"}))]);
    let Event::Error(error) = &events[0] else { panic!() };
    assert_eq!((error.status, &*error.message), (Some(429), "slow down"));
    assert_eq!(error.kind.as_deref(), Some("throttlingException"));
    assert_eq!(events.len(), 1, "a stream that failed has no end");
    assert!(matches!(&read_whole(b"{\"message\":\"no\"}")[..], [Event::Error(_)]));
    assert!(matches!(&read_whole(b"")[..], [Event::Error(_)]));
}
