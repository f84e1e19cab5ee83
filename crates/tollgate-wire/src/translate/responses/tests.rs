//! Responses on both sides of the hub, member by member.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::translate::{Target, Translator, View, Written, translate_request, translate_whole};

fn to_chat(body: &Value) -> Result<Written, String> {
    let target = Target { model: "t", include_usage: true, ..Target::default() };
    let (from, to) = (Endpoint::Responses, Endpoint::ChatCompletions);
    translate_request(from, to, None, body.to_string().as_bytes(), &target)
        .map(|(_, written)| written)
        .map_err(|error| error.param.unwrap_or_default())
}

/// What a coding agent sends in the middle of its work.
fn agent() -> Value {
    json!({"model": "m", "instructions": "You code.", "input": [
        {"type": "message", "role": "developer", "content": [
            {"type": "input_text", "text": "<permissions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "fix it"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "plan"}],
            "content": null, "encrypted_content": "tollgate/chat/"},
        {"type": "message", "role": "assistant", "phase": "commentary", "status": "completed",
            "id": "msg_1", "content": [{"type": "output_text", "text": "On it.", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "shell",
            "arguments": "{\"command\":[\"ls\"]}"},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "apply_patch",
            "input": "*** Begin Patch", "status": "completed"},
        {"type": "function_call_output", "call_id": "c1", "output": "a.rs"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "done"},
            {"type": "input_image", "image_url": "data:image/jpg;base64,AAAA"}]}],
        "tools": [
            {"type": "function", "name": "shell", "description": "Runs.", "strict": false,
                "parameters": {"type": "object", "properties": {"z": {}, "command": {}}}},
            {"type": "custom", "name": "apply_patch", "description": "Patches.", "format":
                {"type": "grammar", "syntax": "lark", "definition": "start: begin"}}],
        "tool_choice": "auto", "parallel_tool_calls": false, "store": false, "stream": true,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
        "text": {"verbosity": "low"}, "client_metadata": {"x": "y"}})
}

#[test]
fn a_coding_agent_works_on_a_provider_of_chat_completions() {
    let written = to_chat(&agent()).unwrap();
    let body: Value = serde_json::from_slice(&written.body).unwrap();
    let expected = json!({"model": "t", "messages": [
        {"role": "system", "content": "You code.\n\n<permissions>"},
        {"role": "user", "content": "fix it"},
        {"role": "assistant", "content": "On it.", "reasoning_content": "plan", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "shell",
                "arguments": "{\"command\":[\"ls\"]}"}},
            {"id": "c2", "type": "function", "function": {"name": "apply_patch",
                "arguments": "{\"input\":\"*** Begin Patch\"}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "a.rs"},
        {"role": "tool", "tool_call_id": "c2", "content": "done"},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}}]}],
        "tools": [
            {"type": "function", "function": {"name": "shell", "description": "Runs.",
                "parameters": {"type": "object", "properties": {"z": {}, "command": {}}},
                "strict": false}},
            {"type": "function", "function": {"name": "apply_patch", "description":
                "Patches.\n\n`input` must follow this lark grammar:\nstart: begin",
                "parameters": {"type": "object", "properties": {"input": {"type": "string"}},
                    "required": ["input"], "additionalProperties": false}}}],
        "tool_choice": "auto", "parallel_tool_calls": false, "reasoning_effort": "medium",
        "stream": true, "stream_options": {"include_usage": true}});
    assert_eq!(body, expected);
    let text = String::from_utf8_lossy(&written.body);
    assert!(text.contains(r#"{"z":{},"command":{}}"#), "a schema keeps its order");
    assert_eq!(written.left_out, ["text.verbosity", "prompt_cache_key", "client_metadata"]);
}

#[test]
fn what_lives_at_the_provider_is_refused_by_name() {
    for (field, extra) in [
        ("previous_response_id", json!({"previous_response_id": "resp_1"})),
        ("conversation", json!({"conversation": "conv_1"})),
        ("prompt", json!({"prompt": {"id": "p"}})),
        ("background", json!({"background": true})),
        ("truncation", json!({"truncation": "auto"})),
        ("include", json!({"include": ["message.output_text.logprobs"]})),
        ("top_logprobs", json!({"top_logprobs": 3})),
        ("tools[0]", json!({"tools": [{"type": "code_interpreter", "container": {}}]})),
        ("tool_choice", json!({"tool_choice": {"type": "file_search"}})),
        ("input[0]", json!({"input": [{"type": "item_reference", "id": "x"}]})),
        ("input[0]", json!({"input": [{"type": "web_search_call", "id": "x"}]})),
        ("input", json!({"input": null})),
        ("text.format.type", json!({"text": {"format": {"type": "xml"}}})),
        (
            "input[0].content[0].file_id",
            json!({"input": [{"role": "user", "content": [
                {"type": "input_image", "file_id": "file-1"}]}]}),
        ),
    ] {
        let mut body = json!({"model": "m", "input": "x"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(to_chat(&body).unwrap_err(), field);
    }
    let neutral = json!({"model": "m", "input": "x", "background": false, "truncation": "disabled",
        "previous_response_id": null, "text": {"format": {"type": "text"}}, "top_logprobs": 0});
    assert!(to_chat(&neutral).is_ok());
}

#[test]
fn a_failed_tool_says_so_in_its_result_only_where_its_text_does_not() {
    use crate::translate::outcome;
    use crate::translate::prompt::{CallResult, Part};
    for (failed, text, expected) in [
        (true, "no such file", "Error: no such file"),
        (true, "<tool_use_error>no</tool_use_error>", "<tool_use_error>no</tool_use_error>"),
        (true, "", "Error: "),
        (false, "fine", "fine"),
    ] {
        let parts = vec![Part::Text(text.to_owned())];
        let result = CallResult { id: String::new(), name: None, parts, failed };
        assert_eq!(outcome::text(&result), expected);
    }
}

/// The members that the types of OpenAI's SDK require of each event.
const REQUIRED: [(&str, &[&str]); 16] = [
    ("response.created", &["response"]),
    ("response.in_progress", &["response"]),
    ("response.output_item.added", &["item", "output_index"]),
    ("response.output_item.done", &["item", "output_index"]),
    ("response.content_part.added", &["content_index", "item_id", "output_index", "part"]),
    ("response.content_part.done", &["content_index", "item_id", "output_index", "part"]),
    (
        "response.output_text.delta",
        &["content_index", "delta", "item_id", "logprobs", "output_index"],
    ),
    (
        "response.output_text.done",
        &["content_index", "item_id", "logprobs", "output_index", "text"],
    ),
    ("response.function_call_arguments.delta", &["delta", "item_id", "output_index"]),
    ("response.function_call_arguments.done", &["arguments", "item_id", "name", "output_index"]),
    ("response.custom_tool_call_input.delta", &["delta", "item_id", "output_index"]),
    ("response.custom_tool_call_input.done", &["input", "item_id", "output_index"]),
    (
        "response.reasoning_summary_part.added",
        &["item_id", "output_index", "part", "summary_index"],
    ),
    (
        "response.reasoning_summary_text.delta",
        &["delta", "item_id", "output_index", "summary_index"],
    ),
    ("response.reasoning_summary_text.done", &["item_id", "output_index", "summary_index", "text"]),
    ("response.reasoning_summary_part.done", &["item_id", "output_index", "part", "summary_index"]),
];
const RESPONSE: &[&str] = &[
    "id",
    "created_at",
    "error",
    "incomplete_details",
    "instructions",
    "metadata",
    "model",
    "object",
    "output",
    "parallel_tool_calls",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
    "status",
    "usage",
];

fn view() -> View {
    View {
        model: "asked".to_owned(),
        created: 7,
        fallback_id: "77".to_owned(),
        custom_tools: vec!["patch".to_owned()],
        ..View::default()
    }
}

/// The events that a client of responses gets for these chunks.
fn shown(chunks: &[Value]) -> Vec<Value> {
    let (from, to) = (Endpoint::ChatCompletions, Endpoint::Responses);
    let mut stream = Translator::new(from, to, &view()).unwrap();
    let mut out = Vec::new();
    for chunk in chunks {
        stream.push(format!("data: {chunk}\n\n").as_bytes(), &mut out);
    }
    stream.push(b"data: [DONE]\n\n", &mut out);
    stream.finish(&mut out);
    let text = String::from_utf8(out.concat()).unwrap();
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        data
    });
    events.collect()
}

fn call(index: u32, id: &str, name: &str, arguments: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, "id": id,
        "type": "function", "function": {"name": name, "arguments": arguments}}]}}]})
}

