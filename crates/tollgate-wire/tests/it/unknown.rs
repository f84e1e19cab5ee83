//! Pictures, sound, unknown operations, and the ends that we put to streams.

use bytes::Bytes;
use serde_json::json;
use tollgate_domain::fault::Code;
use tollgate_domain::usage::Usage;
use tollgate_wire::bedrock::frame::push_event;
use tollgate_wire::dialect::{Rewrite, cut_events, error_events, peek, rewrite};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::error::ErrorView;
use tollgate_wire::meter::Meter;

use crate::vendors::{events, meter, run, whole};

#[test]
fn pictures_and_sound_state_their_usage_in_the_last_event() {
    for (endpoint, event, expected) in [
        (
            Endpoint::Images,
            json!({"type":"image_generation.completed","b64_json":"xx","usage":{"input_tokens":50,
                "output_tokens":4160,"total_tokens":4210,"input_tokens_details":{"text_tokens":10,
                "image_tokens":40}}}),
            Usage { input_text: 10, input_image: 40, ..Usage::tokens(50, 4_160) },
        ),
        (
            Endpoint::Speech,
            json!({"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,
                "total_tokens":115}}),
            Usage::tokens(14, 101),
        ),
        (
            Endpoint::Transcriptions,
            json!({"type":"transcript.text.done","text":"hi","usage":{"type":"tokens",
                "input_tokens":14,"input_token_details":{"audio_tokens":14,"text_tokens":0},
                "output_tokens":2,"total_tokens":16}}),
            Usage { input_audio: 14, ..Usage::tokens(14, 2) },
        ),
        (
            Endpoint::Transcriptions,
            json!({"type":"transcript.text.done","usage":{"type":"duration","seconds":9.2}}),
            Usage { audio_seconds: 10, ..Usage::default() },
        ),
    ] {
        let delta = json!({"type":"transcript.text.delta","delta":"hi"});
        let seen = run(endpoint, "openai", &events(&[delta, event]));
        assert_eq!(seen.facts.answer.usage, Some(expected), "{endpoint:?}");
        assert!(seen.facts.is_complete() && !seen.held.is_empty());
        let error = events(&[json!({"error":{"message":"m","code":"x"}})]);
        assert!(run(endpoint, "openai", &error).facts.answer.error.is_some());
    }
}

#[test]
fn a_picture_that_another_model_drew_as_vectors_is_a_part_of_its_own() {
    let body = json!({"data":[{"b64_json":"x"}],"usage":{"input_tokens":10,"output_tokens":20,
        "total_tokens":30},"svg_usage":{"model":"gpt-6-luna","input_tokens":5,"output_tokens":7,
        "total_tokens":12}});
    let facts = whole(Endpoint::Images, "openai", &body);
    assert_eq!(facts.usage, Some(Usage::tokens(15, 27)));
    let parts: Vec<_> =
        facts.parts.iter().map(|part| (part.model.as_deref(), part.usage.output)).collect();
    assert_eq!(parts, [(None, 20), (Some("gpt-6-luna"), 7)]);
    let none = json!({"created":1,"data":[{"url":"https://x"}]});
    assert_eq!(whole(Endpoint::Images, "openai", &none).usage, None, "unknown is not zero");
}

#[test]
fn unknown_operations_are_read_by_what_their_answers_look_like() {
    let tokens = Some(Usage::tokens(3, 4));
    for (body, usage) in [
        (json!({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}), tokens),
        (json!({"type":"message","usage":{"input_tokens":3,"output_tokens":4}}), tokens),
        (
            json!({"result":1,"usage":{"input_tokens":1,"output_tokens":4,
            "cache_read_input_tokens":2}}),
            Some(Usage { cache_read: 2, ..Usage::tokens(3, 4) }),
        ),
        (
            json!({"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,
            "totalTokenCount":7}}),
            tokens,
        ),
        (
            json!({"usage_metadata":{"prompt_token_count":3,"candidates_token_count":1,
            "thoughts_token_count":3}}),
            Some(Usage { reasoning: 3, ..Usage::tokens(3, 4) }),
        ),
        (json!({"object":"response","usage":{"input_tokens":3,"output_tokens":4}}), tokens),
        (json!({"usage":{"inputTokens":3,"outputTokens":4}}), tokens),
        (json!({"usage":{"billed_units":{"input_tokens":3,"output_tokens":4}}}), tokens),
        (json!({"meta":{"billed_units":{"input_tokens":3}}}), Some(Usage::tokens(3, 0))),
        (json!({"done":true,"prompt_eval_count":3,"eval_count":4}), tokens),
        (json!({"results":[],"usage":{"total_tokens":3}}), Some(Usage::tokens(3, 0))),
        (
            json!({"predictions":[{"embeddings":{"statistics":{"token_count":1}}},
            {"embeddings":{"statistics":{"token_count":2}}}]}),
            Some(Usage::tokens(3, 0)),
        ),
        (json!({"predictions":[{"embeddings":{}}]}), None),
        (json!({"text":"the word \"usage\":{} in a text"}), None),
        (json!([1, 2]), None),
        (json!("x"), None),
    ] {
        assert_eq!(whole(Endpoint::Other, "", &body).usage, usage, "{body}");
    }
}

