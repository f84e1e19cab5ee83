//! Requests of the Anthropic form: what is read, what is refused, what is changed.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_wire::count::{count_request, estimate_prompt, upper_bound_input_tokens};
use tollgate_wire::dialect::{Rewrite, peek, rewrite};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::peek::Peek;

const MESSAGES: Endpoint = Endpoint::Messages;

fn look(body: &Value) -> Peek {
    peek(MESSAGES, None, body.to_string().as_bytes()).unwrap()
}

fn asking(members: &Value) -> Value {
    let mut body = json!({"model": "claude-sonnet-5", "max_tokens": 100, "messages": [
        {"role": "user", "content": "Hi"}]});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

#[test]
fn what_bears_on_cost_is_read_from_a_request() {
    let seen = look(&asking(&json!({"stream": true, "service_tier": "standard_only",
        "speed": "fast", "inference_geo": "us", "metadata": {"user_id": "alice"},
        "thinking": {"type": "enabled", "budget_tokens": 2_000},
        "tools": [{"name": "f", "input_schema": {}}, {"type": "web_search_20250305"}]})));
    assert!(seen.stream && seen.usage_asked && seen.thinks && !seen.alternatives);
    assert!(seen.tools.functions && seen.tools.hosted && seen.tools.web_search);
    assert_eq!((seen.max_output, seen.choices, seen.input.items), (Some(100), 1, 1));
    assert_eq!((seen.speed.as_deref(), seen.geo.as_deref()), (Some("fast"), Some("us")));
    assert_eq!(seen.user.as_deref(), Some("alice"));
    assert_eq!(seen.service_tier.as_deref(), Some("standard_only"));
    assert!(!look(&asking(&json!({"thinking": {"type": "disabled"}}))).thinks);
    let client = look(&asking(&json!({"tools": [{"type": "bash_20250124", "name": "bash"}]})));
    assert!(client.tools.functions && !client.tools.hosted);
    let bound = upper_bound_input_tokens(&client);
    assert!(bound.complete && bound.tokens > 2_000, "the provider describes it to the model");
}

#[test]
fn searches_are_bounded_where_every_tool_that_makes_them_is() {
    let most = |tools: Value| look(&asking(&json!({ "tools": tools }))).tools.max_web_searches;
    let search = |uses: Value| json!({"type": "web_search_20250305", "max_uses": uses});
    assert_eq!(most(json!([search(json!(3))])), Some(3));
    assert_eq!(most(json!([search(json!(3)), search(json!(4))])), Some(7));
    assert_eq!(most(json!([search(json!(3)), {"type": "web_search_20260209"}])), None);
    assert_eq!(most(json!([search(json!(null)), search(json!(4))])), None);
    assert_eq!(most(json!([{"type": "web_fetch_20250910", "max_uses": 3}])), None);
    let twice = r#"{"model":"m","max_tokens":1,"messages":[],"tools":[
        {"type":"web_search_20250305","max_uses":1,"max_uses":9}]}"#;
    assert!(peek(MESSAGES, None, twice.as_bytes()).is_err());
}

#[test]
fn work_that_no_byte_shows_makes_the_bound_incomplete() {
    for members in [
        json!({"tools": [{"type": "code_execution_20260120"}]}),
        json!({"tools": [{"type": "something_new"}]}),
        json!({"mcp_servers": [{"url": "https://x"}]}),
        json!({"context_management": {"edits": [{"type": "compact_20260112"}]}}),
        json!({"container": {"skills": []}}),
    ] {
        assert!(!upper_bound_input_tokens(&look(&asking(&members))).complete, "{members}");
    }
    // An advisor is stated by iteration and priced as the model that it is.
    let advised = look(&asking(&json!({"tools": [{"type": "advisor_20260301"}]})));
    assert!(advised.tools.hosted && !advised.alternatives);
    let edited = json!({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}});
    assert!(upper_bound_input_tokens(&look(&asking(&edited))).complete);
    assert!(look(&asking(&json!({"fallbacks": [{"model": "claude-opus-4-8"}]}))).alternatives);
    assert!(upper_bound_input_tokens(&look(&asking(&json!({"mcp_servers": []})))).complete);
}

