//! The traps of the Anthropic form, each by its name.

mod requests;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_domain::usage::Usage;
use tollgate_wire::count::estimate_prompt;
use tollgate_wire::dialect::{answer_text, cut_events, peek, read_answer};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::meter::{Flow, Meter};
use tollgate_wire::openai::UsageRules;

use crate::streams::{Seen, collect};

const MESSAGES: Endpoint = Endpoint::Messages;

fn meter() -> Meter {
    Meter::new(MESSAGES, UsageRules::default(), false)
}

fn run(meter: &mut Meter, events: &[Value]) -> Seen {
    collect(meter, [Bytes::from(written(events))])
}

fn written(events: &[Value]) -> String {
    let write =
        |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    events.iter().map(write).collect()
}

fn start(usage: &Value) -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message",
        "role": "assistant", "model": "claude-sonnet-5", "content": [], "stop_reason": null,
        "usage": usage}})
}

fn block(index: u64, block: &Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn text(index: u64, text: &str) -> Value {
    json!({"type": "content_block_delta", "index": index,
        "delta": {"type": "text_delta", "text": text}})
}

fn end(usage: &Value) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}),
        json!({"type": "message_stop"}),
    ]
}

/// The facts of a stream whose two usages are these.
fn between(first: &Value, last: &Value) -> AnswerFacts {
    let [delta, stop] = end(last);
    let seen = run(&mut meter(), &[start(first), delta, stop]);
    assert!(seen.facts.is_complete());
    seen.facts.answer
}

fn whole(usage: &Value) -> AnswerFacts {
    let body = json!({"id": "msg_1", "type": "message", "model": "claude-sonnet-5",
        "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": usage});
    read_answer(MESSAGES, UsageRules::default(), body.to_string().as_bytes())
}

#[test]
fn the_input_excludes_what_was_read_from_and_written_to_the_cache() {
    let facts = whole(&json!({"input_tokens": 2, "cache_read_input_tokens": 1_590,
        "cache_creation_input_tokens": 300, "output_tokens": 4,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}}));
    let usage = facts.usage.unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.cache_write), (1_892, 1_590, 300));
    assert_eq!((usage.cache_write_5m, usage.cache_write_1h), (100, 200));
    assert!(!facts.anomaly);
}

#[test]
fn the_last_usage_replaces_the_first_and_is_not_added_to_it() {
    let facts = between(
        &json!({"input_tokens": 2_479, "output_tokens": 88}),
        &json!({"input_tokens": 404_500, "output_tokens": 900,
            "output_tokens_details": {"thinking_tokens": 100},
            "server_tool_use": {"web_search_requests": 7, "web_fetch_requests": 2}}),
    );
    let expected = Usage { reasoning: 100, web_searches: 7, ..Usage::tokens(404_500, 900) };
    assert_eq!((facts.usage, facts.partial), (Some(expected), None));
}

#[test]
fn a_last_usage_without_input_leaves_that_of_the_first() {
    let facts = between(
        &json!({"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}),
        &json!({"output_tokens": 20, "input_tokens": null, "server_tool_use": null}),
    );
    let usage = facts.usage.unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output), (15, 5, 20));
}

#[test]
fn after_a_compaction_the_greater_of_both_usages_would_be_wrong() {
    let facts = between(
        &json!({"input_tokens": 220, "cache_read_input_tokens": 55_096, "output_tokens": 1}),
        &json!({"input_tokens": 220, "cache_read_input_tokens": 0, "output_tokens": 9}),
    );
    assert_eq!(facts.usage, Some(Usage::tokens(220, 9)));
}

