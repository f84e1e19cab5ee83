//! The traps of the Gemini form, each by its name.

mod requests;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tollgate_domain::fault::Code;
use tollgate_domain::usage::Usage;
use tollgate_wire::count::estimate_prompt;
use tollgate_wire::dialect::{answer_text, cut_events, error_events, peek, read_answer};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::error::ErrorView;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::framing::Framing;
use tollgate_wire::meter::{Flow, Meter};
use tollgate_wire::openai::UsageRules;

use crate::streams::{Seen, collect};

const GENERATE: Endpoint = Endpoint::GenerateContent;
const MODEL: &str = "gemini-2.5-flash";

fn meter() -> Meter {
    Meter::new(Endpoint::StreamGenerateContent, UsageRules::default(), false)
}

fn run(meter: &mut Meter, body: impl Into<Bytes>) -> Seen {
    collect(meter, [body.into()])
}

fn events(chunks: &[Value]) -> String {
    let write = |chunk: &Value| format!("data: {chunk}\r\n\r\n");
    chunks.iter().map(write).collect()
}

fn array(chunks: &[Value]) -> String {
    let chunks: Vec<String> = chunks.iter().map(|chunk| format!("{chunk:#}")).collect();
    format!("[{}\n]\n", chunks.join("\n,\r\n"))
}

fn chunk(text: &str, finish: Option<&str>, usage: &Value) -> Value {
    let mut candidate =
        json!({"content": {"role": "model", "parts": [{"text": text}]}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL,
        "responseId": "r1"})
}

fn whole(usage: &Value) -> AnswerFacts {
    let body = chunk("x", Some("STOP"), usage).to_string();
    read_answer(GENERATE, UsageRules::default(), body.as_bytes())
}

#[test]
fn thoughts_are_outside_of_the_candidates_and_tool_results_outside_of_the_prompt() {
    let facts = whole(&json!({"promptTokenCount": 32, "candidatesTokenCount": 25,
        "thoughtsTokenCount": 37, "toolUsePromptTokenCount": 4_610, "totalTokenCount": 4_704,
        "cachedContentTokenCount": 12}));
    let expected =
        Usage { cache_read: 12, tool_input: 4_610, reasoning: 37, ..Usage::tokens(4_642, 62) };
    assert_eq!((facts.usage, facts.anomaly), (Some(expected), false));
}

#[test]
fn a_count_of_candidates_that_is_absent_is_none() {
    let facts = whole(&json!({"promptTokenCount": 15, "thoughtsTokenCount": 2,
        "totalTokenCount": 17}));
    assert_eq!(facts.usage, Some(Usage { reasoning: 2, ..Usage::tokens(15, 2) }));
    let blocked = whole(&json!({"promptTokenCount": 14, "totalTokenCount": 14}));
    assert_eq!(blocked.usage, Some(Usage::tokens(14, 0)));
}

#[test]
fn a_total_beyond_its_parts_is_billed_and_marked() {
    let facts = whole(&json!({"promptTokenCount": 10, "candidatesTokenCount": 5,
        "totalTokenCount": 40}));
    assert_eq!((facts.usage, facts.anomaly), (Some(Usage::tokens(10, 30)), true));
}

#[test]
fn details_may_lack_a_count_and_are_never_a_total() {
    let facts = whole(&json!({"promptTokenCount": 257, "candidatesTokenCount": 1_336,
        "totalTokenCount": 1_593, "promptTokensDetails": [{"modality": "AUDIO"},
            {"modality": "VIDEO", "tokenCount": 190}, {"modality": "TEXT", "tokenCount": 6},
            {"modality": "DOCUMENT", "tokenCount": 3}, {"tokenCount": 1}, {}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1_290}]}));
    let usage = facts.usage.unwrap();
    assert_eq!((usage.input, usage.input_audio, usage.input_video), (257, 0, 190));
    assert_eq!((usage.output, usage.output_image, usage.output_text), (1_336, 1_290, 0));
    assert!(!facts.anomaly);
    let beyond = whole(&json!({"promptTokenCount": 10, "candidatesTokenCount": 1,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 8},
            {"modality": "IMAGE", "tokenCount": 8}]}));
    let usage = beyond.usage.unwrap();
    assert!(beyond.anomaly && usage.input_audio + usage.input_image <= usage.input);
}

