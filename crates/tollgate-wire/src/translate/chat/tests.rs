//! Chat completions on both sides of the hub, member by member.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::openai::UsageRules;
use crate::translate::reply::{Block, Event, Reason};
use crate::translate::{Form, Target, View, Written, translate_request, translate_whole};

use super::Reader;

/// A chat request as it goes to a provider of responses.
fn sent(body: &Value) -> Result<Value, (String, String)> {
    to(Endpoint::Responses, body, &Target { model: "t", ..Target::default() })
        .map(|written| serde_json::from_slice(&written.body).unwrap())
}

fn to(to: Endpoint, body: &Value, target: &Target<'_>) -> Result<Written, (String, String)> {
    let (from, body) = (Endpoint::ChatCompletions, body.to_string());
    match translate_request(from, to, None, body.as_bytes(), target) {
        Ok((prompt, written)) => {
            assert_eq!(prompt.form, Form::Chat);
            Ok(written)
        }
        Err(error) => Err((error.param.unwrap_or_default(), error.message)),
    }
}

fn with(extra: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

#[test]
fn what_responses_cannot_express_is_refused_by_the_clients_name() {
    for (field, extra) in [
        ("stop", json!({"stop": "\n"})),
        ("seed", json!({"seed": 7})),
        ("top_k", json!({"top_k": 7})),
        ("presence_penalty", json!({"presence_penalty": 0.5})),
        ("logit_bias", json!({"logit_bias": {"50256": -100}})),
        ("logprobs", json!({"logprobs": true})),
        ("web_search_options", json!({"web_search_options": {}})),
        ("prediction", json!({"prediction": {"type": "content", "content": "x"}})),
        ("modalities", json!({"modalities": ["text", "audio"]})),
        ("functions", json!({"functions": [{"name": "f"}]})),
        ("n", json!({"n": 3})),
        ("tools[0]", json!({"tools": [{"type": "web_search_preview"}]})),
        ("tool_choice", json!({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}})),
        ("messages", json!({"messages": null})),
        ("messages[0].name", json!({"messages": [{"role": "user", "name": "b", "content": "x"}]})),
        ("messages[0].role", json!({"messages": [{"role": "function", "content": "x"}]})),
        (
            "messages[0].content[1].file_id",
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"},
                {"type": "file", "file": {"file_id": "file-1"}}]}]}),
        ),
        (
            "messages[0].content[0].image_url.url",
            json!({"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png,raw"}}]}]}),
        ),
    ] {
        let (param, message) = sent(&with(&extra)).unwrap_err();
        assert_eq!(param, field);
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn what_asks_for_nothing_is_not_refused() {
    let neutral = json!({"n": 1, "logprobs": false, "top_logprobs": 0, "logit_bias": {},
        "presence_penalty": 0, "frequency_penalty": 0.0, "modalities": ["text"], "stop": null,
        "functions": [], "response_format": {"type": "text"}});
    assert!(sent(&with(&neutral)).is_ok());
}

#[test]
fn a_whole_conversation_with_tools_becomes_items_in_its_order() {
    let body = json!({"model": "m", "max_tokens": 50, "messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look", "cache_control": {"type": "x"}},
            {"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "low"}}]},
        {"role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}},
            {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "*** \"Begin\""}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "system", "content": "now in French"},
        {"role": "user", "content": "go on"}],
        "tools": [{"type": "function", "function": {"name": "f"}},
            {"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar",
                "grammar": {"syntax": "lark", "definition": "start: /.*/"}}}}],
        "tool_choice": {"type": "custom", "custom": {"name": "patch"}},
        "parallel_tool_calls": false, "verbosity": "low", "user": "u", "store": true,
        "metadata": {"a": "b"}, "reasoning_effort": "low", "service_tier": "flex"});
    let text = |role: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]});
    let mut first = text("user", "look");
    first["content"].as_array_mut().unwrap().push(json!({"type": "input_image",
        "image_url": "https://e.org/a.png", "detail": "low"}));
    let expected = json!({"model": "t", "instructions": "be brief", "input": [
        first,
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** \"Begin\""},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "two"},
        text("developer", "now in French"), text("user", "go on")],
        "tools": [{"type": "function", "name": "f", "strict": false,
                "parameters": {"type": "object", "properties": {}}},
            {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark",
                "definition": "start: /.*/"}}],
        "tool_choice": {"type": "custom", "name": "patch"}, "parallel_tool_calls": false,
        "max_output_tokens": 50, "store": true, "user": "u", "service_tier": "flex",
        "metadata": {"a": "b"}, "text": {"verbosity": "low"}, "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"]});
    assert_eq!(sent(&body).unwrap(), expected);
    let target = Target { model: "t", ..Target::default() };
    assert_eq!(to(Endpoint::Responses, &body, &target).unwrap().left_out, ["cache_control"]);
}

#[test]
fn a_maximum_is_never_above_the_clamp() {
    for (asked, expected) in [(json!({"max_tokens": 900}), 500), (json!({}), 500)] {
        let target = Target { model: "t", clamp: Some(500), ..Target::default() };
        let written = to(Endpoint::Responses, &with(&asked), &target).unwrap();
        let body: Value = serde_json::from_slice(&written.body).unwrap();
        assert_eq!(body["max_output_tokens"], expected);
    }
}

#[test]
fn a_model_that_cannot_think_is_not_asked_to() {
    let target = Target { model: "t", thinks: Some(false), ..Target::default() };
    let body = with(&json!({"reasoning_effort": "high"}));
    let written = to(Endpoint::Responses, &body, &target).unwrap();
    assert_eq!(written.left_out, ["reasoning_effort"]);
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    assert_eq!((body.get("reasoning"), body.get("include")), (None, None));
}

