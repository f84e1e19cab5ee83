//! Reads the input of a responses request: a text, or items.
//!
//! What a provider noted on items that it made (ids, states, phases) says nothing to another and is
//! passed over.

use serde_json::Value;

use crate::peek::BodyError;
use crate::translate::custom;
use crate::translate::fields::{Fields, must};
use crate::translate::names::refusal_as;
use crate::translate::prompt::{Call, CallResult, Part, Prompt, Role, Thought, Turn};

use super::content;

/// Appends the turns; what the system says before all others joins the instructions.
pub(super) fn read(input: Option<Value>, prompt: &mut Prompt) -> Result<(), BodyError> {
    let items = match input {
        None => return Err(must("input", "a string or a list of items")),
        Some(Value::String(text)) => {
            let parts = vec![Part::Text(text)];
            prompt.turns.push(Turn { role: Role::User, at: 0, parts });
            return Ok(());
        }
        Some(Value::Array(items)) => items,
        Some(_) => return Err(must("input", "a string or a list of items")),
    };
    for (at, item) in items.into_iter().enumerate() {
        let (role, parts) = self::item(Fields::of(item, format!("input[{at}]"))?)?;
        if role == Role::System && prompt.turns.is_empty() {
            let texts = parts.into_iter().filter_map(|part| match part {
                Part::Text(text) => Some(text),
                _ => None,
            });
            prompt.system.extend(texts);
        } else {
            prompt.turns.push(Turn { role, at, parts });
        }
    }
    Ok(())
}

fn item(mut item: Fields) -> Result<(Role, Vec<Part>), BodyError> {
    let kind = item.string("type")?.unwrap_or_else(|| "message".to_owned());
    let (role, part) = match &*kind {
        "message" => return message(item),
        "function_call" => (Role::Assistant, call(item, false)?),
        "custom_tool_call" => (Role::Assistant, call(item, true)?),
        "reasoning" => (Role::Assistant, thought(item)?),
        "function_call_output" | "custom_tool_call_output" => (Role::User, result(item)?),
        _ => {
            let why = format!("is an item of the kind `{kind}`, which this model's provider lacks");
            return Err(refusal_as(item.path(), &why));
        }
    };
    Ok((role, vec![part]))
}

fn message(mut item: Fields) -> Result<(Role, Vec<Part>), BodyError> {
    let role = match &*item.required("role")? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" | "developer" => Role::System,
        _ => return Err(must(&item.at("role"), "user, assistant, system or developer")),
    };
    let parts = content::read(&mut item, "content")?;
    if role == Role::System && parts.iter().any(|part| !matches!(part, Part::Text(_))) {
        return Err(refusal_as(&item.at("content"), "can only be text"));
    }
    Ok((role, parts))
}

fn call(mut item: Fields, is_custom: bool) -> Result<Part, BodyError> {
    if item.has("namespace") {
        return Err(refusal_as(&item.at("namespace"), "is not known to this model's provider"));
    }
    let (id, name) = (item.required("call_id")?, item.required("name")?);
    let arguments = if is_custom {
        custom::wrapped(&item.string("input")?.unwrap_or_default())
    } else {
        item.string("arguments")?.unwrap_or_default()
    };
    Ok(Part::Call(Call { id, name, arguments, signature: None }))
}

fn result(mut item: Fields) -> Result<Part, BodyError> {
    let (id, name) = (item.required("call_id")?, item.string("name")?);
    let parts = content::read(&mut item, "output")?;
    Ok(Part::Result(CallResult { id, name, parts, failed: false }))
}

fn thought(mut item: Fields) -> Result<Part, BodyError> {
    let mut texts = Vec::new();
    // The thought itself, where a provider shows it, or else its summary.
    for name in ["content", "summary"] {
        for part in item.list(name)?.unwrap_or_default() {
            texts.extend(part.get("text").and_then(Value::as_str).map(str::to_owned));
        }
        if !texts.is_empty() {
            break;
        }
    }
    let proof = item.string("encrypted_content")?;
    let text = texts.join("\n\n");
    Ok(Part::Thought(Thought { sealed: text.is_empty(), text, proof }))
}
