//! What is read of a request to Anthropic, and what is refused.

use super::*;
use crate::translate::prompt::{Part, Role, Source, Thought};

fn prompt(body: &Value) -> Prompt {
    read(None, body.to_string().as_bytes()).unwrap()
}

fn refused(body: &Value) -> String {
    read(None, body.to_string().as_bytes()).unwrap_err().param.unwrap()
}

fn with(member: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}]});
    body[member] = value;
    body
}

fn saying(role: &str, block: &Value) -> Value {
    with("messages", json!([{"role": role, "content": [block]}]))
}

fn part(role: &str, block: &Value) -> Part {
    prompt(&saying(role, block)).turns.remove(0).parts.remove(0)
}

#[test]
fn a_request_of_claude_code_is_read_whole() {
    let kept = json!({"type": "ephemeral"});
    let read = prompt(&json!({
        "model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": true,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=00000;"},
            {"type": "text", "text": "You are Claude Code", "cache_control": kept},
            {"type": "text", "text": "Be brief", "cache_control": kept}],
        "tools": [{"name": "Bash", "description": "d", "input_schema": {"type": "object"},
            "cache_control": kept, "eager_input_streaming": true}],
        "metadata": {"user_id": "u_1"}, "temperature": 1,
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "ls", "cache_control": kept}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1",
                "content": "no", "is_error": true}]},
            {"role": "system", "content": "Hurry"}]
    }));
    assert_eq!(read.system, ["You are Claude Code", "Be brief"]);
    assert_eq!((read.max_output, read.stream), (Some(32_000), true));
    assert_eq!(read.user.as_deref(), Some("u_1"));
    let names: Vec<&String> = read.extras.keys().collect();
    assert_eq!(names, ["cache_control", "context_management"]);
    let reasoning = read.reasoning.unwrap();
    assert_eq!((reasoning.budget, reasoning.show), (Some(31_999), Some(true)));
    let Part::Call(call) = &read.turns[1].parts[1] else { panic!() };
    assert_eq!(call.arguments, "{\"command\":\"ls\"}");
    let Part::Result(result) = &read.turns[2].parts[0] else { panic!() };
    assert!(result.failed && result.parts == [Part::Text("no".to_owned())]);
    assert_eq!((read.turns[3].role, read.turns[3].at), (Role::System, 3));
}

#[test]
fn thoughts_keep_their_proof_and_an_empty_signature_is_none() {
    for (block, text, proof, sealed) in [
        (json!({"type": "thinking", "thinking": "a", "signature": "s"}), "a", Some("s"), false),
        (json!({"type": "thinking", "thinking": "a", "signature": ""}), "a", None, false),
        (json!({"type": "redacted_thinking", "data": "d"}), "", Some("d"), true),
    ] {
        let (text, proof) = (text.to_owned(), proof.map(str::to_owned));
        assert_eq!(part("assistant", &block), Part::Thought(Thought { text, proof, sealed }));
    }
}

#[test]
fn every_source_of_a_picture_or_document_is_read() {
    let image = |source| json!({"type": "image", "source": source});
    let data = json!({"type": "base64", "media_type": "image/png", "data": "AA"});
    let (media_type, base64) = ("image/png".to_owned(), "AA".to_owned());
    let source = Source::Data { media_type, base64 };
    assert_eq!(part("user", &image(data)), Part::Image { source, detail: None });
    let url = Source::Url("https://x".to_owned());
    let block = image(json!({"type": "url", "url": "https://x"}));
    assert_eq!(part("user", &block), Part::Image { source: url, detail: None });
    let block = json!({"type": "document", "title": "t", "citations": {"enabled": false},
        "source": {"type": "text", "media_type": "text/plain", "data": "hi"}});
    let (source, name) = (Source::Text("hi".to_owned()), Some("t".to_owned()));
    assert_eq!(part("user", &block), Part::Document { source, name });
}

#[test]
fn results_may_hold_pictures() {
    let block = json!({"type": "tool_result", "tool_use_id": "t", "content": [
        {"type": "text", "text": "see"},
        {"type": "image", "source": {"type": "url", "url": "https://x"}}]});
    let Part::Result(result) = part("user", &block) else { panic!() };
    assert_eq!(result.parts.len(), 2);
}

#[test]
fn what_only_anthropic_has_is_refused_by_name() {
    let call = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
    let searched = json!({"type": "web_search_tool_result", "tool_use_id": "s", "content": []});
    let cited = json!({"type": "document", "source": {"type": "url", "url": "u"},
        "citations": {"enabled": true}});
    for (body, field) in [
        (saying("assistant", &call), "messages[0].content[0]"),
        (saying("user", &searched), "messages[0].content[0]"),
        (saying("user", &cited), "messages[0].content[0].citations.enabled"),
        (with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])), "tools[0]"),
        (with("tools", json!([{"name": "a", "defer_loading": true}])), "tools[0].defer_loading"),
        (with("tools", json!([{"name": "a", "input_examples": [1]}])), "tools[0].input_examples"),
        (with("thinking", json!({"type": "x"})), "thinking.type"),
        (with("max_tokens", Value::Null), "max_tokens"),
        (with("messages", Value::Null), "messages"),
        (
            with("system", json!([{"type": "image", "source": {"type": "url", "url": "u"}}])),
            "system[0]",
        ),
    ] {
        assert_eq!(refused(&body), field, "{body}");
    }
    let kept = prompt(&with("inference_geo", json!("us")));
    assert_eq!(kept.extras["inference_geo"], "us", "a writer refuses what is no hint");
}

#[test]
fn a_choice_of_tools_says_whether_calls_may_be_parallel() {
    let choice = json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true});
    let read = prompt(&with("tool_choice", choice));
    assert_eq!(read.tool_choice, Some(ToolChoice::Tool("f".to_owned())));
    assert_eq!(read.parallel_calls, Some(false));
}

#[test]
fn the_form_of_the_answer_and_the_effort_stand_in_one_object() {
    let schema = json!({"type": "object"});
    let config = json!({"effort": "xhigh", "format": {"type": "json_schema", "schema": schema},
        "task_budget": {"total": 5}});
    let read = prompt(&with("output_config", config));
    assert_eq!(read.reasoning.unwrap().effort.as_deref(), Some("xhigh"));
    assert!(matches!(read.format, Some(Format::Schema { .. })));
    assert!(read.extras.contains_key("output_config.task_budget"));
}
