//! The results of tools as text, for the forms of OpenAI.

use super::prompt::{CallResult, Part, Source};
use super::source::titled;

/// How far into a text a word for the failure is looked for.
const START: usize = 32;

/// Whether a part can be written as text.
pub(super) const fn is_text(part: &Part) -> bool {
    matches!(
        part,
        Part::Text(_) | Part::Refusal(_) | Part::Document { source: Source::Text(_), .. }
    )
}

/// The texts of a result. These forms have no flag for a tool that failed, so the text says it.
pub(super) fn text(result: &CallResult) -> String {
    let texts = result.parts.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.clone()),
        Part::Document { source: Source::Text(text), name } => Some(titled(name.as_deref(), text)),
        _ => None,
    });
    let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
    let text = texts.join("\n\n");
    if result.failed && !says_so(&text) { format!("Error: {text}") } else { text }
}

fn says_so(text: &str) -> bool {
    let start = text.get(..text.floor_char_boundary(START)).unwrap_or_default();
    start.to_ascii_lowercase().contains("error")
}
