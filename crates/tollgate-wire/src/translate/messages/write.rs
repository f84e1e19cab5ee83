//! Writes the request to Claude.

use serde_json::{Map, Number, Value, json};

use crate::peek::BodyError;
use crate::translate::claude::{Claude, Thinking, lost_its_thought};
use crate::translate::dialogue::alternate;
use crate::translate::hints;
use crate::translate::names::{refusal, refusal_as};
use crate::translate::prompt::{Format, Prompt, Role, Tool, ToolChoice};
use crate::translate::tree::Tree as _;
use crate::translate::{Target, Written};

use super::convert;
use super::schema::{closed, object_schema};

/// By this, clients of OpenAI ask that a prompt be found in the cache; Anthropic keeps what it is
/// told to.
const CACHE_WISH: &str = "prompt_cache_key";

/// The least nucleus beside thinking.
const LEAST_TOP_P: f64 = 0.95;

/// Writes a request.
pub(crate) fn write(prompt: &Prompt, target: &Target<'_>) -> Result<Written, BodyError> {
    let model = Claude::named(target.model);
    let dialogue = alternate(prompt, model.takes_system_turns())?;
    let mut messages = Vec::with_capacity(dialogue.messages.len());
    for said in &dialogue.messages {
        messages.extend(convert::message(prompt, said)?);
    }
    let first = dialogue.messages.first().map(|said| said.role);
    if first != Some(Role::User) || messages.is_empty() {
        let why = "must begin with the user's: Claude's conversations do";
        return Err(refusal_as(prompt.names().turns, why));
    }
    let mut extras = prompt.extras.clone();
    let text = |text: &&str| json!({"type": "text", "text": text});
    let mut system: Vec<Value> = dialogue.system.iter().map(text).collect();
    if extras.shift_remove(CACHE_WISH).is_some() {
        keep_in_cache(&mut system, &mut messages);
    }
    let mut left_out = hints::left_out(prompt, &extras)?;
    left_out.extend(hints::detail(prompt));
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(target.model));
    if !system.is_empty() {
        body.insert("system".to_owned(), Value::Array(system));
    }
    body.insert("messages".to_owned(), Value::Array(messages));
    let max_tokens = target
        .output(prompt.max_output.or(target.max_output))
        .unwrap_or_else(|| model.max_output())
        .min(target.max_output.unwrap_or(u64::MAX));
    body.insert("max_tokens".to_owned(), json!(max_tokens));
    sampling(prompt, &mut body)?;
    tools(prompt, model, &mut body)?;
    let wish = Wish { model, max_tokens, thinks: target.thinks != Some(false) };
    thinking(prompt, &wish, &mut body, &mut left_out)?;
    format(prompt, &mut body)?;
    if let Some(user) = &prompt.user {
        body.insert("metadata".to_owned(), json!({"user_id": user}));
    }
    if prompt.service_tier.is_some() {
        left_out.push(prompt.names().service_tier);
    }
    if prompt.stream {
        body.insert("stream".to_owned(), json!(true));
    }
    Ok(Written { body: Value::Object(body).to_string().into(), left_out })
}

/// Marks the end of the instructions and of the conversation: what stands before is kept.
fn keep_in_cache(system: &mut [Value], messages: &mut [Value]) {
    let blocks = messages.last_mut().and_then(|last| last.get_mut("content"));
    let block = blocks.and_then(Value::as_array_mut).and_then(|blocks| blocks.last_mut());
    for block in system.last_mut().into_iter().chain(block) {
        // A thought cannot be marked.
        if let Some(members) =
            block.as_object_mut().filter(|block| !block.contains_key("signature"))
        {
            members.insert("cache_control".to_owned(), json!({"type": "ephemeral"}));
        }
    }
}

fn sampling(prompt: &Prompt, body: &mut Map<String, Value>) -> Result<(), BodyError> {
    let (names, sampling) = (prompt.names(), &prompt.sampling);
    if let Some(temperature) = &sampling.temperature {
        let number = temperature.as_f64().unwrap_or(f64::MAX);
        if !(0.0..=1.0).contains(&number) {
            return Err(refusal_as(names.temperature, "must be between 0 and 1 for Claude"));
        }
        // One is what it is anyhow, and current models take no other word on it.
        if number < 1.0 {
            body.insert("temperature".to_owned(), json!(temperature));
        }
    }
    for (name, number) in [("top_p", &sampling.top_p), ("top_k", &sampling.top_k)] {
        if let Some(number) = number {
            body.insert(name.to_owned(), json!(number));
        }
    }
    refuse_unknown_sampling(prompt)?;
    if !prompt.stop.is_empty() {
        body.insert("stop_sequences".to_owned(), json!(prompt.stop));
    }
    Ok(())
}

