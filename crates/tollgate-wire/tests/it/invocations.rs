//! Streams and answers of Bedrock: exceptions, damage, and every family of models.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tollgate_domain::usage::Usage;
use tollgate_wire::bedrock::frame::{push_event, push_frame};
use tollgate_wire::bedrock::messages::MessagesStream;
use tollgate_wire::dialect::answer_text;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::meter::StreamError;

use crate::streams::collect;
use crate::vendors::{meter, run, whole};

/// Frames of an invocation, each with an event of the model's own form.
fn chunks(documents: &[serde_json::Value]) -> Vec<u8> {
    use base64::Engine as _;
    let mut out = Vec::new();
    for document in documents {
        let bytes = base64::engine::general_purpose::STANDARD.encode(document.to_string());
        let payload = json!({"bytes": bytes, "p": "abcdefgh"}).to_string();
        push_event(&mut out, "chunk", payload.as_bytes());
    }
    out
}

#[test]
fn a_bedrock_exception_after_status_200_is_an_error_and_ends_the_stream() {
    let mut body = Vec::new();
    push_event(&mut body, "messageStart", b"{\"role\":\"assistant\"}");
    push_event(
        &mut body,
        "contentBlockDelta",
        b"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}",
    );
    let headers = [(":message-type", "exception"), (":exception-type", "throttlingException")];
    push_frame(&mut body, &headers, b"{\"message\":\"slow down\"}");
    let seen = run(Endpoint::ConverseStream, "bedrock", &body);
    let error = seen.facts.answer.error.as_ref().unwrap();
    assert_eq!((error.status, &*error.message), (Some(429), "slow down"));
    assert!(!seen.facts.is_complete() && !seen.held.is_empty());
}

#[test]
fn damaged_frames_and_pages_of_a_proxy_are_no_bedrock_stream() {
    let mut body = Vec::new();
    push_event(&mut body, "metadata", b"{\"usage\":{\"inputTokens\":1,\"outputTokens\":1}}");
    body[40] ^= 1;
    for broken in [body, b"<html>502 Bad Gateway</html>".to_vec()] {
        let mut stream = meter(Endpoint::ConverseStream, "bedrock");
        let refused = stream.push(&Bytes::from(broken), &mut Vec::new());
        assert!(matches!(refused, Err(StreamError::Frame(_))));
        assert_eq!(stream.finish().answer.usage, None);
    }
}

#[test]
fn an_invocation_streams_the_events_of_each_family() {
    let metrics = json!({"inputTokenCount":7,"outputTokenCount":5,"invocationLatency":9,
        "firstByteLatency":1,"cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":20});
    let metered = Usage { cache_read: 100, cache_write: 20, ..Usage::tokens(127, 5) };
    let titan = [
        json!({"outputText":"He","index":0,"totalOutputTextTokenCount":null,
            "completionReason":null,"inputTextTokenCount":7}),
        json!({"outputText":"llo","index":0,"totalOutputTextTokenCount":5,
            "completionReason":"FINISH","inputTextTokenCount":null,
            "amazon-bedrock-invocationMetrics":metrics}),
    ];
    let llama = [
        json!({"generation":"He","prompt_token_count":7,"generation_token_count":1,
            "stop_reason":null}),
        json!({"generation":"llo","prompt_token_count":null,"generation_token_count":5,
            "stop_reason":"stop","amazon-bedrock-invocationMetrics":metrics}),
    ];
    let mistral = [
        json!({"outputs":[{"text":"Hello","stop_reason":null}]}),
        json!({"outputs":[{"text":"","stop_reason":"stop"}],
            "amazon-bedrock-invocationMetrics":metrics}),
    ];
    let nova = [
        json!({"contentBlockDelta":{"delta":{"text":"Hello"},"contentBlockIndex":0}}),
        json!({"messageStop":{"stopReason":"end_turn"}}),
        json!({"metadata":{"usage":{"inputTokens":7,"outputTokens":5,"totalTokens":132,
            "cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":20}},
            "amazon-bedrock-invocationMetrics":metrics}),
    ];
    let openai = [
        json!({"choices":[{"index":0,"delta":{"content":"Hello"}}]}),
        json!({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],
            "amazon-bedrock-invocationMetrics":metrics}),
    ];
    for (family, documents) in [
        ("titan", &titan[..]),
        ("llama", &llama),
        ("mistral", &mistral),
        ("nova", &nova),
        ("openai", &openai),
    ] {
        let seen = run(Endpoint::InvokeStream, family, &chunks(documents));
        assert_eq!(seen.facts.answer.usage, Some(metered), "{family}");
        assert_eq!(seen.facts.text_bytes, 5, "{family}");
        assert!(seen.facts.answer.finish_reason.is_some() && seen.facts.is_complete(), "{family}");
    }
}

