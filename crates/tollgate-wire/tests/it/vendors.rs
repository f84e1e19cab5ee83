//! The traps of vendors' streams and answers, each by its name, and the streams of native forms.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tollgate_domain::usage::Usage;
use tollgate_wire::dialect::{answer_text, read_answer, read_error};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::meter::Meter;
use tollgate_wire::openai::vendor::{UNKNOWN, vendor};

use crate::streams::{Seen, collect, splits};

const CHAT: Endpoint = Endpoint::ChatCompletions;

pub(crate) fn meter(endpoint: Endpoint, name: &str) -> Meter {
    Meter::new(endpoint, vendor(name, "").usage, true)
}

/// Runs a stream whole, and checks that every cut of it gives the same.
pub(crate) fn run(endpoint: Endpoint, name: &str, body: &[u8]) -> Seen {
    let whole = collect(&mut meter(endpoint, name), [Bytes::copy_from_slice(body)]);
    assert_eq!(whole.all(), body, "bytes pass unchanged");
    splits(|| meter(endpoint, name), body, 2_000, name);
    whole
}

pub(crate) fn events(events: &[serde_json::Value]) -> Vec<u8> {
    events.iter().flat_map(|event| format!("data: {event}\n\n").into_bytes()).collect()
}

fn chat(events_of_chat: &[serde_json::Value], name: &str) -> Seen {
    run(CHAT, name, &[events(events_of_chat), b"data: [DONE]\n\n".to_vec()].concat())
}

pub(crate) fn whole(endpoint: Endpoint, name: &str, body: &serde_json::Value) -> AnswerFacts {
    read_answer(endpoint, vendor(name, "").usage, body.to_string().as_bytes())
}

#[test]
fn azure_begins_with_a_chunk_without_choices_that_is_passed_on() {
    let first = json!({"choices":[],"prompt_filter_results":[{"prompt_index":0}]});
    let text = json!({"choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null});
    let stop = json!({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]});
    let usage =
        json!({"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}});
    let seen = chat(&[first, text, stop, usage], "azure");
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(1, 2)));
    assert!(seen.facts.is_complete());
}

#[test]
fn openrouter_sends_comments_and_ends_even_responses_with_done() {
    let done = json!({"type":"response.completed","response":{"id":"r","status":"completed",
        "usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7,"cost":0.5}}});
    let body = format!(": OPENROUTER PROCESSING\n\ndata: {done}\n\ndata: [DONE]\n\n");
    let seen = run(Endpoint::Responses, "openrouter", body.as_bytes());
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 4)));
    assert!(seen.facts.is_complete());
}

#[test]
fn openrouter_can_charge_for_no_tokens_at_all() {
    let body = json!({"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0,
        "total_tokens":0,"cost":0.0123}});
    let facts = whole(CHAT, "openrouter", &body);
    assert_eq!(facts.usage, Some(Usage::tokens(0, 0)));
    assert_eq!(facts.provider_cost.unwrap().to_string(), "0.012300000");
}

#[test]
fn openrouter_states_parts_that_exceed_their_whole() {
    let body = json!({"usage":{"prompt_tokens":2168,"completion_tokens":10,"total_tokens":2178,
        "prompt_tokens_details":{"cached_tokens":2161,"cache_write_tokens":2161},
        "completion_tokens_details":{"reasoning_tokens":11}}});
    let facts = whole(CHAT, "openrouter", &body);
    let usage = facts.usage.unwrap();
    assert_eq!((usage.cache_read, usage.cache_write, usage.reasoning), (2_161, 7, 10));
    assert!(facts.anomaly);
}

#[test]
fn xai_and_vllm_state_growing_figures_on_every_chunk_and_the_last_counts() {
    let chunk = |n: u64| {
        json!({"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":9,
            "completion_tokens":n,"total_tokens":9 + n}})
    };
    for name in ["xai", "vllm", "gemini"] {
        let seen = chat(&[chunk(1), chunk(2), chunk(5)], name);
        assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(9, 5)), "{name}");
    }
}

#[test]
fn perplexity_sends_a_skeleton_without_cost_until_the_last_chunk() {
    let chunk = |usage: serde_json::Value| json!({"choices":[{"index":0,"delta":{"content":"x"}}],"usage":usage});
    let skeleton = json!({"prompt_tokens":4,"completion_tokens":0,"total_tokens":4,
        "cost":{"total_cost":0}});
    let last = json!({"prompt_tokens":4,"completion_tokens":7,"total_tokens":11,
        "search_context_size":"low","cost":{"request_cost":0.006,"total_cost":0.0061}});
    let seen = chat(&[chunk(skeleton), chunk(last)], "perplexity");
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(4, 7)));
    assert_eq!(seen.facts.answer.provider_cost.unwrap().to_string(), "0.006100000");
}

#[test]
fn members_that_a_gateway_adds_to_the_usage_are_passed_over() {
    let body = json!({"usage":{"prompt_tokens":4,"completion_tokens":7,"total_tokens":11,
        "prompt_tokens_details":null,"completion_tokens_details":null,
        "pydantic_ai_gateway":{"cost_estimate":0.0002},"queue_time":0.03}});
    assert_eq!(whole(CHAT, "groq", &body).usage, Some(Usage::tokens(4, 7)));
}

