//! Streams: what passes, what is held, what is learned, however the bytes are cut.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use tollgate_domain::usage::Usage;
use tollgate_wire::count::count_tokens;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::StreamFacts;
use tollgate_wire::openai::vendor::vendor;
use tollgate_wire::openai::{Flow, OpenAiStream, StreamError, cut_events};

/// What became of a stream.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) passed: Vec<u8>,
    pub(crate) held: Vec<u8>,
    pub(crate) facts: StreamFacts,
}

impl Seen {
    pub(crate) fn all(&self) -> Vec<u8> {
        [&self.passed[..], &self.held[..]].concat()
    }
}

pub(crate) fn collect(stream: &mut OpenAiStream, chunks: impl IntoIterator<Item = Bytes>) -> Seen {
    let mut out = Vec::new();
    for chunk in chunks {
        stream.push(&chunk, &mut out).unwrap();
    }
    let facts = stream.finish();
    Seen { passed: out.concat(), held: stream.take_final().concat(), facts }
}

/// Cuts `body` in two at every byte, or at some where it is longer than `limit`, and into single
/// bytes, and compares with the whole.
pub(crate) fn splits(new: impl Fn() -> OpenAiStream, body: &[u8], limit: usize, name: &str) {
    let whole = collect(&mut new(), [Bytes::copy_from_slice(body)]);
    let step = body.len().div_ceil(limit).max(1);
    for at in (0..body.len()).step_by(step) {
        let (left, right) = body.split_at(at);
        let parts = [Bytes::copy_from_slice(left), Bytes::copy_from_slice(right)];
        assert_eq!(collect(&mut new(), parts), whole, "{name}: cut at {at}");
    }
    let single = body.iter().map(|byte| Bytes::copy_from_slice(&[*byte]));
    assert_eq!(collect(&mut new(), single), whole, "{name}: cut into bytes");
}

fn chat(vendor_name: &str, keep: bool) -> OpenAiStream {
    OpenAiStream::new(Endpoint::ChatCompletions, vendor(vendor_name, "").usage, keep)
}

fn run(stream: &mut OpenAiStream, body: &str) -> Seen {
    collect(stream, [Bytes::copy_from_slice(body.as_bytes())])
}

const DELTA: &str = "data: {\"id\":\"c\",\"created\":7,\"model\":\"m-1\",\"choices\":[{\"index\":0,\
    \"delta\":{\"content\":\"Hi \\u00e9\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const STOP: &str = "data: {\"id\":\"c\",\"created\":7,\"model\":\"m-1\",\"choices\":[{\"index\":0,\
    \"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n";
const USAGE: &str = "data: {\"id\":\"c\",\"created\":7,\"model\":\"m-1\",\"choices\":[],\
    \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn the_end_is_held_until_it_is_taken_and_events_are_not_delayed() {
    let mut stream = chat("openai", true);
    let mut out = Vec::new();
    let (head, tail) = DELTA.split_at(20);
    let first = Bytes::from([DELTA, head].concat());
    assert_eq!(stream.push(&first, &mut out).unwrap(), Flow::More);
    assert_eq!(out.concat(), DELTA.as_bytes());
    assert_eq!(out[0].as_ptr(), first.as_ptr(), "a whole event is not copied");
    assert!(stream.first_token_seen());
    let second = Bytes::from([tail, STOP, USAGE, DONE].concat());
    assert_eq!(stream.push(&second, &mut out).unwrap(), Flow::Ended);
    assert_eq!(out.concat(), [DELTA, DELTA, STOP, USAGE].concat().as_bytes());
    assert_eq!(stream.push(&Bytes::from_static(b": bye\n\n"), &mut out).unwrap(), Flow::Ended);
    assert_eq!(stream.take_final().concat(), [DONE, ": bye\n\n"].concat().as_bytes());
    assert!(stream.finish().is_complete());
}

#[test]
fn the_last_usage_that_is_not_null_counts_and_nothing_is_summed() {
    let growing = |n: u64| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"x\"}}}}],\"usage\":\
             {{\"prompt_tokens\":3,\"completion_tokens\":{n},\"total_tokens\":{}}}}}\n\n",
            3 + n
        )
    };
    let after = "data: {\"choices\":[],\"moderation\":{},\"usage\":null}\n\n";
    let body = [&growing(1), &growing(2), &growing(3), after, DONE].concat();
    let seen = run(&mut chat("openai", false), &body);
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 3)));
    assert_eq!(seen.all(), body.as_bytes(), "usage beside choices, and moderation, stay");
}

