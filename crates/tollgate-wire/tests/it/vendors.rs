//! The traps of vendors' streams and answers, each by its name, and the streams of native forms.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tollgate_domain::usage::Usage;
use tollgate_wire::bedrock::frame::{push_event, push_frame};
use tollgate_wire::bedrock::messages::MessagesStream;
use tollgate_wire::dialect::{answer_text, cut_events, read_answer, read_error};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::meter::{Meter, StreamError};
use tollgate_wire::openai::vendor::{UNKNOWN, vendor};

use crate::streams::{Seen, collect, splits};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn meter(endpoint: Endpoint, name: &str) -> Meter {
    Meter::new(endpoint, vendor(name, "").usage, true)
}

/// Runs a stream whole, and checks that every cut of it gives the same.
fn run(endpoint: Endpoint, name: &str, body: &[u8]) -> Seen {
    let whole = collect(&mut meter(endpoint, name), [Bytes::copy_from_slice(body)]);
    assert_eq!(whole.all(), body, "bytes pass unchanged");
    splits(|| meter(endpoint, name), body, 2_000, name);
    whole
}

fn events(events: &[serde_json::Value]) -> Vec<u8> {
    events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>().into_bytes()
}

fn chat(events_of_chat: &[serde_json::Value], name: &str) -> Seen {
    run(CHAT, name, &[events(events_of_chat), b"data: [DONE]\n\n".to_vec()].concat())
}

fn whole(endpoint: Endpoint, name: &str, body: &serde_json::Value) -> AnswerFacts {
    read_answer(endpoint, vendor(name, "").usage, body.to_string().as_bytes())
}

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
        let lines: String = documents.iter().map(|line| format!("{line}\n")).collect();
        let seen = run(Endpoint::Other, name, lines.as_bytes());
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