#[test]
fn streams_of_unknown_operations_are_read_by_their_first_telling_event() {
    let anthropic = [
        json!({"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}),
        json!({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}),
        json!({"type":"message_stop"}),
    ];
    let gemini =
        [json!({"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],
        "usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4,"totalTokenCount":7}})];
    let openai = [
        json!({"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}),
        json!({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}),
    ];
    let unknown = [
        json!({"token":"x"}),
        json!({"finished":true,"usage":{"input_tokens":3,"output_tokens":4}}),
    ];
    for (name, documents) in
        [("anthropic", &anthropic[..]), ("gemini", &gemini), ("openai", &openai), ("x", &unknown)]
    {
        let seen = run(Endpoint::Other, name, &events(documents));
        assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 4)), "{name}");
        assert!(seen.facts.is_complete(), "{name}");
        let lines: Vec<String> = documents.iter().map(|line| format!("{line}\n")).collect();
        let seen = run(Endpoint::Other, name, lines.concat().as_bytes());
        assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 4)), "{name}, a line each");
    }
    let cut = run(Endpoint::Other, "x", &events(&unknown[..1]));
    assert!(cut.facts.answer.cut && cut.facts.answer.usage.is_none());
}

#[test]
fn streams_that_we_end_read_as_ones_that_reached_their_maximum() {
    let usage = Usage { cache_read: 2, ..Usage::tokens(9, 4) };
    let mut begun = Vec::new();
    push_event(&mut begun, "messageStart", b"{\"role\":\"assistant\"}");
    push_event(
        &mut begun,
        "contentBlockDelta",
        b"{\"contentBlockIndex\":3,\"delta\":{\"text\":\"a\"}}",
    );
    for (endpoint, model, begun) in [
        (Endpoint::ConverseStream, "us.amazon.nova-micro-v1:0", &begun[..]),
        (Endpoint::ConverseStream, "us.amazon.nova-micro-v1:0", b""),
        (Endpoint::InvokeStream, "us.amazon.nova-micro-v1:0", b""),
        (Endpoint::InvokeStream, "anthropic.claude-opus-5", b""),
        (Endpoint::InvokeStream, "amazon.titan-text-lite-v1", b""),
        (Endpoint::InvokeStream, "mistral.mistral-large-2402-v1:0", b""),
        (Endpoint::InvokeStream, "openai.gpt-oss-20b-1:0", b""),
        (Endpoint::InvokeStream, "meta.llama3-8b-instruct-v1:0", b""),
        (Endpoint::CohereChat, "command-r", b""),
        (Endpoint::OllamaChat, "q", b""),
    ] {
        let mut stream = meter(endpoint, "");
        stream.push(&Bytes::copy_from_slice(begun), &mut Vec::new()).unwrap();
        let end = cut_events(&stream.cut(), model, Some(&usage));
        let seen = run(endpoint, model, &[begun, &end].concat());
        let found = seen.facts.answer.usage.unwrap();
        assert_eq!((found.input, found.output), (9, 4), "{endpoint:?} {model}");
        let reason = seen.facts.answer.finish_reason.as_deref().unwrap().to_lowercase();
        assert!(reason.contains("max_tokens") || reason == "length", "{reason}");
        assert!(seen.facts.is_complete(), "{endpoint:?} {model}");
    }
    let closed = String::from_utf8_lossy(&cut_events(
        &{
            let mut stream = meter(Endpoint::ConverseStream, "");
            stream.push(&Bytes::from(begun), &mut Vec::new()).unwrap();
            stream
        }
        .cut(),
        "m",
        None,
    ))
    .into_owned();
    assert!(closed.contains("contentBlockStop") && closed.contains("{\"contentBlockIndex\":3}"));
}

#[test]
fn a_stream_that_we_end_with_an_error_reads_as_one_that_failed() {
    for endpoint in Endpoint::all().filter(|endpoint| endpoint.streams()) {
        let stream = meter(endpoint, "openai");
        let view = ErrorView::new(Code::Internal, "went \"wrong\"");
        let body = error_events(&stream.cut(), &view);
        let failed = run(endpoint, "openai", &body);
        let error = failed.facts.answer.error.map(|error| error.message);
        assert_eq!(error.as_deref(), Some("went \"wrong\""), "{endpoint:?}: {body:?}");
    }
}

#[test]
fn an_unknown_stream_is_ended_in_the_form_and_the_framing_that_it_came_in() {
    let usage = Usage::tokens(3, 4);
    let message = "data: {\"type\":\"message_start\",\"message\":{}}\n\n";
    for (begun, end) in [
        ("{\"a\":1}\n", ""),
        ("{\"choices\":[]}\n", ""),
        ("{\"eval_count\":1}\n", "\"done\":true"),
        ("[{\"a\":1}\n,", "\r\n]\r\n"),
        ("[", "[]\r\n"),
        (message, "event: message_stop"),
        ("data: {\"a\":1}\n\n", "data: [DONE]"),
    ] {
        let mut stream = meter(Endpoint::Other, "openai");
        stream.push(&Bytes::from_static(begun.as_bytes()), &mut Vec::new()).unwrap();
        let written = cut_events(&stream.cut(), "m", Some(&usage));
        let written = str::from_utf8(&written).unwrap();
        assert!(written.contains(end), "{begun}: {written}");
        assert_eq!(written.is_empty(), end.is_empty(), "{begun}: {written}");
        assert!(begun.starts_with("data") || !written.contains("data: "), "{begun}: {written}");
    }
}

#[test]
fn blank_lines_before_an_unknown_stream_pass_whatever_follows() {
    for (before, body) in [
        ("\n", "data: {\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}\n\n"),
        (" \r\n ", "{\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}\n"),
    ] {
        let seen = run(Endpoint::Other, "x", [before, body].concat().as_bytes());
        assert_eq!(seen.facts.answer.usage, Some(Usage::tokens(3, 4)), "{body}");
    }
}

#[test]
fn plain_sound_passes_at_once_and_is_whole_when_it_ends() {
    let mut stream = Meter::opaque(Endpoint::Speech);
    let mut out = Vec::new();
    for chunk in [&b"data: ID3\n\n"[..], b"\xff\xfb\x90", b"\n\n"] {
        let chunk = Bytes::copy_from_slice(chunk);
        stream.push(&chunk, &mut out).unwrap();
        assert_eq!(out.last(), Some(&chunk), "nothing waits");
    }
    assert!(cut_events(&stream.cut(), "tts-1", None).is_empty(), "sound just ends");
    let facts = stream.finish();
    assert!(facts.is_complete() && stream.take_final().is_empty());
    assert_eq!(facts.answer.usage, None, "what it cost is estimated from the request");
}

#[test]
fn requests_for_pictures_and_speech_bound_what_they_cost() {
    let seen = peek(
        Endpoint::Images,
        None,
        br#"{"model":"gpt-image-1","prompt":"x","n":3,"quality":"low","stream":true}"#,
    )
    .unwrap();
    assert_eq!((seen.output_bound(9), seen.stream), (3 * 408, true));
    let body = br#"{"model":"gpt-4o-mini-tts","input":"hello","voice":"a","stream_format":"sse"}"#;
    let seen = peek(Endpoint::Speech, None, body).unwrap();
    assert!(seen.stream && seen.output_bound(9) >= 4 * 5 * 1_250 / 900);
    let bytes = Bytes::from_static(body);
    let change = Rewrite { max_output: Some(1), ..Rewrite::default() };
    let same = rewrite(Endpoint::Speech, &bytes, &seen, &change);
    assert_eq!(same, bytes, "there is no bound to lower");
    let other = Rewrite { model: Some("tts-1"), ..Rewrite::default() };
    assert!(rewrite(Endpoint::Speech, &bytes, &seen, &other).starts_with(b"{\"model\":\"tts-1\","));
}