#[test]
fn the_word_usage_inside_generated_text_is_no_usage() {
    let quoted = "{\\\"usage\\\":{\\\"prompt_tokens\\\":999,\\\"completion_tokens\\\":999}}";
    let text = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{quoted}\",\"usage\":\
         {{\"prompt_tokens\":999,\"completion_tokens\":1}}}}}}]}}\n\n"
    );
    let seen = run(&mut chat("openai", false), &[&text, USAGE, DONE].concat());
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 5)));
    let seen = run(&mut chat("openai", false), &[&*text, DONE].concat());
    assert_eq!(seen.facts.answer.usage, None);
}

#[test]
fn groq_usage_stands_in_x_groq_where_the_client_did_not_ask() {
    let alone = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\
        \"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2,\
        \"total_tokens\":6},\"usage_breakdown\":{\"models\":[{\"usage\":{\"prompt_tokens\":4}}]}}}\n\n";
    let seen = run(&mut chat("groq", false), &[alone, DONE].concat());
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(4, 2)));
    assert_eq!(seen.all(), [alone, DONE].concat().as_bytes());
    let seen = run(&mut chat("groq", false), &[USAGE, alone, DONE].concat());
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 5)), "the usual place comes first");
}

#[test]
fn a_groq_error_event_after_status_200_ends_the_stream_without_done() {
    let error = "event: error\ndata: {\"error\":{\"message\":\"bad tool\",\"type\":\
        \"invalid_request_error\",\"code\":\"tool_use_failed\",\"status_code\":400}}\n\n";
    let mut stream = chat("groq", false);
    let seen = run(&mut stream, &[DELTA, error].concat());
    assert_eq!(seen.passed, DELTA.as_bytes());
    assert_eq!(seen.held, error.as_bytes());
    let found = seen.facts.answer.error.clone().unwrap();
    assert_eq!((found.code.as_deref(), found.status), (Some("tool_use_failed"), Some(400)));
    assert!(!seen.facts.is_complete() && !seen.facts.done);
}

#[test]
fn an_error_inside_an_ordinary_chunk_is_an_error_and_its_usage_counts() {
    let chunk = "data: {\"error\":{\"code\":400,\"message\":\"Token limit\"},\"choices\":[],\
        \"usage\":{\"prompt_tokens\":43,\"completion_tokens\":10,\"total_tokens\":53,\"cost\":0}}\n\n";
    let seen = run(&mut chat("openrouter", false), &[DELTA, chunk, DONE].concat());
    assert_eq!(seen.facts.answer.error.unwrap().code.as_deref(), Some("400"));
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(43, 10)));
    assert_eq!(seen.held, [chunk, DONE].concat().as_bytes());
    for none in ["null", "false", "\"\""] {
        let chunk = DELTA.replace("\"usage\":null", &format!("\"error\":{none}"));
        assert!(run(&mut chat("openai", false), &chunk).facts.answer.error.is_none(), "{none}");
    }
    let object = "{\"object\":\"error\",\"message\":\"m\",\"code\":\"1300\"}";
    let seen = run(&mut chat("mistral", false), &format!("data: {object}\n\n"));
    assert_eq!(seen.facts.answer.error.unwrap().code.as_deref(), Some("1300"));
}

#[test]
fn a_cut_stream_is_cut_and_its_output_can_be_counted() {
    let mut stream = chat("openai", false);
    let korean = DELTA.replace("Hi \\u00e9", "\\ud55c\\uad6d\\uc5b4 text and more of it");
    let seen = run(&mut stream, &[DELTA, &korean].concat());
    assert!(seen.facts.answer.cut && !seen.facts.is_complete());
    assert_eq!(seen.facts.answer.usage, None, "unknown is not zero");
    let tokens = stream.estimate_output(|text| count_tokens("gpt-4o", text));
    let text = "Hi \u{e9}\u{d55c}\u{ad6d}\u{c5b4} text and more of it";
    assert_eq!(tokens, count_tokens("gpt-4o", text));
    assert!(tokens <= stream.text_bytes());
}

