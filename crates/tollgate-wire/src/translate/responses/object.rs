//! Writes response objects: whole answers, and what the events of a stream repeat.

use tollgate_domain::call::Dialect;

use crate::error::provider_word;
use crate::json::{push_fmt, push_string};
use crate::openai::push_responses_usage;
use crate::translate::View;
use crate::translate::custom;
use crate::translate::failure::inband;
use crate::translate::reply::{Answer, Block, Event, Filled, Reason, Stop};

/// Writes a whole answer.
pub(crate) fn write_whole(events: &[Event], view: &View) -> Vec<u8> {
    let answer = Answer::of(events);
    if let Some(error) = &answer.error {
        return inband(Dialect::Openai, error).into();
    }
    let mut out = Vec::with_capacity(2048);
    push_response(&mut out, &answer, view, State::of(answer.stop.as_ref()));
    out
}

/// The state of a response or an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl State {
    pub(super) fn of(stop: Option<&Stop>) -> Self {
        match stop.map(|stop| stop.reason) {
            Some(Reason::Length | Reason::Filtered) => Self::Incomplete,
            None | Some(Reason::End | Reason::Calls) => Self::Completed,
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

/// The response object. What it says of the request are the defaults: what was asked stands in the
/// request.
pub(super) fn push_response(out: &mut Vec<u8>, answer: &Answer, view: &View, state: State) {
    out.extend_from_slice(b"{\"id\":");
    match &answer.id {
        Some(id) => push_string(out, id),
        None => push_string(out, &format!("resp_{}", view.fallback_id)),
    }
    let created = answer.created.unwrap_or(view.created);
    push_fmt(
        out,
        format_args!(
            ",\"object\":\"response\",\"created_at\":{created},\"status\":\"{}\",\
             \"background\":false,\"error\":",
            state.word()
        ),
    );
    push_failure(out, answer, state);
    push_reason(out, answer.stop.as_ref(), state);
    out.extend_from_slice(
        b",\"instructions\":null,\"max_output_tokens\":null,\"metadata\":{},\"model\":",
    );
    push_string(out, &view.model);
    out.extend_from_slice(b",\"output\":[");
    for (place, filled) in answer.blocks.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_item(
            out,
            filled,
            view,
            if state == State::InProgress { state } else { State::Completed },
        );
    }
    out.extend_from_slice(
        b"],\"parallel_tool_calls\":true,\"previous_response_id\":null,\
          \"reasoning\":{\"effort\":null,\"summary\":null},\"store\":false,\"temperature\":null,\
          \"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],\
          \"top_p\":null,\"truncation\":\"disabled\",\"user\":null,\"usage\":",
    );
    match answer.usage.filter(|_| state != State::InProgress) {
        Some(usage) => push_responses_usage(out, &usage),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn push_failure(out: &mut Vec<u8>, answer: &Answer, state: State) {
    let Some(error) = answer.error.as_ref().filter(|_| state == State::Failed) else {
        out.extend_from_slice(b"null");
        return;
    };
    let code = provider_word(error).unwrap_or("server_error");
    out.extend_from_slice(b"{\"code\":");
    push_string(out, code);
    out.extend_from_slice(b",\"message\":");
    push_string(out, &error.message);
    out.push(b'}');
}

/// Why it is incomplete, and the provider's own word for the end.
fn push_reason(out: &mut Vec<u8>, stop: Option<&Stop>, state: State) {
    let reason = match stop.map(|stop| stop.reason) {
        Some(Reason::Filtered) => "{\"reason\":\"content_filter\"}",
        Some(Reason::Length) => "{\"reason\":\"max_output_tokens\"}",
        _ => "null",
    };
    let reason = if state == State::Incomplete { reason } else { "null" };
    push_fmt(out, format_args!(",\"incomplete_details\":{reason}"));
    if let Some(stop) = stop.filter(|stop| !stop.native.is_empty()) {
        out.extend_from_slice(b",\"native_finish_reason\":");
        push_string(out, &stop.native);
    }
}

/// The id of the item that a block becomes.
pub(super) fn item_id(filled: &Filled, view: &View) -> String {
    let kind = match &filled.block {
        Block::Text | Block::Refusal => "msg",
        Block::Thought | Block::SealedThought => "rs",
        Block::Call { name, .. } if view.custom_tools.contains(name) => "ctc",
        Block::Call { .. } => "fc",
    };
    format!("{kind}_{}_{}", view.fallback_id, filled.number)
}

/// An item with what it holds so far; in progress it holds nothing.
pub(super) fn push_item(out: &mut Vec<u8>, filled: &Filled, view: &View, state: State) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, &item_id(filled, view));
    let done = state != State::InProgress;
    match &filled.block {
        Block::Text | Block::Refusal => {
            push_fmt(
                out,
                format_args!(
                    ",\"type\":\"message\",\"status\":\"{}\",\"role\":\"assistant\",\"content\":[",
                    state.word()
                ),
            );
            if done {
                push_part(out, &filled.block, &filled.text);
            }
            out.extend_from_slice(b"]}");
        }
        Block::Thought | Block::SealedThought => {
            out.extend_from_slice(b",\"type\":\"reasoning\",\"summary\":[");
            if done && !filled.text.is_empty() {
                push_part(out, &filled.block, &filled.text);
            }
            out.push(b']');
            if let Some(proof) = filled.proof.as_deref().filter(|_| done) {
                out.extend_from_slice(b",\"encrypted_content\":");
                push_string(out, proof);
            }
            out.push(b'}');
        }
        Block::Call { id, name } => {
            let text = if done { &*filled.text } else { "" };
            if view.custom_tools.contains(name) {
                let input = if done { custom::unwrapped(text) } else { String::new() };
                push_call(out, [id, name], ["custom_tool_call", "input", &input], state);
            } else {
                push_call(out, [id, name], ["function_call", "arguments", text], state);
            }
        }
    }
}

fn push_call(
    out: &mut Vec<u8>,
    [id, name]: [&str; 2],
    [kind, member, text]: [&str; 3],
    state: State,
) {
    let state = state.word();
    push_fmt(out, format_args!(",\"type\":\"{kind}\",\"status\":\"{state}\",\"call_id\":"));
    push_string(out, id);
    out.extend_from_slice(b",\"name\":");
    push_string(out, name);
    push_fmt(out, format_args!(",\"{member}\":"));
    push_string(out, text);
    out.push(b'}');
}

/// A part of an item's content or summary.
pub(super) fn push_part(out: &mut Vec<u8>, block: &Block, text: &str) {
    let lead: &[u8] = match block {
        Block::Refusal => b"{\"type\":\"refusal\",\"refusal\":",
        Block::Thought | Block::SealedThought => b"{\"type\":\"summary_text\",\"text\":",
        Block::Text | Block::Call { .. } => {
            b"{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":"
        }
    };
    out.extend_from_slice(lead);
    push_string(out, text);
    out.push(b'}');
}