fn chunks(lines: &[Value]) -> Vec<Event> {
    let (mut reader, mut events) = (Reader::new(UsageRules::default()), Vec::new());
    for line in lines {
        reader.event(b"", line.to_string().as_bytes(), &mut events);
    }
    reader.event(b"", b"[DONE]", &mut events);
    events
}

fn delta(delta: &Value) -> Value {
    json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn piece(index: u32, id: &str, name: &str, arguments: &str) -> Value {
    json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}})
}

fn blocks(events: &[Event]) -> Vec<(Block, String)> {
    let open = |event: &Event| match event {
        Event::Open(number, _) => Some(*number),
        _ => None,
    };
    let mut running = None;
    for event in events {
        match event {
            Event::Open(number, _) => {
                assert_eq!(running.replace(*number), None, "one block after the other: {events:?}");
            }
            Event::Delta(number, _) => assert_eq!(running, Some(*number)),
            Event::Close(number) => assert_eq!(running.take(), Some(*number)),
            _ => {}
        }
    }
    let numbers: Vec<u32> = events.iter().filter_map(open).collect();
    assert!(numbers.iter().copied().eq((0..).take(numbers.len())));
    let answer = crate::translate::reply::Answer::of(events);
    answer.blocks.into_iter().map(|filled| (filled.block, filled.text)).collect()
}

fn call(id: &str, name: &str) -> Block {
    Block::Call { id: id.to_owned(), name: name.to_owned() }
}

#[test]
fn calls_whose_pieces_come_mixed_are_told_one_after_the_other() {
    let events = chunks(&[
        delta(&json!({"tool_calls": [piece(0, "a", "f", ""), piece(1, "b", "g", "")]})),
        delta(&json!({"tool_calls": [piece(1, "", "", "{\"y\":"), piece(0, "", "", "{\"x\":")]})),
        delta(&json!({"tool_calls": [piece(0, "", "", "1}"), piece(1, "", "", "2}")]})),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    ]);
    let expected =
        [(call("a", "f"), r#"{"x":1}"#.to_owned()), (call("b", "g"), r#"{"y":2}"#.to_owned())];
    assert_eq!(blocks(&events), expected);
    let calls = |event: &Event| matches!(event, Event::Stop(s) if s.reason == Reason::Calls);
    assert!(events.iter().any(calls), "calls were made, whatever the vendor's word is");
}

#[test]
fn calls_of_one_index_and_without_ids_are_told_apart() {
    let events = chunks(&[
        delta(&json!({"tool_calls": [piece(0, "", "f", "{\"x\":1}")]})),
        delta(&json!({"tool_calls": [piece(0, "", "f", "{\"x\":2}")]})),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
    ]);
    let expected = [
        (call("call_c_0", "f"), r#"{"x":1}"#.to_owned()),
        (call("call_c_1", "f"), r#"{"x":2}"#.to_owned()),
    ];
    assert_eq!(blocks(&events), expected);
}

#[test]
fn thoughts_are_read_from_every_member_that_vendors_use() {
    for said in [
        json!({"reasoning_content": "hm", "content": "so"}),
        json!({"reasoning": "hm", "content": "so"}),
        json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "so"}]}),
    ] {
        let events = chunks(&[delta(&said)]);
        let expected = [(Block::Thought, "hm".to_owned()), (Block::Text, "so".to_owned())];
        assert_eq!(blocks(&events), expected, "{said}");
    }
}

/// The members that the types of OpenAI's SDK require.
#[test]
fn a_whole_answer_has_every_member_that_sdks_require() {
    let body = json!({"id": "resp_1", "created_at": 5, "model": "x", "status": "completed",
        "output": [
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAA"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "so", "annotations": []}]},
            {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*"},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"}],
        "usage": {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13,
            "input_tokens_details": {"cached_tokens": 3}}});
    let view = View {
        model: "asked".to_owned(),
        custom_tools: vec!["patch".to_owned()],
        ..View::default()
    };
    let (from, to) = (Endpoint::Responses, Endpoint::ChatCompletions);
    let shown = translate_whole(from, to, body.to_string().as_bytes(), &view);
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    let expected = json!({"id": "resp_1", "object": "chat.completion", "created": 5,
        "model": "asked", "choices": [{"index": 0, "message": {"role": "assistant",
            "content": "so", "refusal": null, "reasoning_details": [{
                "type": "reasoning.encrypted", "data": "tollgate/responses/gAAA",
                "format": "tollgate", "index": 0}],
            "tool_calls": [
                {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "annotations": []}, "logprobs": null, "finish_reason": "tool_calls",
            "native_finish_reason": "completed"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 0}}});
    assert_eq!(shown, expected);
}

#[test]
fn a_thought_that_is_given_back_reaches_the_provider_that_had_it() {
    let details = |proof: &str| {
        json!({"model": "m", "messages": [{"role": "user", "content": "x"}, {"role": "assistant",
            "content": "so", "reasoning_content": "hm", "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": proof}]}]})
    };
    let own = sent(&details("tollgate/responses/gAAA")).unwrap();
    let thought = json!({"type": "reasoning", "encrypted_content": "gAAA",
        "summary": [{"type": "summary_text", "text": "hm"}]});
    assert_eq!(own["input"][1], thought);
    let target = Target { model: "t", ..Target::default() };
    let foreign = details("tollgate/messages/sig");
    let written = to(Endpoint::Responses, &foreign, &target).unwrap();
    assert_eq!(written.left_out, ["reasoning_content"]);
    assert!(!String::from_utf8_lossy(&written.body).contains("reasoning"));
}
