//! Reads a client's request.

use serde_json::{Value, json};

use crate::peek::BodyError;
use crate::translate::Form;
use crate::translate::fields::{Fields, must};
use crate::translate::prompt::{Format, Prompt, Reasoning, Sampling, Tool, ToolChoice, Turn};

use super::blocks;

/// What Claude Code puts before its instructions: an account of itself that changes with each call
/// and would keep another provider's cache from ever matching.
const BILLING_LINE: &str = "x-anthropic-billing-header:";

/// Reads a request.
pub(crate) fn read(_model: Option<&str>, body: &[u8]) -> Result<Prompt, BodyError> {
    let mut body = Fields::of_body(body)?;
    let mut cached = body.value("cache_control").is_some();
    let mut prompt = Prompt {
        form: Form::Messages,
        model: body.required("model")?,
        system: system(&mut body, &mut cached)?,
        turns: turns(&mut body, &mut cached)?,
        tools: tools(&mut body, &mut cached)?,
        max_output: body.count("max_tokens")?,
        sampling: Sampling {
            temperature: body.number("temperature")?,
            top_p: body.number("top_p")?,
            top_k: body.number("top_k")?,
            ..Sampling::default()
        },
        stop: body.texts("stop_sequences")?,
        stream: body.flag("stream")?.unwrap_or(false),
        service_tier: body.string("service_tier")?,
        ..Prompt::default()
    };
    if prompt.max_output.is_none() {
        return Err(must("max_tokens", "a whole number, zero or more"));
    }
    choice(&mut body, &mut prompt)?;
    thinking(&mut body, &mut prompt)?;
    if let Some(mut metadata) = body.object("metadata")? {
        prompt.user = metadata.string("user_id")?;
        prompt.extras.extend(metadata.rest());
    }
    if cached {
        prompt.extras.insert("cache_control".to_owned(), Value::Bool(true));
    }
    prompt.extras.extend(body.rest());
    Ok(prompt)
}

fn system(body: &mut Fields, cached: &mut bool) -> Result<Vec<String>, BodyError> {
    let mut texts = Vec::new();
    for block in body.texts_or_items("system")? {
        let text = match block {
            Ok(text) => text,
            Err(block) => blocks::text(block, cached)?,
        };
        if !text.starts_with(BILLING_LINE) {
            texts.push(text);
        }
    }
    Ok(texts)
}

fn turns(body: &mut Fields, cached: &mut bool) -> Result<Vec<Turn>, BodyError> {
    if !body.has("messages") {
        return Err(must("messages", "a list of messages"));
    }
    let messages = body.items("messages")?.into_iter().enumerate();
    messages.map(|(at, message)| blocks::turn(at, message, cached)).collect()
}

fn tools(body: &mut Fields, cached: &mut bool) -> Result<Vec<Tool>, BodyError> {
    body.items("tools")?.into_iter().map(|fields| tool(fields, cached)).collect()
}

fn tool(mut fields: Fields, cached: &mut bool) -> Result<Tool, BodyError> {
    if let Some(kind) = fields.string("type")?
        && kind != "custom"
    {
        let message = format!("`{}` is `{kind}`, a tool of Anthropic's own", fields.path());
        return Err(BodyError::of(fields.path(), message));
    }
    let tool = Tool {
        name: fields.required("name")?,
        description: fields.string("description")?,
        schema: fields.value("input_schema"),
        strict: fields.flag("strict")?,
        custom: None,
    };
    *cached |= fields.value("cache_control").is_some();
    if fields.flag("defer_loading")? == Some(true) {
        let at = fields.at("defer_loading");
        return Err(BodyError::of(&at, format!("`{at}` needs Anthropic's own search of tools")));
    }
    if let Some(callers) = fields.value("allowed_callers")
        && callers != json!(["direct"])
    {
        return Err(must(&fields.at("allowed_callers"), "[\"direct\"] at this model's provider"));
    }
    // How the arguments are cut in a stream.
    fields.end(&["eager_input_streaming"])?;
    Ok(tool)
}

fn choice(body: &mut Fields, prompt: &mut Prompt) -> Result<(), BodyError> {
    let Some(mut choice) = body.object("tool_choice")? else { return Ok(()) };
    prompt.tool_choice = Some(match choice.required("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Any,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Tool(choice.required("name")?),
        _ => return Err(must("tool_choice.type", "auto, any, tool or none")),
    });
    prompt.parallel_calls = choice.flag("disable_parallel_tool_use")?.map(|off| !off);
    choice.end(&[])
}

fn thinking(body: &mut Fields, prompt: &mut Prompt) -> Result<(), BodyError> {
    let mut reasoning = Reasoning::default();
    if let Some(mut thinking) = body.object("thinking")? {
        match thinking.required("type")?.as_str() {
            "disabled" => reasoning.budget = Some(0),
            "enabled" => {
                reasoning.budget = thinking.count("budget_tokens")?;
                reasoning.show = Some(true);
            }
            "adaptive" | "between_tools" => reasoning.adaptive = true,
            _ => return Err(must("thinking.type", "enabled, adaptive or disabled")),
        }
        if let Some(display) = thinking.string("display")? {
            reasoning.show = Some(display != "omitted");
        }
        thinking.end(&[])?;
    }
    if let Some(mut output) = body.object("output_config")? {
        reasoning.effort = output.string("effort")?;
        prompt.format = output.object("format")?.map(format).transpose()?;
        prompt.extras.extend(output.rest());
    }
    // The name of a beta, which SDKs still send.
    if let Some(older) = body.object("output_format")? {
        prompt.format = Some(format(older)?);
    }
    prompt.reasoning = (reasoning != Reasoning::default()).then_some(reasoning);
    Ok(())
}

fn format(mut fields: Fields) -> Result<Format, BodyError> {
    if fields.required("type")? != "json_schema" {
        return Err(must(&fields.at("type"), "json_schema"));
    }
    let name = fields.string("name")?;
    let Some(schema) = fields.value("schema") else {
        return Err(must(&fields.at("schema"), "a JSON Schema"));
    };
    fields.end(&[])?;
    Ok(Format::Schema { name, description: None, schema, strict: Some(true) })
}

#[cfg(test)]
mod tests;
