//! Writes the conversation as input items, in its order.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::custom;
use crate::translate::outcome;
use crate::translate::prompt::{Call, CallResult, Part, Prompt, Role, Thought, Turn};

use super::content;

/// All items.
pub(super) fn items(prompt: &Prompt) -> Result<Vec<Value>, BodyError> {
    let mut items = Vec::new();
    for turn in &prompt.turns {
        match turn.role {
            Role::Assistant => assistant(prompt, turn, &mut items)?,
            Role::User => spoken(prompt, turn, "user", &mut items)?,
            Role::System => spoken(prompt, turn, "developer", &mut items)?,
        }
    }
    Ok(items)
}

fn message(role: &str, content: &mut Vec<Value>, out: &mut Vec<Value>) {
    if !content.is_empty() {
        let content = std::mem::take(content);
        out.push(json!({"type": "message", "role": role, "content": content}));
    }
}

/// What others than the model say, and the results of tools between.
fn spoken(prompt: &Prompt, turn: &Turn, role: &str, out: &mut Vec<Value>) -> Result<(), BodyError> {
    let mut said = Vec::new();
    for (place, part) in turn.parts.iter().enumerate() {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Result(result) => {
                message(role, &mut said, out);
                out.push(self::result(prompt, turn, place, result)?);
            }
            part => said.push(content::write(prompt, turn, place, part)?),
        }
    }
    message(role, &mut said, out);
    Ok(())
}

fn result(
    prompt: &Prompt,
    turn: &Turn,
    place: usize,
    result: &CallResult,
) -> Result<Value, BodyError> {
    let kind = match result.name.as_deref() {
        Some(name) if is_custom(prompt, name) => "custom_tool_call_output",
        _ => "function_call_output",
    };
    let text = outcome::text(result);
    let shown: Vec<&Part> = result.parts.iter().filter(|part| !outcome::is_text(part)).collect();
    let output: Value = if shown.is_empty() {
        text.into()
    } else {
        let text = (!text.is_empty()).then(|| json!({"type": "input_text", "text": text}));
        let shown = shown.into_iter().map(|part| content::write(prompt, turn, place, part));
        text.into_iter().map(Ok).chain(shown).collect::<Result<Vec<_>, _>>()?.into()
    };
    Ok(json!({"type": kind, "call_id": result.id, "output": output}))
}

fn assistant(prompt: &Prompt, turn: &Turn, out: &mut Vec<Value>) -> Result<(), BodyError> {
    for (place, part) in turn.parts.iter().enumerate() {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => {
                message("assistant", &mut vec![json!({"type": "output_text", "text": text})], out);
            }
            Part::Refusal(text) => {
                message("assistant", &mut vec![json!({"type": "refusal", "refusal": text})], out);
            }
            Part::Thought(thought) => out.extend(self::thought(thought)),
            Part::Call(call) => out.push(self::call(prompt, call)),
            Part::Image { .. } | Part::Document { .. } | Part::Audio(_) | Part::Result(_) => {
                return Err(prompt.refuse_part(turn, place, "type"));
            }
        }
    }
    Ok(())
}

/// A thought that the provider gave; without its proof it cannot be given back.
fn thought(thought: &Thought) -> Option<Value> {
    let proof = thought.proof.as_deref()?;
    let summary =
        (!thought.text.is_empty()).then(|| json!({"type": "summary_text", "text": thought.text}));
    let summary: Vec<Value> = summary.into_iter().collect();
    Some(json!({"type": "reasoning", "summary": summary, "encrypted_content": proof}))
}

fn call(prompt: &Prompt, call: &Call) -> Value {
    let mut item = Map::new();
    let (kind, member, said) = if is_custom(prompt, &call.name) {
        ("custom_tool_call", "input", custom::unwrapped(&call.arguments))
    } else if call.arguments.trim().is_empty() {
        ("function_call", "arguments", "{}".to_owned())
    } else {
        ("function_call", "arguments", call.arguments.clone())
    };
    for (name, value) in [
        ("type", kind.into()),
        ("call_id", call.id.as_str().into()),
        ("name", call.name.as_str().into()),
        (member, Value::String(said)),
    ] {
        item.insert(name.to_owned(), value);
    }
    item.into()
}

fn is_custom(prompt: &Prompt, name: &str) -> bool {
    prompt.tools.iter().any(|tool| tool.name == name && tool.custom.is_some())
}
