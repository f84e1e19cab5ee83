//! Writes the request to Gemini.

use serde_json::{Map, Value, json};

use crate::peek::BodyError;
use crate::translate::dialogue::alternate;
use crate::translate::hints;
use crate::translate::names::{refusal, refusal_as};
use crate::translate::prompt::{Format, Prompt, Reasoning, ToolChoice};
use crate::translate::tree::Tree as _;
use crate::translate::{Target, Written};

use super::convert;

/// Texts at which generation may end.
const STOPS: usize = 5;

/// Writes a request.
pub(crate) fn write(prompt: &Prompt, target: &Target<'_>) -> Result<Written, BodyError> {
    let model = Gemini::named(target.model);
    let dialogue = alternate(prompt, false)?;
    let mut contents = Vec::with_capacity(dialogue.messages.len());
    for said in &dialogue.messages {
        contents.extend(convert::content(prompt, said, model.is_third())?);
    }
    if contents.is_empty() {
        let why = "must have a message that is not empty";
        return Err(refusal_as(prompt.names().turns, why));
    }
    let mut left_out = hints::left_out(prompt, &prompt.extras)?;
    left_out.extend(hints::detail(prompt));
    let mut body = Map::new();
    if !dialogue.system.is_empty() {
        let parts: Vec<Value> = dialogue.system.iter().map(|text| json!({"text": text})).collect();
        body.insert("systemInstruction".to_owned(), json!({"parts": parts}));
    }
    body.insert("contents".to_owned(), Value::Array(contents));
    tools(prompt, &mut body, &mut left_out)?;
    let mut config = generation(prompt, target)?;
    if let Some(reasoning) = &prompt.reasoning {
        if target.thinks == Some(false) {
            left_out.push(prompt.names().reasoning);
        } else if let Some(thinking) = model.thinking(reasoning) {
            config.insert("thinkingConfig".to_owned(), thinking);
        }
    }
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    if prompt.user.is_some() {
        left_out.push(prompt.names().user);
    }
    if prompt.service_tier.is_some() {
        left_out.push(prompt.names().service_tier);
    }
    Ok(Written { body: Value::Object(body).to_string().into(), left_out })
}

fn tools(
    prompt: &Prompt,
    body: &mut Map<String, Value>,
    left_out: &mut Vec<&'static str>,
) -> Result<(), BodyError> {
    let names = prompt.names();
    if prompt.tools.is_empty() {
        return match prompt.tool_choice {
            Some(ToolChoice::Any | ToolChoice::Tool(_)) => {
                Err(refusal_as(names.tool_choice, "names tools, and there are none"))
            }
            _ => Ok(()),
        };
    }
    let declared: Vec<Value> = prompt.tools.iter().map(declaration).collect();
    body.insert("tools".to_owned(), json!([{"functionDeclarations": declared}]));
    let calling = match &prompt.tool_choice {
        None => None,
        Some(ToolChoice::Auto) => Some(json!({"mode": "AUTO"})),
        Some(ToolChoice::None) => Some(json!({"mode": "NONE"})),
        Some(ToolChoice::Any) => Some(json!({"mode": "ANY"})),
        Some(ToolChoice::Tool(name)) => {
            Some(json!({"mode": "ANY", "allowedFunctionNames": [name]}))
        }
    };
    if let Some(calling) = calling {
        body.insert("toolConfig".to_owned(), json!({"functionCallingConfig": calling}));
    }
    // Gemini has no word for one call at a time; clients take several wherever they take one.
    if prompt.parallel_calls == Some(false) {
        left_out.push(names.parallel_calls);
    }
    Ok(())
}

fn declaration(tool: &crate::translate::prompt::Tool) -> Value {
    let mut declared = json!({"name": tool.name});
    if let Some(description) = tool.described() {
        declared.put("description", json!(description));
    }
    if let Some(schema) = &tool.schema {
        declared.put("parametersJsonSchema", schema.clone());
    }
    declared
}

