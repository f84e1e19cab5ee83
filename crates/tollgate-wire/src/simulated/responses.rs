//! The simulated answer in the responses form, whole and as the full sequence of events.

use bytes::Bytes;

use super::Answer;
use crate::json::{push_fmt, push_string};
use crate::openai::push_responses_usage;

const ITEM: &str = "item_sim";

pub(super) fn whole(answer: &Answer) -> Bytes {
    let mut out = Vec::with_capacity(1024);
    object(&mut out, answer, true);
    out.into()
}

/// The events before the text; four, or three for a tool.
pub(super) fn head(out: &mut Vec<u8>, answer: &Answer) {
    for (sequence, kind) in [(0, "response.created"), (1, "response.in_progress")] {
        begin(out, kind);
        out.extend_from_slice(b"\"response\":");
        object(out, answer, false);
        end(out, sequence);
    }
    begin(out, "response.output_item.added");
    out.extend_from_slice(b"\"output_index\":0,\"item\":");
    item(out, answer, None);
    end(out, 2);
    if answer.content.tool().is_none() {
        begin(out, "response.content_part.added");
        place(out, answer);
        out.extend_from_slice(b",\"part\":");
        part(out, "");
        end(out, 3);
    }
}

/// One piece of text; `number` counts from one.
pub(super) fn delta(out: &mut Vec<u8>, answer: &Answer, number: usize, text: &str) {
    let tool = answer.content.tool().is_some();
    let kind = if tool { "function_call_arguments" } else { "output_text" };
    begin(out, &format!("response.{kind}.delta"));
    place(out, answer);
    out.extend_from_slice(b",\"delta\":");
    push_string(out, text);
    end(out, events_before(answer) + number - 1);
}

/// The events behind `pieces` pieces of text.
pub(super) fn tail(out: &mut Vec<u8>, answer: &Answer, pieces: usize) {
    let mut sequence = events_before(answer) + pieces;
    let text = answer.text();
    let tool = answer.content.tool().is_some();
    let kind = if tool { "function_call_arguments" } else { "output_text" };
    begin(out, &format!("response.{kind}.done"));
    place(out, answer);
    push_fmt(out, format_args!(",\"{}\":", if tool { "arguments" } else { "text" }));
    push_string(out, &text);
    end(out, sequence);
    if !tool {
        sequence += 1;
        begin(out, "response.content_part.done");
        place(out, answer);
        out.extend_from_slice(b",\"part\":");
        part(out, &text);
        end(out, sequence);
    }
    begin(out, "response.output_item.done");
    out.extend_from_slice(b"\"output_index\":0,\"item\":");
    item(out, answer, Some(&text));
    end(out, sequence + 1);
    begin(out, if answer.short { "response.incomplete" } else { "response.completed" });
    out.extend_from_slice(b"\"response\":");
    object(out, answer, true);
    end(out, sequence + 2);
}

fn events_before(answer: &Answer) -> usize {
    if answer.content.tool().is_some() { 3 } else { 4 }
}

fn begin(out: &mut Vec<u8>, kind: &str) {
    push_fmt(out, format_args!("event: {kind}\ndata: {{\"type\":\"{kind}\","));
}

fn end(out: &mut Vec<u8>, sequence: usize) {
    push_fmt(out, format_args!(",\"sequence_number\":{sequence}}}\n\n"));
}

fn place(out: &mut Vec<u8>, answer: &Answer) {
    push_fmt(out, format_args!("\"item_id\":\"{ITEM}\",\"output_index\":0"));
    if answer.content.tool().is_none() {
        out.extend_from_slice(b",\"content_index\":0");
    }
}

fn part(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(
        b"{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":",
    );
    push_string(out, text);
    out.push(b'}');
}

/// The one output item, with its text once it is whole.
fn item(out: &mut Vec<u8>, answer: &Answer, text: Option<&str>) {
    let status = if text.is_some() { "completed" } else { "in_progress" };
    push_fmt(out, format_args!("{{\"id\":\"{ITEM}\",\"status\":\"{status}\","));
    if let Some(name) = answer.content.tool() {
        out.extend_from_slice(b"\"type\":\"function_call\",\"call_id\":\"call_sim\",\"name\":");
        push_string(out, name);
        out.extend_from_slice(b",\"arguments\":");
        push_string(out, text.unwrap_or_default());
        out.push(b'}');
        return;
    }
    out.extend_from_slice(b"\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
    if let Some(text) = text {
        part(out, text);
    }
    out.extend_from_slice(b"]}");
}

fn object(out: &mut Vec<u8>, answer: &Answer, complete: bool) {
    let (status, details) = match (complete, answer.short) {
        (false, _) => ("in_progress", "null"),
        (true, true) => ("incomplete", "{\"reason\":\"max_output_tokens\"}"),
        (true, false) => ("completed", "null"),
    };
    push_fmt(
        out,
        format_args!(
            "{{\"id\":\"{}\",\"object\":\"response\",\"created_at\":{},\"status\":\"{status}\",\
             \"background\":false,\"error\":null,\"incomplete_details\":{details},\
             \"instructions\":null,\"metadata\":{{}},\"parallel_tool_calls\":true,\
             \"temperature\":1.0,\"top_p\":1.0,\"tool_choice\":\"auto\",\"tools\":[],\"model\":",
            answer.id, answer.created
        ),
    );
    push_string(out, &answer.model);
    out.extend_from_slice(b",\"output\":[");
    if complete {
        item(out, answer, Some(&answer.text()));
    }
    out.extend_from_slice(b"],\"usage\":");
    if complete {
        push_responses_usage(out, &answer.usage);
    } else {
        out.extend_from_slice(b"null");
    }
    out.push(b'}');
}
