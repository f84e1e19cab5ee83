//! Reads a client's chat completion request.

use serde_json::{Map, Value};

use crate::peek::BodyError;
use crate::translate::Form;
use crate::translate::fields::{Fields, must};
use crate::translate::names::refusal_as;
use crate::translate::prompt::{Format, Prompt, Reasoning, Sampling, Tool, ToolChoice};

use super::{content, turns};

/// Reads the request; the model never stands in the path.
pub(crate) fn read(_model: Option<&str>, body: &[u8]) -> Result<Prompt, BodyError> {
    let mut body = Fields::of_body(body)?;
    let mut prompt =
        Prompt { form: Form::Chat, model: body.required("model")?, ..Prompt::default() };
    let messages = body.list("messages")?.ok_or_else(|| must("messages", "a list"))?;
    turns::read(messages, &mut prompt)?;
    prompt.tools = tools(&mut body, &mut prompt.extras)?;
    prompt.tool_choice = choice(&mut body)?;
    prompt.parallel_calls = body.flag("parallel_tool_calls")?;
    let (newer, older) = (body.count("max_completion_tokens")?, body.count("max_tokens")?);
    prompt.max_output = newer.or(older);
    prompt.sampling = sampling(&mut body)?;
    prompt.stop = body.texts("stop")?;
    prompt.format = format(&mut body)?;
    prompt.reasoning = body
        .string("reasoning_effort")?
        .map(|effort| Reasoning { effort: Some(effort), ..Reasoning::default() });
    prompt.stream = body.flag("stream")?.unwrap_or(false);
    if let Some(mut options) = body.object("stream_options")? {
        prompt.include_usage = options.flag("include_usage")?.unwrap_or(false);
        prompt.extras.extend(options.rest());
    }
    prompt.user = body.string("user")?;
    prompt.service_tier = body.string("service_tier")?;
    neutral(&mut body)?;
    prompt.extras.extend(body.rest());
    Ok(prompt)
}

fn sampling(body: &mut Fields) -> Result<Sampling, BodyError> {
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.number("top_k")?,
        seed: body.number("seed")?,
        presence_penalty: body.number("presence_penalty")?,
        frequency_penalty: body.number("frequency_penalty")?,
        choices: body.count("n")?,
    })
}

/// Takes out what says no more than its absence.
fn neutral(body: &mut Fields) -> Result<(), BodyError> {
    let modalities = body.texts("modalities")?;
    if modalities.iter().any(|modality| modality != "text") {
        return Err(refusal_as("modalities", "can only be text for this model's provider"));
    }
    if let Some(bias) = body.object("logit_bias")?
        && bias.rest().next().is_some()
    {
        return Err(refusal_as("logit_bias", "is not known to this model's provider"));
    }
    Ok(())
}

fn tools(body: &mut Fields, extras: &mut Map<String, Value>) -> Result<Vec<Tool>, BodyError> {
    let tools = body.list("tools")?.unwrap_or_default();
    tools.into_iter().enumerate().map(|(at, tool)| self::tool(at, tool, extras)).collect()
}

fn tool(at: usize, tool: Value, extras: &mut Map<String, Value>) -> Result<Tool, BodyError> {
    let mut tool = Fields::of(tool, format!("tools[{at}]"))?;
    // Some vendors let it be unsaid.
    let kind = tool.string("type")?.unwrap_or_else(|| "function".to_owned());
    let path = tool.at(&kind);
    let mut inner = match &*kind {
        "function" | "custom" => tool.object(&kind)?.ok_or_else(|| must(&path, "an object"))?,
        _ => {
            let why = format!("asks for `{kind}`, which this model's provider does not have");
            return Err(refusal_as(tool.path(), &why));
        }
    };
    let (name, description) = (inner.required("name")?, inner.string("description")?);
    let read = if kind == "custom" {
        let format = inner.value("format").unwrap_or_default();
        Tool::custom(name, description, format)
    } else {
        let (schema, strict) = (inner.value("parameters"), inner.flag("strict")?);
        Tool { name, description, schema, strict, custom: None }
    };
    inner.end(&[])?;
    tool.hints(content::HINTS, extras);
    tool.end(&[])?;
    Ok(read)
}

fn choice(body: &mut Fields) -> Result<Option<ToolChoice>, BodyError> {
    const NAME: &str = "tool_choice";
    let mut choice = match body.value(NAME) {
        None => return Ok(None),
        Some(Value::String(word)) => {
            return match &*word {
                "none" => Ok(Some(ToolChoice::None)),
                "auto" => Ok(Some(ToolChoice::Auto)),
                "required" => Ok(Some(ToolChoice::Any)),
                _ => Err(must(NAME, "none, auto, required or a tool")),
            };
        }
        Some(value) => Fields::of(value, NAME)?,
    };
    let kind = choice.required("type")?;
    let inner =
        matches!(&*kind, "function" | "custom").then(|| choice.object(&kind)).transpose()?;
    let Some(mut tool) = inner.flatten() else {
        return Err(refusal_as(NAME, "can name one tool only for this model's provider"));
    };
    tool.required("name").map(|name| Some(ToolChoice::Tool(name)))
}

fn format(body: &mut Fields) -> Result<Option<Format>, BodyError> {
    let Some(mut format) = body.object("response_format")? else { return Ok(None) };
    match &*format.required("type")? {
        "text" => Ok(None),
        "json_object" => Ok(Some(Format::Json)),
        "json_schema" => {
            let path = format.at("json_schema");
            let mut inner =
                format.object("json_schema")?.ok_or_else(|| must(&path, "an object"))?;
            let schema =
                inner.value("schema").ok_or_else(|| must(&inner.at("schema"), "a schema"))?;
            Ok(Some(Format::Schema {
                name: inner.string("name")?,
                description: inner.string("description")?,
                schema,
                strict: inner.flag("strict")?,
            }))
        }
        _ => Err(must("response_format.type", "text, json_object or json_schema")),
    }
}