#[test]
fn zeros_that_a_provider_sends_until_the_end_are_no_usage_of_a_cut_stream() {
    let skeleton = DELTA.replace(
        "\"usage\":null",
        "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":0,\"total_tokens\":9}",
    );
    assert_eq!(run(&mut chat("perplexity", true), &skeleton).facts.answer.usage, None);
}

#[test]
fn every_kind_of_generated_text_counts_once() {
    for (delta, bytes) in [
        (r#"{"content":"abc"}"#, 3),
        (r#"{"content":null,"reasoning":"abcd"}"#, 4),
        (r#"{"reasoning_content":"ab","content":""}"#, 2),
        (r#"{"reasoning":"ab","reasoning_content":"ab"}"#, 2),
        (r#"{"reasoning":"ab","reasoning_details":[{"text":"ab"}]}"#, 2),
        (r#"{"refusal":"no"}"#, 2),
        (r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}]}"#, 3),
        (r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Okay"}]}]}"#, 4),
        (r#"{"role":"assistant","content":""}"#, 0),
        (r#"{"content":"quote \" and slash \\"}"#, 21),
    ] {
        let event = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
        let mut stream = chat("openai", true);
        run(&mut stream, &event);
        assert_eq!(stream.text_bytes(), bytes, "{delta}");
    }
    let legacy =
        "data: {\"choices\":[{\"text\":\"abc\",\"index\":0,\"finish_reason\":\"stop\"}]}\n\n";
    let mut stream = OpenAiStream::new(Endpoint::Completions, vendor("", "").usage, true);
    let seen = run(&mut stream, legacy);
    assert_eq!(
        (seen.facts.text_bytes, seen.facts.answer.finish_reason.as_deref()),
        (3, Some("stop"))
    );
}

#[test]
fn chunks_that_begin_alike_are_still_read_where_they_differ() {
    let other =
        DELTA.replace("m-1", "m-2").replace("\"usage\"", "\"service_tier\":\"flex\",\"usage\"");
    let seen =
        run(&mut chat("openai", true), &[DELTA, DELTA, &other, &other, USAGE, DONE].concat());
    assert_eq!(seen.facts.answer.model.as_deref(), Some("m-1"), "the last one counts");
    assert_eq!(seen.facts.answer.service_tier.as_deref(), Some("flex"));
    assert_eq!(seen.facts.text_bytes, 4 * 9);
}

#[test]
fn an_event_that_never_ends_is_refused_at_the_bound() {
    let mut stream = chat("openai", true);
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let mut out = Vec::new();
    let refused = (0..17).find_map(|_| stream.push(&chunk, &mut out).err());
    assert!(matches!(refused, Some(StreamError::TooLarge(_))));
    assert!(stream.push(&chunk, &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn a_stream_of_responses_ends_with_its_last_event_and_carries_usage_there() {
    let body = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\
        \"resp_1\",\"status\":\"in_progress\",\"model\":\"m\",\"service_tier\":\"auto\",\"usage\":null}}\n\n\
        event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\
        \"abc\",\"sequence_number\":1}\n\n";
    let last = "data: {\"response\":{\"id\":\"resp_1\",\"status\":\"incomplete\",\"incomplete_details\":\
        {\"reason\":\"max_output_tokens\"},\"service_tier\":\"flex\",\"output\":[{\"type\":\
        \"web_search_call\",\"action\":{\"type\":\"search\"}},{\"type\":\"web_search_call\",\"action\":\
        {\"type\":\"open_page\"}},{\"type\":\"file_search_call\"}],\"usage\":{\"input_tokens\":5,\
        \"output_tokens\":6,\"total_tokens\":11}},\"type\":\"response.incomplete\"}\n\n";
    let new = || OpenAiStream::new(Endpoint::Responses, vendor("", "").usage, false);
    let seen = run(&mut new(), &[body, last].concat());
    assert_eq!((&*seen.passed, &*seen.held), (body.as_bytes(), last.as_bytes()));
    let facts = &seen.facts.answer;
    let expected = Usage { web_searches: 1, file_searches: 1, ..Usage::tokens(5, 6) };
    assert_eq!(facts.usage, Some(expected));
    assert_eq!(facts.service_tier.as_deref(), Some("flex"), "not the one while it was queued");
    assert_eq!(facts.finish_reason.as_deref(), Some("max_output_tokens"));
    assert_eq!(seen.facts.text_bytes, 3);
    assert!(seen.facts.is_complete());
    splits(new, [body, last].concat().as_bytes(), 5_000, "responses");
    for error in [
        "event: error\ndata: {\"type\":\"error\",\"code\":\"x\",\"message\":\"m\"}\n\n",
        "data: {\"type\":\"error\",\"error\":{\"code\":\"x\",\"message\":\"m\"}}\n\n",
        "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":\
         {\"code\":\"x\",\"message\":\"m\"}}}\n\n",
    ] {
        let seen = run(&mut new(), &[body, error].concat());
        let found = seen.facts.answer.error.as_ref().unwrap();
        assert_eq!((found.code.as_deref(), &*found.message), (Some("x"), "m"), "{error}");
        assert!(!seen.facts.is_complete());
        assert_eq!(seen.held, error.as_bytes());
    }
}

#[test]
fn a_stream_that_we_end_reads_as_one_that_reached_its_length() {
    let mut stream = chat("openai", true);
    let second = DELTA.replace("\"index\":0", "\"index\":1");
    run(&mut stream, &[DELTA, &second, STOP].concat());
    let events = cut_events(&stream.cut(), "asked", Some(&Usage::tokens(3, 4)));
    let seen = run(&mut chat("openai", true), str::from_utf8(&events).unwrap());
    assert_eq!(seen.facts.answer.finish_reason.as_deref(), Some("length"));
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 4)));
    assert_eq!(seen.facts.answer.model.as_deref(), Some("m-1"));
    assert!(seen.facts.is_complete());
    let text = str::from_utf8(&events).unwrap();
    assert!(text.contains("\"index\":1") && !text.contains("\"index\":0"), "{text}");

    let new = || OpenAiStream::new(Endpoint::Responses, vendor("", "").usage, true);
    let mut stream = new();
    run(&mut stream, "data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\n");
    let events = cut_events(&stream.cut(), "asked", Some(&Usage::tokens(3, 4)));
    let text = str::from_utf8(&events).unwrap();
    let data: Value =
        serde_json::from_str(text.lines().nth(1).unwrap().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(data["response"]["id"], "resp_1");
    assert_eq!(data["sequence_number"], 1);
    let seen = run(&mut new(), text);
    assert_eq!(seen.facts.answer.finish_reason.as_deref(), Some("max_output_tokens"));
    assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 4)));
    assert!(seen.facts.is_complete());
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_same_comes_out(
        events in proptest::collection::vec(0usize..9, 1..12),
        end in 0usize..4,
        cuts in proptest::collection::vec(0usize..4000, 0..20),
        keep in any::<bool>(),
    ) {
        let error = "data: {\"error\":{\"message\":\"m\"}}\n\n";
        let parts = [DELTA, STOP, USAGE, DONE, error, ": comment\n\n", "\n", "retry: 3\n\n",
            "event: x\ndata: {\"choices\":\ndata: []}\n\n"];
        let text: String = events.iter().map(|at| parts[*at]).collect();
        let text = match end {
            0 => text.replace('\n', "\r\n"),
            1 => text.replace('\n', "\r"),
            2 => text.trim_end().to_owned(),
            _ => text,
        };
        let body = Bytes::from(text);
        let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut % (body.len() + 1)).collect();
        at.extend([0, body.len()]);
        at.sort_unstable();
        let chunks: Vec<Bytes> = at.windows(2).map(|pair| body.slice(pair[0]..pair[1])).collect();
        let whole = collect(&mut chat("openai", keep), [body.clone()]);
        let cut = collect(&mut chat("openai", keep), chunks);
        prop_assert_eq!(&cut, &whole);
        if keep {
            prop_assert_eq!(whole.all(), &body[..]);
        }
    }

    #[test]
    fn no_bytes_whatever_make_a_stream_panic_or_change(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'),
            Just(b'"'), Just(b'{'), Just(b'['), Just(b':')], 0..300)
    ) {
        let framed = [&b"data: {\"choices\":"[..], &bytes, b"\n\n"].concat();
        for body in [bytes, framed] {
            let seen = collect(&mut chat("openai", true), [Bytes::from(body.clone())]);
            prop_assert_eq!(seen.all(), body);
        }
    }
}