#[test]
fn claude_in_an_invocation_keeps_the_lifetimes_that_the_metrics_do_not_tell() {
    let usage = json!({"input_tokens":7,"output_tokens":1,"cache_read_input_tokens":100,
        "cache_creation_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":15,
        "ephemeral_1h_input_tokens":5}});
    let documents = [
        json!({"type":"message_start","message":{"id":"msg_1","model":"claude-opus-5","usage":usage}}),
        json!({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}),
        json!({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}),
        json!({"type":"content_block_stop","index":0}),
        json!({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}),
        json!({"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":7,
            "outputTokenCount":5,"cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":20}}),
    ];
    let body = chunks(&documents);
    let seen = run(Endpoint::InvokeStream, "claude", &body);
    let expected = Usage {
        cache_read: 100,
        cache_write: 20,
        cache_write_5m: 15,
        cache_write_1h: 5,
        ..Usage::tokens(127, 5)
    };
    assert_eq!(seen.facts.answer.usage, Some(expected));
    assert_eq!(seen.facts.answer.model.as_deref(), Some("claude-opus-5"));
    assert_eq!(seen.facts.text_bytes, 5);
    assert!(seen.facts.is_complete());
    // The same as events, for a client of the messages form.
    let mut text = Vec::new();
    MessagesStream::default().push(&body, &mut text).unwrap();
    let seen = run(Endpoint::Messages, "anthropic", &text);
    assert_eq!(seen.facts.answer.usage, Some(expected));
    let message = json!({"type":"message","id":"m","model":"claude-opus-5","stop_reason":"end_turn",
        "content":[{"type":"text","text":"Hello"}],"usage":usage});
    let facts = whole(Endpoint::Invoke, "bedrock", &message);
    assert_eq!(facts.usage.map(|usage| (usage.input, usage.cache_write_1h)), Some((127, 5)));
    assert_eq!(
        answer_text(Endpoint::Invoke, message.to_string().as_bytes(), |t| t.len() as u64),
        5
    );
}

#[test]
fn whole_invocations_of_each_family_state_what_their_form_states() {
    for (body, usage, reason) in [
        (
            json!({"inputTextTokenCount":4,"results":[{"tokenCount":9,"outputText":"x",
            "completionReason":"FINISH"}]}),
            Some(Usage::tokens(4, 9)),
            Some("FINISH"),
        ),
        (json!({"embedding":[0.1,0.2],"inputTextTokenCount":5}), Some(Usage::tokens(5, 0)), None),
        (
            json!({"generation":"x","prompt_token_count":4,"generation_token_count":9,
            "stop_reason":"stop"}),
            Some(Usage::tokens(4, 9)),
            Some("stop"),
        ),
        (json!({"outputs":[{"text":"x","stop_reason":"length"}]}), None, Some("length")),
        (json!({"generations":[{"text":"x","finish_reason":"COMPLETE"}]}), None, Some("COMPLETE")),
        (json!({"embeddings":[[0.1]],"response_type":"embeddings_floats"}), None, None),
        (
            json!({"output":{"message":{"content":[{"text":"x"}]}},"stopReason":"end_turn",
            "usage":{"inputTokens":4,"outputTokens":9,"totalTokens":13}}),
            Some(Usage::tokens(4, 9)),
            Some("end_turn"),
        ),
        (
            json!({"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":4,"completion_tokens":9,"total_tokens":13}}),
            Some(Usage::tokens(4, 9)),
            Some("stop"),
        ),
    ] {
        let facts = whole(Endpoint::Invoke, "bedrock", &body);
        assert_eq!((facts.usage, facts.finish_reason.as_deref()), (usage, reason), "{body}");
    }
}

#[test]
fn headers_are_the_only_count_of_some_embeddings_and_never_make_an_output_zero() {
    let read = |body: serde_json::Value, headers: &[(&str, &'static str)]| {
        let mut facts = whole(Endpoint::Invoke, "bedrock", &body);
        let lookup = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        tollgate_wire::bedrock::invoke::read_headers(Endpoint::Invoke, &lookup, &mut facts);
        facts
    };
    let input = ("x-amzn-bedrock-input-token-count", "12");
    let output = ("x-amzn-bedrock-output-token-count", " 3");
    let cached = ("x-amzn-bedrock-cache-read-input-token-count", "30");
    let embedding = json!({"embeddings":[[0.1]]});
    assert_eq!(read(embedding.clone(), &[input]).usage, Some(Usage::tokens(12, 0)));
    assert_eq!(read(embedding, &[]).usage, None);
    let text = json!({"outputs":[{"text":"x","stop_reason":"stop"}]});
    let expected = Usage { cache_read: 30, ..Usage::tokens(42, 3) };
    assert_eq!(read(text.clone(), &[input, output, cached]).usage, Some(expected));
    let facts = read(text, &[input]);
    assert_eq!((facts.usage, facts.partial), (None, Some(Usage::tokens(12, 0))));
}

proptest! {
    #[test]
    fn no_payload_whatever_makes_a_reader_of_frames_panic(
        documents in proptest::collection::vec((
            proptest::sample::select(vec!["chunk", "metadata", "messageStop", "contentBlockDelta",
                "contentBlockStart", "contentBlockStop", "throttlingException", "x"]),
            proptest::sample::select(vec!["{}", "[]", "", "{\"usage\":{\"inputTokens\":1}}",
                "{\"bytes\":\"e30=\"}", "{\"bytes\":\"!!\"}", "{\"contentBlockIndex\":7}",
                "{\"bytes\":\"eyJ0eXBlIjoibWVzc2FnZV9zdGFydCJ9\"}", "{\"delta\":{\"text\":\"a"])),
            0..8),
        cut in 0usize..900,
    ) {
        let mut body = Vec::new();
        for (kind, payload) in documents {
            push_event(&mut body, kind, payload.as_bytes());
        }
        for endpoint in [Endpoint::ConverseStream, Endpoint::InvokeStream] {
            let whole = collect(&mut meter(endpoint, ""), [Bytes::from(body.clone())]);
            prop_assert_eq!(whole.all(), &body[..]);
            let (left, right) = body.split_at(cut.min(body.len()));
            let parts = [Bytes::copy_from_slice(left), Bytes::copy_from_slice(right)];
            prop_assert_eq!(&collect(&mut meter(endpoint, ""), parts), &whole);
        }
    }
}
