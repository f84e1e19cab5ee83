//! Recorded exchanges in the native forms of clouds and vendors: Bedrock, Cohere.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use tollgate_wire::bedrock;
use tollgate_wire::dialect::{Rewrite, peek, read_answer, read_error, rewrite};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::meter::Meter;
use tollgate_wire::openai::vendor::UNKNOWN;
use tollgate_wire::passthrough;

use crate::streams::{collect, splits};

struct Case {
    name: String,
    value: Value,
    endpoint: Endpoint,
    model: Option<String>,
}

/// Every recorded exchange in these forms, with the endpoint that its path tells.
fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    let Ok(files) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut cases: Vec<Case> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter_map(|path| {
            let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let api = value["api"].as_str()?;
            if !matches!(api, "bedrock" | "bedrock-invoke" | "cohere") {
                return None;
            }
            let url = value["request"]["url"].as_str()?;
            let path_of_url = url.splitn(4, '/').nth(3)?;
            let (endpoint, model) = passthrough::endpoint(&format!("/{path_of_url}")).clone_parts();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            Some(Case { name, value, endpoint, model })
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() >= 6, "only {} exchanges of these forms", cases.len());
    cases
}

trait Parts {
    fn clone_parts(self) -> (Endpoint, Option<String>);
}

impl Parts for (Endpoint, Option<std::borrow::Cow<'_, str>>) {
    fn clone_parts(self) -> (Endpoint, Option<String>) {
        (self.0, self.1.map(std::borrow::Cow::into_owned))
    }
}

fn check(case: &Case, facts: &AnswerFacts) {
    let (name, expected) = (&case.name, &case.value["expected"]);
    assert_eq!(facts.model.as_deref(), expected["model"].as_str(), "{name}: model");
    assert_eq!(facts.finish_reason.as_deref(), expected["finish_reason"].as_str(), "{name}");
    let usage = facts.usage.unwrap_or_else(|| panic!("{name}: no usage"));
    let count = |key: &str| expected["usage"][key].as_u64().unwrap_or(0);
    assert_eq!(usage.input, count("input_total"), "{name}: input");
    assert_eq!(usage.output, count("output_total"), "{name}: output");
    assert_eq!(usage.cache_read, count("cache_read"), "{name}: cache read");
    assert_eq!(usage.cache_write, count("cache_write"), "{name}: cache write");
    assert_eq!(usage.cache_write_5m, count("cache_write_5m"), "{name}: lifetime");
    assert!(!facts.anomaly && facts.error.is_none(), "{name}");
}

#[test]
fn recorded_answers_yield_the_expected_facts() {
    for case in cases().iter().filter(|case| case.value["stream"] == false) {
        let body = serde_json::to_vec(&case.value["response"]["body"]).unwrap();
        if case.value["expected"]["outcome"] == "http_error" {
            let message = case.value["expected"]["error"]["message"].as_str().unwrap();
            let error = bedrock::read_error(&body, Some("ValidationException:http://x")).unwrap();
            assert_eq!(
                (&*error.message, error.kind.as_deref()),
                (message, Some("ValidationException"))
            );
            assert_eq!(&*read_error(&body).unwrap().message, message);
            continue;
        }
        let mut facts = read_answer(case.endpoint, UNKNOWN.usage, &body);
        let headers = &case.value["response"]["headers"];
        bedrock::invoke::read_headers(case.endpoint, &|name| headers[name].as_str(), &mut facts);
        assert!(!facts.cut, "{}", case.name);
        check(case, &facts);
        let cut = read_answer(case.endpoint, UNKNOWN.usage, &body[..body.len() - 2]);
        assert!(cut.cut, "{}: a body that ends early is noticed", case.name);
    }
}

#[test]
fn recorded_streams_yield_the_expected_facts_however_they_are_cut() {
    for case in cases().iter().filter(|case| case.value["stream"] == true) {
        let body =
            STANDARD.decode(case.value["response"]["body_base64"].as_str().unwrap()).unwrap();
        let new = || Meter::new(case.endpoint, UNKNOWN.usage, true);
        let seen = collect(&mut new(), [Bytes::from(body.clone())]);
        assert_eq!(seen.all(), body, "{}: bytes", case.name);
        assert!(!seen.held.is_empty() && seen.facts.is_complete(), "{}: its end", case.name);
        check(case, &seen.facts.answer);
        let text = case.value["expected"]["text_len"].as_u64().unwrap();
        assert!(seen.facts.text_bytes >= text, "{}", case.name);
        splits(new, &body, 5_000, &case.name);
    }
}

#[test]
fn recorded_requests_are_peeked_and_clamped_only_where_needed() {
    for case in cases() {
        let Some(model) = case.model.as_deref() else { continue };
        let bytes = Bytes::from(serde_json::to_vec(&case.value["request"]["body"]).unwrap());
        let seen = peek(case.endpoint, Some(model), &bytes).unwrap();
        assert_eq!(&*seen.model, case.value["model_requested"].as_str().unwrap(), "{}", case.name);
        assert_eq!(seen.stream, case.value["stream"] == true, "{}", case.name);
        let change = Rewrite { max_output: Some(7), ..Rewrite::default() };
        let clamped = rewrite(case.endpoint, &bytes, &seen, &change);
        let seen = peek(case.endpoint, Some(model), &clamped).unwrap();
        let generates = case.endpoint != Endpoint::Invoke;
        assert_eq!(seen.max_output, generates.then_some(7), "{}", case.name);
        let again = rewrite(case.endpoint, &clamped, &seen, &change);
        assert_eq!(again.as_ptr(), clamped.as_ptr(), "{}: not copied", case.name);
    }
}
