//! Writes the conversation as chat messages.
//!
//! Neighbours of the same role become one message. Results of tools come first in what the user
//! says, as messages of their own; their pictures follow, because such a message holds text only.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::outcome;
use crate::translate::prompt::{Part, Prompt, Role, Turn};

use super::content;

/// All messages.
pub(super) fn messages(prompt: &Prompt) -> Result<Vec<Value>, BodyError> {
    let mut messages = Vec::new();
    let system = joined(prompt.system.iter().map(String::as_str));
    if !system.is_empty() {
        messages.push(json!({"role": "system", "content": system}));
    }
    for turns in prompt.turns.chunk_by(|one, next| one.role == next.role) {
        match turns.first().map(|turn| turn.role) {
            Some(Role::System) => messages.extend(spoken(prompt, turns, "system")?),
            Some(Role::User) => {
                results(prompt, turns, &mut messages)?;
                messages.extend(spoken(prompt, turns, "user")?);
            }
            Some(Role::Assistant) => messages.extend(assistant(prompt, turns)?),
            None => {}
        }
    }
    Ok(messages)
}

/// Each part with its turn and its place there.
fn parts(turns: &[Turn]) -> impl Iterator<Item = (&Turn, usize, &Part)> {
    turns.iter().flat_map(|turn| {
        turn.parts.iter().enumerate().map(move |(place, part)| (turn, place, part))
    })
}

/// What is said by others than the model; nothing where it is empty.
fn spoken(prompt: &Prompt, turns: &[Turn], role: &str) -> Result<Option<Value>, BodyError> {
    let mut said = Vec::new();
    for (turn, place, part) in parts(turns) {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Result(result) => {
                for shown in result.parts.iter().filter(|part| !outcome::is_text(part)) {
                    said.push(content::write(prompt, turn, place, shown)?);
                }
            }
            part => said.push(content::write(prompt, turn, place, part)?),
        }
    }
    Ok(content(said).map(|content| json!({"role": role, "content": content})))
}

/// A list of parts, or one text where there is nothing else.
fn content(said: Vec<Value>) -> Option<Value> {
    let texts: Option<Vec<&str>> = said.iter().map(|part| part.get("text")?.as_str()).collect();
    match texts {
        Some(texts) if texts.is_empty() => None,
        Some(texts) => Some(joined(texts.into_iter()).into()),
        None => Some(said.into()),
    }
}

fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    texts.join("\n\n")
}

fn results(prompt: &Prompt, turns: &[Turn], out: &mut Vec<Value>) -> Result<(), BodyError> {
    for (turn, place, part) in parts(turns) {
        let Part::Result(result) = part else { continue };
        for shown in &result.parts {
            // The pictures are written later: what cannot be written is refused before anything.
            content::write(prompt, turn, place, shown)?;
        }
        let shown = result.parts.iter().any(|part| !outcome::is_text(part));
        let content = match outcome::text(result) {
            text if text.is_empty() && shown => "The result is in the next message.".to_owned(),
            text => text,
        };
        out.push(json!({"role": "tool", "tool_call_id": result.id, "content": content}));
    }
    Ok(())
}

/// What the model said, as one message. Its thoughts are wanted back where it called tools.
fn assistant(prompt: &Prompt, turns: &[Turn]) -> Result<Option<Value>, BodyError> {
    let (mut text, mut thoughts, mut calls) = (String::new(), String::new(), Vec::new());
    for (turn, place, part) in parts(turns) {
        match part {
            Part::Text(said) | Part::Refusal(said) => text.push_str(said),
            Part::Thought(thought) => thoughts.push_str(&thought.text),
            Part::Call(call) => {
                let arguments =
                    if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
                calls.push(json!({"id": call.id, "type": "function",
                    "function": {"name": call.name, "arguments": arguments}}));
            }
            Part::Image { .. } | Part::Document { .. } | Part::Audio(_) | Part::Result(_) => {
                return Err(prompt.refuse_part(turn, place, "type"));
            }
        }
    }
    if text.is_empty() && calls.is_empty() {
        return Ok(None);
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    let content = if text.is_empty() { Value::Null } else { text.into() };
    message.insert("content".to_owned(), content);
    if !calls.is_empty() {
        if !thoughts.is_empty() {
            message.insert("reasoning_content".to_owned(), thoughts.into());
        }
        message.insert("tool_calls".to_owned(), calls.into());
    }
    Ok(Some(message.into()))
}
