//! What is read from native requests, and what is changed in them.

use super::*;
use crate::endpoint::Endpoint as E;

const NOVA: &str = "us.amazon.nova-micro-v1:0";

fn read(endpoint: E, model: &str, body: &str) -> Result<Peek, BodyError> {
    peek(endpoint, Some(model).filter(|model| !model.is_empty()), body.as_bytes())
}

fn clamped(endpoint: E, model: &str, body: &str) -> String {
    let seen = read(endpoint, model, body).unwrap();
    let change = Rewrite { max_output: Some(100), ..Rewrite::default() };
    let out = rewrite(endpoint, &Bytes::copy_from_slice(body.as_bytes()), &seen, &change);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn what_bears_on_cost_is_read() {
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"},{"image":{"format":"png",
        "source":{"bytes":"iVBORw0KGgoAAAA"}}}]}],"inferenceConfig":{"maxTokens":512},
        "toolConfig":{"tools":[{"toolSpec":{}}]},"serviceTier":{"type":"priority"},
        "additionalModelRequestFields":{"max_tokens":600}}"#;
    let seen = read(E::ConverseStream, NOVA, body).unwrap();
    assert_eq!((&*seen.model, seen.stream, seen.max_output), (NOVA, true, Some(600)));
    assert_eq!(seen.service_tier.as_deref(), Some("priority"));
    assert!(seen.tools.functions && !seen.tools.hosted);
    assert_eq!((seen.input.images, seen.input.image_bytes), (1, 15));
    assert_eq!((seen.input.items, seen.input.bytes), (1, body.len() as u64));
    assert_eq!(seen.output_bound(9), 600);
    assert!(!read(E::Converse, NOVA, body).unwrap().stream);
    let hosted = r#"{"messages":[],"toolConfig":{"tools":[{"systemTool":{"name":"x"}}]}}"#;
    assert!(read(E::Converse, NOVA, hosted).unwrap().tools.hosted);
}

