//! Recorded exchanges in the native dialects of Anthropic and Google: facts, bytes, requests.

use bytes::Bytes;
use std::borrow::Cow;

use serde_json::Value;
use tollgate_domain::usage::Usage;
use tollgate_wire::dialect::{Rewrite, answer_text, peek, read_answer, read_error, rewrite};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::framing::Framing;
use tollgate_wire::meter::{Meter, StreamError};
use tollgate_wire::openai::UsageRules;
use tollgate_wire::passthrough;

use crate::cases::{Case, load};
use crate::streams::{collect, splits};

fn cases() -> Vec<Case> {
    let cases = load(|value| match (value["api"].as_str()?, value["endpoint"].as_str()?) {
        ("anthropic", "messages") => Some(Endpoint::Messages),
        (_, "messages.count_tokens") => Some(Endpoint::MessageTokens),
        ("gemini", "generateContent") => Some(Endpoint::GenerateContent),
        ("gemini", "streamGenerateContent") => Some(Endpoint::StreamGenerateContent),
        (_, "batchEmbedContents") => Some(Endpoint::BatchEmbedContents),
        _ => None,
    });
    assert!(cases.is_empty() || cases.len() >= 27, "only {} exchanges", cases.len());
    cases
}

fn meter(case: &Case) -> Meter {
    Meter::new(case.endpoint, UsageRules::default(), true)
}

/// The model of the path, in the form where it is there.
fn path_model(case: &Case) -> Option<Cow<'_, str>> {
    let url = case.value["request"]["url"].as_str().unwrap();
    let path = url.split('?').next().unwrap();
    passthrough::endpoint(path).1.filter(|_| case.endpoint.names_model_in_path())
}

fn check(case: &Case, facts: &AnswerFacts) {
    let (name, expected) = (&case.name, &case.value["expected"]);
    let text = |key: &str| expected[key].as_str();
    assert_eq!(facts.model.as_deref(), text("model"), "{name}: model");
    assert_eq!(facts.finish_reason.as_deref(), text("finish_reason"), "{name}: finish");
    let tier = match text("service_tier") {
        Some("ON_DEMAND") => Some("standard"),
        Some("ON_DEMAND_FLEX") => Some("flex"),
        tier => tier,
    };
    assert_eq!(facts.service_tier.as_deref(), tier, "{name}: tier");
    assert!(facts.error.is_none() && !facts.anomaly, "{name}: {facts:?}");
    let parts = expected["parts"].as_array();
    assert_eq!(facts.parts.len(), parts.map_or(0, Vec::len), "{name}: parts");
    let mut sum = (0, 0);
    for (part, expected) in facts.parts.iter().zip(parts.into_iter().flatten()) {
        let model = part.model.as_deref().or(facts.model.as_deref());
        assert_eq!(model, expected["model"].as_str(), "{name}: model of a part");
        check_usage(name, &part.usage, &expected["usage"], false);
        sum = (sum.0 + part.usage.input, sum.1 + part.usage.output);
    }
    match &facts.usage {
        None => assert!(expected["usage"].is_null(), "{name}: no usage"),
        Some(usage) if parts.is_some() => assert_eq!((usage.input, usage.output), sum, "{name}"),
        Some(usage) => check_usage(name, usage, &expected["usage"], true),
    }
}

fn check_usage(name: &str, usage: &Usage, expected: &Value, reasoning: bool) {
    let count = |key: &str| expected.get(key).and_then(Value::as_u64).unwrap_or(0);
    for (key, found) in [
        ("input_total", usage.input),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("cache_write_5m", usage.cache_write_5m),
        ("cache_write_1h", usage.cache_write_1h),
        ("tool_input", usage.tool_input),
        ("input_audio", usage.input_audio),
        ("input_image", usage.input_image),
        ("input_video", usage.input_video),
        ("output_total", usage.output),
        ("output_image", usage.output_image),
        ("web_search", usage.web_searches),
    ] {
        assert_eq!(found, count(key), "{name}: {key}");
    }
    assert!(!reasoning || usage.reasoning == count("reasoning"), "{name}: reasoning");
}

#[test]
fn recorded_native_answers_yield_the_expected_facts() {
    let mut seen = 0;
    for case in cases() {
        if case.stream().is_some() {
            continue;
        }
        seen += 1;
        let (name, expected) = (&case.name, &case.value["expected"]);
        let body = match case.value["response"]["body_text"].as_str() {
            Some(text) => text.trim_end().as_bytes().to_vec(),
            None => serde_json::to_vec(&case.value["response"]["body"]).unwrap(),
        };
        if expected["outcome"] == "http_error" {
            let error = read_error(&body).unwrap();
            let expected = &expected["error"];
            assert_eq!(&*error.message, expected["message"].as_str().unwrap(), "{name}");
            let kind = expected["type"].as_str().or_else(|| expected["status"].as_str());
            assert_eq!(error.kind.as_deref(), kind, "{name}");
            assert_eq!(error.status.map(u64::from), expected["code"].as_u64(), "{name}");
            continue;
        }
        let facts = read_answer(case.endpoint, UsageRules::default(), &body);
        assert!(!facts.cut, "{name}");
        check(&case, &facts);
        let cut = read_answer(case.endpoint, UsageRules::default(), &body[..body.len() - 2]);
        assert!(cut.cut, "{name}: a body that ends early is noticed");
        let text = answer_text(case.endpoint, &body, |text| text.len() as u64);
        let least = expected["text_len"].as_u64().unwrap();
        assert!(text >= least, "{name}: {text} of {least} bytes");
    }
    assert!(seen > 20 || cases().is_empty());
}