fn sent(content: &Value) -> Peek {
    look(
        &json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": content}]}),
    )
}

#[test]
fn pictures_count_by_the_piece_and_documents_make_the_bound_incomplete() {
    let data = "A".repeat(400_000);
    let picture = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png",
        "data": data}});
    for content in [
        json!([picture]),
        json!([{"type": "tool_result", "tool_use_id": "t", "content": [picture]}]),
    ] {
        let seen = sent(&content);
        assert_eq!((seen.input.images, seen.input.files), (1, 0));
        let bound = upper_bound_input_tokens(&seen);
        assert!(bound.complete && bound.tokens < 13_000);
    }
    let remote = sent(&json!([{"type": "image", "source": {"type": "url", "url": "https://x"}}]));
    assert_eq!((remote.input.images, remote.input.remote_media), (1, 1));
    for content in [
        json!([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf",
            "data": "AA"}}]),
        json!([{"type": "document", "source": {"type": "text", "media_type": "text/plain",
            "data": "x"}}]),
        json!([{"type": "image", "source": {"type": "file", "file_id": "f"}}]),
        json!([{"type": "container_upload", "file_id": "f"}]),
    ] {
        assert!(!upper_bound_input_tokens(&sent(&content)).complete, "{content}");
    }
}

#[test]
fn text_cannot_pass_for_a_picture() {
    let text = "A ".repeat(50_000);
    let source = json!({"type": "base64", "media_type": "image/png", "data": text});
    for content in [
        json!([{"type": "tool_use", "id": "t", "name": "f",
            "input": {"type": "image", "source": source}}]),
        json!([{"type": "text", "text": "x", "source": source}]),
        json!([{"type": "image", "source": {"type": "text", "media_type": "image/png",
            "data": text}}]),
    ] {
        let seen = sent(&content);
        assert!(upper_bound_input_tokens(&seen).tokens > 100_000);
    }
    let twice = format!(
        "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\
         \"type\":\"image\",\"text\":\"{text}\"}}]}}]}}"
    );
    assert!(peek(MESSAGES, None, twice.as_bytes()).is_err());
}