#[test]
fn errors_are_read_in_the_form_of_every_vendor() {
    for (body, code, message) in [
        (
            r#"{"object":"error","message":"m","type":"t","code":"1300","raw_status_code":400}"#,
            Some("1300"),
            "m",
        ),
        (r#"{"detail":"m"}"#, None, "m"),
        (r#"{"detail":[{"loc":["body"],"msg":"x"}]}"#, None, r#"[{"loc":["body"],"msg":"x"}]"#),
        (r#"{"message":"m"}"#, None, "m"),
        (r#"{"id":"x","message":"m"}"#, None, "m"),
        (r#"{"error":"m"}"#, None, "m"),
        (
            r#"{"error":{"code":429,"message":"m","metadata":{"raw":"x"}},"user_id":"u"}"#,
            Some("429"),
            "m",
        ),
        (
            r#"{"error":{"code":"content_filter","message":"m","status":400}}"#,
            Some("content_filter"),
            "m",
        ),
    ] {
        let error = read_error(body.as_bytes()).unwrap();
        assert_eq!((error.code.as_deref(), &*error.message), (code, message), "{body}");
    }
}

#[test]
fn voyage_states_only_a_total_which_is_all_input() {
    let body = json!({"object":"list","data":[{"embedding":[0.1]}],"usage":{"total_tokens":7}});
    assert_eq!(whole(Endpoint::Embeddings, "voyage", &body).usage, Some(Usage::tokens(7, 0)));
    assert_eq!(whole(Endpoint::Other, "voyage", &body).usage, Some(Usage::tokens(7, 0)));
    assert_eq!(whole(CHAT, "voyage", &body).usage, None, "of a chat the output is unknown");
}

#[test]
fn cohere_states_the_usage_of_a_stream_where_it_ends() {
    let body = [
        "event: message-start\ndata: {\"id\":\"c1\",\"type\":\"message-start\",\"delta\":{\"message\":\
         {\"role\":\"assistant\",\"content\":[]}}}\n\n",
        "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":\
         {\"content\":{\"text\":\"Hello\"}}}}\n\n",
        "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\
         \"usage\":{\"billed_units\":{\"input_tokens\":3.0,\"output_tokens\":2.0},\"tokens\":\
         {\"input_tokens\":71,\"output_tokens\":9}}}}\n\n",
    ];
    let seen = run(Endpoint::CohereChat, "cohere", body.concat().as_bytes());
    let facts = &seen.facts;
    assert_eq!(facts.answer.usage, Some(Usage::tokens(3, 2)));
    assert_eq!((facts.answer.id.as_deref(), facts.text_bytes), (Some("c1"), 5));
    assert!(facts.is_complete());
    assert_eq!(seen.held, body[2].as_bytes());
    let cut = collect(
        &mut meter(Endpoint::CohereChat, ""),
        [Bytes::copy_from_slice(body[..2].concat().as_bytes())],
    );
    assert!(cut.facts.answer.cut && cut.facts.answer.usage.is_none());
}

#[test]
fn ollama_says_a_line_at_a_time_and_counts_in_the_last() {
    let lines = [
        json!({"model":"q","message":{"role":"assistant","content":"Hi"},"done":false}),
        json!({"model":"q","message":{"role":"assistant","content":""},"done":true,
            "done_reason":"stop","prompt_eval_count":26,"eval_count":2}),
    ];
    let body = format!("{}\n{}\n", lines[0], lines[1]);
    let seen = run(Endpoint::OllamaChat, "ollama", body.as_bytes());
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(26, 2)));
    assert_eq!((seen.facts.text_bytes, seen.facts.is_complete()), (2, true));
    let cached =
        body.replace("\"prompt_eval_count\":26,", "").replace(",\"prompt_eval_count\":26", "");
    let seen = run(Endpoint::OllamaChat, "ollama", cached.as_bytes());
    assert_eq!(seen.facts.answer.usage, None, "a prompt out of the cache is not free");
    assert!(seen.facts.done);
    let error = run(Endpoint::OllamaChat, "ollama", b"{\"error\":\"model not found\"}\n");
    assert_eq!(&*error.facts.answer.error.unwrap().message, "model not found");
}

proptest! {
    #[test]
    fn no_bytes_whatever_make_a_reader_panic_and_every_cut_is_the_same(
        pieces in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", "\"", ":", ",", "1", "-1", "null", "\n", "\n\n", "data: ", "\\",
            "\"usage\":", "\"type\":\"message_start\"", "\"usageMetadata\":{", "\"billed_units\":{",
            "\"input_tokens\":3", "\"output_tokens\":4", "\"seconds\":1.5", "\"done\":true",
            "\"choices\":[", "\"delta\":{", "\"content\":\"x\"", "\"svg_usage\":{"]), 0..24),
        cut in 0usize..200,
    ) {
        let body = pieces.concat().into_bytes();
        for endpoint in Endpoint::all() {
            let facts = read_answer(endpoint, UNKNOWN.usage, &body);
            prop_assert!(facts.usage.is_none_or(|usage| usage.input < 1 << 50));
            answer_text(endpoint, &body, |text| text.len() as u64);
            if matches!(endpoint, Endpoint::ConverseStream | Endpoint::InvokeStream) {
                continue;
            }
            let whole = collect(&mut meter(endpoint, ""), [Bytes::from(body.clone())]);
            let (left, right) = body.split_at(cut.min(body.len()));
            let parts = [Bytes::copy_from_slice(left), Bytes::copy_from_slice(right)];
            prop_assert_eq!(&collect(&mut meter(endpoint, ""), parts), &whole);
        }
    }
}
