//! Reads a client's request.

use serde_json::Value;

use crate::peek::BodyError;
use crate::translate::Form;
use crate::translate::fields::{Fields, must};
use crate::translate::ids;
use crate::translate::items::in_camel_case;
use crate::translate::prompt::{Format, Part, Prompt, Reasoning, Sampling, Tool, ToolChoice};
use crate::translate::tree::Tree as _;

use super::parts::{self, items, object};
use super::schema::to_json_schema;

/// Reads a request; the model stands in the path.
pub(crate) fn read(model: Option<&str>, body: &[u8]) -> Result<Prompt, BodyError> {
    let members = Fields::of_body(body)?.rest().collect();
    let mut body = Fields::of(Value::Object(in_camel_case(members)), "")?;
    let named = body.string("model")?.unwrap_or_default();
    let named = model.unwrap_or(&named);
    let mut prompt = Prompt {
        form: Form::Gemini,
        model: named.strip_prefix("models/").unwrap_or(named).to_owned(),
        system: system(&mut body)?,
        service_tier: body.string("serviceTier")?,
        ..Prompt::default()
    };
    if !body.has("contents") {
        return Err(must("contents", "a list of contents"));
    }
    let contents = items(&mut body, "contents")?.into_iter().enumerate();
    prompt.turns =
        contents.map(|(at, content)| parts::turn(at, content)).collect::<Result<_, _>>()?;
    parts::join_thoughts(&mut prompt.turns);
    ids::pair(&mut prompt.turns).map_err(|(turn, part)| {
        let path = format!("contents[{turn}].parts[{part}].functionResponse");
        BodyError::of(&path, format!("`{path}` answers no call that stands before it"))
    })?;
    prompt.tools = tools(&mut body)?;
    choice(&mut body, &mut prompt)?;
    safety(&mut body, &mut prompt);
    if let Some(config) = object(&mut body, "generationConfig")? {
        generation(config, &mut prompt)?;
    }
    prompt.extras.extend(body.rest());
    Ok(prompt)
}

fn system(body: &mut Fields) -> Result<Vec<String>, BodyError> {
    let texts = match body.value("systemInstruction") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![text],
        Some(value) => {
            let mut content = parts::fields(value, "systemInstruction".to_owned())?;
            // Whatever role it says, it is the system's.
            content.value("role");
            let turn = parts::turn(0, content)?;
            let texts = turn.parts.into_iter().map(|part| match part {
                Part::Text(text) => Ok(text),
                _ => Err(must("systemInstruction.parts", "texts")),
            });
            texts.collect::<Result<_, _>>()?
        }
    };
    Ok(texts)
}

fn tools(body: &mut Fields) -> Result<Vec<Tool>, BodyError> {
    let mut tools = Vec::new();
    for mut holder in items(body, "tools")? {
        for declared in items(&mut holder, "functionDeclarations")? {
            tools.push(tool(declared)?);
        }
        if let Some((name, _)) = holder.rest().next() {
            let message = format!("`{name}` is a tool of Gemini's own");
            return Err(BodyError::of(&name, message));
        }
    }
    Ok(tools)
}

fn tool(mut declared: Fields) -> Result<Tool, BodyError> {
    let notation = declared.value("parameters").map(to_json_schema);
    let tool = Tool {
        name: declared.required("name")?,
        description: declared.string("description")?.filter(|text| !text.is_empty()),
        schema: declared.value("parametersJsonSchema").or(notation),
        strict: None,
        custom: None,
    };
    // What a function gives back, and when, tells a model little.
    declared.end(&["response", "responseJsonSchema", "behavior"])?;
    Ok(tool)
}

