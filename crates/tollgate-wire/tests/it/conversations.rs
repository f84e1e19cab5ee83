//! Conversations that go on: what a client was given comes back to the provider as it was, and what
//! only another provider can read stays behind.

use serde_json::{Value, json};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::translate::{Target, Translator, View, translate_request, translate_whole};

const CLIENTS: [Endpoint; 4] =
    [Endpoint::ChatCompletions, Endpoint::Responses, Endpoint::Messages, Endpoint::GenerateContent];

fn view() -> View {
    View { model: "asked".to_owned(), fallback_id: "77".to_owned(), ..View::default() }
}

/// What a client of this form is given for a whole answer.
fn given(upstream: Endpoint, client: Endpoint, answer: &Value) -> Value {
    let body = translate_whole(upstream, client, answer.to_string().as_bytes(), &view());
    serde_json::from_slice(&body).unwrap()
}

/// The next request of a client that keeps what it was given and ran its tools.
fn next(client: Endpoint, given: &Value) -> Value {
    let tool = json!({"name": "f", "parameters": {"type": "object", "properties": {}}});
    match client {
        Endpoint::ChatCompletions => {
            let message = given["choices"][0]["message"].clone();
            let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
            let results = calls
                .iter()
                .map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "done"}));
            let mut messages = vec![json!({"role": "user", "content": "go"}), message];
            messages.extend(results);
            json!({"model": "m", "messages": messages, "reasoning_effort": "high",
                "tools": [{"type": "function", "function": tool}]})
        }
        Endpoint::Responses => {
            let items = given["output"].as_array().cloned().unwrap_or_default();
            let calls = items.iter().filter(|item| item["type"] == "function_call");
            let results: Vec<Value> = calls
                .map(|call| {
                    json!({"type": "function_call_output", "call_id": call["call_id"],
                        "output": "done"})
                })
                .collect();
            let mut input = vec![json!({"role": "user", "content": "go"})];
            input.extend(items);
            input.extend(results);
            json!({"model": "m", "input": input, "store": false, "reasoning": {"effort": "high"},
                "tools": [{"type": "function", "name": "f", "parameters": tool["parameters"]}]})
        }
        Endpoint::Messages => {
            let content = given["content"].clone();
            let calls = content.as_array().cloned().unwrap_or_default();
            let results: Vec<Value> = calls
                .iter()
                .filter(|block| block["type"] == "tool_use")
                .map(|call| {
                    json!({"type": "tool_result", "tool_use_id": call["id"], "content": "done"})
                })
                .collect();
            json!({"model": "m", "max_tokens": 9_000, "messages": [
                {"role": "user", "content": "go"}, {"role": "assistant", "content": content},
                {"role": "user", "content": results}],
                "thinking": {"type": "enabled", "budget_tokens": 4_000},
                "tools": [{"name": "f", "input_schema": tool["parameters"]}]})
        }
        _ => next_of_gemini(given, &tool),
    }
}

fn next_of_gemini(given: &Value, tool: &Value) -> Value {
    let content = given["candidates"][0]["content"].clone();
    let calls = content["parts"].as_array().cloned().unwrap_or_default();
    let results: Vec<Value> = calls
        .iter()
        .filter_map(|part| part.get("functionCall"))
        .map(|call| {
            json!({"functionResponse": {"id": call["id"], "name": call["name"],
                "response": {"result": "done"}}})
        })
        .collect();
    json!({"contents": [{"role": "user", "parts": [{"text": "go"}]}, content,
        {"role": "user", "parts": results}],
        "generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}},
        "tools": [{"functionDeclarations": [tool]}]})
}

fn sent(client: Endpoint, to: Endpoint, model: &str, request: &Value) -> Value {
    let target = Target { model, max_output: Some(64_000), ..Target::default() };
    let body = request.to_string();
    let written = translate_request(client, to, Some("m"), body.as_bytes(), &target);
    let (_, written) = written.unwrap_or_else(|error| panic!("{client:?} to {to:?}: {error:?}"));
    serde_json::from_slice(&written.body).unwrap()
}

fn geminis() -> Value {
    let call = json!({"name": "f", "args": {"n": 1}});
    json!({"candidates": [{"content": {"role": "model", "parts": [
        {"functionCall": call, "thoughtSignature": "c2ln+/8="}, {"functionCall": call}]},
        "finishReason": "STOP"}], "responseId": "r-1", "modelVersion": "gemini-3"})
}

fn claudes() -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "proof=="},
        {"type": "redacted_thinking", "data": "sealed=="},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"n": 1}}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}})
}

