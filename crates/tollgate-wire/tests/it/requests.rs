//! Requests: what is read, what is refused, what is changed.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::openai::{Rewrite, peek, rewrite};
use tollgate_wire::peek::Peek;

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn with(members: &str) -> String {
    format!(
        "{{\"model\":\"m\",\"messages\":[]{}{members}}}",
        if members.is_empty() { "" } else { "," }
    )
}

fn look(body: &str) -> Peek {
    peek(CHAT, body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

#[test]
fn what_bears_on_cost_is_read() {
    let body = with(
        r#""stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":50,
        "max_tokens":70,"n":3,"service_tier":"flex","user":"alice","store":true,"background":true,
        "modalities":["text","audio"],"tools":[{"type":"function"},{"type":"web_search_preview"}],
        "prediction":{"type":"content"},"models":["a","b"]"#,
    );
    let seen = look(&body);
    assert!(seen.stream && seen.usage_asked && seen.background && seen.audio_output);
    assert!(
        seen.alternatives && seen.tools.functions && seen.tools.hosted && seen.tools.web_search
    );
    assert_eq!((seen.max_output, seen.choices, seen.store), (Some(70), 3, Some(true)));
    assert_eq!((seen.service_tier.as_deref(), seen.user.as_deref()), (Some("flex"), Some("alice")));
    assert_eq!(seen.output_bound(9), 70 * 3 + 18);
    assert_eq!(seen.input.bytes, body.len() as u64);
    let span = seen.model_span().unwrap();
    assert_eq!(&body.as_bytes()[span.start..span.end], b"\"m\"");
}

#[test]
fn what_a_provider_keeps_and_a_request_names_by_its_id_is_seen() {
    let kept = |members: &str| {
        let body = format!(r#"{{"model":"m",{members}}}"#);
        peek(Endpoint::Responses, body.as_bytes()).unwrap().kept
    };
    for (members, field) in [
        (r#""input":"hi""#, None),
        (r#""input":[{"role":"user","content":"hi"}],"conversation":null"#, None),
        (r#""input":[{"type":"message","role":"user","content":"hi"}]"#, None),
        (r#""input":[{"type":"function_call_output","call_id":"c","output":"7"}]"#, None),
        (r#""input":[{"type":"reasoning","id":"rs_1","summary":[]}]"#, None),
        (r#""input":"hi","conversation":"conv_1""#, Some("conversation")),
        (r#""input":"hi","conversation":{"id":"conv_1"}"#, Some("conversation")),
        (r#""input":[{"type":"item_reference","id":"msg_1"}]"#, Some("input")),
        (r#""input":[{"id":"msg_1"}]"#, Some("input")),
        (r#""input":[{"id":"msg_1","type":null}]"#, Some("input")),
        (r#""input":[{"role":"user","t\u0079pe":"item\u005freference","id":"m"}]"#, Some("input")),
    ] {
        assert_eq!(kept(members), field, "{members}");
    }
    assert!(look(&with(r#""conversation":"x""#)).kept.is_some());
}

#[test]
fn each_kind_of_search_that_the_provider_makes_is_seen() {
    let tools = |kind: &str| look(&with(&format!(r#""tools":[{{"type":"{kind}"}}]"#))).tools;
    for (kind, web, files) in [
        ("web_search", true, false),
        ("web_search_preview_2025_03_11", true, false),
        ("file_search", false, true),
        ("function", false, false),
    ] {
        let seen = tools(kind);
        assert_eq!((seen.web_search, seen.file_search), (web, files), "{kind}");
        assert_eq!(seen.max_web_searches, None, "{kind}");
    }
    assert!(look(&with(r#""web_search_options":{}"#)).tools.web_search);
}

#[test]
fn null_is_as_good_as_absent() {
    let seen = look(&with(
        r#""stream":null,"stream_options":null,"max_tokens":null,"n":null,"service_tier":null,
        "user":null,"tools":null,"web_search_options":null,"prediction":null"#,
    ));
    assert_eq!((seen.stream, seen.max_output, seen.choices), (false, None, 1));
    assert!(!seen.tools.hosted);
}

#[test]
fn each_endpoint_has_its_own_output_maximum_and_its_own_number_of_answers() {
    let all = r#""max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3"#;
    for (endpoint, max) in [
        (CHAT, Some(2)),
        (Endpoint::Completions, Some(1)),
        (Endpoint::Responses, Some(3)),
        (Endpoint::Embeddings, None),
    ] {
        let body = format!("{{\"model\":\"m\",\"messages\":[],\"input\":\"x\",{all}}}");
        assert_eq!(peek(endpoint, body.as_bytes()).unwrap().max_output, max, "{endpoint:?}");
    }
    for (prompt, choices) in
        [(r#""one""#, 2), (r#"["one","two"]"#, 4), ("[1,2,3]", 2), ("[[1],[2],[3]]", 6)]
    {
        let body = format!("{{\"model\":\"m\",\"n\":1,\"best_of\":2,\"prompt\":{prompt}}}");
        let seen = peek(Endpoint::Completions, body.as_bytes()).unwrap();
        assert_eq!(seen.choices, choices, "{prompt}");
    }
}

#[test]
fn wrong_types_are_refused_by_name() {
    for (members, param) in [
        (r#""stream":"true""#, "stream"),
        (r#""stream":1"#, "stream"),
        (r#""stream_options":true"#, "stream_options"),
        (r#""stream_options":{"include_usage":1}"#, "stream_options.include_usage"),
        (r#""max_tokens":-1"#, "max_tokens"),
        (r#""max_tokens":1.5"#, "max_tokens"),
        (r#""max_tokens":"10""#, "max_tokens"),
        (r#""max_completion_tokens":1e3"#, "max_completion_tokens"),
        (r#""max_tokens":99999999999999999999"#, "max_tokens"),
        (r#""n":0"#, "n"),
        (r#""n":129"#, "n"),
        (r#""service_tier":5"#, "service_tier"),
        (r#""background":"yes""#, "background"),
    ] {
        let error = peek(CHAT, with(members).as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{members}: {error}");
    }
    for (endpoint, body, param) in [
        (CHAT, r#"{"messages":[]}"#, Some("model")),
        (CHAT, r#"{"model":"","messages":[]}"#, Some("model")),
        (CHAT, r#"{"model":"  ","messages":[]}"#, Some("model")),
        (CHAT, r#"{"model":null,"messages":[]}"#, Some("model")),
        (CHAT, r#"{"model":"\ud800","messages":[]}"#, Some("model")),
        (CHAT, r#"{"model":"m"}"#, Some("messages")),
        (Endpoint::Embeddings, r#"{"model":"m"}"#, Some("input")),
        (CHAT, "[]", None),
        (CHAT, "\"x\"", None),
        (CHAT, "", None),
        (CHAT, "{\"model\":\"m\",\"messages\":[]} x", None),
        (CHAT, "{\"model\":\"m\",\"messages\":[]", None),
    ] {
        let error = peek(endpoint, body.as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), param, "{body}: {error}");
    }
    assert!(peek(CHAT, b"{\"model\":\"m\",\"messages\":[\"\xff\"]}").is_err(), "not UTF-8");
    let moderation = peek(Endpoint::Moderations, br#"{"input":"x"}"#).unwrap();
    assert_eq!(&*moderation.model, "omni-moderation-latest");
}

#[test]
fn a_key_that_could_be_read_in_two_ways_is_refused() {
    for members in [
        r#""model":"other""#,
        r#""mod\u0065l":"other""#,
        r#""Model":"other""#,
        r#""MODEL":"other""#,
        r#""stream":true,"stream":false"#,
        r#""\u0073tream":true"#,
        "\"\u{17f}tream\":true",
        r#""N":100"#,
        r#""Max_Tokens":100000"#,
        r#""stream_options":{"include_usage":false,"include_usage":true}"#,
        r#""stream_options":{"Include_Usage":false}"#,
    ] {
        let error = peek(CHAT, with(members).as_bytes()).unwrap_err();
        assert!(error.param.is_some(), "{members}: {error}");
    }
    look(&with(r#""modelx":1,"x-Model":2,"Temperature":3"#));
}

#[test]
fn hostile_bodies_are_refused_or_read_but_never_panic() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        with(&format!("\"x\":{deep}")),
        with(&"\"a\":1,".repeat(100_000).replace("1,\"a\"", "1,\"b\"")),
        with("\"x\":\"\u{0}\""),
        "{\"model\":\"".to_owned() + &"x".repeat(1 << 20),
        "{".repeat(1000),
        "{\"messages\":{\"type\":".repeat(500),
    ] {
        assert!(peek(CHAT, body.as_bytes()).is_err(), "{body:.40}");
    }
    let long = "x".repeat(1 << 20);
    assert_eq!(look(&with(&format!("\"user\":\"{long}\""))).user.unwrap().len(), 1 << 20);
    look(&with("\"x\":\"\\ud800 half a pair\""));
}

fn change(body: &str, change: &Rewrite<'_>) -> String {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let seen = look(body);
    String::from_utf8(rewrite(CHAT, &bytes, &seen, change).to_vec()).unwrap()
}

#[test]
fn usage_is_asked_for_where_the_client_did_not_and_nothing_else_changes() {
    let asked = Rewrite { include_usage: true, ..Rewrite::default() };
    for (before, after) in [
        (
            r#"{ "model":"m","messages":[] , "stream":true }"#,
            r#"{"stream_options":{"include_usage":true}, "model":"m","messages":[] , "stream":true }"#,
        ),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{ }}"#,
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true }}"#,
        ),
        (
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"a":1}}"#,
            r#"{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true,"a":1}}"#,
        ),
        (
            r#"{"stream_options":{"include_usage": false },"model":"m","messages":[],"stream":true}"#,
            r#"{"stream_options":{"include_usage": true },"model":"m","messages":[],"stream":true}"#,
        ),
        (
            r#"{"stream_options":null,"model":"m","messages":[],"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","messages":[],"stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"model":"m","messages":[],"stream":true}"#,
            r#"{"stream_options":{"include_usage":true},"model":"m","messages":[],"stream":true}"#,
        ),
        (
            r#"{"model":"m","messages":[],"stream":false}"#,
            r#"{"model":"m","messages":[],"stream":false}"#,
        ),
    ] {
        assert_eq!(change(before, &asked), after);
    }
    let body = Bytes::from_static(br#"{"model":"m","input":"x","stream":true}"#);
    let seen = peek(Endpoint::Responses, &body).unwrap();
    assert_eq!(rewrite(Endpoint::Responses, &body, &seen, &asked), body, "no such switch there");
}

#[test]
fn a_clamp_lowers_the_callers_own_key_and_never_raises_it() {
    let clamp =
        |legacy| Rewrite { max_output: Some(100), legacy_max_tokens: legacy, ..Rewrite::default() };
    for (members, legacy, expected) in [
        ("", false, json!({"max_completion_tokens": 100})),
        ("", true, json!({"max_tokens": 100})),
        (r#""max_tokens":500"#, false, json!({"max_tokens": 100})),
        (r#""max_tokens":5"#, false, json!({"max_tokens": 5})),
        (r#""max_completion_tokens":500"#, true, json!({"max_completion_tokens": 100})),
        (r#""max_tokens":null"#, false, json!({"max_tokens": 100})),
        (
            r#""max_tokens":500,"max_completion_tokens":50"#,
            false,
            json!({"max_tokens": 100, "max_completion_tokens": 50}),
        ),
        (
            r#""max_tokens":null,"max_completion_tokens":50"#,
            false,
            json!({"max_tokens": null, "max_completion_tokens": 50}),
        ),
    ] {
        let after: Value = serde_json::from_str(&change(&with(members), &clamp(legacy))).unwrap();
        let mut after = after.as_object().unwrap().clone();
        after.remove("model");
        after.remove("messages");
        assert_eq!(Value::Object(after), expected, "{members}");
    }
}

proptest! {
    #[test]
    fn a_rewrite_changes_what_it_says_and_keeps_every_other_byte(
        before in "[ \n]{0,3}",
        extra in prop_oneof![Just(""), Just("\"temperature\":1.50,"), Just("\"x\":[ 1 , {} ],")],
        options in prop_oneof![Just(""), Just(",\"stream_options\":{}"),
            Just(",\"stream_options\": {\"a\" : 1}"),
            Just(",\"stream_options\":{\"include_usage\":false}")],
        text in any::<String>(),
        model in "[a-z/:.\"-]{1,12}",
        max in proptest::option::of(1u64..1000),
    ) {
        let content = serde_json::to_string(&text).unwrap();
        let body = format!(
            "{before}{{{extra}\"model\" : \"gpt\",\"messages\":[{{\"content\":{content}}}],\
             \"stream\":true,\"max_tokens\":300{options}}}"
        );
        let bytes = Bytes::from(body.clone());
        let seen = look(&body);
        let asked = Rewrite {
            model: Some(&model), include_usage: true, max_output: max, legacy_max_tokens: false,
        };
        let changed = rewrite(CHAT, &bytes, &seen, &asked);
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        expected["model"] = model.as_str().into();
        expected["stream_options"]["include_usage"] = true.into();
        expected["max_tokens"] = max.map_or(300, |max| max.min(300)).into();
        prop_assert_eq!(&serde_json::from_slice::<Value>(&changed).unwrap(), &expected);
        let again = look(str::from_utf8(&changed).unwrap());
        prop_assert_eq!(&*again.model, &*model);
        prop_assert!(again.usage_asked);
        // The text stands there byte for byte.
        prop_assert!(memchr::memmem::find(&changed, content.as_bytes()).is_some());
        prop_assert!(changed.starts_with(before.as_bytes()));
    }

    #[test]
    fn no_bytes_whatever_make_a_peek_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let framed = [&b"{\"model\":\"m\",\"messages\":["[..], &bytes, b"]}"].concat();
        for body in [bytes, framed] {
            for endpoint in Endpoint::all().filter(|endpoint| !endpoint.names_model_in_path()) {
                let refused = peek(endpoint, &body).is_err();
                if !refused {
                    prop_assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&body).is_ok());
                }
            }
        }
    }
}