/// Refuses what neither Anthropic nor Bedrock knows.
pub(in crate::translate) fn refuse_unknown_sampling(prompt: &Prompt) -> Result<(), BodyError> {
    let (names, sampling) = (prompt.names(), &prompt.sampling);
    if sampling.seed.is_some() {
        return Err(refusal(names.seed));
    }
    for (name, penalty) in [
        (names.presence_penalty, &sampling.presence_penalty),
        (names.frequency_penalty, &sampling.frequency_penalty),
    ] {
        // Zero is no penalty.
        if penalty.as_ref().is_some_and(|penalty| penalty.as_f64() != Some(0.0)) {
            return Err(refusal(name));
        }
    }
    Ok(())
}

fn tools(prompt: &Prompt, model: Claude, body: &mut Map<String, Value>) -> Result<(), BodyError> {
    let choice = match &prompt.tool_choice {
        Some(ToolChoice::Any | ToolChoice::Tool(_)) if prompt.tools.is_empty() => {
            return Err(refusal_as(prompt.names().tool_choice, "names tools, and there are none"));
        }
        _ if prompt.tools.is_empty() => return Ok(()),
        None => None,
        Some(ToolChoice::None) => Some(json!({"type": "none"})),
        Some(ToolChoice::Auto) => Some(json!({"type": "auto"})),
        Some(ToolChoice::Any) => Some(json!({"type": "any"})),
        Some(ToolChoice::Tool(name)) => Some(json!({"type": "tool", "name": name})),
    };
    let list = prompt.tools.iter().map(|each| tool(each, model)).collect();
    body.insert("tools".to_owned(), Value::Array(list));
    let single =
        prompt.parallel_calls == Some(false) && prompt.tool_choice != Some(ToolChoice::None);
    let choice = choice.or_else(|| single.then(|| json!({"type": "auto"})));
    if let Some(mut choice) = choice {
        if single {
            choice.put("disable_parallel_tool_use", json!(true));
        }
        body.insert("tool_choice".to_owned(), choice);
    }
    Ok(())
}

fn tool(tool: &Tool, model: Claude) -> Value {
    let mut object = json!({"name": tool.name});
    if let Some(description) = tool.described() {
        object.put("description", json!(description));
    }
    let schema = object_schema(tool.schema.as_ref());
    if tool.strict == Some(true) && model.takes_strict_tools() {
        object.put("input_schema", closed(&schema));
        object.put("strict", json!(true));
    } else {
        object.put("input_schema", schema);
    }
    object
}

/// What bears on how the model is told to think.
struct Wish {
    model: Claude,
    max_tokens: u64,
    /// Whether the model can.
    thinks: bool,
}

fn thinking(
    prompt: &Prompt,
    wish: &Wish,
    body: &mut Map<String, Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(), BodyError> {
    let names = prompt.names();
    let Some(reasoning) = &prompt.reasoning else { return Ok(()) };
    let (thinking, effort) = wish.model.thinking(reasoning, wish.max_tokens);
    let forgotten = matches!(thinking, Thinking::Budget(_)) && lost_its_thought(prompt);
    if !wish.thinks || forgotten {
        left_out.push(names.reasoning);
        return Ok(());
    }
    let object = thinking.object(reasoning.show);
    if matches!(thinking, Thinking::Budget(_) | Thinking::Adaptive) {
        thoughts_allow(prompt, body)?;
    }
    if let Some(object) = object {
        body.insert("thinking".to_owned(), object);
    }
    if let Some(effort) = effort {
        body.insert("output_config".to_owned(), json!({"effort": effort}));
    }
    Ok(())
}

/// Claude refuses to think at another temperature than one, or when it is told which tool to call.
fn thoughts_allow(prompt: &Prompt, body: &Map<String, Value>) -> Result<(), BodyError> {
    let names = prompt.names();
    for (key, name) in [("temperature", names.temperature), ("top_k", names.top_k)] {
        if body.contains_key(key) {
            return Err(refusal_as(name, "cannot be set where Claude thinks"));
        }
    }
    let top_p = prompt.sampling.top_p.as_ref().and_then(Number::as_f64);
    if top_p.is_some_and(|top_p| top_p < LEAST_TOP_P) {
        return Err(refusal_as(names.top_p, "must be 0.95 or more where Claude thinks"));
    }
    match prompt.tool_choice {
        Some(ToolChoice::Any | ToolChoice::Tool(_)) => {
            let why = "cannot force a call where Claude thinks";
            Err(refusal_as(names.tool_choice, why))
        }
        _ => Ok(()),
    }
}

fn format(prompt: &Prompt, body: &mut Map<String, Value>) -> Result<(), BodyError> {
    let schema = match &prompt.format {
        None => return Ok(()),
        Some(Format::Json) => {
            let why = "must have a JSON Schema for Claude, which promises no other JSON";
            return Err(refusal_as(prompt.names().format, why));
        }
        Some(Format::Schema { schema, .. }) => closed(schema),
    };
    let config = body.entry("output_config").or_insert_with(|| json!({}));
    config.put("format", json!({"type": "json_schema", "schema": schema}));
    Ok(())
}

#[cfg(test)]
mod tests;
