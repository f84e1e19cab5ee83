//! Shows an answer to a client of chat completions, whole.
//!
//! The provider's own word for the end stands in `native_finish_reason`, as OpenRouter has it.

use serde_json::Value;
use tollgate_domain::call::Dialect;

use crate::json::{push_fmt, push_optional, push_string};
use crate::openai::push_usage;
use crate::translate::View;
use crate::translate::custom;
use crate::translate::failure::inband;
use crate::translate::reply::{Answer, Block, Event, Filled, Reason, Stop};

use super::details::detail;

/// Writes a whole answer.
pub(crate) fn write_whole(events: &[Event], view: &View) -> Vec<u8> {
    let answer = Answer::of(events);
    if let Some(error) = &answer.error {
        return inband(Dialect::Openai, error).into();
    }
    let mut out = Vec::with_capacity(1024);
    push_head(&mut out, answer.id.as_deref(), answer.created, view, "chat.completion");
    out.extend_from_slice(b"{\"index\":0,\"message\":");
    message(&mut out, &answer, view);
    out.extend_from_slice(b",\"logprobs\":null");
    push_finish(&mut out, answer.stop.as_ref());
    out.extend_from_slice(b"}],\"usage\":");
    match &answer.usage {
        Some(usage) => push_usage(&mut out, usage),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    out
}

/// What stands in front of the choices.
pub(super) fn push_head(
    out: &mut Vec<u8>,
    id: Option<&str>,
    created: Option<u64>,
    view: &View,
    object: &str,
) {
    out.extend_from_slice(b"{\"id\":");
    match id {
        Some(id) => push_string(out, id),
        None => push_string(out, &format!("chatcmpl-{}", view.fallback_id)),
    }
    let created = created.unwrap_or(view.created);
    push_fmt(out, format_args!(",\"object\":\"{object}\",\"created\":{created},\"model\":"));
    push_string(out, &view.model);
    out.extend_from_slice(b",\"choices\":[");
}

/// The reason to stop, in this form's word and the provider's.
pub(super) fn push_finish(out: &mut Vec<u8>, stop: Option<&Stop>) {
    let word = match stop.map(|stop| stop.reason) {
        None | Some(Reason::End) => "stop",
        Some(Reason::Length) => "length",
        Some(Reason::Calls) => "tool_calls",
        Some(Reason::Filtered) => "content_filter",
    };
    push_fmt(out, format_args!(",\"finish_reason\":\"{word}\""));
    if let Some(stop) = stop.filter(|stop| !stop.native.is_empty()) {
        out.extend_from_slice(b",\"native_finish_reason\":");
        push_string(out, &stop.native);
    }
}

/// The members of a call, without its braces.
pub(super) fn push_call(out: &mut Vec<u8>, id: &str, name: &str, said: Said<'_>) {
    let (kind, member, text) = match said {
        Said::Arguments(text) => ("function", "arguments", text),
        Said::Input(text) => ("custom", "input", text),
    };
    out.extend_from_slice(b"\"id\":");
    push_string(out, id);
    push_fmt(out, format_args!(",\"type\":\"{kind}\",\"{kind}\":{{\"name\":"));
    push_string(out, name);
    push_fmt(out, format_args!(",\"{member}\":"));
    push_string(out, text);
    out.push(b'}');
}

/// What a call says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'a> {
    /// JSON.
    Arguments(&'a str),
    /// The text of a custom tool.
    Input(&'a str),
}

/// The entry of a thought whose proof the client is to give back; none where the mark of its
/// origin is all there is, as nothing would be lost.
pub(super) fn proven(index: usize, filled: &Filled) -> Option<Value> {
    let proof = filled.proof.as_deref().filter(|proof| !proof.ends_with('/'))?;
    Some(detail(index, &filled.text, proof, filled.block == Block::SealedThought))
}

fn message(out: &mut Vec<u8>, answer: &Answer, view: &View) {
    let said = |wanted: Block| {
        let mut blocks = answer.blocks.iter().filter(|filled| filled.block == wanted).peekable();
        blocks.peek().is_some().then(|| blocks.map(|filled| &*filled.text).collect::<String>())
    };
    let (text, refusal) = (said(Block::Text), said(Block::Refusal));
    let calls = answer.blocks.iter().any(|filled| matches!(filled.block, Block::Call { .. }));
    // An answer without anything is a text without anything.
    let text = text.or_else(|| (!calls && refusal.is_none()).then(String::new));
    out.extend_from_slice(b"{\"role\":\"assistant\",\"content\":");
    push_optional(out, text.as_deref());
    out.extend_from_slice(b",\"refusal\":");
    push_optional(out, refusal.as_deref());
    if let Some(thought) = said(Block::Thought).filter(|thought| !thought.is_empty()) {
        out.extend_from_slice(b",\"reasoning_content\":");
        push_string(out, &thought);
    }
    let details = answer.blocks.iter().enumerate();
    let details: Vec<Value> = details.filter_map(|(index, filled)| proven(index, filled)).collect();
    if !details.is_empty() {
        push_fmt(out, format_args!(",\"reasoning_details\":{}", Value::Array(details)));
    }
    if calls {
        tool_calls(out, answer, view);
    }
    out.extend_from_slice(b",\"annotations\":[]}");
}

fn tool_calls(out: &mut Vec<u8>, answer: &Answer, view: &View) {
    let mut lead: &[u8] = b",\"tool_calls\":[{";
    for filled in &answer.blocks {
        let Block::Call { id, name } = &filled.block else { continue };
        out.extend_from_slice(lead);
        lead = b"},{";
        if view.custom_tools.contains(name) {
            push_call(out, id, name, Said::Input(&custom::unwrapped(&filled.text)));
        } else {
            push_call(out, id, name, Said::Arguments(&filled.text));
        }
    }
    out.extend_from_slice(b"}]");
}