#[test]
fn the_signature_of_a_gemini_call_survives_every_client() {
    for client in &CLIENTS[..3] {
        let given = given(Endpoint::GenerateContent, *client, &geminis());
        let request = next(*client, &given);
        let body = sent(*client, Endpoint::GenerateContent, "gemini-3-flash", &request);
        let calls = &body["contents"][1]["parts"];
        assert_eq!(calls[0]["thoughtSignature"], "c2ln+/8=", "{client:?}");
        assert!(calls[1].get("thoughtSignature").is_none(), "{client:?}");
        assert_eq!(calls[1]["functionCall"], json!({"name": "f", "args": {"n": 1}}));
        let results = body["contents"][2]["parts"].as_array().unwrap();
        assert_eq!(results.len(), 2, "{client:?}");
        assert_eq!(results[1]["functionResponse"]["name"], "f");
    }
}

#[test]
fn no_other_provider_sees_the_signature_of_a_gemini_call() {
    for client in &CLIENTS[..3] {
        let request = next(*client, &given(Endpoint::GenerateContent, *client, &geminis()));
        for to in [Endpoint::ChatCompletions, Endpoint::Messages, Endpoint::Converse] {
            if to == *client {
                continue;
            }
            let body = sent(*client, to, "claude-opus-5", &request).to_string();
            assert!(body.contains("call_r-1_0"), "{client:?} to {to:?}: {body}");
            assert!(!body.contains("c2ln"), "{client:?} to {to:?}: {body}");
        }
    }
}

#[test]
fn thoughts_of_claude_come_back_to_it_as_they_were() {
    for client in CLIENTS.into_iter().filter(|client| *client != Endpoint::Messages) {
        let request = next(client, &given(Endpoint::Messages, client, &claudes()));
        let body = sent(client, Endpoint::Messages, "claude-sonnet-4-5", &request);
        let answer = claudes();
        assert_eq!(body["messages"][1]["content"], answer["content"], "{client:?}");
        assert_eq!(
            body["thinking"]["type"], "enabled",
            "{client:?}: its turn begins with a thought"
        );
        let bedrock = sent(client, Endpoint::Converse, "anthropic.claude-sonnet-4-5", &request);
        let thought = &bedrock["messages"][1]["content"][0]["reasoningContent"]["reasoningText"];
        assert_eq!(thought["signature"], "proof==", "{client:?}: it is Claude there too");
        let gemini = (client != Endpoint::GenerateContent)
            .then(|| sent(client, Endpoint::GenerateContent, "gemini-3", &request).to_string());
        assert!(!gemini.unwrap_or_default().contains("proof"), "{client:?}");
    }
}

#[test]
fn a_client_that_forgot_the_thoughts_goes_on_without_thinking() {
    let mut forgetful = claudes();
    let kept = forgetful["content"].as_array().unwrap()[2..].to_vec();
    forgetful["content"] = Value::Array(kept);
    for client in CLIENTS.into_iter().filter(|client| *client != Endpoint::Messages) {
        let request = next(client, &given(Endpoint::Messages, client, &forgetful));
        let body = sent(client, Endpoint::Messages, "claude-sonnet-4-5", &request);
        assert!(body.get("thinking").is_none(), "{client:?}");
    }
}

#[test]
fn a_thought_that_was_streamed_to_geminis_client_comes_back_whole() {
    let stream = [
        json!({"type": "message_start", "message": {"id": "msg_1", "content": []}}),
        json!({"type": "content_block_start", "index": 0, "content_block":
            {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta":
            {"type": "thinking_delta", "thinking": "Let"}}),
        json!({"type": "content_block_delta", "index": 0, "delta":
            {"type": "thinking_delta", "thinking": " me"}}),
        json!({"type": "content_block_delta", "index": 0, "delta":
            {"type": "signature_delta", "signature": "proof=="}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block":
            {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta":
            {"type": "text_delta", "text": "Hi"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ];
    let events: Vec<String> = stream.iter().map(|event| format!("data: {event}\n\n")).collect();
    let bytes = events.concat();
    let client = Endpoint::StreamGenerateContent;
    let array = View { array: true, ..view() };
    for view in [view(), array] {
        let mut translator = Translator::new(Endpoint::Messages, client, &view).unwrap();
        let mut out = Vec::new();
        translator.push(bytes.as_bytes(), &mut out);
        translator.finish(&mut out);
        let text = String::from_utf8(out.concat()).unwrap();
        let chunks: Vec<Value> = if view.array {
            serde_json::from_str(&text).unwrap()
        } else {
            let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            data.map(|data| serde_json::from_str(data).unwrap()).collect()
        };
        // SDKs keep each chunk as a content of its own.
        let mut contents = vec![json!({"role": "user", "parts": [{"text": "go"}]})];
        contents.extend(chunks.iter().map(|chunk| chunk["candidates"][0]["content"].clone()));
        contents.push(json!({"role": "user", "parts": [{"text": "and?"}]}));
        let request = json!({"contents": contents});
        let body = sent(client, Endpoint::Messages, "claude-sonnet-4-5", &request);
        let expected = json!([{"type": "thinking", "thinking": "Let me", "signature": "proof=="},
            {"type": "text", "text": "Hi"}]);
        assert_eq!(body["messages"][1]["content"], expected);
        assert_eq!(body["stream"], true, "the path asked for it");
    }
}
