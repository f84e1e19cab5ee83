//! Reads the messages of a chat completion request.

use serde_json::{Map, Value};

use crate::peek::BodyError;
use crate::translate::custom;
use crate::translate::fields::{Fields, must};
use crate::translate::names::refusal_as;
use crate::translate::prompt::{Call, CallResult, Part, Prompt, Role, Turn};

use super::content;
use super::details;

/// Appends the messages; those of the system that stand before all others come first.
pub(super) fn read(messages: Vec<Value>, prompt: &mut Prompt) -> Result<(), BodyError> {
    for (at, message) in messages.into_iter().enumerate() {
        let mut message = Fields::of(message, format!("messages[{at}]"))?;
        let extras = &mut prompt.extras;
        let role = message.required("role")?;
        let (role, parts) = match &*role {
            "system" | "developer" => (Role::System, content::read(&mut message, extras)?),
            "user" => (Role::User, content::read(&mut message, extras)?),
            "assistant" => (Role::Assistant, assistant(&mut message, extras)?),
            "tool" => (Role::User, vec![result(&mut message, extras)?]),
            _ => return Err(must(&message.at("role"), "system, user, assistant or tool")),
        };
        message.hints(content::HINTS, extras);
        message.end(&["annotations"])?;
        if role == Role::System && prompt.turns.is_empty() {
            system(parts, at, prompt)?;
        } else {
            prompt.turns.push(Turn { role, at, parts });
        }
    }
    Ok(())
}

fn system(parts: Vec<Part>, at: usize, prompt: &mut Prompt) -> Result<(), BodyError> {
    for part in parts {
        match part {
            Part::Text(text) => prompt.system.push(text),
            _ => return Err(refusal_as(&format!("messages[{at}].content"), "can only be text")),
        }
    }
    Ok(())
}

/// What the model said: thoughts, text, calls.
fn assistant(
    message: &mut Fields,
    extras: &mut Map<String, Value>,
) -> Result<Vec<Part>, BodyError> {
    let mut parts = details::thoughts(message)?;
    parts.extend(content::read(message, extras)?);
    if let Some(refusal) = message.string("refusal")? {
        parts.push(Part::Refusal(refusal));
    }
    let calls = message.list("tool_calls")?.unwrap_or_default();
    let path = message.at("tool_calls");
    for (at, call) in calls.into_iter().enumerate() {
        parts.push(Part::Call(self::call(Fields::of(call, format!("{path}[{at}]"))?)?));
    }
    Ok(parts)
}

fn call(mut call: Fields) -> Result<Call, BodyError> {
    let id = call.required("id")?;
    let kind = call.string("type")?.unwrap_or_else(|| "function".to_owned());
    if !matches!(&*kind, "function" | "custom") {
        return Err(must(&call.at("type"), "function or custom"));
    }
    let path = call.at(&kind);
    let mut inner = call.object(&kind)?.ok_or_else(|| must(&path, "an object"))?;
    let name = inner.required("name")?;
    let arguments = if kind == "custom" {
        custom::wrapped(&inner.string("input")?.unwrap_or_default())
    } else {
        inner.string("arguments")?.unwrap_or_default()
    };
    inner.end(&[])?;
    // Some SDKs give back the place that the call had in the stream.
    call.end(&["index"])?;
    Ok(Call { id, name, arguments, signature: None })
}

fn result(message: &mut Fields, extras: &mut Map<String, Value>) -> Result<Part, BodyError> {
    let id = message.required("tool_call_id")?;
    let name = message.string("name")?.filter(|name| !name.is_empty());
    let parts = content::read(message, extras)?;
    Ok(Part::Result(CallResult { id, name, parts, failed: false }))
}
