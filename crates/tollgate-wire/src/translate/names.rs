//! What each dialect calls the terms of a prompt, so that a refusal names the client's own field.

use crate::peek::BodyError;

use super::Form;
use super::prompt::{Part, Prompt, Turn};

/// The fields of a dialect.
#[derive(Debug)]
pub(crate) struct Names {
    /// The list of turns.
    pub(crate) turns: &'static str,
    /// The list of parts in a turn.
    pub(crate) parts: &'static str,
    pub(crate) temperature: &'static str,
    pub(crate) top_p: &'static str,
    pub(crate) top_k: &'static str,
    pub(crate) seed: &'static str,
    pub(crate) presence_penalty: &'static str,
    pub(crate) frequency_penalty: &'static str,
    pub(crate) choices: &'static str,
    pub(crate) stop: &'static str,
    pub(crate) format: &'static str,
    pub(crate) reasoning: &'static str,
    pub(crate) tool_choice: &'static str,
    pub(crate) parallel_calls: &'static str,
    pub(crate) user: &'static str,
    pub(crate) service_tier: &'static str,
    /// A thought in the conversation.
    pub(crate) thought: &'static str,
}

const CHAT: Names = Names {
    turns: "messages",
    parts: "content",
    temperature: "temperature",
    top_p: "top_p",
    top_k: "top_k",
    seed: "seed",
    presence_penalty: "presence_penalty",
    frequency_penalty: "frequency_penalty",
    choices: "n",
    stop: "stop",
    format: "response_format",
    reasoning: "reasoning_effort",
    tool_choice: "tool_choice",
    parallel_calls: "parallel_tool_calls",
    user: "user",
    service_tier: "service_tier",
    thought: "reasoning_content",
};

const RESPONSES: Names = Names {
    turns: "input",
    format: "text.format",
    reasoning: "reasoning",
    thought: "reasoning",
    ..CHAT
};

const MESSAGES: Names = Names {
    turns: "messages",
    stop: "stop_sequences",
    format: "output_config.format",
    reasoning: "thinking",
    parallel_calls: "tool_choice.disable_parallel_tool_use",
    user: "metadata.user_id",
    thought: "thinking",
    ..CHAT
};

const GEMINI: Names = Names {
    turns: "contents",
    parts: "parts",
    temperature: "generationConfig.temperature",
    top_p: "generationConfig.topP",
    top_k: "generationConfig.topK",
    seed: "generationConfig.seed",
    presence_penalty: "generationConfig.presencePenalty",
    frequency_penalty: "generationConfig.frequencyPenalty",
    choices: "generationConfig.candidateCount",
    stop: "generationConfig.stopSequences",
    format: "generationConfig.responseMimeType",
    reasoning: "generationConfig.thinkingConfig",
    tool_choice: "toolConfig.functionCallingConfig",
    parallel_calls: "toolConfig",
    user: "labels",
    service_tier: "serviceTier",
    thought: "thought",
};

impl Form {
    pub(crate) const fn names(self) -> &'static Names {
        match self {
            Self::Chat | Self::Converse => &CHAT,
            Self::Responses => &RESPONSES,
            Self::Messages => &MESSAGES,
            Self::Gemini => &GEMINI,
        }
    }
}

/// Refuses a field that the provider's form cannot express.
pub(crate) fn refusal(field: &str) -> BodyError {
    refusal_as(field, "cannot be expressed in the form of this model's provider")
}

/// Refuses a field; the message is the field's name and `why`.
pub(crate) fn refusal_as(field: &str, why: &str) -> BodyError {
    BodyError::of(field, format!("`{field}` {why}"))
}

impl Prompt {
    /// The client's names.
    pub(crate) fn names(&self) -> &'static Names {
        self.form.names()
    }

    /// Refuses a part of a turn; `kind` says what it is, such as `input_audio`.
    pub(crate) fn refuse_part(&self, turn: &Turn, part: usize, kind: &str) -> BodyError {
        let names = self.names();
        // In the forms of OpenAI, thoughts and calls do not stand among the parts.
        let beside = matches!(self.form, Form::Chat | Form::Responses);
        let before = turn.parts.iter().take(part);
        let index = before.filter(|part| !beside || !part.is_beside_content()).count();
        refusal(&format!("{}[{}].{}[{index}].{kind}", names.turns, turn.at, names.parts))
    }
}

impl Part {
    const fn is_beside_content(&self) -> bool {
        matches!(self, Self::Thought(_) | Self::Call(_) | Self::Result(_))
    }
}
