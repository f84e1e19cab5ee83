//! What a client asks, whatever its dialect.
//!
//! The terms are those that the dialects share. What only one of them has stands in
//! [`Prompt::extras`] under the client's own field name: a writer takes out those that its form can
//! express, and what is left is refused by name.

use std::borrow::Cow;

use serde_json::{Map, Number, Value, json};

use super::Form;

/// One request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// The client's form, by whose names fields are refused.
    pub form: Form,
    /// The model asked for, as the client names it.
    pub model: String,
    /// What stands before the conversation, in order.
    pub system: Vec<String>,
    /// The conversation, in order. Neighbours may have the same role; writers merge where their
    /// form wants turns to alternate.
    pub turns: Vec<Turn>,
    /// Tools that the client runs.
    pub tools: Vec<Tool>,
    /// Which of them the model may or must call.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls in one turn are allowed.
    pub parallel_calls: Option<bool>,
    /// The most output tokens, reasoning included.
    pub max_output: Option<u64>,
    /// Sampling. Numbers are kept as they were written.
    pub sampling: Sampling,
    /// Texts at which generation ends.
    pub stop: Vec<String>,
    /// The form of the answer, where it must be JSON.
    pub format: Option<Format>,
    /// How much the model is to think.
    pub reasoning: Option<Reasoning>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the client wants the usage of a stream stated (chat completions only).
    pub include_usage: bool,
    /// The end user, as the application names it.
    pub user: Option<String>,
    /// The service tier asked for, in the client's word.
    pub service_tier: Option<String>,
    /// Fields of the client's dialect that the terms above do not cover, by name.
    pub extras: Map<String, Value>,
}

impl Prompt {
    /// Gives each result the name of the tool whose call stands before it.
    pub(super) fn name_results(&mut self) {
        let mut names: Vec<(String, String)> = Vec::new();
        for part in self.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
            match part {
                Part::Call(call) => names.push((call.id.clone(), call.name.clone())),
                Part::Result(result) if result.name.is_none() => {
                    let call = names.iter().rfind(|(id, _)| *id == result.id);
                    result.name = call.map(|(_, name)| name.clone());
                }
                _ => {}
            }
        }
    }
}

/// Sampling parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 1 or 2, by dialect: a writer refuses what its form does not take.
    pub temperature: Option<Number>,
    /// Nucleus.
    pub top_p: Option<Number>,
    /// The most likely tokens.
    pub top_k: Option<Number>,
    /// Seed.
    pub seed: Option<Number>,
    /// Penalty on what has occurred.
    pub presence_penalty: Option<Number>,
    /// Penalty on what occurs often.
    pub frequency_penalty: Option<Number>,
    /// How many answers; `None` means one.
    pub choices: Option<u64>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The application, in the middle of the conversation.
    System,
    /// The person, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// Its place in the client's list, to name it in a refusal.
    pub at: usize,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

/// A part of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// A picture, with the detail asked for in the client's word.
    Image {
        /// Where it is.
        source: Source,
        /// `low`, `high`, `auto`.
        detail: Option<String>,
    },
    /// A document.
    Document {
        /// Where it is.
        source: Source,
        /// Its name.
        name: Option<String>,
    },
    /// Sound.
    Audio(Source),
    /// A call of a tool by the model.
    Call(Call),
    /// The result of a call.
    Result(CallResult),
    /// What the model thought. It is given back unchanged with its proof.
    Thought(Thought),
    /// The model's refusal.
    Refusal(String),
}

/// Where a picture, a document or a sound is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Written out.
    Data {
        /// Its media type, such as `image/png`.
        media_type: String,
        /// Base64.
        base64: String,
    },
    /// At an address that the provider fetches.
    Url(String),
    /// Uploaded to the provider before.
    File(String),
    /// A document that is plain text.
    Text(String),
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The id by which its result names it; made here where the dialect has none.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments: a JSON document as text, which the model may have got wrong.
    pub arguments: String,
    /// The proof that Gemini wants back with the call.
    pub signature: Option<String>,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallResult {
    /// The call.
    pub id: String,
    /// The tool, where the dialect names it or the call stands in the conversation.
    pub name: Option<String>,
    /// Texts, pictures and documents.
    pub parts: Vec<Part>,
    /// Whether the tool failed.
    pub failed: bool,
}

/// What a model thought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thought {
    /// The text, or its summary; empty where the provider does not show it.
    pub text: String,
    /// The provider's proof: a signature or the encrypted thought.
    pub proof: Option<String>,
    /// Whether all of it is in the proof (`redacted_thinking`, `encrypted_content`).
    pub sealed: bool,
}

/// A tool that the client runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None` where it takes none.
    pub schema: Option<Value>,
    /// Whether the arguments must follow the schema to the letter.
    pub strict: Option<bool>,
    /// The tool takes one text instead of JSON (a custom tool of OpenAI); this is the form of that
    /// text as OpenAI states it, or `null`. Other forms see a tool with the one argument
    /// [`CUSTOM_INPUT`], which is what `schema` then says.
    pub custom: Option<Value>,
}

/// The name of the one argument of a custom tool.
pub const CUSTOM_INPUT: &str = "input";

impl Tool {
    /// A custom tool.
    pub fn custom(name: String, description: Option<String>, format: Value) -> Self {
        let schema = json!({"type": "object", "properties": {CUSTOM_INPUT: {"type": "string"}},
            "required": [CUSTOM_INPUT], "additionalProperties": false});
        Self { name, description, schema: Some(schema), strict: None, custom: Some(format) }
    }

    /// What the tool does, with the grammar of a custom tool's text, for forms that have no other
    /// place for it.
    pub fn described(&self) -> Option<Cow<'_, str>> {
        let description = self.description.as_deref();
        let grammar = self.custom.as_ref().and_then(|format| {
            let text =
                |key: &str| format.get(key).or_else(|| format.get("grammar")?.get(key))?.as_str();
            Some((text("syntax")?, text("definition")?))
        });
        let Some((syntax, definition)) = grammar else { return description.map(Cow::Borrowed) };
        let lead = description.map(|text| format!("{text}\n\n")).unwrap_or_default();
        Some(Cow::Owned(format!(
            "{lead}`{CUSTOM_INPUT}` must follow this {syntax} grammar:\n{definition}"
        )))
    }
}

/// Which tool may or must be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// None.
    None,
    /// As the model likes.
    Auto,
    /// One at least.
    Any,
    /// This one.
    Tool(String),
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Any JSON object.
    Json,
    /// JSON that follows a schema.
    Schema {
        /// The schema's name.
        name: Option<String>,
        /// What the answer is for.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// Whether to the letter.
        strict: Option<bool>,
    },
}

/// How much a model is to think.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`: the levels that dialects share.
    pub effort: Option<String>,
    /// Tokens; 0 means off.
    pub budget: Option<u64>,
    /// As much as the model likes.
    pub adaptive: bool,
    /// Whether the thoughts, or their summary, are to be shown.
    pub show: Option<bool>,
}