fn choice(body: &mut Fields, prompt: &mut Prompt) -> Result<(), BodyError> {
    let Some(mut config) = object(body, "toolConfig")? else { return Ok(()) };
    if let Some(mut calling) = object(&mut config, "functionCallingConfig")? {
        let mode = calling.string("mode")?.unwrap_or_default();
        let allowed = calling.texts("allowedFunctionNames")?;
        prompt.tool_choice = match mode.as_str() {
            "" | "MODE_UNSPECIFIED" => None,
            "AUTO" | "VALIDATED" => Some(ToolChoice::Auto),
            "NONE" => Some(ToolChoice::None),
            "ANY" => Some(ToolChoice::Any),
            _ => return Err(must(&calling.at("mode"), "AUTO, ANY, NONE or VALIDATED")),
        };
        if let (Some(ToolChoice::Any), [only]) = (&prompt.tool_choice, &allowed[..]) {
            prompt.tool_choice = Some(ToolChoice::Tool(only.clone()));
        } else if !allowed.is_empty() {
            // Of the tools that may be called, no other form can name several but by having no
            // others.
            prompt.tools.retain(|tool| allowed.contains(&tool.name));
        }
        calling.end(&["streamFunctionCallArguments"])?;
    }
    config.end(&[])
}

/// Filters that are off ask for what other providers do anyhow.
fn safety(body: &mut Fields, prompt: &mut Prompt) {
    let Some(settings) = body.value("safetySettings") else { return };
    let off =
        |setting: &Value| matches!(setting.of("threshold").as_str(), Some("BLOCK_NONE" | "OFF"));
    if !settings.as_array().is_some_and(|settings| settings.iter().all(off)) {
        prompt.extras.insert("safetySettings".to_owned(), settings);
    }
}

fn generation(mut config: Fields, prompt: &mut Prompt) -> Result<(), BodyError> {
    prompt.max_output = config.count("maxOutputTokens")?;
    prompt.stop = config.texts("stopSequences")?;
    prompt.sampling = Sampling {
        temperature: config.number("temperature")?,
        top_p: config.number("topP")?,
        top_k: config.number("topK")?,
        seed: config.number("seed")?,
        presence_penalty: config.number("presencePenalty")?,
        frequency_penalty: config.number("frequencyPenalty")?,
        choices: config.count("candidateCount")?,
    };
    if let Some(modalities) = config.value("responseModalities")
        && !modalities.as_array().is_some_and(|all| all.iter().all(|one| one == "TEXT"))
    {
        prompt.extras.insert("generationConfig.responseModalities".to_owned(), modalities);
    }
    prompt.format = format(&mut config)?;
    prompt.reasoning = thinking(&mut config)?;
    prompt.extras.extend(config.rest());
    Ok(())
}

fn format(config: &mut Fields) -> Result<Option<Format>, BodyError> {
    let notation = config.value("responseSchema").map(to_json_schema);
    let schema = ["responseJsonSchema", "_responseJsonSchema"].map(|name| config.value(name));
    let kind = config.string("responseMimeType")?;
    match (kind.as_deref(), schema.into_iter().flatten().next().or(notation)) {
        (None | Some("" | "text/plain"), None) => Ok(None),
        (Some("application/json"), None) => Ok(Some(Format::Json)),
        (None | Some("" | "application/json"), Some(schema)) => {
            Ok(Some(Format::Schema { name: None, description: None, schema, strict: None }))
        }
        _ => Err(must(&config.at("responseMimeType"), "text/plain or application/json")),
    }
}

fn thinking(config: &mut Fields) -> Result<Option<Reasoning>, BodyError> {
    let Some(mut thinking) = object(config, "thinkingConfig")? else { return Ok(None) };
    let mut reasoning =
        Reasoning { show: thinking.flag("includeThoughts")?, ..Reasoning::default() };
    match thinking.number("thinkingBudget")? {
        None => {}
        Some(budget) if budget.as_i64() == Some(-1) => reasoning.adaptive = true,
        Some(budget) => {
            let budget = budget.as_u64();
            let wrong = || must("generationConfig.thinkingConfig.thinkingBudget", "-1 or more");
            reasoning.budget = Some(budget.ok_or_else(wrong)?);
        }
    }
    let level = thinking.string("thinkingLevel")?.map(|level| level.to_ascii_lowercase());
    reasoning.effort = level.filter(|level| level != "thinking_level_unspecified");
    thinking.end(&[])?;
    Ok((reasoning != Reasoning::default()).then_some(reasoning))
}

#[cfg(test)]
mod tests;
