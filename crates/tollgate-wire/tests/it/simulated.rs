//! The simulated provider, read with the reader that reads real ones.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::openai::vendor::UNKNOWN;
use tollgate_wire::openai::{OpenAiStream, peek, read_answer};
use tollgate_wire::simulated::{Ask, End, Failure, Plan, Script, answer};

use crate::streams::{Seen, collect};

fn plan(script: &Script, endpoint: Endpoint, body: &str, call: u64) -> Plan {
    let seen = peek(endpoint, body.as_bytes()).unwrap();
    let ask = Ask {
        endpoint,
        peek: &seen,
        body: body.as_bytes(),
        include_usage: true,
        call,
        created: 1_700_000_000,
    };
    answer(script, &ask)
}

fn whole(script: &Script, endpoint: Endpoint, body: &str) -> (Value, AnswerFacts) {
    let bytes: Vec<Bytes> = plan(script, endpoint, body, 1).parts.map(|(_, part)| part).collect();
    let facts = read_answer(endpoint, UNKNOWN.usage, &bytes.concat());
    (serde_json::from_slice(&bytes.concat()).unwrap(), facts)
}

fn streamed(script: &Script, endpoint: Endpoint, body: &str) -> Seen {
    let parts = plan(script, endpoint, body, 1).parts.map(|(_, part)| part);
    collect(&mut OpenAiStream::new(endpoint, UNKNOWN.usage, true), parts)
}

