//! Recorded exchanges with real providers: usage, model, tier, cost, reason, and bytes unchanged.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::Value;
use tollgate_domain::usage::Usage;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::{AnswerFacts, ResponseStatus};
use tollgate_wire::openai::vendor::vendor;
use tollgate_wire::openai::{OpenAiStream, Rewrite, peek, read_answer, read_error, rewrite};

use crate::streams::{collect, splits};

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) endpoint: Endpoint,
}

impl Case {
    pub(crate) fn rules(&self) -> tollgate_wire::openai::UsageRules {
        let url = self.value["request"]["url"].as_str().unwrap();
        let host = url.split('/').nth(2).unwrap().split(':').next().unwrap();
        vendor(self.value["provider"].as_str().unwrap(), host).usage
    }

    /// The body of a streamed answer.
    pub(crate) fn stream(&self) -> Option<&str> {
        self.value["response"]["body_text"].as_str().filter(|_| self.value["stream"] == true)
    }
}

/// Every recorded exchange of the OpenAI form.
fn cases() -> Vec<Case> {
    let cases = load(|value| match (value["api"].as_str()?, value["endpoint"].as_str()?) {
        ("openai-chat", _) => Some(Endpoint::ChatCompletions),
        ("openai-embeddings", _) => Some(Endpoint::Embeddings),
        ("openai-responses", "responses.compact") => Some(Endpoint::ResponsesCompact),
        ("openai-responses", _) => Some(Endpoint::Responses),
        _ => None,
    });
    assert!(cases.is_empty() || cases.len() >= 30, "only {} exchanges", cases.len());
    cases
}

