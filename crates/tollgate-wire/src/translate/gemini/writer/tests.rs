//! What clients of Gemini are given, whole, as events and as an array.

use super::*;
use crate::facts::InbandError;

fn view(array: bool) -> View {
    View { model: "asked".to_owned(), fallback_id: "id1".to_owned(), array, ..View::default() }
}

fn written(events: &[Event], array: bool) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(&view(array));
    for event in events {
        writer.push(event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn stream(events: &[Event]) -> Vec<Value> {
    let text = written(events, false);
    let chunks = text.split_terminator("\r\n\r\n");
    chunks
        .map(|chunk| serde_json::from_str(chunk.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

fn whole(events: &[Event]) -> Value {
    serde_json::from_slice(&write_whole(events, &view(false))).unwrap()
}

fn answer() -> Vec<Event> {
    let delta = |number, text: &str| Event::Delta(number, text.to_owned());
    let call = |id: &str| Block::Call { id: id.to_owned(), name: "f".to_owned() };
    vec![
        Event::Begin { id: None, model: Some("m".to_owned()), created: None },
        Event::Open(0, Block::Thought),
        delta(0, "hm"),
        delta(0, " so"),
        Event::Proof(0, "proof".to_owned()),
        Event::Close(0),
        Event::Open(1, Block::SealedThought),
        Event::Proof(1, "sealed".to_owned()),
        Event::Close(1),
        Event::Open(2, Block::Text),
        delta(2, "a"),
        delta(2, "b"),
        Event::Close(2),
        Event::Open(3, call("x")),
        Event::Open(4, call("y")),
        delta(3, "{\"k\":"),
        delta(4, "{}"),
        delta(3, "1}"),
        Event::Close(3),
        Event::Close(4),
        Event::Stop(Stop { reason: Reason::Calls, native: "tool_use".to_owned(), sequence: None }),
        Event::Usage(Usage { reasoning: 3, cache_read: 4, ..Usage::tokens(10, 7) }),
        Event::End,
    ]
}

/// The parts that a client gathers from a stream, texts of a kind joined.
fn gathered(chunks: &[Value]) -> Vec<Value> {
    let mut parts: Vec<Value> = Vec::new();
    let told =
        chunks.iter().filter_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array());
    for part in told.flatten().filter(|part| **part != json!({"text": ""})) {
        let joins = parts.last().is_some_and(|last| {
            last["text"].is_string()
                && part["text"].is_string()
                && last["thought"] == part["thought"]
                && last["thoughtSignature"].is_null()
        });
        match parts.last_mut().filter(|_| joins) {
            Some(last) => {
                let text = [&last["text"], &part["text"]].map(|text| text.as_str().unwrap());
                let text = text.concat();
                *last = part.clone();
                last["text"] = json!(text);
            }
            None => parts.push(part.clone()),
        }
    }
    parts
}

#[test]
fn a_stream_gathers_to_the_parts_of_the_whole_answer() {
    let (chunks, whole) = (stream(&answer()), whole(&answer()));
    let parts = whole["candidates"][0]["content"]["parts"].as_array().unwrap();
    assert_eq!(&gathered(&chunks), parts);
    assert_eq!(parts[0], json!({"text": "hm so", "thought": true, "thoughtSignature": "proof"}));
    assert_eq!(parts[1], json!({"thought": true, "thoughtSignature": "sealed"}));
    assert_eq!(parts[3]["functionCall"], json!({"id": "x", "name": "f", "args": {"k": 1}}));
    let last = chunks.last().unwrap();
    for key in ["usageMetadata", "modelVersion", "responseId"] {
        assert_eq!(last[key], whole[key], "{key}");
    }
    for key in ["finishReason", "finishMessage", "index"] {
        assert_eq!(last["candidates"][0][key], whole["candidates"][0][key], "{key}");
    }
    assert_eq!(whole["candidates"][0]["finishReason"], "STOP");
    assert_eq!(whole["candidates"][0]["finishMessage"], "tool_use");
    let usage = json!({"promptTokenCount": 10, "cachedContentTokenCount": 4,
        "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 17});
    assert_eq!(whole["usageMetadata"], usage);
    assert_eq!((&whole["modelVersion"], &whole["responseId"]), (&json!("asked"), &json!("id1")));
    assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk.get("usageMetadata").is_none()));
}

#[test]
fn without_alt_sse_the_same_chunks_are_one_array() {
    let array: Value = serde_json::from_str(&written(&answer(), true)).unwrap();
    assert_eq!(array, Value::Array(stream(&answer())));
    let error = InbandError { message: "m".into(), ..InbandError::default() };
    let mut failed = answer()[..3].to_vec();
    failed.extend([Event::Error(error), Event::End]);
    let array: Value = serde_json::from_str(&written(&failed, true)).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 2);
    assert_eq!(array[1]["error"]["status"], "INTERNAL");
}

#[test]
fn reasons_are_geminis_words() {
    for (reason, expected) in [
        (Reason::End, "STOP"),
        (Reason::Calls, "STOP"),
        (Reason::Length, "MAX_TOKENS"),
        (Reason::Filtered, "SAFETY"),
    ] {
        let begin = Event::Begin { id: None, model: None, created: None };
        let stop = Stop { reason, native: String::new(), sequence: None };
        let told = whole(&[begin, Event::Stop(stop), Event::End]);
        assert_eq!(told["candidates"][0]["finishReason"], expected);
        assert!(told.get("usageMetadata").is_none(), "unknown is not zero");
    }
}

#[test]
fn a_failure_is_an_error_and_nothing_follows() {
    let error = InbandError { message: "m".into(), status: Some(529), ..InbandError::default() };
    let mut events = answer()[..3].to_vec();
    events.extend([Event::Error(error), Event::End]);
    let chunks = stream(&events);
    assert_eq!(chunks.len(), 2);
    assert_eq!(chunks[1]["error"]["code"], 503);
    assert_eq!(whole(&events)["error"]["status"], "UNAVAILABLE");
}