/// Endpoint, model, body, and the same with at most 100 tokens.
const FAMILIES: &[(E, &str, &str, &str)] = &[
    (
        E::Converse,
        NOVA,
        r#"{"messages":[],"inferenceConfig":{"maxTokens":500}}"#,
        r#"{"messages":[],"inferenceConfig":{"maxTokens":100}}"#,
    ),
    (
        E::Converse,
        NOVA,
        r#"{"messages":[],"inferenceConfig":{"maxTokens":50}}"#,
        r#"{"messages":[],"inferenceConfig":{"maxTokens":50}}"#,
    ),
    (
        E::Converse,
        NOVA,
        r#"{"messages":[],"inferenceConfig":{}}"#,
        r#"{"messages":[],"inferenceConfig":{"maxTokens":100}}"#,
    ),
    (
        E::Converse,
        NOVA,
        r#"{"messages":[],"inferenceConfig":{"topP":1}}"#,
        r#"{"messages":[],"inferenceConfig":{"maxTokens":100,"topP":1}}"#,
    ),
    (
        E::Converse,
        NOVA,
        r#"{"messages":[]}"#,
        r#"{"inferenceConfig":{"maxTokens":100},"messages":[]}"#,
    ),
    (
        E::Invoke,
        NOVA,
        r#"{"messages":[],"inferenceConfig":{"max_new_tokens":500}}"#,
        r#"{"messages":[],"inferenceConfig":{"max_new_tokens":100}}"#,
    ),
    (
        E::InvokeStream,
        "anthropic.claude-opus-5",
        r#"{"max_tokens":101,"messages":[]}"#,
        r#"{"max_tokens":100,"messages":[]}"#,
    ),
    (
        E::Invoke,
        "us.meta.llama4-scout-17b-instruct-v1:0",
        r#"{"prompt":"x"}"#,
        r#"{"max_gen_len":100,"prompt":"x"}"#,
    ),
    (
        E::Invoke,
        "amazon.titan-text-lite-v1",
        r#"{"inputText":"x"}"#,
        r#"{"textGenerationConfig":{"maxTokenCount":100},"inputText":"x"}"#,
    ),
    (
        E::Invoke,
        "mistral.mistral-large-2402-v1:0",
        r#"{"prompt":"x"}"#,
        r#"{"max_tokens":100,"prompt":"x"}"#,
    ),
    (E::Invoke, "amazon.titan-embed-text-v2:0", r#"{"inputText":"x"}"#, r#"{"inputText":"x"}"#),
    (E::Invoke, "cohere.command-r-v1:0", "{}", r#"{"max_tokens":100}"#),
];

#[test]
fn each_family_is_bounded_by_its_own_key() {
    for (endpoint, model, body, expected) in FAMILIES {
        assert_eq!(clamped(*endpoint, model, body), *expected, "{model}");
        assert!(read(E::Invoke, model, expected).is_ok(), "still a body");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_by_name() {
    for (body, param) in [
        (r#"{"messages":[],"messages":[]}"#, Some("messages")),
        (r#"{"messages":[],"inferenceConfig":{"maxTokens":1,"maxTokens":9}}"#, Some("maxTokens")),
        (r#"{"messages":[],"InferenceConfig":{}}"#, Some("inferenceConfig")),
        (r#"{"messages":[],"inferenceConfig":{"MaxTokens":1}}"#, Some("maxTokens")),
        (r#"{"messages":[],"inferenceConfig":{"max\u0054okens":1}}"#, Some("maxTokens")),
        (r#"{"messages":[],"inferenceConfig":[]}"#, Some("inferenceConfig")),
        (r#"{"messages":[],"inferenceConfig":{"maxTokens":-1}}"#, Some("maxTokens")),
        (r#"{"inferenceConfig":{}}"#, Some("messages")),
        ("[]", None),
        ("{", None),
    ] {
        let error = read(E::Converse, NOVA, body).unwrap_err();
        assert_eq!(error.param.as_deref(), param, "{body}: {}", error.message);
    }
    assert!(read(E::Converse, "", "{}").is_err());
}
#[test]
fn the_model_of_the_body_is_replaced_and_that_of_the_path_is_not_in_it() {
    let body =
        Bytes::from_static(br#"{"messages":[],"model":"command-r","stream":true,"max_tokens":9}"#);
    let seen = peek(E::CohereChat, None, &body).unwrap();
    assert_eq!((&*seen.model, seen.stream, seen.max_output), ("command-r", true, Some(9)));
    let change = Rewrite { model: Some("other"), max_output: Some(5), ..Rewrite::default() };
    let changed = rewrite(E::CohereChat, &body, &seen, &change);
    assert_eq!(&changed[..], br#"{"messages":[],"model":"other","stream":true,"max_tokens":5}"#);
    let same = rewrite(E::CohereChat, &body, &seen, &Rewrite::default());
    assert_eq!(same.as_ptr(), body.as_ptr(), "not copied");
    let path = peek(E::Converse, Some(NOVA), br#"{"messages":[],"model":7}"#).unwrap();
    assert_eq!((&*path.model, path.model_span()), (NOVA, None));
}

#[test]
fn ollama_streams_unless_told_not_to_and_a_negative_maximum_bounds_nothing() {
    let read = |body: &str| peek(E::OllamaChat, None, body.as_bytes()).unwrap();
    assert!(read(r#"{"model":"m"}"#).stream);
    assert!(!read(r#"{"model":"m","stream":false}"#).stream);
    assert_eq!(read(r#"{"model":"m","options":{"num_predict":7}}"#).max_output, Some(7));
    let endless = r#"{"model":"m","options":{"num_predict":-1}}"#;
    assert_eq!(read(endless).max_output, None);
    assert_eq!(clamped(E::OllamaChat, "", endless), endless.replace("-1", "100"));
    assert_eq!(
        clamped(E::OllamaChat, "", r#"{"model":"m"}"#),
        r#"{"options":{"num_predict":100},"model":"m"}"#
    );
}

#[test]
fn an_unknown_operation_names_its_model_somewhere_and_its_bound_where_it_likes() {
    let read = |path, body: &str| peek(E::Other, path, body.as_bytes());
    let seen = read(None, r#"{"model":"m","stream":true,"max_output_tokens":4,"input":["a","b"]}"#);
    let seen = seen.unwrap();
    assert_eq!((seen.stream, seen.max_output, seen.input.items), (true, Some(4), 2));
    assert_eq!(&*read(Some("p"), r#"{"instances":[]}"#).unwrap().model, "p");
    assert_eq!(read(None, r#"{"query":"x"}"#).unwrap_err().param.as_deref(), Some("model"));
}
