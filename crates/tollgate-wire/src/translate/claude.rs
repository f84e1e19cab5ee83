//! What a Claude model takes, by its name.
//!
//! The Messages API checks by model which fields it accepts, and other dialects know none of these
//! fields; so a request that is translated has to be written for the generation of the model.
//! A name that tells nothing is taken for a current model. Source: Anthropic's model documentation.

use serde_json::{Value, json};

use super::prompt::{Prompt, Reasoning};
use super::tree::Tree as _;

/// A Claude model's generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claude {
    version: (u32, u32),
    opus: bool,
}

/// How a Claude model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Nothing is said: the model's own default.
    Unsaid,
    /// Not at all.
    Off,
    /// At most so many tokens.
    Budget(u64),
    /// As it likes.
    Adaptive,
}

impl Thinking {
    /// The object that says so. Current models show their thoughts where they are told to.
    pub(crate) fn object(self, show: Option<bool>) -> Option<Value> {
        let mut object = match self {
            Self::Unsaid => return None,
            Self::Off => json!({"type": "disabled"}),
            Self::Budget(tokens) => json!({"type": "enabled", "budget_tokens": tokens}),
            Self::Adaptive => json!({"type": "adaptive"}),
        };
        if let (Self::Adaptive, Some(show)) = (self, show) {
            object.put("display", json!(if show { "summarized" } else { "omitted" }));
        }
        Some(object)
    }
}

/// The least budget for thinking.
const LEAST_BUDGET: u64 = 1024;

impl Claude {
    /// The model of this name: `claude-opus-4-8`, `us.anthropic.claude-3-7-sonnet-20250219-v1:0`.
    pub(crate) fn named(name: &str) -> Self {
        let newest = Self { version: (u32::MAX, 0), opus: false };
        let Some((_, name)) = name.split_once("claude-") else { return newest };
        let mut words =
            name.split(['-', '.', '@', ':', '/']).skip_while(|word| number(word).is_none());
        let Some(major) = words.next().and_then(number) else { return newest };
        let minor = words.next().and_then(number).unwrap_or(0);
        Self { version: (major, minor), opus: name.contains("opus") }
    }

    /// Whether a message in the middle of the conversation may have the role `system`.
    pub(crate) fn takes_system_turns(self) -> bool {
        self.version >= (4, 8)
    }

    /// Whether a tool's arguments can be held to their schema.
    pub(crate) fn takes_strict_tools(self) -> bool {
        self.version >= (4, 5)
    }

    /// The most output tokens, where nobody says better.
    pub(crate) fn max_output(self) -> u64 {
        match self.version {
            (..3, _) | (3, ..5) => 4_096,
            (3, 5) => 8_192,
            (4, 0..=1) if self.opus => 32_000,
            _ => 64_000,
        }
    }

    fn is_adaptive(self) -> bool {
        self.version >= (4, 6)
    }

    /// The word for an effort, of those that the model knows.
    fn effort(self, effort: &str) -> &str {
        match effort {
            "minimal" => "low",
            "xhigh" if self.version < (4, 7) => "high",
            other => other,
        }
    }

    /// How to think, and with what effort, where `max_tokens` bounds thoughts and answer together.
    pub(crate) fn thinking(
        self,
        wanted: &Reasoning,
        max_tokens: u64,
    ) -> (Thinking, Option<String>) {
        let effort = wanted.effort.as_deref();
        if effort == Some("none") || wanted.budget == Some(0) {
            let effort = effort.filter(|effort| *effort != "none" && self.is_adaptive());
            return (Thinking::Off, effort.map(|effort| self.effort(effort).to_owned()));
        }
        if self.is_adaptive() {
            let by_budget = wanted.budget.filter(|_| !wanted.adaptive).map(effort_of);
            let effort = effort.or(by_budget).map(|effort| self.effort(effort).to_owned());
            let unsaid = effort.is_none() && !wanted.adaptive;
            return (if unsaid { Thinking::Unsaid } else { Thinking::Adaptive }, effort);
        }
        let budget = match (wanted.budget, effort) {
            (Some(budget), _) => budget,
            (None, Some(effort)) => budget_of(effort),
            (None, None) if wanted.adaptive => budget_of("medium"),
            (None, None) => return (Thinking::Unsaid, None),
        };
        // The answer keeps a fifth of the tokens.
        let most = max_tokens.saturating_mul(4) / 5;
        let budget = budget.max(LEAST_BUDGET).min(most);
        (if budget < LEAST_BUDGET { Thinking::Off } else { Thinking::Budget(budget) }, None)
    }
}