#[test]
fn the_creation_of_a_cache_states_no_usage_of_a_call() {
    for case in load(|value| (value["api"] == "gemini-cache").then_some(Endpoint::Other)) {
        let body = serde_json::to_vec(&case.value["response"]["body"]).unwrap();
        let facts = read_answer(case.endpoint, UsageRules::default(), &body);
        assert_eq!((facts.usage, facts.cut), (None, false), "it is billed by the hour");
    }
}

#[test]
fn recorded_native_streams_yield_the_expected_facts_and_pass_unchanged() {
    for case in cases() {
        let Some(body) = case.stream() else { continue };
        let seen = collect(&mut meter(&case), [Bytes::copy_from_slice(body.as_bytes())]);
        assert_eq!(seen.all(), body.as_bytes(), "{}: bytes", case.name);
        assert!(seen.facts.is_complete() && seen.facts.done, "{}", case.name);
        assert!(!seen.held.is_empty() && !seen.passed.is_empty(), "{}: held", case.name);
        check(&case, &seen.facts.answer);
        let least = case.value["expected"]["text_len"].as_u64().unwrap();
        assert!(seen.facts.text_bytes >= least, "{}", case.name);
        let limit = if body.len() < 5_000 { 5_000 } else { 500 };
        splits(|| meter(&case), body.as_bytes(), limit, &case.name);
        let windows = body.replace("\r\n", "\n").replace('\n', "\r\n");
        let seen = collect(&mut meter(&case), [Bytes::from(windows.clone())]);
        check(&case, &seen.facts.answer);
        splits(|| meter(&case), windows.as_bytes(), 500, &case.name);
    }
}

#[test]
fn recorded_gemini_streams_read_the_same_as_one_array_in_pieces() {
    for case in cases() {
        let Some(body) = case.stream().filter(|_| case.endpoint == Endpoint::StreamGenerateContent)
        else {
            continue;
        };
        let chunks: Vec<&str> =
            body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let array = format!("[{}\n]\n", chunks.join("\n,\r\n"));
        let seen = collect(&mut meter(&case), [Bytes::from(array.clone())]);
        assert_eq!(seen.all(), array.as_bytes(), "{}", case.name);
        assert!(seen.facts.done && seen.held.ends_with(b"\n]\n"), "{}", case.name);
        check(&case, &seen.facts.answer);
        splits(|| meter(&case), array.as_bytes(), 5_000, &case.name);
        let whole = read_answer(case.endpoint, UsageRules::default(), array.as_bytes());
        check(&case, &whole);
    }
}

#[test]
fn recorded_native_requests_are_peeked_and_change_only_where_asked() {
    for case in cases() {
        let (name, body) = (&case.name, &case.value["request"]["body"]);
        let bytes = Bytes::from(serde_json::to_vec(body).unwrap());
        let model = path_model(&case);
        let model = model.as_deref();
        let seen =
            peek(case.endpoint, model, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Some(&*seen.model), model.or_else(|| body["model"].as_str()), "{name}");
        assert_eq!(seen.stream, case.stream().is_some(), "{name}");
        let tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
        assert_eq!(seen.tools.functions || seen.tools.hosted, tools, "{name}");
        let same = rewrite(case.endpoint, &bytes, &seen, &Rewrite::default());
        assert_eq!(same.as_ptr(), bytes.as_ptr(), "{name}: not copied");
        let change = Rewrite { model: Some("other"), ..Rewrite::default() };
        let changed = rewrite(case.endpoint, &bytes, &seen, &change);
        let mut expected = body.clone();
        if expected["model"].is_string() {
            expected["model"] = "other".into();
        }
        let requests = expected.get_mut("requests").and_then(Value::as_array_mut);
        for request in requests.into_iter().flatten() {
            request["model"] = "models/other".into();
        }
        assert_eq!(serde_json::from_slice::<Value>(&changed).unwrap(), expected, "{name}");
    }
}

#[test]
fn where_a_client_can_choose_the_framing_what_comes_decides() {
    let chunk = "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"] } \\n\"}}]}";
    for (endpoint, body, framing) in [
        (Endpoint::Other, format!("{chunk}\n{chunk}\r\n\n{chunk}"), Framing::Lines),
        (Endpoint::OllamaChat, format!("{chunk}\n{chunk}\n"), Framing::Lines),
        (Endpoint::Other, format!(" \n[{chunk},\n{chunk}\n]\n\n"), Framing::Array),
        (Endpoint::Other, format!("\n\n: hi\n\ndata: {chunk}\n\n"), Framing::Events),
        (Endpoint::Other, " \r\n ".to_owned(), Framing::Events),
        (Endpoint::StreamGenerateContent, format!("\r\ndata: {chunk}\r\n\r\n"), Framing::Events),
    ] {
        let new = || Meter::new(endpoint, UsageRules::default(), true);
        let mut meter = new();
        let seen = collect(&mut meter, [Bytes::from(body.clone())]);
        assert_eq!((seen.all(), meter.framing()), (body.clone().into_bytes(), framing));
        splits(new, body.as_bytes(), 5_000, &body);
    }
}

#[test]
fn an_element_or_a_line_that_never_ends_is_refused_at_the_bound() {
    for (endpoint, start) in [
        (Endpoint::StreamGenerateContent, "[{\"a\":\""),
        (Endpoint::StreamGenerateContent, " "),
        (Endpoint::OllamaChat, "{"),
    ] {
        let mut meter = Meter::new(endpoint, UsageRules::default(), true);
        let (mut out, blank) = (Vec::new(), Bytes::from(vec![b' '; 1 << 20]));
        meter.push(&Bytes::from(start), &mut out).unwrap();
        let refused = (0..17).find_map(|_| meter.push(&blank, &mut out).err());
        assert!(matches!(refused, Some(StreamError::TooLarge(_))), "{start}");
        assert!(out.is_empty());
    }
}