fn generation(prompt: &Prompt, target: &Target<'_>) -> Result<Map<String, Value>, BodyError> {
    let (names, sampling) = (prompt.names(), &prompt.sampling);
    let mut config = Map::new();
    let mut put = |name: &str, value: Value| {
        config.insert(name.to_owned(), value);
    };
    let asked = prompt.max_output.map(|asked| asked.min(target.max_output.unwrap_or(asked)));
    if let Some(most) = target.output(asked) {
        put("maxOutputTokens", json!(most));
    }
    if let Some(temperature) = &sampling.temperature {
        if !temperature.as_f64().is_some_and(|number| (0.0..=2.0).contains(&number)) {
            return Err(refusal_as(names.temperature, "must be between 0 and 2 for Gemini"));
        }
        put("temperature", json!(temperature));
    }
    for (name, number) in [
        ("topP", &sampling.top_p),
        ("topK", &sampling.top_k),
        ("seed", &sampling.seed),
        ("presencePenalty", &sampling.presence_penalty),
        ("frequencyPenalty", &sampling.frequency_penalty),
    ] {
        if let Some(number) = number {
            put(name, json!(number));
        }
    }
    if prompt.stop.len() > STOPS {
        return Err(refusal_as(names.stop, "may have five texts for Gemini"));
    }
    if !prompt.stop.is_empty() {
        put("stopSequences", json!(prompt.stop));
    }
    match &prompt.format {
        None => {}
        Some(Format::Json) => put("responseMimeType", json!("application/json")),
        Some(Format::Schema { schema, .. }) => {
            put("responseMimeType", json!("application/json"));
            put("responseJsonSchema", schema.clone());
        }
    }
    if sampling.choices.is_some_and(|choices| choices > 1) {
        return Err(refusal(names.choices));
    }
    Ok(config)
}

/// A Gemini model's generation.
#[derive(Clone, Copy, Debug)]
struct Gemini {
    /// The number before the point; names without one are of current models.
    major: u32,
    pro: bool,
}

impl Gemini {
    fn named(name: &str) -> Self {
        let words = name.split_once("gemini-").map(|(_, words)| words);
        let number = words.and_then(|words| words.split(['-', '.']).next());
        let major = number.and_then(|number| number.parse().ok()).unwrap_or(u32::MAX);
        Self { major, pro: name.contains("pro") }
    }

    /// Whether it has levels of thinking and wants its signatures back.
    const fn is_third(self) -> bool {
        self.major >= 3
    }

    /// How it is told to think; `None` where nothing need be said.
    fn thinking(self, wanted: &Reasoning) -> Option<Value> {
        let mut config = Map::new();
        let effort = wanted.effort.as_deref().filter(|_| wanted.budget != Some(0));
        let off = effort == Some("none") || wanted.budget == Some(0);
        match (effort, wanted.budget) {
            _ if off && !self.is_third() => {
                // The larger models cannot but think a little.
                let least = if self.pro { 128 } else { 0 };
                config.insert("thinkingBudget".to_owned(), json!(least));
            }
            _ if off => {
                config.insert("thinkingLevel".to_owned(), json!(self.level("minimal")));
            }
            (Some(effort), _) if self.is_third() => {
                config.insert("thinkingLevel".to_owned(), json!(self.level(effort)));
            }
            (_, Some(budget)) => {
                let most = if self.pro { 32_768 } else { 24_576 };
                config.insert("thinkingBudget".to_owned(), json!(budget.min(most)));
            }
            (Some(effort), None) => {
                config.insert("thinkingBudget".to_owned(), json!(budget(effort)));
            }
            (None, None) if wanted.adaptive && !self.is_third() => {
                config.insert("thinkingBudget".to_owned(), json!(-1));
            }
            (None, None) => {}
        }
        if wanted.show == Some(true) && !off {
            config.insert("includeThoughts".to_owned(), json!(true));
        }
        (!config.is_empty()).then_some(Value::Object(config))
    }

    /// The level for an effort; the larger models have no least one.
    fn level(self, effort: &str) -> &'static str {
        match effort {
            "minimal" if !self.pro => "MINIMAL",
            "minimal" | "low" => "LOW",
            "medium" => "MEDIUM",
            _ => "HIGH",
        }
    }
}

/// The budget for an effort, as Google's own endpoint for OpenAI's clients has it.
fn budget(effort: &str) -> u64 {
    match effort {
        "minimal" | "low" => 1_024,
        "medium" => 8_192,
        _ => 24_576,
    }
}

#[cfg(test)]
mod tests;