#[test]
fn every_event_has_its_number_and_every_member_that_sdks_require() {
    let delta = |delta: Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta}]});
    let events = shown(&[
        delta(json!({"reasoning_content": "h"})),
        delta(json!({"reasoning_content": "m"})),
        delta(json!({"content": "so"})),
        call(0, "c1", "f", "{\"a\":1}"),
        call(1, "c2", "patch", "{\"input\":\"*\"}"),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
    ]);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    for (kind, required) in REQUIRED {
        let found: Vec<&Value> = events.iter().filter(|event| event["type"] == kind).collect();
        assert!(!found.is_empty(), "{kind}");
        for name in required {
            assert!(found.iter().all(|event| event.get(*name).is_some()), "{kind}: {name}");
        }
    }
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    for name in RESPONSE {
        assert!(last["response"].get(*name).is_some(), "{name}");
        assert!(events[0]["response"].get(*name).is_some(), "{name}");
    }
    let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
    let items: Vec<&Value> = done.map(|event| &event["item"]).collect();
    assert_eq!(last["response"]["output"], json!(items), "the end repeats the items");
    assert_eq!(items[3]["input"], "*");
    assert_eq!(last["response"]["usage"]["input_tokens_details"]["cache_write_tokens"], 0);
}

#[test]
fn an_answer_that_was_cut_short_is_incomplete_and_says_why() {
    for (word, reason) in [("length", "max_output_tokens"), ("content_filter", "content_filter")] {
        let body = json!({"id": "c", "choices": [{"index": 0, "message": {"content": "so"},
            "finish_reason": word}]});
        let (from, to) = (Endpoint::ChatCompletions, Endpoint::Responses);
        let shown = translate_whole(from, to, body.to_string().as_bytes(), &view());
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(shown["status"], "incomplete");
        assert_eq!(shown["incomplete_details"]["reason"], reason);
        assert_eq!(shown["native_finish_reason"], word);
    }
}

#[test]
fn a_failure_in_the_stream_is_told_twice_as_clients_read_either() {
    let events = shown(&[json!({"error": {"message": "no", "type": "server_error"}})]);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = ["response.created", "response.in_progress", "error", "response.failed"];
    assert_eq!(kinds, expected);
    assert_eq!(events[3]["response"]["error"]["message"], "no");
}

#[test]
fn a_failed_response_is_an_error_to_a_client_of_chat_completions() {
    let body = json!({"id": "r", "status": "failed", "output": [],
        "error": {"code": "rate_limit_exceeded", "message": "slow"}});
    let (from, to) = (Endpoint::Responses, Endpoint::ChatCompletions);
    let shown = translate_whole(from, to, body.to_string().as_bytes(), &view());
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(shown["error"]["type"], "rate_limit_error");
    assert_eq!(shown["error"]["code"], "rate_limit_exceeded");
}