#[test]
fn cached_tokens_have_modalities_of_their_own() {
    let facts = whole(&json!({"promptTokenCount": 100, "cachedContentTokenCount": 90,
        "candidatesTokenCount": 1, "totalTokenCount": 101,
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 70}]}));
    let usage = facts.usage.unwrap();
    assert_eq!((usage.cache_read, usage.cache_read_audio), (90, 70));
}

#[test]
fn the_figures_of_a_stream_are_cumulative_and_the_last_counts() {
    let usage = |candidates: u64| {
        json!({"promptTokenCount": 8, "candidatesTokenCount": candidates,
            "totalTokenCount": 8 + candidates})
    };
    let chunks = [
        chunk("a", None, &json!({"promptTokenCount": 8, "totalTokenCount": 8})),
        chunk("b", None, &usage(4)),
        chunk("c", Some("STOP"), &usage(9)),
    ];
    for body in [events(&chunks), array(&chunks)] {
        let seen = run(&mut meter(), body.clone());
        assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(8, 9)));
        assert!(seen.facts.is_complete() && seen.facts.done, "{body}");
        assert_eq!((seen.all(), seen.facts.text_bytes), (body.into_bytes(), 3));
    }
}

#[test]
fn the_tier_is_named_as_prices_name_it_wherever_it_stands() {
    for (usage, tier) in [
        (json!({"promptTokenCount": 1, "trafficType": "ON_DEMAND_FLEX"}), Some("flex")),
        (json!({"promptTokenCount": 1, "trafficType": "ON_DEMAND"}), Some("standard")),
        (json!({"promptTokenCount": 1, "serviceTier": "priority"}), Some("priority")),
        (json!({"promptTokenCount": 1, "trafficType": "TRAFFIC_TYPE_UNSPECIFIED"}), None),
        (json!({"promptTokenCount": 1}), None),
    ] {
        assert_eq!(whole(&usage).service_tier.as_deref(), tier, "{usage}");
    }
}

#[test]
fn a_blocked_prompt_has_no_candidates_and_ends_the_stream() {
    let blocked = |usage: Value| {
        json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage,
            "modelVersion": MODEL})
    };
    let stated = blocked(json!({"promptTokenCount": 14, "totalTokenCount": 14}));
    let facts = read_answer(GENERATE, UsageRules::default(), stated.to_string().as_bytes());
    assert_eq!(facts.usage, Some(Usage::tokens(14, 0)));
    assert_eq!(facts.finish_reason.as_deref(), Some("PROHIBITED_CONTENT"));
    // Model Armor states the traffic type only: unknown, not zero.
    let armor = blocked(json!({"trafficType": "ON_DEMAND"}));
    let seen = run(&mut meter(), events(&[armor]));
    assert_eq!(seen.facts.answer.usage, None);
    assert!(seen.facts.is_complete() && seen.passed.is_empty());
}

#[test]
fn embeddings_state_no_usage_or_one_with_details_in_the_singular() {
    let read = |body: &Value| {
        let body = body.to_string();
        read_answer(Endpoint::EmbedContent, UsageRules::default(), body.as_bytes())
    };
    assert_eq!(read(&json!({"embedding": {"values": [0.5]}})).usage, None);
    let facts = read(&json!({"embedding": {"values": [0.5]}, "usageMetadata": {
        "promptTokenCount": 9, "promptTokenDetails": [{"modality": "IMAGE", "tokenCount": 4}]}}));
    assert_eq!(facts.usage, Some(Usage { input_image: 4, ..Usage::tokens(9, 0) }));
    let facts = read(&json!({"usageMetadata": {"totalTokenCount": 9,
        "promptTokenDetails": {"modality": "AUDIO", "tokenCount": 2}}}));
    assert_eq!(facts.usage, Some(Usage { input_audio: 2, ..Usage::tokens(9, 0) }));
    let counted = br#"{"totalTokens":31}"#;
    assert_eq!(read_answer(Endpoint::CountTokens, UsageRules::default(), counted).usage, None);
}