fn number(word: &str) -> Option<u32> {
    // A date has eight digits.
    (word.len() <= 2).then(|| word.parse().ok()).flatten()
}

const fn effort_of(budget: u64) -> &'static str {
    match budget {
        ..=4_096 => "low",
        4_097..=16_384 => "medium",
        _ => "high",
    }
}

fn budget_of(effort: &str) -> u64 {
    match effort {
        "minimal" => LEAST_BUDGET,
        "low" => 4_096,
        "medium" => 10_240,
        "high" => 24_576,
        _ => 32_768,
    }
}

/// Whether the model is in the middle of calling tools and a thought of it cannot be given back:
/// then a budget for thinking would be refused, because such a turn must begin with its thought.
pub(crate) fn lost_its_thought(prompt: &Prompt) -> bool {
    use super::prompt::{Part, Role};
    let is_result = |part: &Part| matches!(part, Part::Result(_));
    let current = prompt
        .turns
        .iter()
        .rev()
        .take_while(|turn| turn.role != Role::User || turn.parts.iter().any(is_result));
    let mut calls = false;
    let mut proven = false;
    for part in current.filter(|turn| turn.role == Role::Assistant).flat_map(|turn| &turn.parts) {
        match part {
            Part::Call(_) => calls = true,
            Part::Thought(thought) => proven |= thought.proof.is_some(),
            _ => {}
        }
    }
    calls && !proven
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_generation() {
        for (name, version) in [
            ("claude-opus-4-8-20260528", (4, 8)),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", (4, 5)),
            ("claude-3-7-sonnet-20250219", (3, 7)),
            ("claude-opus-4-20250514", (4, 0)),
            ("anthropic/claude-opus-4.6", (4, 6)),
            ("claude-fable-5-1", (5, 1)),
            ("claude-sonnet-5@20260901", (5, 0)),
            ("arn:aws:bedrock:x", (u32::MAX, 0)),
        ] {
            assert_eq!(Claude::named(name).version, version, "{name}");
        }
    }

    #[test]
    fn an_effort_is_a_budget_on_older_models_and_a_word_on_newer_ones() {
        let wanted =
            |effort: &str| Reasoning { effort: Some(effort.to_owned()), ..Reasoning::default() };
        let (old, new) = (Claude::named("claude-sonnet-4-5"), Claude::named("claude-opus-5"));
        assert_eq!(old.thinking(&wanted("high"), 64_000), (Thinking::Budget(24_576), None));
        assert_eq!(old.thinking(&wanted("high"), 2_000), (Thinking::Budget(1_600), None));
        assert_eq!(old.thinking(&wanted("low"), 1_000), (Thinking::Off, None));
        assert_eq!(
            new.thinking(&wanted("minimal"), 1_000),
            (Thinking::Adaptive, Some("low".to_owned()))
        );
        assert_eq!(new.thinking(&wanted("none"), 1_000), (Thinking::Off, None));
        let budget = Reasoning { budget: Some(30_000), ..Reasoning::default() };
        assert_eq!(
            new.thinking(&budget, 64_000),
            (Thinking::Adaptive, Some("high".to_owned())),
            "current models refuse a budget"
        );
        let xhigh = Claude::named("claude-opus-4-6").thinking(&wanted("xhigh"), 64_000);
        assert_eq!(xhigh.1.as_deref(), Some("high"));
    }
}
