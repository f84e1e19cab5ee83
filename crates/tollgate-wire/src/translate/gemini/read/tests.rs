//! What is read of a request to Gemini, and what is refused.

use super::*;
use crate::translate::prompt::{Call, CallResult, Role, Source, Thought};
use serde_json::json;

fn prompt(body: &Value) -> Prompt {
    read(Some("models/gemini-3"), body.to_string().as_bytes()).unwrap()
}

fn refused(body: &Value) -> String {
    read(Some("m"), body.to_string().as_bytes()).unwrap_err().param.unwrap()
}

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"contents": [{"parts": [{"text": "hi"}]}]});
    body[member] = value;
    body
}

fn part(part: &Value) -> Part {
    let body = json!({"contents": [{"role": "model", "parts": [part]}]});
    prompt(&body).turns.remove(0).parts.remove(0)
}

#[test]
fn a_request_in_camel_case_and_one_in_snake_case_are_the_same() {
    let camel = json!({
        "systemInstruction": {"role": "user", "parts": [{"text": "brief"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"},
            {"inlineData": {"mimeType": "image/png", "data": "A-_A"}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "",
            "parameters": {"type": "OBJECT", "properties": {"snake_case": {"type": "STRING"}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {"maxOutputTokens": 50, "topK": 4, "stopSequences": ["a"],
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object", "x_y": 1},
            "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": true}}});
    let snake = json!({
        "system_instruction": {"parts": {"text": "brief"}},
        "contents": {"parts": [{"text": "hi"},
            {"inline_data": {"mime_type": "image/png", "data": "A+/A"}}]},
        "tools": [{"function_declarations": [{"name": "f",
            "parameters": {"type": "object", "properties": {"snake_case": {"type": "string"}}}}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY",
            "allowed_function_names": ["f"]}},
        "generation_config": {"max_output_tokens": 50, "top_k": 4, "stop_sequences": ["a"],
            "response_mime_type": "application/json",
            "response_json_schema": {"type": "object", "x_y": 1},
            "thinking_config": {"thinking_budget": -1, "include_thoughts": true}}});
    let read = prompt(&camel);
    assert_eq!(read, prompt(&snake));
    assert_eq!((read.model.as_str(), read.max_output), ("gemini-3", Some(50)));
    assert_eq!(read.system, ["brief"]);
    assert_eq!(read.tool_choice, Some(ToolChoice::Tool("f".to_owned())));
    let schema = read.tools[0].schema.as_ref().unwrap();
    assert_eq!(schema["properties"]["snake_case"]["type"], "string");
    assert!(matches!(&read.format, Some(Format::Schema { schema, .. }) if schema["x_y"] == 1));
    let reasoning = read.reasoning.unwrap();
    assert!(reasoning.adaptive && reasoning.show == Some(true) && reasoning.budget.is_none());
}

#[test]
fn calls_without_ids_are_paired_by_name_and_order() {
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {"a": 1}}});
    let result = |name: &str, response: Value| json!({"functionResponse": {"name": name, "response": response}});
    let read = prompt(&json!({"contents": [
        {"role": "user", "parts": [{"text": "go"}]},
        {"role": "model", "parts": [call("a"), call("b"), call("a")]},
        {"role": "function", "parts": [result("b", json!({"output": "x"})),
            result("a", json!({"error": "bad"})), result("a", json!({"k": 1, "l": 2}))]}]}));
    let results: Vec<&CallResult> = read.turns[2]
        .parts
        .iter()
        .map(|part| if let Part::Result(result) = part { result } else { panic!() })
        .collect();
    let ids: Vec<&str> = results.iter().map(|result| result.id.as_str()).collect();
    assert_eq!(ids, ["call_1", "call_0", "call_2"]);
    assert_eq!(results[0].parts, [Part::Text("x".to_owned())]);
    assert!(results[1].failed && !results[2].failed);
    assert_eq!(results[2].parts, [Part::Text("{\"k\":1,\"l\":2}".to_owned())]);
    let stray = with("contents", json!([{"parts": [result("a", json!({}))]}]));
    assert_eq!(refused(&stray), "contents[0].parts[0].functionResponse");
}

#[test]
fn a_thought_that_was_streamed_in_pieces_is_one_again() {
    let piece = |text: &str| json!({"role": "model", "parts": [{"text": text, "thought": true}]});
    let read = prompt(&json!({"contents": [
        {"role": "user", "parts": [{"text": "go"}]},
        piece("Let"), piece(" me"),
        {"role": "model", "parts": [{"text": "", "thought": true, "thoughtSignature": "p"},
            {"thought": true, "thoughtSignature": "s"}, {"text": "hi"}]}]}));
    let parts: Vec<Part> = read.turns.into_iter().flat_map(|turn| turn.parts).collect();
    let thought = |text: &str, proof: &str, sealed| {
        let (text, proof) = (text.to_owned(), Some(proof.to_owned()));
        Part::Thought(Thought { text, proof, sealed })
    };
    assert_eq!(parts[1], thought("Let me", "p", false));
    assert_eq!(parts[2], thought("", "s", true));
    assert_eq!(parts.len(), 4);
}

#[test]
fn media_is_told_by_its_type_and_googles_own_files_from_addresses() {
    let file =
        |kind: &str, uri: &str| part(&json!({"fileData": {"mimeType": kind, "fileUri": uri}}));
    let url = || Source::Url("https://x/y".to_owned());
    assert_eq!(file("image/png", "https://x/y"), Part::Image { source: url(), detail: None });
    assert_eq!(file("audio/mp3", "https://x/y"), Part::Audio(url()));
    assert_eq!(
        file("application/pdf", "gs://b/y"),
        Part::Document { source: Source::File("gs://b/y".to_owned()), name: None }
    );
    let video = json!({"fileData": {"mimeType": "video/mp4", "fileUri": "https://x"}});
    let body = json!({"contents": [{"parts": [video]}]});
    assert_eq!(refused(&body), "contents[0].parts[0].fileData");
}

#[test]
fn a_signature_stays_with_its_call_and_one_on_text_is_let_go() {
    let call = part(&json!({"functionCall": {"id": "c", "name": "f"}, "thoughtSignature": "s"}));
    let expected = Call {
        id: "c".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        signature: Some("s".to_owned()),
    };
    assert_eq!(call, Part::Call(expected));
    let text = part(&json!({"text": "hi", "thoughtSignature": "s"}));
    assert_eq!(text, Part::Text("hi".to_owned()));
    assert_eq!(prompt(&with("model", json!("models/x"))).turns[0].role, Role::User);
}

#[test]
fn several_allowed_functions_of_more_are_the_only_ones_left() {
    let declared =
        |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
    let mut body = with("tools", json!([{"functionDeclarations": declared(&["a", "b", "c"])}]));
    body["toolConfig"] = json!({"functionCallingConfig": {"mode": "ANY",
        "allowedFunctionNames": ["a", "c"]}});
    let read = prompt(&body);
    assert_eq!(read.tool_choice, Some(ToolChoice::Any));
    let names: Vec<&str> = read.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn what_only_gemini_has_is_refused_by_name() {
    let code = json!([{"parts": [{"executableCode": {"code": "1"}}]}]);
    for (body, field) in [
        (
            with("tools", json!([{"googleSearch": {"excludeDomains": ["x"]}}])),
            "tools[0].googleSearch",
        ),
        (with("contents", code), "contents[0].parts[0].executableCode"),
        (
            with("generationConfig", json!({"responseMimeType": "text/x.enum"})),
            "generationConfig.responseMimeType",
        ),
        (with("contents", Value::Null), "contents"),
        (json!({"contents": [{"role": "boss", "parts": []}]}), "contents[0].role"),
    ] {
        assert_eq!(refused(&body), field, "{body}");
    }
    for (member, value, kept) in [
        ("cachedContent", json!("cachedContents/1"), "cachedContent"),
        (
            "generationConfig",
            json!({"responseLogprobs": true}),
            "generationConfig.responseLogprobs",
        ),
        (
            "generationConfig",
            json!({"responseModalities": ["IMAGE"]}),
            "generationConfig.responseModalities",
        ),
        (
            "safetySettings",
            json!([{"category": "c", "threshold": "BLOCK_LOW_AND_ABOVE"}]),
            "safetySettings",
        ),
    ] {
        assert!(prompt(&with(member, value)).extras.contains_key(kept), "{kept}");
    }
    let off = json!([{"category": "c", "threshold": "OFF"},
        {"category": "d", "threshold": "BLOCK_NONE"}]);
    assert!(prompt(&with("safetySettings", off)).extras.is_empty());
}

#[test]
fn a_tool_of_gemini_without_options_is_refused_too() {
    assert_eq!(refused(&with("tools", json!([{"urlContext": {}}]))), "tools[0].urlContext");
}