#[test]
fn the_split_of_cache_writes_is_kept_from_the_first_usage_unless_the_total_differs() {
    let first = json!({"input_tokens": 1, "cache_creation_input_tokens": 30, "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "service_tier": "priority", "inference_geo": "us", "speed": "fast"});
    let facts = between(&first, &json!({"cache_creation_input_tokens": 30, "output_tokens": 2}));
    let usage = facts.usage.unwrap();
    assert_eq!((usage.cache_write_5m, usage.cache_write_1h), (10, 20));
    let words = (facts.service_tier.as_deref(), facts.geo.as_deref(), facts.speed.as_deref());
    assert_eq!(words, (Some("priority"), Some("us"), Some("fast")), "only the first has them");
    let facts = between(&first, &json!({"cache_creation_input_tokens": 50, "output_tokens": 2}));
    let usage = facts.usage.unwrap();
    assert_eq!((usage.cache_write, usage.cache_write_5m, usage.cache_write_1h), (50, 0, 0));
}

#[test]
fn iterations_are_billed_each_by_its_own_model_and_the_top_level_is_ignored() {
    let usage = json!({"input_tokens": 220, "output_tokens": 30, "cache_read_input_tokens": 0,
        "output_tokens_details": {"thinking_tokens": 25},
        "server_tool_use": {"web_search_requests": 2}, "iterations": [
        {"type": "compaction", "input_tokens": 55_196, "output_tokens": 500,
            "cache_creation_input_tokens": 40,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 40}},
        {"type": "message", "input_tokens": 20, "output_tokens": 10},
        {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 7,
            "output_tokens": 60, "cache_read_input_tokens": 3},
        {"type": "message", "input_tokens": 200, "output_tokens": 20}]});
    for facts in [whole(&usage), between(&json!({"input_tokens": 9, "output_tokens": 1}), &usage)] {
        assert_eq!(facts.parts.len(), 4);
        let models: Vec<_> = facts.parts.iter().map(|part| part.model.as_deref()).collect();
        assert_eq!(models, [None, None, Some("claude-opus-4-8"), None]);
        let reasoning: Vec<_> = facts.parts.iter().map(|part| part.usage.reasoning).collect();
        assert_eq!(reasoning, [0, 10, 0, 15], "thinking is that of the answer's own passes");
        let searches: Vec<_> = facts.parts.iter().map(|part| part.usage.web_searches).collect();
        assert_eq!(searches, [0, 2, 0, 0]);
        let sum = facts.usage.unwrap();
        assert_eq!((sum.input, sum.output), (55_196 + 40 + 20 + 10 + 200, 590));
        assert_eq!((sum.cache_read, sum.cache_write, sum.cache_write_1h), (3, 40, 40));
        assert_eq!((sum.reasoning, sum.web_searches), (25, 2));
        assert!(!facts.anomaly);
    }
    let mut odd = usage;
    odd["input_tokens"] = 221.into();
    assert!(whole(&odd).anomaly, "the top level is the sum of the messages");
}

#[test]
fn a_single_iteration_of_the_answers_own_model_needs_no_parts() {
    let usage = json!({"input_tokens": 3, "output_tokens": 4, "iterations": [
        {"type": "message", "input_tokens": 3, "output_tokens": 4}]});
    let facts = whole(&usage);
    assert_eq!((facts.usage, facts.parts.len()), (Some(Usage::tokens(3, 4)), 0));
    let fallback = json!({"input_tokens": 3, "output_tokens": 4, "iterations": [
        {"type": "fallback_message", "model": "claude-haiku-5-5", "input_tokens": 3,
            "output_tokens": 4}]});
    assert_eq!(whole(&fallback).parts[0].model.as_deref(), Some("claude-haiku-5-5"));
}

#[test]
fn a_place_that_is_not_available_is_not_stated_and_nonsense_marks_the_usage() {
    let facts = whole(&json!({"input_tokens": 3, "output_tokens": 4,
        "inference_geo": "not_available", "service_tier": "batch"}));
    assert_eq!((facts.geo, facts.service_tier.as_deref()), (None, Some("batch")));
    assert!(
        whole(&json!({"input_tokens": 3, "output_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 5}}))
        .anomaly
    );
    assert!(
        whole(&json!({"input_tokens": 3, "output_tokens": 4,
        "cache_read_input_tokens": -5}))
        .anomaly
    );
    assert_eq!(whole(&json!({"input_tokens": 3})).usage, None, "unknown is not zero");
}

#[test]
fn counting_tokens_is_free_and_states_no_usage() {
    let body = br#"{"input_tokens":1114}"#;
    let facts = read_answer(Endpoint::MessageTokens, UsageRules::default(), body);
    assert_eq!((facts.usage, facts.cut), (None, false));
}

#[test]
fn a_stream_that_breaks_off_keeps_the_input_and_has_its_output_counted() {
    let mut meter = meter();
    let seen = run(
        &mut meter,
        &[
            start(&json!({"input_tokens": 92, "cache_read_input_tokens": 8, "output_tokens": 3})),
            block(0, &json!({"type": "server_tool_use", "name": "web_search", "input": {}})),
            block(1, &json!({"type": "text", "text": ""})),
            text(1, "two words"),
        ],
    );
    let facts = seen.facts.answer;
    assert!(facts.cut && facts.usage.is_none(), "its three first tokens are not its output");
    let visible = meter.estimate_output(|text| text.split(' ').count() as u64);
    let usage = facts.estimate(visible, || panic!("the input is stated"));
    assert_eq!((usage.input, usage.cache_read, usage.web_searches), (100, 8, 1));
    assert_eq!(usage.output, visible);
    assert_eq!(AnswerFacts::default().estimate(5, || 7), Usage::tokens(7, 5));
}

#[test]
fn an_error_event_after_status_200_ends_the_stream() {
    let mut meter = meter();
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}});
    let events = [start(&json!({"input_tokens": 9, "output_tokens": 1})), text(0, "a"), error];
    let body = Bytes::from(written(&events));
    let mut out = Vec::new();
    assert_eq!(meter.push(&body, &mut out).unwrap(), Flow::Ended);
    assert!(meter.take_final().concat().starts_with(b"event: error\n"));
    let facts = meter.finish();
    assert_eq!(facts.answer.error.unwrap().kind.as_deref(), Some("overloaded_error"));
    assert_eq!(facts.answer.partial.unwrap().input, 9);
    assert!(!facts.done);
}

#[test]
fn every_kind_of_generated_text_counts_once_and_results_of_server_tools_do_not() {
    let mut meter = meter();
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    run(
        &mut meter,
        &[
            start(&json!({"input_tokens": 1, "output_tokens": 1})),
            json!({"type": "ping"}),
            delta(json!({"type": "thinking_delta", "thinking": "abc"})),
            delta(json!({"type": "signature_delta", "signature": "long and opaque"})),
            delta(json!({"type": "citations_delta", "citation": {"cited_text": "quoted"}})),
            block(1, &json!({"type": "tool_use", "id": "t", "name": "f", "input": {}})),
            delta(json!({"type": "input_json_delta", "partial_json": "{}"})),
            block(2, &json!({"type": "web_search_tool_result", "content": [{"title": "x"}]})),
            delta(json!({"type": "compaction_delta", "content": "sum"})),
            text(3, "four"),
        ],
    );
    assert_eq!(meter.text_bytes(), 3 + 1 + 2 + 3 + 4);
    let body = json!({"content": [{"type": "thinking", "thinking": "abc", "signature": "s"},
        {"type": "text", "text": "four"}, {"type": "tool_use", "name": "f", "input": {"a": 1}},
        {"type": "bash_code_execution_tool_result", "content": {"stdout": "long"}}]});
    let count = |text: &str| text.len() as u64;
    assert_eq!(answer_text(MESSAGES, body.to_string().as_bytes(), count), 3 + 4 + 1 + 7);
}

#[test]
fn events_without_a_name_are_known_by_their_type() {
    let [delta, stop] = end(&json!({"input_tokens": 3, "output_tokens": 4}));
    let events =
        [start(&json!({"input_tokens": 3, "output_tokens": 1})), text(0, "abc"), delta, stop];
    let write = |event: &Value| format!("data: {event}\n\n");
    let body: String = events.iter().map(write).collect();
    let seen = collect(&mut meter(), [Bytes::from(body)]);
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 4)));
    assert!(seen.facts.done && seen.facts.text_bytes == 3);
}