/// The recorded exchanges that have an endpoint; none, with a word, where they are absent.
pub(crate) fn load(endpoint: impl Fn(&Value) -> Option<Endpoint>) -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    let Ok(files) = std::fs::read_dir(&folder) else {
        skipped(&folder);
        return Vec::new();
    };
    let mut cases: Vec<Case> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter_map(|path| {
            let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let endpoint = endpoint(&value)?;
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Some(Case { name, value, endpoint })
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests is to know what was left out")]
fn skipped(folder: &std::path::Path) {
    eprintln!("skipped: no recorded exchanges at {}", folder.display());
}

fn check(case: &Case, facts: &AnswerFacts) {
    let (name, expected) = (&case.name, &case.value["expected"]);
    let text = |key: &str| expected[key].as_str();
    assert_eq!(facts.model.as_deref(), text("model"), "{name}: model");
    assert_eq!(facts.service_tier.as_deref(), text("service_tier"), "{name}: tier");
    check_usage(case, facts.usage.as_ref());
    if case.endpoint.is_responses() {
        let status = text("finish_reason").and_then(ResponseStatus::from_word);
        assert_eq!(facts.status, status, "{name}: status");
    } else if expected["outcome"] == "ok" {
        assert_eq!(facts.finish_reason.as_deref(), text("finish_reason"), "{name}: finish");
    }
    assert_eq!(facts.error.is_some(), expected["outcome"] == "inband_error", "{name}: error");
    check_cost(name, expected, facts);
}

fn check_usage(case: &Case, usage: Option<&Usage>) {
    let (name, expected) = (&case.name, &case.value["expected"]["usage"]);
    let Some(expected) = expected.as_object() else {
        assert_eq!(usage, None, "{name}");
        return;
    };
    let usage = usage.unwrap_or_else(|| panic!("{name}: no usage"));
    let count = |key: &str| expected.get(key).and_then(Value::as_u64).unwrap_or(0);
    assert_eq!(usage.input, count("input_total"), "{name}: input");
    assert_eq!(usage.output, count("output_total"), "{name}: output");
    assert_eq!(usage.cache_read, count("cache_read"), "{name}: cache read");
    assert_eq!(usage.cache_write, count("cache_write"), "{name}: cache write");
    // One provider states more reasoning than output: a part is brought back to its whole.
    assert_eq!(usage.reasoning, count("reasoning").min(usage.output), "{name}: reasoning");
    assert_eq!(usage.input_audio, count("input_audio"), "{name}: audio");
    if expected.contains_key("web_search") {
        assert_eq!(usage.web_searches, count("web_search"), "{name}: searches");
    }
}

fn check_cost(name: &str, expected: &Value, facts: &AnswerFacts) {
    let Some(stated) = expected["cost_stated"]["usd"].as_str() else {
        assert_eq!(facts.provider_cost, None, "{name}: cost");
        return;
    };
    // With the caller's own key, what that key is charged is added to the vendor's fee.
    let stated = match expected["cost_stated"]["is_byok"].as_bool() {
        Some(true) => expected["cost_stated"]["details"]["upstream_inference_cost"].to_string(),
        _ => stated.to_owned(),
    };
    assert_eq!(facts.provider_cost, Some(stated.parse().unwrap()), "{name}: cost");
}

#[test]
fn recorded_answers_yield_the_expected_facts() {
    let mut seen = 0;
    for case in cases() {
        let body = &case.value["response"]["body"];
        if case.stream().is_some() {
            continue;
        }
        seen += 1;
        let body = serde_json::to_vec(body).unwrap();
        if case.value["expected"]["outcome"] == "http_error" {
            let error = read_error(&body).unwrap();
            let expected = &case.value["expected"]["error"];
            assert_eq!(&*error.message, expected["message"].as_str().unwrap(), "{}", case.name);
            assert_eq!(error.kind.as_deref(), expected["type"].as_str(), "{}", case.name);
            let code = match &expected["code"] {
                Value::String(code) => Some(code.clone()),
                Value::Number(code) => Some(code.to_string()),
                _ => None,
            };
            assert_eq!(error.code.as_deref(), code.as_deref(), "{}", case.name);
            continue;
        }
        let facts = read_answer(case.endpoint, case.rules(), &body);
        assert!(!facts.cut, "{}", case.name);
        check(&case, &facts);
        let cut = read_answer(case.endpoint, case.rules(), &body[..body.len() - 2]);
        assert!(cut.cut, "{}: a body that ends early is noticed", case.name);
    }
    assert!(seen > 20 || cases().is_empty());
}

#[test]
fn recorded_streams_yield_the_expected_facts_and_pass_unchanged() {
    for case in cases() {
        let Some(body) = case.stream() else { continue };
        let mut stream = OpenAiStream::new(case.endpoint, case.rules(), true);
        let seen = collect(&mut stream, [Bytes::copy_from_slice(body.as_bytes())]);
        assert_eq!(seen.all(), body.as_bytes(), "{}: bytes", case.name);
        assert!(seen.facts.done, "{}: its end was seen", case.name);
        assert!(!seen.held.is_empty(), "{}: the end is held", case.name);
        check(&case, &seen.facts.answer);
        let failed = case.value["expected"]["outcome"] == "inband_error";
        assert_eq!(seen.facts.is_complete(), !failed, "{}", case.name);
        let text = case.value["expected"]["text_len"].as_u64().unwrap();
        assert!(seen.facts.text_bytes >= text, "{}: {} bytes", case.name, seen.facts.text_bytes);
    }
}

#[test]
fn recorded_streams_cut_at_every_byte_yield_the_same_facts_and_bytes() {
    for case in cases() {
        let Some(body) = case.stream() else { continue };
        for keep in [true, false] {
            let new = || OpenAiStream::new(case.endpoint, case.rules(), keep);
            splits(new, body.as_bytes(), if body.len() < 5_000 { 5_000 } else { 200 }, &case.name);
        }
    }
}

#[test]
fn only_the_injected_usage_chunk_is_kept_from_a_client_that_did_not_ask() {
    for case in cases() {
        let Some(body) = case.stream() else { continue };
        let mut stream = OpenAiStream::new(case.endpoint, case.rules(), false);
        let seen = collect(&mut stream, [Bytes::copy_from_slice(body.as_bytes())]);
        let expected: String = body
            .split_inclusive("\n\n")
            .filter(|event| !(event.contains("\"choices\":[],") && event.contains("\"usage\":{")))
            .collect();
        assert_eq!(String::from_utf8(seen.all()).unwrap(), expected, "{}", case.name);
        check(&case, &seen.facts.answer);
    }
}

#[test]
fn recorded_requests_are_peeked_and_change_only_where_asked() {
    for case in cases() {
        let body = &case.value["request"]["body"];
        if !body.is_object() {
            continue;
        }
        let bytes = Bytes::from(serde_json::to_vec(body).unwrap());
        let seen = peek(case.endpoint, &bytes).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(&*seen.model, body["model"].as_str().unwrap(), "{}", case.name);
        assert_eq!(seen.stream, body["stream"] == true, "{}", case.name);
        let tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
        assert_eq!(seen.tools.functions || seen.tools.hosted, tools, "{}", case.name);
        let same = rewrite(case.endpoint, &bytes, &seen, &Rewrite::default());
        assert_eq!(same.as_ptr(), bytes.as_ptr(), "{}: not copied", case.name);
        let change = Rewrite { model: Some("other"), ..Rewrite::default() };
        let changed = rewrite(case.endpoint, &bytes, &seen, &change);
        let mut expected = body.clone();
        expected["model"] = "other".into();
        assert_eq!(serde_json::from_slice::<Value>(&changed).unwrap(), expected, "{}", case.name);
    }
}
