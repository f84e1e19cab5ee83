//! Reads a client's responses request.

use serde_json::Value;

use crate::peek::BodyError;
use crate::translate::Form;
use crate::translate::fields::{Fields, must};
use crate::translate::names::refusal_as;
use crate::translate::prompt::{Format, Prompt, Reasoning, Sampling, Tool, ToolChoice};

use super::input;

/// What may be asked to be included and always is: thoughts come with their proofs.
const ALWAYS_INCLUDED: &str = "reasoning.encrypted_content";

/// Reads the request; the model never stands in the path.
pub(crate) fn read(_model: Option<&str>, body: &[u8]) -> Result<Prompt, BodyError> {
    let mut body = Fields::of_body(body)?;
    let mut prompt =
        Prompt { form: Form::Responses, model: body.required("model")?, ..Prompt::default() };
    prompt.system.extend(body.string("instructions")?);
    input::read(body.value("input"), &mut prompt)?;
    prompt.tools = tools(&mut body)?;
    prompt.tool_choice = choice(&mut body)?;
    prompt.parallel_calls = body.flag("parallel_tool_calls")?;
    prompt.max_output = body.count("max_output_tokens")?;
    prompt.sampling = Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        ..Sampling::default()
    };
    if let Some(text) = body.object("text")? {
        prompt.format = format(text, &mut prompt)?;
    }
    if let Some(reasoning) = body.object("reasoning")? {
        prompt.reasoning = Some(self::reasoning(reasoning, &mut prompt)?);
    }
    prompt.stream = body.flag("stream")?.unwrap_or(false);
    if let Some(options) = body.object("stream_options")? {
        prompt.extras.extend(options.rest());
    }
    prompt.user = body.string("user")?;
    prompt.service_tier = body.string("service_tier")?;
    neutral(&mut body)?;
    prompt.extras.extend(body.rest());
    Ok(prompt)
}

/// Takes out what says no more than its absence, or what is so in any case.
fn neutral(body: &mut Fields) -> Result<(), BodyError> {
    let included = body.texts("include")?;
    if let Some(other) = included.iter().find(|item| *item != ALWAYS_INCLUDED) {
        let why = format!("asks for `{other}`, which this model's provider does not give");
        return Err(refusal_as("include", &why));
    }
    match body.string("truncation")?.as_deref() {
        None | Some("disabled") => Ok(()),
        Some(_) => Err(refusal_as("truncation", "can only be disabled for this model's provider")),
    }
}

fn reasoning(mut reasoning: Fields, prompt: &mut Prompt) -> Result<Reasoning, BodyError> {
    let (summary, older) = (reasoning.string("summary")?, reasoning.string("generate_summary")?);
    let read = Reasoning {
        effort: reasoning.string("effort")?,
        show: summary.or(older).map(|summary| summary != "none"),
        ..Reasoning::default()
    };
    prompt.extras.extend(reasoning.rest());
    Ok(read)
}

fn format(mut text: Fields, prompt: &mut Prompt) -> Result<Option<Format>, BodyError> {
    let format = text.object("format")?;
    prompt.extras.extend(text.rest());
    let Some(mut format) = format else { return Ok(None) };
    match &*format.required("type")? {
        "text" => Ok(None),
        "json_object" => Ok(Some(Format::Json)),
        "json_schema" => {
            let path = format.at("schema");
            Ok(Some(Format::Schema {
                name: format.string("name")?,
                description: format.string("description")?,
                schema: format.value("schema").ok_or_else(|| must(&path, "a schema"))?,
                strict: format.flag("strict")?,
            }))
        }
        _ => Err(must("text.format.type", "text, json_object or json_schema")),
    }
}

fn tools(body: &mut Fields) -> Result<Vec<Tool>, BodyError> {
    let tools = body.list("tools")?.unwrap_or_default();
    tools.into_iter().enumerate().map(|(at, tool)| self::tool(at, tool)).collect()
}

fn tool(at: usize, tool: Value) -> Result<Tool, BodyError> {
    let mut tool = Fields::of(tool, format!("tools[{at}]"))?;
    let kind = tool.required("type")?;
    if !matches!(&*kind, "function" | "custom") {
        let why = format!("asks for `{kind}`, which this model's provider does not have");
        return Err(refusal_as(tool.path(), &why));
    }
    let (name, description) = (tool.required("name")?, tool.string("description")?);
    let read = if kind == "custom" {
        let format = tool.value("format").unwrap_or_default();
        Tool::custom(name, description, format)
    } else {
        let (schema, strict) = (tool.value("parameters"), tool.flag("strict")?);
        Tool { name, description, schema, strict, custom: None }
    };
    // Whether a tool is told of at once or found by a search makes no difference to a few tools.
    tool.end(&["defer_loading", "output_schema"])?;
    Ok(read)
}

fn choice(body: &mut Fields) -> Result<Option<ToolChoice>, BodyError> {
    const NAME: &str = "tool_choice";
    match body.value(NAME) {
        None => Ok(None),
        Some(Value::String(word)) => match &*word {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" => Ok(Some(ToolChoice::Any)),
            _ => Err(must(NAME, "none, auto, required or a tool")),
        },
        Some(value) => {
            let mut choice = Fields::of(value, NAME)?;
            if !matches!(&*choice.required("type")?, "function" | "custom") {
                let why = "can only name a function for this model's provider";
                return Err(refusal_as(NAME, why));
            }
            choice.required("name").map(|name| Some(ToolChoice::Tool(name)))
        }
    }
}
