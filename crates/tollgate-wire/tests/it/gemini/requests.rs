//! Requests of the Gemini form: what is read, what is refused, what is changed.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_wire::count::{count_request, upper_bound_input_tokens};
use tollgate_wire::dialect::{Rewrite, peek, rewrite};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::peek::Peek;

const GENERATE: Endpoint = Endpoint::GenerateContent;
const MODEL: &str = "gemini-2.5-flash";

fn look(body: &Value) -> Peek {
    peek(GENERATE, Some("models/gemini-3"), body.to_string().as_bytes())
        .unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn sent(part: &Value) -> Peek {
    look(&json!({"contents": [{"role": "user", "parts": [part]}]}))
}

#[test]
fn both_spellings_are_read_and_two_of_them_in_one_body_are_refused() {
    for body in [
        json!({"contents": [{"parts": [{"text": "x"}]}], "cachedContent": "c", "store": true,
            "serviceTier": "SERVICE_TIER_FLEX", "systemInstruction": {"parts": [{"text": "x"}]},
            "tools": [{"functionDeclarations": [{}]}, {"googleSearch": {}}],
            "generationConfig": {"maxOutputTokens": 50, "candidateCount": 2,
                "responseModalities": ["TEXT", "Image", "AUDIO"], "thinkingConfig": {}}}),
        json!({"contents": {"parts": {"text": "x"}}, "cached_content": "c", "store": true,
            "service_tier": "flex", "system_instruction": {"parts": {"text": "x"}},
            "tools": [{"function_declarations": [{}]}, {"google_search": {}}],
            "generation_config": {"max_output_tokens": 50, "candidate_count": 2,
                "response_modalities": ["TEXT", "IMAGE", "AUDIO"], "thinking_config": {}}}),
    ] {
        let seen = look(&body);
        assert_eq!((&*seen.model, seen.max_output, seen.choices), ("gemini-3", Some(50), 2));
        assert!(seen.input.earlier_turns && seen.audio_output && seen.image_output && seen.thinks);
        assert!(seen.tools.functions && seen.tools.hosted && seen.tools.web_search);
        assert_eq!((seen.service_tier.as_deref(), seen.store), (Some("flex"), Some(true)));
        assert!(!seen.stream && seen.usage_asked);
        assert_eq!(seen.input.items, 1);
    }
    for (members, param) in [
        (r#""generationConfig":{},"generation_config":{}"#, "generationConfig"),
        (r#""generationConfig":{"maxOutputTokens":5,"max_output_tokens":9}"#, "maxOutputTokens"),
        (r#""generationConfig":{"maxoutputtokens":9}"#, "maxOutputTokens"),
        (r#""generationConfig":{"max\u004futputTokens":9}"#, "maxOutputTokens"),
        (r#""generationConfig":{"maxOutputTokens":"9"}"#, "maxOutputTokens"),
        (r#""generationConfig":{"candidateCount":0}"#, "candidateCount"),
        (r#""generationConfig":[]"#, "generationConfig"),
        (r#""Tools":[]"#, "tools"),
        (r#""contents":[]"#, "contents"),
        (r#""model":"models/another""#, "model"),
        (r#""tools":[{"googleSearch":{},"google_search":{}}]"#, "googleSearch"),
    ] {
        let body = format!("{{\"contents\":[],{members}}}");
        let error = peek(GENERATE, Some("gemini-3"), body.as_bytes()).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{members}: {error}");
    }
    for (endpoint, model, body) in [
        (GENERATE, Some("m"), "{}"),
        (GENERATE, None, r#"{"contents":[]}"#),
        (Endpoint::EmbedContent, Some("m"), "{}"),
        (Endpoint::BatchEmbedContents, Some("m"), r#"{"requests":[{"model":"models/n"}]}"#),
        (GENERATE, Some("m"), r#"{"contents":[]"#),
    ] {
        assert!(peek(endpoint, model, body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn tools_that_the_provider_runs_and_contents_that_it_keeps_make_the_bound_incomplete() {
    let asking = |extra: Value| {
        let mut body = json!({"contents": [{"parts": [{"text": "x"}]}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        upper_bound_input_tokens(&look(&body)).complete
    };
    for extra in [
        json!({"tools": [{"urlContext": {}}]}),
        json!({"tools": [{"codeExecution": {}}]}),
        json!({"tools": {"somethingNew": {}}}),
        json!({"cachedContent": "cachedContents/1"}),
    ] {
        assert!(!asking(extra.clone()), "{extra}");
    }
    for extra in [
        json!({"tools": [{"functionDeclarations": [{"name": "f"}]}]}),
        json!({"tools": [{"computerUse": {}, "googleSearch": null}]}),
        json!({"tools": [], "cachedContent": null}),
    ] {
        assert!(asking(extra.clone()), "{extra}");
    }
}

#[test]
fn media_are_told_apart_by_their_type() {
    let data = "A".repeat(400_000);
    let inline = |kind: &str| json!({"inlineData": {"mimeType": kind, "data": data}});
    let bound = |part: &Value| upper_bound_input_tokens(&sent(part));
    let picture = bound(&inline("image/png"));
    assert!(picture.complete && picture.tokens < 13_000);
    let nested = json!({"functionResponse": {"name": "f", "response": {},
        "parts": [{"inline_data": {"mime_type": "image/png", "data": data}}]}});
    assert!(bound(&nested).tokens < 13_000);
    let sound = bound(&inline("audio/mp3"));
    assert!(sound.complete && (25_000..40_000).contains(&sound.tokens), "{sound:?}");
    for part in [
        inline("video/mp4"),
        inline("application/pdf"),
        inline("text/plain"),
        json!({"fileData": {"fileUri": "https://youtu.be/x"}}),
        json!({"file_data": {"mime_type": "video/mp4", "file_uri": "x"}}),
        json!({"functionResponse": {"parts": [{"fileData": {"fileUri": "x"}}]}}),
    ] {
        assert!(!bound(&part).complete);
    }
    let file = sent(&json!({"fileData": {"mimeType": "image/png", "fileUri": "x"}}));
    assert_eq!((file.input.images, file.input.remote_media, file.input.files), (1, 1, 0));
    // Text that only looks like a picture stays text, and a blob with two types is refused.
    let args = json!({"functionCall": {"name": "f", "args": inline("image/png")}});
    assert!(bound(&args).tokens > 400_000);
    let twice = br#"{"contents":[{"parts":[{"inlineData":{"mimeType":"text/plain",
        "mime_type":"image/png","data":"AA"}}]}]}"#;
    assert!(peek(GENERATE, Some("m"), twice).is_err());
}

#[test]
fn a_clamp_goes_where_the_maximum_stands_or_would_stand() {
    let clamp = Rewrite { max_output: Some(100), ..Rewrite::default() };
    for (before, after) in [
        (r#"{ "contents":[]}"#, r#"{"generationConfig":{"maxOutputTokens":100}, "contents":[]}"#),
        (
            r#"{"contents":[],"generationConfig":{ }}"#,
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":100 }}"#,
        ),
        (
            r#"{"contents":[],"generation_config":{"topK":1}}"#,
            r#"{"contents":[],"generation_config":{"maxOutputTokens":100,"topK":1}}"#,
        ),
        (
            r#"{"contents":[],"generationConfig":null}"#,
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":100}}"#,
        ),
        (
            r#"{"contents":[],"generationConfig":{"max_output_tokens": 500 }}"#,
            r#"{"contents":[],"generationConfig":{"max_output_tokens": 100 }}"#,
        ),
        (
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":null}}"#,
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":100}}"#,
        ),
        (
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":5}}"#,
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":5}}"#,
        ),
    ] {
        let body = Bytes::from_static(before.as_bytes());
        let seen = peek(GENERATE, Some("m"), &body).unwrap();
        assert_eq!(rewrite(GENERATE, &body, &seen, &clamp), after.as_bytes());
        let again = peek(GENERATE, Some("m"), after.as_bytes()).unwrap();
        assert!(again.max_output.is_some_and(|max| max <= 100));
    }
}

#[test]
fn a_model_in_a_body_is_renamed_with_its_prefix() {
    let other = Rewrite { model: Some("other"), max_output: Some(1), ..Rewrite::default() };
    for (endpoint, before, after) in [
        (
            Endpoint::EmbedContent,
            r#"{"model":"models/m","content":{"parts":[]}}"#,
            r#"{"model":"models/other","content":{"parts":[]}}"#,
        ),
        (
            Endpoint::CountTokens,
            r#"{"generateContentRequest":{"model":"m","contents":[]}}"#,
            r#"{"generateContentRequest":{"model":"other","contents":[]}}"#,
        ),
        (Endpoint::CountTokens, r#"{"contents":[]}"#, r#"{"contents":[]}"#),
    ] {
        let body = Bytes::from_static(before.as_bytes());
        let seen = peek(endpoint, Some("m"), &body).unwrap();
        assert_eq!(rewrite(endpoint, &body, &seen, &other), after.as_bytes());
    }
}

#[test]
fn a_request_is_counted_wherever_its_texts_stand() {
    let words = "word ".repeat(300);
    let content = json!({"parts": [{"text": words}]});
    for (endpoint, body) in [
        (Endpoint::CountTokens, json!({"contents": [content]})),
        (Endpoint::CountTokens, json!({"generateContentRequest": {"contents": [content]}})),
        (GENERATE, json!({"contents": [], "systemInstruction": content})),
        (GENERATE, json!({"contents": [], "tools": [{"functionDeclarations": [content]}]})),
        (Endpoint::EmbedContent, json!({"content": content})),
        (Endpoint::BatchEmbedContents, json!({"requests": [{"content": content}]})),
        (
            GENERATE,
            json!({"contents": [{"parts": [{"functionResponse": {"name": "f",
            "response": {"data": words}}}]}]}),
        ),
    ] {
        let counted = count_request(endpoint, MODEL, body.to_string().as_bytes());
        assert!((300..400).contains(&counted), "{counted} {endpoint:?}");
    }
}

proptest! {
    #[test]
    fn a_rewrite_of_contents_keeps_every_other_byte(
        before in "[ \n]{0,3}",
        text in any::<String>(),
        config in prop_oneof![Just(""), Just(",\"generationConfig\" : { }"),
            Just(",\"generation_config\":{\"topP\":0.50}"),
            Just(",\"generationConfig\":{\"maxOutputTokens\" : 300}")],
        max in 1u64..1000,
    ) {
        let content = serde_json::to_string(&text).unwrap();
        let body = format!("{before}{{\"contents\":[{{\"parts\":[{{\"text\":{content}}}]}}]{config}}}");
        let bytes = Bytes::from(body.clone());
        let seen = peek(GENERATE, Some("m"), &bytes).unwrap();
        let asked = Rewrite { max_output: Some(max), model: Some("n"), ..Rewrite::default() };
        let changed = rewrite(GENERATE, &bytes, &seen, &asked);
        let mut expected: Value = serde_json::from_str(&body).unwrap();
        let key = if config.contains("_config") { "generation_config" } else { "generationConfig" };
        let max = if config.contains("300") { max.min(300) } else { max };
        expected[key]["maxOutputTokens"] = max.into();
        prop_assert_eq!(&serde_json::from_slice::<Value>(&changed).unwrap(), &expected);
        prop_assert!(memchr::memmem::find(&changed, content.as_bytes()).is_some());
        prop_assert!(changed.starts_with(before.as_bytes()));
    }
}
