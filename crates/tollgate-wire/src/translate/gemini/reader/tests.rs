//! What is read of Gemini's answers, whole and streamed.

use super::*;
use serde_json::json;
use tollgate_domain::usage::Usage;

fn stream(chunks: &[Value]) -> Vec<Event> {
    let mut out = Vec::new();
    let mut reader = Reader::default();
    for chunk in chunks {
        reader.event(b"", chunk.to_string().as_bytes(), &mut out);
    }
    reader.finish(&mut out);
    out
}

fn stops(events: &[Event]) -> Vec<(Reason, &str)> {
    let mut stops = Vec::new();
    for event in events {
        if let Event::Stop(stop) = event {
            stops.push((stop.reason, stop.native.as_str()));
        }
    }
    stops
}

fn chunk(parts: &Value, finish: Option<&str>) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
        "modelVersion": "gemini-3", "responseId": "r1"})
}

#[test]
fn pieces_of_a_kind_are_one_block_and_calls_are_whole() {
    let events = stream(&[
        chunk(&json!([{"text": "hm", "thought": true}]), None),
        chunk(&json!([{"text": " so", "thought": true}, {"text": "a"}]), None),
        chunk(&json!([{"text": "b", "thoughtSignature": "x"}]), None),
        chunk(
            &json!([{"functionCall": {"name": "f", "args": {"k": [1]}}, "thoughtSignature": "sig"},
                {"functionCall": {"name": "f"}}]),
            Some("STOP"),
        ),
    ]);
    let call = |id: &str| Block::Call { id: id.to_owned(), name: "f".to_owned() };
    let delta = |number, text: &str| Event::Delta(number, text.to_owned());
    let told: Vec<Event> =
        events.iter().filter(|event| !matches!(event, Event::Usage(_))).cloned().collect();
    let expected = [
        Event::Begin {
            id: Some("r1".to_owned()),
            model: Some("gemini-3".to_owned()),
            created: None,
        },
        Event::Open(0, Block::Thought),
        delta(0, "hm"),
        delta(0, " so"),
        Event::Close(0),
        Event::Open(1, Block::Text),
        delta(1, "a"),
        delta(1, "b"),
        Event::Close(1),
        Event::Open(2, call("call_r1_0")),
        Event::Proof(2, "sig".to_owned()),
        delta(2, "{\"k\":[1]}"),
        Event::Close(2),
        Event::Open(3, call("call_r1_1")),
        delta(3, "{}"),
        Event::Close(3),
        Event::Stop(Stop { reason: Reason::Calls, native: "STOP".to_owned(), sequence: None }),
        Event::End,
    ];
    assert_eq!(told, expected);
    assert!(events.contains(&Event::Usage(Usage::tokens(5, 2))));
}

#[test]
fn a_whole_answer_tells_what_one_chunk_tells() {
    let body = chunk(&json!([{"text": "hi"}]), Some("MAX_TOKENS"));
    assert_eq!(read_whole(body.to_string().as_bytes()), stream(std::slice::from_ref(&body)));
    assert_eq!(stops(&stream(&[body])), [(Reason::Length, "MAX_TOKENS")]);
}

#[test]
fn a_blocked_prompt_is_a_filtered_answer() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5}});
    let events = stream(&[blocked]);
    assert_eq!(stops(&events), [(Reason::Filtered, "PROHIBITED_CONTENT")]);
    assert_eq!(events.last(), Some(&Event::End));
    for word in ["SAFETY", "RECITATION", "SPII", "IMAGE_SAFETY"] {
        let events = stream(&[chunk(&json!([]), Some(word))]);
        assert_eq!(stops(&events), [(Reason::Filtered, word)]);
    }
}

#[test]
fn a_stream_that_breaks_off_has_no_end() {
    let events = stream(&[chunk(&json!([{"text": "a"}]), None)]);
    assert!(!events.contains(&Event::End) && stops(&events).is_empty());
}

#[test]
fn errors_and_pictures_are_failures_and_not_silence() {
    let error = json!({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}});
    let events = stream(&[chunk(&json!([{"text": "a"}]), None), error]);
    let told = events.iter().find_map(|event| match event {
        Event::Error(error) => Some(&*error.message),
        _ => None,
    });
    assert_eq!(told, Some("busy"));
    let picture = chunk(&json!([{"inlineData": {"mimeType": "image/png", "data": "AA"}}]), None);
    assert!(stream(&[picture]).iter().any(|event| matches!(event, Event::Error(_))));
    assert!(matches!(&read_whole(b"<html>")[..], [Event::Error(_)]));
}
