//! Writes the responses request to a provider.
//!
//! Nothing is to be stored there unless the client says so: for a client of another form that is
//! what it is used to, and the proofs of thoughts are asked for instead, so that the conversation
//! can go on.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::effort::{Effort, effort};
use crate::translate::hints;
use crate::translate::names::refusal;
use crate::translate::prompt::{Format, Prompt, Tool, ToolChoice};
use crate::translate::{Form, Target, Written};

use super::items::items;

/// What a chat request calls as this form does.
const SHARED: [&str; 6] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
];

/// Writes the request.
pub(crate) fn write(prompt: &Prompt, target: &Target<'_>) -> Result<Written, BodyError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    if !prompt.system.is_empty() {
        body.insert("instructions".to_owned(), prompt.system.join("\n\n").into());
    }
    body.insert("input".to_owned(), items(prompt)?.into());
    tools(prompt, &mut body);
    if let Some(max) = target.output(prompt.max_output) {
        body.insert("max_output_tokens".to_owned(), max.into());
    }
    sampling(prompt, &mut body)?;
    let mut left_out = shared(prompt, &mut body)?;
    left_out.extend(reasoning(prompt, target, &mut body));
    if prompt.stream {
        body.insert("stream".to_owned(), true.into());
    }
    Ok(Written { body: Value::Object(body).to_string().into(), left_out })
}

/// The sampling that this form knows; the rest of it is refused.
fn sampling(prompt: &Prompt, body: &mut Map<String, Value>) -> Result<(), BodyError> {
    let (sampling, names) = (&prompt.sampling, prompt.names());
    for (name, there) in [
        (names.top_k, sampling.top_k.is_some()),
        (names.seed, sampling.seed.is_some()),
        (names.presence_penalty, asks(sampling.presence_penalty.as_ref())),
        (names.frequency_penalty, asks(sampling.frequency_penalty.as_ref())),
        (names.stop, !prompt.stop.is_empty()),
    ] {
        if there {
            return Err(refusal(name));
        }
    }
    for (name, number) in [("temperature", &sampling.temperature), ("top_p", &sampling.top_p)] {
        if let Some(number) = number {
            body.insert(name.to_owned(), number.clone().into());
        }
    }
    Ok(())
}

/// Whether a penalty is one: zero is what it is where it is not given.
fn asks(penalty: Option<&serde_json::Number>) -> bool {
    penalty.is_some_and(|number| number.as_f64() != Some(0.0))
}

/// What a client of chat completions says in the same words; hints of other clients are left out.
fn shared(prompt: &Prompt, body: &mut Map<String, Value>) -> Result<Vec<&'static str>, BodyError> {
    let mut extras = prompt.extras.clone();
    let mut text = Map::new();
    if let Some(format) = &prompt.format {
        text.insert("format".to_owned(), text_format(format));
    }
    let mut left_out = Vec::new();
    let names = prompt.names();
    body.insert("store".to_owned(), false.into());
    let stated = [
        ("user", &prompt.user, names.user),
        ("service_tier", &prompt.service_tier, names.service_tier),
    ];
    for (name, value, clients) in stated {
        match value {
            Some(value) if prompt.form == Form::Chat => {
                body.insert(name.to_owned(), value.as_str().into());
            }
            Some(_) => left_out.push(clients),
            None => {}
        }
    }
    if prompt.form == Form::Chat {
        for name in SHARED {
            if let Some(value) = extras.shift_remove(name) {
                body.insert(name.to_owned(), value);
            }
        }
        if let Some(verbosity) = extras.shift_remove("verbosity") {
            text.insert("verbosity".to_owned(), verbosity);
        }
    }
    if !text.is_empty() {
        body.insert("text".to_owned(), text.into());
    }
    left_out.extend(hints::left_out(prompt, &extras)?);
    Ok(left_out)
}

/// How much to think, and the thoughts with their proofs; names what was left out.
fn reasoning(
    prompt: &Prompt,
    target: &Target<'_>,
    body: &mut Map<String, Value>,
) -> Option<&'static str> {
    let mut reasoning = Map::new();
    let effort = effort(prompt, target);
    if effort == Effort::LeftOut {
        return Some(prompt.names().reasoning);
    }
    let asked = prompt.reasoning.as_ref();
    if let Effort::Word(word) = effort {
        reasoning.insert("effort".to_owned(), word.into());
    }
    let thinks = match target.thinks {
        Some(thinks) => thinks,
        None => asked.is_some_and(|asked| asked.adaptive) || !reasoning.is_empty(),
    };
    if thinks && effort != Effort::Word("none") {
        if asked.and_then(|asked| asked.show) == Some(true) {
            reasoning.insert("summary".to_owned(), "auto".into());
        }
        body.insert("include".to_owned(), json!(["reasoning.encrypted_content"]));
    }
    if !reasoning.is_empty() {
        body.insert("reasoning".to_owned(), reasoning.into());
    }
    None
}

fn tools(prompt: &Prompt, body: &mut Map<String, Value>) {
    if prompt.tools.is_empty() {
        return;
    }
    let tools: Vec<Value> = prompt.tools.iter().map(tool).collect();
    body.insert("tools".to_owned(), tools.into());
    if let Some(choice) = &prompt.tool_choice {
        body.insert("tool_choice".to_owned(), tool_choice(prompt, choice));
    }
    if prompt.parallel_calls == Some(false) {
        body.insert("parallel_tool_calls".to_owned(), false.into());
    }
}

fn tool(tool: &Tool) -> Value {
    let mut written = Map::new();
    let kind = if tool.custom.is_some() { "custom" } else { "function" };
    written.insert("type".to_owned(), kind.into());
    written.insert("name".to_owned(), tool.name.as_str().into());
    if let Some(description) = &tool.description {
        written.insert("description".to_owned(), description.as_str().into());
    }
    match &tool.custom {
        Some(Value::Null) => {}
        Some(format) => {
            written.insert("format".to_owned(), flat(format));
        }
        None => {
            let none = || json!({"type": "object", "properties": {}});
            let schema = tool.schema.clone().unwrap_or_else(none);
            written.insert("parameters".to_owned(), schema);
            // Unsaid, this form makes a schema strict that was not made for it.
            written.insert("strict".to_owned(), tool.strict.unwrap_or(false).into());
        }
    }
    written.into()
}

/// The format of a custom tool, which chat completions nest one deeper.
fn flat(format: &Value) -> Value {
    match format.get("grammar") {
        Some(Value::Object(grammar)) => {
            let mut flat = Map::new();
            flat.insert("type".to_owned(), "grammar".into());
            flat.extend(grammar.clone());
            flat.into()
        }
        _ => format.clone(),
    }
}

fn tool_choice(prompt: &Prompt, choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::None => "none".into(),
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Any => "required".into(),
        ToolChoice::Tool(name) => {
            let custom =
                prompt.tools.iter().any(|tool| tool.name == *name && tool.custom.is_some());
            let kind = if custom { "custom" } else { "function" };
            json!({"type": kind, "name": name})
        }
    }
}

fn text_format(format: &Format) -> Value {
    match format {
        Format::Json => json!({"type": "json_object"}),
        Format::Schema { name, description, schema, strict } => {
            let mut written = Map::new();
            written.insert("type".to_owned(), "json_schema".into());
            written.insert("name".to_owned(), name.as_deref().unwrap_or("response").into());
            if let Some(description) = description {
                written.insert("description".to_owned(), description.as_str().into());
            }
            written.insert("schema".to_owned(), schema.clone());
            written.insert("strict".to_owned(), strict.unwrap_or(false).into());
            written.into()
        }
    }
}