#[test]
fn searches_are_counted_by_their_queries_and_before_gemini_3_once_for_an_answer() {
    let searching = |queries: &[&str], finish: Option<&str>, model: &str| {
        let usage = json!({"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2});
        let mut chunk = chunk("x", finish, &usage);
        chunk["candidates"][0]["groundingMetadata"] = json!({"webSearchQueries": queries});
        chunk["modelVersion"] = model.into();
        chunk
    };
    for (model, billed) in [("models/gemini-3-pro-preview", 3), (MODEL, 1)] {
        // Some services repeat in the last chunk what earlier ones have stated.
        let chunks =
            [searching(&["a", ""], None, model), searching(&["a", "b", "c"], Some("STOP"), model)];
        let seen = run(&mut meter(), events(&chunks));
        assert_eq!(seen.facts.answer.usage.unwrap().web_searches, billed, "{model}");
        assert_eq!(seen.facts.answer.model.as_deref(), Some(model.trim_start_matches("models/")));
        let answer = chunks[1].to_string();
        let facts = read_answer(GENERATE, UsageRules::default(), answer.as_bytes());
        assert_eq!(facts.usage.unwrap().web_searches, billed);
    }
}

#[test]
fn an_answer_that_is_to_be_continued_is_billed_like_any_other() {
    let usage = json!({"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7});
    let seen = run(&mut meter(), events(&[chunk("x", Some("CONTINUATION"), &usage)]));
    assert!(seen.facts.is_complete());
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 4)));
    assert_eq!(seen.facts.answer.finish_reason.as_deref(), Some("CONTINUATION"));
}

#[test]
fn the_chunk_that_may_be_the_last_is_held_and_goes_on_when_another_follows() {
    let usage = json!({"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7});
    let first = events(&[chunk("x", Some("STOP"), &usage)]);
    let mut second = chunk("y", None, &usage);
    second["candidates"][0]["index"] = 1.into();
    let second = events(&[second]);
    let mut last = chunk("z", Some("STOP"), &usage);
    last["candidates"][0]["index"] = 1.into();
    let last = events(&[last]);
    let mut meter = meter();
    let mut out = Vec::new();
    assert_eq!(meter.push(&Bytes::from(first.clone()), &mut out).unwrap(), Flow::More);
    assert!(out.is_empty(), "no other candidate is open");
    meter.push(&Bytes::from(second.clone()), &mut out).unwrap();
    assert_eq!(out.concat(), [&*first, &*second].concat().as_bytes());
    meter.push(&Bytes::from(last.clone()), &mut out).unwrap();
    assert_eq!(meter.take_final().concat(), last.as_bytes());
    assert!(meter.finish().is_complete());
}

#[test]
fn a_stream_that_breaks_off_keeps_what_is_stated_and_has_its_text_counted() {
    let early = chunk(
        "some text",
        None,
        &json!({"promptTokenCount": 50, "thoughtsTokenCount": 7,
        "totalTokenCount": 57}),
    );
    let seen = run(&mut meter(), events(std::slice::from_ref(&early)));
    let facts = seen.facts.answer;
    assert!(facts.cut && facts.usage.is_none());
    assert_eq!(facts.estimate(2, || 0), Usage { reasoning: 7, ..Usage::tokens(50, 9) });
    let mut cut = meter();
    run(&mut cut, events(&[early]));
    let mut facts = cut.facts().clone();
    facts.break_off();
    assert_eq!(facts.estimate(2, || 0).output, 9);
}

#[test]
fn errors_are_read_in_chunks_and_in_arrays() {
    let error = json!({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}});
    let before = chunk("x", None, &json!({"promptTokenCount": 3}));
    for body in [
        events(&[before.clone(), error.clone()]),
        array(&[before, error.clone()]),
        array(std::slice::from_ref(&error)),
        format!("{error:#}\n"),
    ] {
        let seen = run(&mut meter(), body.clone());
        let found = seen.facts.answer.error.clone().unwrap();
        assert_eq!((found.kind.as_deref(), found.status), (Some("UNAVAILABLE"), Some(503)));
        assert!(!seen.facts.is_complete());
        assert_eq!(seen.all(), body.as_bytes());
    }
}

#[test]
fn every_kind_of_generated_text_counts_and_the_results_of_code_do_not() {
    let parts = json!([{"text": "abc", "thought": true, "thoughtSignature": "long"},
        {"functionCall": {"id": "i", "name": "f", "args": {"a": 1}}},
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OK", "output": "2"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]);
    let body = json!({"candidates": [{"content": {"parts": parts}}]});
    let mut meter = meter();
    run(&mut meter, events(std::slice::from_ref(&body)));
    assert_eq!(meter.text_bytes(), 3 + 1 + 7 + 3);
    let count = |text: &str| text.len() as u64;
    for body in [body.to_string(), json!([body]).to_string()] {
        assert_eq!(answer_text(GENERATE, body.as_bytes(), count), 14);
    }
}

#[test]
fn a_stream_that_we_end_reads_as_one_that_reached_its_maximum() {
    let usage = Usage { reasoning: 2, tool_input: 3, cache_read: 1, ..Usage::tokens(13, 6) };
    let begun = [chunk("abc", None, &json!({"promptTokenCount": 3, "totalTokenCount": 3}))];
    let open_array = array(&begun).trim_end().trim_end_matches(']').to_owned();
    for (start, framing) in [
        (events(&begun), Framing::Events),
        (open_array, Framing::Array),
        ("[".to_owned(), Framing::Array),
        (String::new(), Framing::Events),
    ] {
        let mut cut = meter();
        let mut passed = Vec::new();
        cut.push(&Bytes::from(start.clone()), &mut passed).unwrap();
        assert_eq!(cut.framing(), framing);
        let ending = cut_events(&cut.cut(), "asked", Some(&usage));
        let body = [&passed.concat()[..], &ending].concat();
        let seen = run(&mut meter(), body.clone());
        assert!(seen.facts.is_complete() && seen.facts.done);
        assert_eq!(seen.facts.answer.finish_reason.as_deref(), Some("MAX_TOKENS"));
        assert_eq!(seen.facts.answer.usage, Some(usage));
        assert!(!seen.facts.answer.anomaly);
        if framing == Framing::Array {
            assert!(serde_json::from_slice::<Vec<Value>>(&body).is_ok(), "{start}");
        }
        let error = ErrorView::new(Code::KillSwitch, "stopped");
        let ending = error_events(&cut.cut(), &error);
        let body = [&passed.concat()[..], &ending].concat();
        assert!(run(&mut meter(), body.clone()).facts.answer.error.is_some());
        if framing == Framing::Array {
            assert!(serde_json::from_slice::<Vec<Value>>(&body).is_ok(), "{start}");
        }
    }
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_the_same_comes_out(
        picks in proptest::collection::vec(0usize..6, 1..10),
        form in 0usize..5,
        cuts in proptest::collection::vec(0usize..6000, 0..20),
        closed in any::<bool>(),
    ) {
        let usage = json!({"promptTokenCount": 3, "candidatesTokenCount": 4});
        let parts = [
            chunk("plain", None, &usage),
            chunk("a \"quoted\" ] } , [ { \\ text\n\n", None, &usage),
            chunk("", Some("STOP"), &usage),
            json!({"usageMetadata": usage}),
            json!({"error": {"message": "m"}}),
            json!([1, "two", null]),
        ];
        let chunks: Vec<Value> = picks.iter().map(|at| parts[*at].clone()).collect();
        let text = match form {
            0 => events(&chunks),
            1 => events(&chunks).replace("\r\n", "\n"),
            2 => events(&chunks).replace("\r\n", "\r"),
            3 => array(&chunks),
            _ => json!(chunks).to_string(),
        };
        let body = Bytes::from(text);
        let body = if closed { body } else { body.slice(..body.len() * 2 / 3) };
        let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut % (body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| body.slice(pair[0]..pair[1]));
        let whole = run(&mut meter(), body.clone());
        prop_assert_eq!(whole.all(), &body[..]);
        prop_assert_eq!(collect(&mut meter(), pieces), whole);
    }

    #[test]
    fn no_bytes_whatever_make_gemini_panic_or_change(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'"'),
            Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b','), Just(b' ')], 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let starts: [&[u8]; 4] =
            [b"", b"[", b"[{\"candidates\":[", b"data: {\"usageMetadata\":{\"promptTokensDetails\":["];
        for start in starts {
            let body = Bytes::from([start, &bytes].concat());
            let whole = run(&mut meter(), body.clone());
            prop_assert_eq!(whole.all(), &body[..]);
            let at = cut.index(body.len() + 1);
            let halves = collect(&mut meter(), [body.slice(..at), body.slice(at..)]);
            prop_assert_eq!(halves, whole);
            read_answer(GENERATE, UsageRules::default(), &body);
        }
        let request = [&b"{\"contents\":[{\"parts\":["[..], &bytes, b"]}]}"].concat();
        if let Ok(seen) = peek(GENERATE, Some("m"), &request) {
            estimate_prompt(GENERATE, &seen, &request);
        }
    }
}
