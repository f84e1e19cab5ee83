//! Writes the request to a model of Bedrock. The model stands in the path.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::claude::{Claude, Thinking, lost_its_thought};
use crate::translate::dialogue::{Dialogue, alternate};
use crate::translate::hints;
use crate::translate::messages::{closed, object_schema, refuse_unknown_sampling};
use crate::translate::names::{refusal, refusal_as};
use crate::translate::prompt::{Format, Part, Prompt, Role, Tool, ToolChoice};
use crate::translate::tree::Tree as _;
use crate::translate::{Target, Written};

use super::convert;

/// By these, clients ask that a prompt be kept in the cache.
const CACHE_WISHES: [&str; 2] = ["cache_control", "prompt_cache_key"];

/// Writes a request.
pub(crate) fn write(prompt: &Prompt, target: &Target<'_>) -> Result<Written, BodyError> {
    let family = Family::named(target.model);
    let dialogue = alternate(prompt, false)?;
    let mut messages = Vec::with_capacity(dialogue.messages.len());
    for said in &dialogue.messages {
        messages.extend(convert::message(prompt, said)?);
    }
    let first = dialogue.messages.first().map(|said| said.role);
    if first != Some(Role::User) || messages.is_empty() {
        let why = "must begin with the user's: conversations on Bedrock do";
        return Err(refusal_as(prompt.names().turns, why));
    }
    let mut extras = prompt.extras.clone();
    let mut system: Vec<Value> = dialogue.system.iter().map(|text| json!({"text": text})).collect();
    if family.keeps_in_cache() {
        let wishes = CACHE_WISHES.iter().filter(|wish| extras.shift_remove(**wish).is_some());
        if wishes.count() > 0 {
            keep_in_cache(&mut system, &mut messages);
        }
    }
    let mut left_out = hints::left_out(prompt, &extras)?;
    left_out.extend(hints::detail(prompt));
    let mut body = Map::new();
    if !system.is_empty() {
        body.insert("system".to_owned(), Value::Array(system));
    }
    body.insert("messages".to_owned(), Value::Array(messages));
    let mut own = Map::new();
    let inference = inference(prompt, target, &mut own)?;
    body.insert("inferenceConfig".to_owned(), Value::Object(inference));
    tools(prompt, (target.model, &dialogue), &mut body, &mut left_out)?;
    thinking(prompt, target, &mut own, &mut left_out)?;
    format(prompt, &mut body)?;
    if !own.is_empty() {
        body.insert("additionalModelRequestFields".to_owned(), Value::Object(own));
    }
    let (names, unsaid) = (prompt.names(), [prompt.user.is_some(), prompt.service_tier.is_some()]);
    let hints = [names.user, names.service_tier].into_iter().zip(unsaid);
    left_out.extend(hints.filter(|(_, said)| *said).map(|(name, _)| name));
    Ok(Written { body: Value::Object(body).to_string().into(), left_out })
}

/// Whose model it is, as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Claude,
    Nova,
    GptOss,
    Other,
}

impl Family {
    fn named(model: &str) -> Self {
        if model.contains("claude") {
            Self::Claude
        } else if model.contains("amazon.nova") {
            Self::Nova
        } else if model.contains("gpt-oss") {
            Self::GptOss
        } else {
            Self::Other
        }
    }

    const fn keeps_in_cache(self) -> bool {
        matches!(self, Self::Claude | Self::Nova)
    }
}

/// Marks the end of the instructions and of the conversation: what stands before is kept.
fn keep_in_cache(system: &mut Vec<Value>, messages: &mut [Value]) {
    let point = json!({"cachePoint": {"type": "default"}});
    if !system.is_empty() {
        system.push(point.clone());
    }
    if let Some(Value::Array(blocks)) = messages.last_mut().and_then(|last| last.get_mut("content"))
    {
        blocks.push(point);
    }
}

fn inference(
    prompt: &Prompt,
    target: &Target<'_>,
    own: &mut Map<String, Value>,
) -> Result<Map<String, Value>, BodyError> {
    let (names, sampling) = (prompt.names(), &prompt.sampling);
    let mut config = Map::new();
    let asked = prompt.max_output.map(|asked| asked.min(target.max_output.unwrap_or(asked)));
    if let Some(most) = target.output(asked) {
        config.insert("maxTokens".to_owned(), json!(most));
    }
    if let Some(temperature) = &sampling.temperature {
        if !temperature.as_f64().is_some_and(|number| (0.0..=1.0).contains(&number)) {
            return Err(refusal_as(names.temperature, "must be between 0 and 1 on Bedrock"));
        }
        config.insert("temperature".to_owned(), json!(temperature));
    }
    if let Some(top_p) = &sampling.top_p {
        config.insert("topP".to_owned(), json!(top_p));
    }
    if let Some(top_k) = &sampling.top_k {
        match Family::named(target.model) {
            Family::Claude => own.insert("top_k".to_owned(), json!(top_k)),
            Family::Nova => own.insert("inferenceConfig".to_owned(), json!({"topK": top_k})),
            Family::GptOss | Family::Other => return Err(refusal(names.top_k)),
        };
    }
    refuse_unknown_sampling(prompt)?;
    if !prompt.stop.is_empty() {
        config.insert("stopSequences".to_owned(), json!(prompt.stop));
    }
    Ok(config)
}