#[test]
fn bodies_that_are_wrong_or_ambiguous_are_refused_by_name() {
    for (members, param) in [
        (r#""model":"other""#, Some("model")),
        (r#""Max_Tokens":5"#, Some("max_tokens")),
        (r#""max\u005ftokens":5"#, Some("max_tokens")),
        (r#""max_tokens":5,"max_tokens":6"#, Some("max_tokens")),
        (r#""max_tokens":"5""#, Some("max_tokens")),
        (r#""stream":"yes""#, Some("stream")),
        (r#""thinking":{"budget_tokens":1,"budget_tokens":2}"#, Some("thinking.budget_tokens")),
        (r#""thinking":true"#, Some("thinking")),
        (r#""x":}"#, None),
    ] {
        let body = format!("{{\"model\":\"m\",\"messages\":[],{members}}}");
        let error = peek(MESSAGES, None, body.as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), param, "{members}: {error}");
    }
    for (body, param) in [(r#"{"model":"m"}"#, "messages"), (r#"{"messages":[]}"#, "model")] {
        let error = peek(MESSAGES, None, body.as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param));
    }
}

#[test]
fn a_clamp_lowers_the_maximum_and_a_budget_for_thinking_that_would_not_fit() {
    let thinking = |budget: u64| json!({"thinking": {"type": "enabled", "budget_tokens": budget}});
    for (members, max, expected_max, expected_budget) in [
        (json!({}), 50, 50, None),
        (json!({}), 500, 100, None),
        (
            json!({"max_tokens": 9_000, "thinking": thinking(8_000)["thinking"]}),
            5_000,
            5_000,
            Some(4_999),
        ),
        (
            json!({"max_tokens": 9_000, "thinking": thinking(2_000)["thinking"]}),
            5_000,
            5_000,
            Some(2_000),
        ),
        (
            json!({"max_tokens": 9_000, "thinking": thinking(2_000)["thinking"]}),
            600,
            600,
            Some(2_000),
        ),
        (json!({"max_tokens": null}), 50, 50, None),
    ] {
        let body = asking(&members);
        let bytes = Bytes::from(body.to_string());
        let seen = look(&body);
        let change = Rewrite { max_output: Some(max), ..Rewrite::default() };
        let after: Value =
            serde_json::from_slice(&rewrite(MESSAGES, &bytes, &seen, &change)).unwrap();
        assert_eq!(after["max_tokens"], expected_max);
        assert_eq!(after["thinking"]["budget_tokens"].as_u64(), expected_budget);
    }
    let body = Bytes::from_static(br#"{"model":"m","messages":[]}"#);
    let seen = peek(MESSAGES, None, &body).unwrap();
    let change = Rewrite { max_output: Some(7), ..Rewrite::default() };
    assert_eq!(
        rewrite(MESSAGES, &body, &seen, &change),
        &br#"{"max_tokens":7,"model":"m","messages":[]}"#[..]
    );
}

#[test]
fn a_request_is_counted_with_system_messages_and_tools() {
    let body = |system: &str, tools: &Value| {
        asking(&json!({"system": [{"type": "text", "text": system}], "tools": tools})).to_string()
    };
    let count = |body: &str| count_request(Endpoint::MessageTokens, "claude-x", body.as_bytes());
    let plain = count(&body("", &json!([])));
    let with_system = count(&body("five words that are counted", &json!([])));
    let tool = json!([{"name": "f", "description": "does a thing", "input_schema": {}}]);
    assert!(plain > 4 && with_system >= plain + 5 && count(&body("", &tool)) > plain + 5);
    assert_eq!(count("no request"), 0);
    // What a tool returns is the application's, whatever its members are called.
    let result = asking(&json!({"messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "f", "input": {"data": "word ".repeat(500)}}]}]}));
    let seen = look(&result);
    assert!(estimate_prompt(MESSAGES, &seen, result.to_string().as_bytes()) > 500);
}

proptest! {
    #[test]
    fn a_rewrite_of_messages_keeps_every_other_byte(
        before in "[ \n]{0,3}",
        text in any::<String>(),
        model in "[a-z/:.\"-]{1,12}",
        budget in proptest::option::of(1_024u64..6_000),
        max in proptest::option::of(1u64..6_000),
    ) {
        let content = serde_json::to_string(&text).unwrap();
        let thinking = budget.map_or(String::new(), |budget| {
            format!(",\"thinking\": {{\"budget_tokens\":{budget} , \"type\":\"enabled\"}}")
        });
        let body = format!(
            "{before}{{\"system\":{content},\"model\" : \"claude\",\"messages\":[{{\"role\":\
             \"user\",\"content\":{content}}}] ,\"max_tokens\":6000{thinking}}}"
        );
        let bytes = Bytes::from(body.clone());
        let seen = peek(MESSAGES, None, &bytes).unwrap();
        let asked = Rewrite { model: Some(&model), max_output: max, ..Rewrite::default() };
        let changed = rewrite(MESSAGES, &bytes, &seen, &asked);
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        expected["model"] = model.as_str().into();
        expected["max_tokens"] = max.unwrap_or(6_000).into();
        if let (Some(budget), Some(max)) = (budget, max)
            && budget >= max
            && max > 1_024
        {
            expected["thinking"]["budget_tokens"] = (max - 1).into();
        }
        prop_assert_eq!(&serde_json::from_slice::<Value>(&changed).unwrap(), &expected);
        prop_assert!(memchr::memmem::find(&changed, content.as_bytes()).is_some());
        prop_assert!(changed.starts_with(before.as_bytes()));
    }
}
