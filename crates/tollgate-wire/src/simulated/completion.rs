//! The simulated answer as a chat completion or a legacy completion, whole and streamed.

use bytes::Bytes;

use super::Answer;
use crate::endpoint::Endpoint;
use crate::json::{push_fmt, push_string};
use crate::openai::push_usage;

pub(super) fn whole(answer: &Answer) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    let object = if legacy(answer) { "text_completion" } else { "chat.completion" };
    head_of(&mut out, answer, object);
    for index in 0..answer.choices {
        let comma = if index > 0 { "," } else { "" };
        push_fmt(&mut out, format_args!("{comma}{{\"index\":{index},"));
        if legacy(answer) {
            out.extend_from_slice(b"\"text\":");
            push_string(&mut out, &answer.text());
        } else {
            message(&mut out, answer);
        }
        push_fmt(
            &mut out,
            format_args!(",\"logprobs\":null,\"finish_reason\":\"{}\"}}", finish(answer)),
        );
    }
    out.extend_from_slice(b"],\"usage\":");
    push_usage(&mut out, &answer.usage);
    out.push(b'}');
    out.into()
}

fn message(out: &mut Vec<u8>, answer: &Answer) {
    out.extend_from_slice(b"\"message\":{\"role\":\"assistant\",\"content\":");
    match answer.content.tool() {
        None => push_string(out, &answer.text()),
        Some(name) => {
            out.extend_from_slice(
                b"null,\"tool_calls\":[{\"id\":\"call_sim\",\"type\":\"function\",",
            );
            out.extend_from_slice(b"\"function\":{\"name\":");
            push_string(out, name);
            out.extend_from_slice(b",\"arguments\":");
            push_string(out, &answer.text());
            out.extend_from_slice(b"}}]");
        }
    }
    out.extend_from_slice(b",\"refusal\":null}");
}

/// The first event of each choice: the role, and the name of a tool.
pub(super) fn head(out: &mut Vec<u8>, answer: &Answer) {
    for index in 0..answer.choices {
        chunk(out, answer);
        push_fmt(out, format_args!("{{\"index\":{index},"));
        if legacy(answer) {
            out.extend_from_slice(b"\"text\":\"\"");
        } else if let Some(name) = answer.content.tool() {
            out.extend_from_slice(b"\"delta\":{\"role\":\"assistant\",\"content\":null,");
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":0,\"id\":\"call_sim\",");
            out.extend_from_slice(b"\"type\":\"function\",\"function\":{\"name\":");
            push_string(out, name);
            out.extend_from_slice(b",\"arguments\":\"\"}}]}");
        } else {
            out.extend_from_slice(b"\"delta\":{\"role\":\"assistant\",\"content\":\"\"}");
        }
        end_of_chunk(out, answer, None);
    }
}

pub(super) fn delta(out: &mut Vec<u8>, answer: &Answer, text: &str) {
    for index in 0..answer.choices {
        chunk(out, answer);
        push_fmt(out, format_args!("{{\"index\":{index},"));
        let (before, after): (&[u8], &[u8]) = match (legacy(answer), answer.content.tool()) {
            (true, _) => (b"\"text\":", b""),
            (false, None) => (b"\"delta\":{\"content\":", b"}"),
            (false, Some(_)) => {
                (b"\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":", b"}}]}")
            }
        };
        out.extend_from_slice(before);
        push_string(out, text);
        out.extend_from_slice(after);
        end_of_chunk(out, answer, None);
    }
}

pub(super) fn tail(out: &mut Vec<u8>, answer: &Answer) {
    for index in 0..answer.choices {
        chunk(out, answer);
        let empty = if legacy(answer) { "\"text\":\"\"" } else { "\"delta\":{}" };
        push_fmt(out, format_args!("{{\"index\":{index},{empty}"));
        end_of_chunk(out, answer, Some(finish(answer)));
    }
    if answer.include_usage {
        chunk(out, answer);
        out.extend_from_slice(b"],\"usage\":");
        push_usage(out, &answer.usage);
        out.extend_from_slice(b"}\n\n");
    }
    out.extend_from_slice(b"data: [DONE]\n\n");
}

fn chunk(out: &mut Vec<u8>, answer: &Answer) {
    out.extend_from_slice(b"data: ");
    head_of(out, answer, if legacy(answer) { "text_completion" } else { "chat.completion.chunk" });
}

fn end_of_chunk(out: &mut Vec<u8>, answer: &Answer, finish: Option<&str>) {
    out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
    match finish {
        Some(reason) => push_string(out, reason),
        None => out.extend_from_slice(b"null"),
    }
    let end: &[u8] = if answer.include_usage { b"}],\"usage\":null}\n\n" } else { b"}]}\n\n" };
    out.extend_from_slice(end);
}

fn head_of(out: &mut Vec<u8>, answer: &Answer, object: &str) {
    push_fmt(
        out,
        format_args!(
            "{{\"id\":\"{}\",\"object\":\"{object}\",\"created\":{},\"model\":",
            answer.id, answer.created
        ),
    );
    push_string(out, &answer.model);
    out.extend_from_slice(b",\"choices\":[");
}

fn legacy(answer: &Answer) -> bool {
    answer.endpoint == Endpoint::Completions
}

fn finish(answer: &Answer) -> &'static str {
    match answer.content.tool() {
        _ if answer.short => "length",
        Some(_) => "tool_calls",
        None => "stop",
    }
}
