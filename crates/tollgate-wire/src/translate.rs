//! Translation between dialects: any client on any provider.
//!
//! A hub with four spokes. Each form (chat completions, responses, messages, generateContent; the
//! Converse form of Bedrock as a target) is read into and written from the two documents of
//! [`prompt`] (what is asked) and [`reply`] (what is answered), so a form is known in one place and
//! a pair of forms needs no code of its own.
//!
//! What a form cannot express is refused by the field's name in the client's own dialect, never
//! dropped in silence. Metering does not see translated answers: it reads the provider's own bytes
//! before they come here.

mod arguments;
mod chat;
mod claude;
mod converse;
mod custom;
mod dialogue;
mod dispatch;
mod effort;
mod failure;
mod fields;
mod flow;
mod gemini;
mod hints;
mod ids;
mod items;
mod messages;
mod names;
mod outcome;
pub mod prompt;
mod proof;
pub mod reply;
mod responses;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod tree;

use bytes::Bytes;

use crate::endpoint::Endpoint;
use crate::openai::UsageRules;
use crate::peek::BodyError;

pub use failure::translate_error;
pub use stream::Translator;

use prompt::Prompt;

/// A form of requests and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Form {
    /// Chat completions of OpenAI, which most vendors speak.
    #[default]
    Chat,
    /// Responses of OpenAI.
    Responses,
    /// Messages of Anthropic.
    Messages,
    /// `generateContent` of Gemini.
    Gemini,
    /// Converse of Bedrock; a target only.
    Converse,
}

impl Form {
    /// The form of an endpoint's answers; `None` where answers of that kind are not translated.
    pub const fn of(endpoint: Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::ChatCompletions => Some(Self::Chat),
            Endpoint::Responses => Some(Self::Responses),
            Endpoint::Messages => Some(Self::Messages),
            Endpoint::GenerateContent | Endpoint::StreamGenerateContent => Some(Self::Gemini),
            Endpoint::Converse | Endpoint::ConverseStream => Some(Self::Converse),
            _ => None,
        }
    }
}

/// What is called at the provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// The model, as the provider names it.
    pub model: &'a str,
    /// The most output tokens that the model can give: what is asked for where the form requires a
    /// maximum and the client states none.
    pub max_output: Option<u64>,
    /// Never more output tokens than these are asked for.
    pub clamp: Option<u64>,
    /// Whether a stream must state its usage, asked or not.
    pub include_usage: bool,
    /// Whether the vendor knows `max_tokens` only (see [`crate::openai::Vendor`]).
    pub legacy_max_tokens: bool,
    /// Whether the model can think, where that is known. A wish for thoughts is left out of a
    /// request to a model that cannot, as such models refuse it.
    pub thinks: Option<bool>,
}

impl Target<'_> {
    /// The output maximum to ask for, given the client's.
    pub(crate) fn output(&self, asked: Option<u64>) -> Option<u64> {
        match (asked, self.clamp) {
            (Some(asked), Some(clamp)) => Some(asked.min(clamp)),
            (asked, clamp) => asked.or(clamp),
        }
    }
}

/// A request as it is sent to the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The body.
    pub body: Bytes,
    /// Hints of the client that do not change the answer and that the form has no word for.
    pub left_out: Vec<&'static str>,
}

/// How an answer is shown to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The model, as the client asked for it.
    pub model: String,
    /// When the call began, in seconds since the epoch; for forms that state it where the provider
    /// does not.
    pub created: u64,
    /// A unique part for ids that are made here.
    pub fallback_id: String,
    /// Whether the client asked for the usage of a stream (chat completions).
    pub include_usage: bool,
    /// Whether a client of Gemini wants its stream as one JSON array: it did not say `alt=sse`.
    pub array: bool,
    /// Tools whose arguments are one text ([`prompt::Tool::custom`]), by name.
    pub custom_tools: Vec<String>,
    /// How the provider counts.
    pub rules: UsageRules,
}

impl View {
    /// The view of the answer to this request.
    pub fn of(prompt: &Prompt, created: u64, fallback_id: String, rules: UsageRules) -> Self {
        let custom = prompt.tools.iter().filter(|tool| tool.custom.is_some());
        Self {
            model: prompt.model.clone(),
            created,
            fallback_id,
            include_usage: prompt.include_usage,
            array: false,
            custom_tools: custom.map(|tool| tool.name.clone()).collect(),
            rules,
        }
    }
}

/// Translates a request. `model_in_path` is the model where the client's form has it there.
///
/// What the provider's form cannot express is an error that names the client's field.
pub fn translate_request(
    from: Endpoint,
    to: Endpoint,
    model_in_path: Option<&str>,
    body: &[u8],
    target: &Target<'_>,
) -> Result<(Prompt, Written), BodyError> {
    let (client, provider) = (known(from)?, known(to)?);
    let mut prompt = dispatch::read(client, model_in_path, body)?;
    prompt.form = client;
    prompt.stream |= from.always_streams();
    if prompt.sampling.choices.is_some_and(|choices| choices > 1) {
        return Err(names::refusal(client.names().choices));
    }
    let forgotten = proof::settle(&mut prompt, provider);
    prompt.name_results();
    let mut written = dispatch::write(provider, &prompt, target)?;
    if forgotten {
        written.left_out.push(client.names().thought);
    }
    Ok((prompt, written))
}

/// Translates a whole answer of status 200.
pub fn translate_whole(upstream: Endpoint, client: Endpoint, body: &[u8], view: &View) -> Bytes {
    let (Some(from), Some(to)) = (Form::of(upstream), Form::of(client)) else {
        return Bytes::copy_from_slice(body);
    };
    let mut flow = flow::Flow::new(from, to);
    let mut events = Vec::new();
    for event in dispatch::read_whole(from, body, view) {
        flow.push(event, &mut events);
    }
    flow.finish(&mut events);
    dispatch::write_whole(to, &events, view).into()
}

fn known(endpoint: Endpoint) -> Result<Form, BodyError> {
    Form::of(endpoint).ok_or_else(|| BodyError {
        message: format!("requests of `{}` are not translated", endpoint.path()),
        param: None,
    })
}