/// The data of each event, parsed.
fn events(seen: &Seen) -> Vec<Value> {
    let text = String::from_utf8(seen.all()).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

const CHAT: &str = r#"{"model":"sim","messages":[{"role":"user","content":"hi"}]"#;
const FORMS: [(Endpoint, &str); 3] = [
    (Endpoint::ChatCompletions, CHAT),
    (Endpoint::Completions, r#"{"model":"sim","prompt":"hi""#),
    (Endpoint::Responses, r#"{"model":"sim","input":"hi""#),
];

#[test]
fn a_stream_and_a_whole_answer_say_the_same_and_count_the_same() {
    let script = Script { input_tokens: Some(7), output_tokens: Some(12), ..Script::default() };
    for (endpoint, body) in FORMS {
        let (_, facts) = whole(&script, endpoint, &format!("{body}}}"));
        let seen = streamed(&script, endpoint, &format!("{body},\"stream\":true}}"));
        assert!(seen.facts.is_complete() && !facts.cut, "{endpoint:?}");
        let usage = facts.usage.unwrap();
        assert_eq!((usage.input, usage.output), (7, 12), "{endpoint:?}");
        assert_eq!(seen.facts.answer.usage, facts.usage, "{endpoint:?}");
        assert_eq!(seen.facts.answer.finish_reason, facts.finish_reason, "{endpoint:?}");
        assert_eq!(seen.facts.answer.model.as_deref(), Some("sim"));
        assert!(seen.facts.text_bytes > 12, "{endpoint:?}");
    }
}

#[test]
fn the_callers_maximum_shortens_the_answer_and_is_the_reason_given() {
    let script = Script { output_tokens: Some(50), ..Script::default() };
    for ((endpoint, body), key, reason) in [
        (FORMS[0], "max_tokens", "length"),
        (FORMS[1], "max_tokens", "length"),
        (FORMS[2], "max_output_tokens", "max_output_tokens"),
    ] {
        let (_, facts) = whole(&script, endpoint, &format!("{body},\"{key}\":5}}"));
        assert_eq!(facts.usage.unwrap().output, 5);
        assert_eq!(facts.finish_reason.as_deref(), Some(reason));
    }
}

#[test]
fn several_choices_are_each_generated_and_counted() {
    let script = Script { output_tokens: Some(4), ..Script::default() };
    let (value, facts) = whole(&script, Endpoint::ChatCompletions, &format!("{CHAT},\"n\":3}}"));
    assert_eq!(value["choices"].as_array().unwrap().len(), 3);
    assert_eq!(facts.usage.unwrap().output, 12);
    let body = format!("{CHAT},\"n\":3,\"stream\":true}}");
    let seen = streamed(&script, Endpoint::ChatCompletions, &body);
    let stops = events(&seen).iter().filter(|e| e["choices"][0]["finish_reason"] == "stop").count();
    assert_eq!((stops, seen.facts.answer.usage.unwrap().output), (3, 12));
}

#[test]
fn a_schema_is_answered_with_a_document_that_has_what_it_requires() {
    let schema = r#"{"type":"object","required":["city"],"properties":{"city":{"type":"string"}}}"#;
    let chat = format!(
        "{CHAT},\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"c\",\
         \"schema\":{schema}}}}}}}"
    );
    let (value, _) = whole(&Script::default(), Endpoint::ChatCompletions, &chat);
    let text = value["choices"][0]["message"]["content"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap()["city"], "simulated");
    let responses = format!(
        "{{\"model\":\"sim\",\"input\":\"hi\",\"text\":{{\"format\":{{\"type\":\"json_schema\",\
         \"name\":\"c\",\"schema\":{schema}}}}}}}"
    );
    let (value, _) = whole(&Script::default(), Endpoint::Responses, &responses);
    let text = value["output"][0]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap()["city"], "simulated");
}

#[test]
fn a_tool_that_is_demanded_is_called() {
    let parameters = r#"{"type":"object","required":["q"],"properties":{"q":{"type":"string"}}}"#;
    let chat = format!(
        "{CHAT},\"tool_choice\":\"required\",\"stream\":true,\"tools\":[{{\"type\":\"function\",\
         \"function\":{{\"name\":\"find\",\"parameters\":{parameters}}}}}]}}"
    );
    let seen = streamed(&Script::default(), Endpoint::ChatCompletions, &chat);
    assert_eq!(seen.facts.answer.finish_reason.as_deref(), Some("tool_calls"));
    let (mut name, mut arguments) = (String::new(), String::new());
    for event in events(&seen) {
        let function = &event["choices"][0]["delta"]["tool_calls"][0]["function"];
        name.push_str(function["name"].as_str().unwrap_or_default());
        arguments.push_str(function["arguments"].as_str().unwrap_or_default());
    }
    assert_eq!((name.as_str(), arguments.as_str()), ("find", r#"{"q":"simulated"}"#));
    let responses = format!(
        "{{\"model\":\"sim\",\"input\":\"hi\",\"tool_choice\":{{\"type\":\"function\",\"name\":\
         \"find\"}},\"tools\":[{{\"type\":\"function\",\"name\":\"find\",\"parameters\":{parameters}}}]}}"
    );
    let (value, _) = whole(&Script::default(), Endpoint::Responses, &responses);
    assert_eq!(value["output"][0]["type"], "function_call");
    assert_eq!(value["output"][0]["arguments"], r#"{"q":"simulated"}"#);
}

#[test]
fn responses_events_are_numbered_without_gaps_and_repeat_the_text_whole() {
    let body = r#"{"model":"sim","input":"hi","stream":true}"#;
    let seen = streamed(&Script::default(), Endpoint::Responses, body);
    let events = events(&seen);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let of = |kind: &str| events.iter().filter(|e| e["type"] == kind).cloned().collect::<Vec<_>>();
    let deltas = of("response.output_text.delta");
    let joined: String = deltas.iter().map(|e| e["delta"].as_str().unwrap()).collect();
    assert_eq!(of("response.output_text.done")[0]["text"], joined.as_str());
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], joined.as_str());
}

#[test]
fn embeddings_depend_on_the_text_and_come_in_both_encodings() {
    let body = |extra: &str| format!("{{\"model\":\"sim\",\"input\":[\"a\",\"b\",\"a\"]{extra}}}");
    let script = Script::default();
    let (value, facts) = whole(&script, Endpoint::Embeddings, &body(",\"dimensions\":8"));
    let vector = |at: usize| value["data"][at]["embedding"].as_array().unwrap();
    assert_eq!((vector(0).len(), vector(0)), (8, vector(2)));
    assert_ne!(vector(0), vector(1));
    assert_eq!(facts.usage.unwrap().output, 0);
    let (coded, _) = whole(
        &script,
        Endpoint::Embeddings,
        &body(",\"dimensions\":8,\"encoding_format\":\"base64\""),
    );
    use base64::Engine as _;
    let text = coded["data"][1]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let first = f64::from(f32::from_le_bytes(bytes[..4].try_into().unwrap()));
    assert!((first - vector(1)[0].as_f64().unwrap()).abs() < 1e-9);
    let tokens = r#"{"model":"sim","input":[1,2,3],"dimensions":2}"#;
    let (value, _) = whole(&script, Endpoint::Embeddings, tokens);
    assert_eq!(value["data"].as_array().unwrap().len(), 1);
}

#[test]
fn failures_come_as_often_and_in_the_way_that_the_script_says() {
    let body = format!("{CHAT},\"stream\":true}}");
    let script =
        |failure, rate| Script { failure, failures_per_million: rate, ..Script::default() };
    let of = |failure| plan(&script(failure, 1_000_000), Endpoint::ChatCompletions, &body, 1);
    assert_eq!(of(Failure::ServerError).status, 500);
    let limited = of(Failure::RateLimited);
    assert_eq!((limited.status, limited.headers[0].0), (429, "retry-after"));
    assert_eq!(of(Failure::Overloaded).status, 503);
    assert_eq!(of(Failure::Silent).latency, Duration::MAX);
    let cut = of(Failure::CutOff);
    assert_eq!((cut.status, cut.end), (200, End::Reset));
    let new = || OpenAiStream::new(Endpoint::ChatCompletions, UNKNOWN.usage, true);
    let seen = collect(&mut new(), cut.parts.map(|(_, part)| part));
    assert!(seen.facts.answer.cut && seen.facts.text_bytes > 0);
    let seen = collect(&mut new(), of(Failure::Inband).parts.map(|(_, part)| part));
    assert!(seen.facts.answer.error.is_some() && seen.facts.text_bytes > 0);
    let half = script(Failure::ServerError, 500_000);
    let failed = (0..1_000)
        .filter(|call| plan(&half, Endpoint::ChatCompletions, &body, *call).status == 500)
        .count();
    assert!((400..600).contains(&failed), "{failed}");
}

#[test]
fn waits_are_those_of_the_script_and_texts_repeat_with_the_seed() {
    let script = Script {
        first_token: Duration::from_millis(300),
        interval: Duration::from_millis(20),
        chunks: Some(5),
        output_tokens: Some(20),
        seed: 7,
        ..Script::default()
    };
    let body = format!("{CHAT},\"stream\":true}}");
    let parts = |call| -> Vec<(Duration, Bytes)> {
        plan(&script, Endpoint::ChatCompletions, &body, call).parts.collect()
    };
    let waits: Vec<u128> = parts(1).iter().map(|(wait, _)| wait.as_millis()).collect();
    assert_eq!(waits, [300, 0, 20, 20, 20, 20, 20]);
    assert_eq!(parts(1), parts(1));
    assert_ne!(parts(1), parts(2));
}
