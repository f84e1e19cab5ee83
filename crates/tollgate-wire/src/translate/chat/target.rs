//! Writes the chat completion request to a provider.
//!
//! Many vendors speak this form and few know all of it, so what is only a hint is left out, and
//! content that is nothing but text is written as one text.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::effort::{Effort, effort};
use crate::translate::hints;
use crate::translate::names::refusal;
use crate::translate::prompt::{Format, Prompt, Tool, ToolChoice};
use crate::translate::{Target, Written};

use super::messages::messages;

/// Writes the request.
pub(crate) fn write(prompt: &Prompt, target: &Target<'_>) -> Result<Written, BodyError> {
    let mut left_out = hints::left_out(prompt, &prompt.extras)?;
    let names = prompt.names();
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    body.insert("messages".to_owned(), messages(prompt)?.into());
    tools(prompt, &mut body);
    if let Some(max) = target.output(prompt.max_output) {
        let name = if target.legacy_max_tokens { "max_tokens" } else { "max_completion_tokens" };
        body.insert(name.to_owned(), max.into());
    }
    sampling(prompt, &mut body)?;
    if let Some(format) = &prompt.format {
        body.insert("response_format".to_owned(), response_format(format));
    }
    match effort(prompt, target) {
        Effort::Unsaid => {}
        Effort::Word(word) => {
            body.insert("reasoning_effort".to_owned(), word.into());
        }
        Effort::LeftOut => left_out.push(names.reasoning),
    }
    if prompt.stream {
        body.insert("stream".to_owned(), true.into());
        if target.include_usage {
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
    }
    left_out.extend(prompt.user.as_ref().map(|_| names.user));
    left_out.extend(prompt.service_tier.as_ref().map(|_| names.service_tier));
    Ok(Written { body: Value::Object(body).to_string().into(), left_out })
}

fn sampling(prompt: &Prompt, body: &mut Map<String, Value>) -> Result<(), BodyError> {
    let sampling = &prompt.sampling;
    if sampling.top_k.is_some() {
        return Err(refusal(prompt.names().top_k));
    }
    for (name, number) in [
        ("temperature", &sampling.temperature),
        ("top_p", &sampling.top_p),
        ("seed", &sampling.seed),
        ("presence_penalty", &sampling.presence_penalty),
        ("frequency_penalty", &sampling.frequency_penalty),
    ] {
        if let Some(number) = number {
            body.insert(name.to_owned(), number.clone().into());
        }
    }
    if !prompt.stop.is_empty() {
        body.insert("stop".to_owned(), prompt.stop.clone().into());
    }
    Ok(())
}

fn tools(prompt: &Prompt, body: &mut Map<String, Value>) {
    if prompt.tools.is_empty() {
        return;
    }
    let tools: Vec<Value> = prompt.tools.iter().map(tool).collect();
    body.insert("tools".to_owned(), tools.into());
    if let Some(choice) = &prompt.tool_choice {
        body.insert("tool_choice".to_owned(), tool_choice(choice));
    }
    if prompt.parallel_calls == Some(false) {
        body.insert("parallel_tool_calls".to_owned(), false.into());
    }
}

fn tool(tool: &Tool) -> Value {
    let mut function = Map::new();
    function.insert("name".to_owned(), tool.name.as_str().into());
    if let Some(description) = tool.described() {
        function.insert("description".to_owned(), description.into());
    }
    if let Some(schema) = &tool.schema {
        function.insert("parameters".to_owned(), schema.clone());
    }
    if let Some(strict) = tool.strict {
        function.insert("strict".to_owned(), strict.into());
    }
    json!({"type": "function", "function": function})
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Any => "required".into(),
        ToolChoice::Tool(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn response_format(format: &Format) -> Value {
    match format {
        Format::Json => json!({"type": "json_object"}),
        Format::Schema { name, description, schema, strict } => {
            let mut inner = Map::new();
            let name = name.as_deref().unwrap_or("response");
            inner.insert("name".to_owned(), name.into());
            if let Some(description) = description {
                inner.insert("description".to_owned(), description.as_str().into());
            }
            inner.insert("schema".to_owned(), schema.clone());
            if let Some(strict) = strict {
                inner.insert("strict".to_owned(), (*strict).into());
            }
            json!({"type": "json_schema", "json_schema": inner})
        }
    }
}