fn tools(
    prompt: &Prompt,
    (model, dialogue): (&str, &Dialogue<'_>),
    body: &mut Map<String, Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(), BodyError> {
    let names = prompt.names();
    let mut list: Vec<Value> = prompt.tools.iter().map(|each| tool(each, model)).collect();
    let choice = match &prompt.tool_choice {
        Some(ToolChoice::Any | ToolChoice::Tool(_)) if list.is_empty() => {
            return Err(refusal_as(names.tool_choice, "names tools, and there are none"));
        }
        None | Some(ToolChoice::Auto) => None,
        Some(ToolChoice::Any) => Some(json!({"any": {}})),
        Some(ToolChoice::Tool(name)) => Some(json!({"tool": {"name": name}})),
        Some(ToolChoice::None) if list.is_empty() => None,
        // There is no word for it, but a model without tools calls none.
        Some(ToolChoice::None) if called(dialogue).is_empty() => return Ok(()),
        Some(ToolChoice::None) => {
            let why = "cannot be none on Bedrock once tools have been called";
            return Err(refusal_as(names.tool_choice, why));
        }
    };
    if list.is_empty() {
        // Calls in the conversation are refused where no tool is declared.
        let called = called(dialogue).into_iter();
        list = called.map(|name| json!({"toolSpec": spec(name, None, None)})).collect();
    }
    if list.is_empty() {
        return Ok(());
    }
    let mut config = json!({"tools": list});
    if let Some(choice) = choice {
        config.put("toolChoice", choice);
    }
    body.insert("toolConfig".to_owned(), config);
    if prompt.parallel_calls == Some(false) {
        left_out.push(names.parallel_calls);
    }
    Ok(())
}

/// The names of the tools that have been called, each once.
fn called<'d>(dialogue: &'d Dialogue<'_>) -> Vec<&'d str> {
    let mut names = Vec::new();
    for (_, part) in dialogue.messages.iter().flat_map(|said| &said.parts) {
        if let Part::Call(call) = part.as_ref()
            && !names.contains(&call.name.as_str())
        {
            names.push(&call.name);
        }
    }
    names
}

fn tool(tool: &Tool, model: &str) -> Value {
    let strict = tool.strict == Some(true)
        && Family::named(model) == Family::Claude
        && Claude::named(model).takes_strict_tools();
    let schema = strict.then(|| closed(&object_schema(tool.schema.as_ref())));
    let schema = schema.as_ref().or(tool.schema.as_ref());
    let mut spec = spec(&tool.name, tool.described().as_deref(), schema);
    if strict {
        spec.put("strict", json!(true));
    }
    json!({"toolSpec": spec})
}

fn spec(name: &str, description: Option<&str>, schema: Option<&Value>) -> Value {
    let mut spec = json!({"name": name});
    if let Some(description) = description.filter(|text| !text.is_empty()) {
        spec.put("description", json!(description));
    }
    spec.put("inputSchema", json!({"json": object_schema(schema)}));
    spec
}

fn thinking(
    prompt: &Prompt,
    target: &Target<'_>,
    own: &mut Map<String, Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(), BodyError> {
    let name = prompt.names().reasoning;
    let Some(reasoning) = &prompt.reasoning else { return Ok(()) };
    let off = reasoning.effort.as_deref() == Some("none") || reasoning.budget == Some(0);
    if target.thinks == Some(false) {
        left_out.push(name);
        return Ok(());
    }
    match Family::named(target.model) {
        Family::Claude => {}
        Family::GptOss if !off => {
            let effort = match reasoning.effort.as_deref() {
                Some("minimal" | "low") => "low",
                Some("high" | "xhigh" | "max") => "high",
                _ => "medium",
            };
            own.insert("reasoning_effort".to_owned(), json!(effort));
            return Ok(());
        }
        // Nothing thinks that was not told to.
        _ if off => return Ok(()),
        _ => return Err(refusal(name)),
    }
    let model = Claude::named(target.model);
    let most = target.output(prompt.max_output.or(target.max_output));
    let (thinking, effort) = model.thinking(reasoning, most.unwrap_or_else(|| model.max_output()));
    if matches!(thinking, Thinking::Budget(_)) && lost_its_thought(prompt) {
        left_out.push(name);
    } else if let Some(object) = thinking.object(reasoning.show) {
        own.insert("thinking".to_owned(), object);
    }
    if let Some(effort) = effort {
        own.insert("output_config".to_owned(), json!({"effort": effort}));
    }
    Ok(())
}

fn format(prompt: &Prompt, body: &mut Map<String, Value>) -> Result<(), BodyError> {
    let (name, description, schema) = match &prompt.format {
        None => return Ok(()),
        Some(Format::Json) => {
            let why = "must have a JSON Schema on Bedrock, which promises no other JSON";
            return Err(refusal_as(prompt.names().format, why));
        }
        Some(Format::Schema { name, description, schema, .. }) => (name, description, schema),
    };
    // The schema is a text here.
    let mut written = json!({"schema": closed(schema).to_string()});
    for (key, text) in [("name", name), ("description", description)] {
        if let Some(text) = text {
            written.put(key, json!(text));
        }
    }
    let format = json!({"type": "json_schema", "structure": {"jsonSchema": written}});
    body.insert("outputConfig".to_owned(), json!({"textFormat": format}));
    Ok(())
}

#[cfg(test)]
mod tests;
