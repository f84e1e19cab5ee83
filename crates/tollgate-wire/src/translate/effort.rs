//! How much a model is to think, in the words of OpenAI's forms.

use super::Target;
use super::prompt::{Prompt, Reasoning};

/// From how many tokens on a budget is a medium and a high effort. Sources: the budgets that the
/// vendors' own compatible endpoints put for these words.
const MEDIUM: u64 = 4_096;
const HIGH: u64 = 16_384;

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort<'a> {
    /// Nothing: the model does as it does.
    Unsaid,
    /// This word.
    Word(&'a str),
    /// Nothing, although the client asked for something.
    LeftOut,
}

/// The word for what the client asks of this model.
///
/// That a model is not to think can be said only to one that does; others refuse the field.
pub(super) fn effort<'a>(prompt: &'a Prompt, target: &Target<'_>) -> Effort<'a> {
    let Some(reasoning) = &prompt.reasoning else { return Effort::Unsaid };
    match (word(reasoning), target.thinks) {
        (None, _) => Effort::Unsaid,
        (Some("none"), Some(false)) => Effort::Unsaid,
        (Some(_), Some(false)) => Effort::LeftOut,
        (Some("none"), None) if reasoning.effort.is_none() => Effort::LeftOut,
        (Some(word), _) => Effort::Word(word),
    }
}

fn word(reasoning: &Reasoning) -> Option<&str> {
    match (reasoning.effort.as_deref(), reasoning.budget) {
        (Some("max"), _) => Some("xhigh"),
        (Some(word), _) => Some(word),
        (None, Some(0)) => Some("none"),
        (None, Some(budget)) if budget < MEDIUM => Some("low"),
        (None, Some(budget)) if budget < HIGH => Some("medium"),
        (None, Some(_)) => Some("high"),
        (None, None) => None,
    }
}
