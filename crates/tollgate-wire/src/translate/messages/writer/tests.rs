//! What clients of Anthropic are given, whole and streamed.

use super::*;
use crate::facts::InbandError;

fn view() -> View {
    View { model: "asked".to_owned(), fallback_id: "1".to_owned(), ..View::default() }
}

fn stream(events: &[Event]) -> Vec<Value> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&view());
    for event in events {
        writer.push(event, &mut out);
    }
    let text = String::from_utf8(out).unwrap();
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
        data
    });
    events.collect()
}

fn whole(events: &[Event]) -> Value {
    serde_json::from_slice(&write_whole(events, &view())).unwrap()
}

fn begin() -> Event {
    Event::Begin { id: None, model: Some("m".to_owned()), created: None }
}

fn stop(reason: Reason, native: &str) -> Event {
    Event::Stop(Stop { reason, native: native.to_owned(), sequence: None })
}

fn delta(number: u32, text: &str) -> Event {
    Event::Delta(number, text.to_owned())
}

fn call(id: &str) -> Block {
    Block::Call { id: id.to_owned(), name: "f".to_owned() }
}

/// The content that a client gathers from a stream.
fn gathered(events: &[Value]) -> Value {
    let mut blocks: Vec<Value> = Vec::new();
    let mut open = Vec::new();
    for event in events {
        let index = usize::try_from(event["index"].as_u64().unwrap_or(0)).unwrap();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(index, blocks.len(), "clients append blocks");
                blocks.push(event["content_block"].clone());
                open.push((index, String::new()));
            }
            "content_block_delta" => {
                let (_, json) = open.iter_mut().find(|(each, _)| *each == index).expect("open");
                for key in ["text", "thinking", "signature"] {
                    if let Some(piece) = event["delta"][key].as_str() {
                        let before = blocks[index][key].as_str().unwrap().to_owned();
                        blocks[index][key] = Value::String(before + piece);
                    }
                }
                json.push_str(event["delta"]["partial_json"].as_str().unwrap_or(""));
            }
            "content_block_stop" => {
                let at = open.iter().position(|(each, _)| *each == index).expect("open");
                let (_, json) = open.remove(at);
                if blocks[index]["type"] == "tool_use" {
                    blocks[index]["input"] = serde_json::from_str(&json).unwrap();
                }
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "every block ends");
    Value::Array(blocks)
}

#[test]
fn a_stream_gathers_to_the_content_of_the_whole_answer() {
    let events = [
        begin(),
        Event::Open(0, Block::Thought),
        delta(0, "hm"),
        Event::Proof(0, "sig".to_owned()),
        Event::Close(0),
        Event::Open(1, Block::SealedThought),
        Event::Proof(1, "sealed".to_owned()),
        Event::Close(1),
        Event::Open(2, Block::Text),
        delta(2, "a\"\n"),
        delta(2, "b"),
        Event::Close(2),
        Event::Open(3, call("x")),
        delta(3, "{\"a\""),
        Event::Open(4, call("y")),
        delta(4, "{}"),
        delta(3, ":1}"),
        Event::Close(3),
        Event::Close(4),
        stop(Reason::Calls, "tool_calls"),
        Event::Usage(Usage { cache_read: 4, ..Usage::tokens(10, 7) }),
        Event::End,
    ];
    let (streamed, whole) = (stream(&events), whole(&events));
    assert_eq!(gathered(&streamed), whole["content"]);
    assert_eq!(whole["content"].as_array().unwrap().len(), 5);
    let last = &streamed[streamed.len() - 2];
    assert_eq!(last["delta"]["stop_reason"], "tool_use");
    assert_eq!(last["usage"], whole["usage"]);
    assert_eq!(whole["usage"]["input_tokens"], 6);
    assert_eq!(streamed.last().unwrap()["type"], "message_stop");
    for key in ["id", "type", "role", "model", "stop_sequence"] {
        assert_eq!(streamed[0]["message"][key], whole[key], "{key}");
    }
    assert_eq!(streamed[0]["message"]["usage"]["output_tokens"], 0);
    assert_eq!(whole["id"], "msg_1");
}

#[test]
fn a_block_with_nothing_in_it_never_begins() {
    let events = [
        begin(),
        Event::Open(0, Block::Text),
        Event::Close(0),
        Event::Open(1, call("x")),
        delta(1, "{}"),
        Event::Close(1),
        stop(Reason::Calls, ""),
        Event::End,
    ];
    let streamed = stream(&events);
    assert_eq!(streamed[1]["index"], 0);
    assert_eq!(streamed[1]["content_block"]["type"], "tool_use");
    assert_eq!(gathered(&streamed), whole(&events)["content"]);
}

#[test]
fn a_text_ends_before_a_call_begins_and_goes_on_in_another_block() {
    let events = [
        begin(),
        Event::Open(0, Block::Text),
        delta(0, "a"),
        Event::Open(1, call("x")),
        delta(1, "{}"),
        Event::Close(1),
        delta(0, "b"),
        Event::Close(0),
        stop(Reason::End, "stop"),
        Event::End,
    ];
    let content = gathered(&stream(&events));
    let kinds: Vec<&str> =
        content.as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "tool_use", "text"]);
}

#[test]
fn reasons_are_claudes_words() {
    for (reason, native, expected) in [
        (Reason::End, "stop", "end_turn"),
        (Reason::Length, "MAX_TOKENS", "max_tokens"),
        (Reason::Length, "model_context_window_exceeded", "model_context_window_exceeded"),
        (Reason::Calls, "tool_calls", "tool_use"),
        (Reason::Filtered, "content_filter", "refusal"),
    ] {
        let events = [begin(), stop(reason, native), Event::End];
        assert_eq!(whole(&events)["stop_reason"], expected);
        assert_eq!(stream(&events)[1]["delta"]["stop_reason"], expected);
    }
    let sequence = Some("END".to_owned());
    let native = "stop_sequence".to_owned();
    let stopped = Event::Stop(Stop { reason: Reason::End, native, sequence });
    let told = whole(&[begin(), stopped, Event::End]);
    assert_eq!(
        (&told["stop_reason"], &told["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
    let refused = [
        begin(),
        Event::Open(0, Block::Refusal),
        delta(0, "no"),
        Event::Close(0),
        stop(Reason::End, "stop"),
        Event::End,
    ];
    assert_eq!(whole(&refused)["stop_reason"], "refusal");
    assert_eq!(whole(&refused)["content"], json!([{"type": "text", "text": "no"}]));
}

#[test]
fn a_failure_is_an_error_event_and_nothing_follows() {
    let error = InbandError { message: "m".into(), status: Some(503), ..InbandError::default() };
    let events = [begin(), Event::Error(error), Event::End];
    let streamed = stream(&events);
    assert_eq!(streamed.len(), 2);
    assert_eq!(streamed[1]["error"]["type"], "overloaded_error");
    assert_eq!(whole(&events)["type"], "error");
}