#[test]
fn a_stream_that_we_end_closes_its_blocks_and_reads_as_one_that_reached_its_maximum() {
    let usage = Usage { cache_read: 5, ..Usage::tokens(12, 4) };
    let begun = [
        start(&json!({"input_tokens": 9, "output_tokens": 1})),
        block(0, &json!({"type": "text", "text": ""})),
        json!({"type": "content_block_stop", "index": 0}),
        block(1, &json!({"type": "tool_use", "name": "f", "input": {}})),
        block(2, &json!({"type": "text", "text": ""})),
        text(2, "abc"),
    ];
    for (events, closed) in [(&begun[..], vec![1, 2]), (&[][..], vec![])] {
        let mut cut = meter();
        run(&mut cut, events);
        let bytes = cut_events(&cut.cut(), "asked", Some(&usage));
        let all = [written(events).as_bytes(), &bytes].concat();
        let seen = collect(&mut meter(), [Bytes::from(all)]);
        assert!(seen.facts.done && seen.facts.is_complete());
        assert_eq!(seen.facts.answer.finish_reason.as_deref(), Some("max_tokens"));
        assert_eq!(seen.facts.answer.usage, Some(usage));
        let model = if closed.is_empty() { "asked" } else { "claude-sonnet-5" };
        assert_eq!(seen.facts.answer.model.as_deref(), Some(model));
        let stops: Vec<u64> = str::from_utf8(&bytes)
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str::<Value>(data).unwrap())
            .filter(|event| event["type"] == "content_block_stop")
            .map(|event| event["index"].as_u64().unwrap())
            .collect();
        assert_eq!(stops, closed);
    }
}

proptest! {
    #[test]
    fn no_bytes_whatever_make_messages_panic_or_change(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'"'),
            Just(b'{'), Just(b'['), Just(b':')], 0..200),
        kind in prop_oneof![Just("message_start"), Just("message_delta"), Just("error"),
            Just("content_block_start"), Just("content_block_delta")],
    ) {
        let start = format!("event: {kind}\ndata: {{\"usage\":{{\"iterations\":[");
        let framed = [start.as_bytes(), &bytes, b"\n\n"].concat();
        for body in [bytes.clone(), framed] {
            let seen = collect(&mut meter(), [Bytes::from(body.clone())]);
            prop_assert_eq!(seen.all(), body);
        }
        let answer = [&b"{\"usage\":{\"input_tokens\":"[..], &bytes].concat();
        read_answer(MESSAGES, UsageRules::default(), &answer);
        let request = [&b"{\"model\":\"m\",\"messages\":["[..], &bytes, b"]}"].concat();
        if let Ok(seen) = peek(MESSAGES, None, &request) {
            estimate_prompt(MESSAGES, &seen, &request);
        }
    }
}
