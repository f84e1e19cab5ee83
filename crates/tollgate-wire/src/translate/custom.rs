//! Custom tools of OpenAI, which take one text instead of JSON: the text as the one argument that
//! other forms see, and back.

use serde_json::{Value, json};

use super::prompt::CUSTOM_INPUT;

/// The arguments that stand for a text.
pub(super) fn wrapped(input: &str) -> String {
    json!({CUSTOM_INPUT: input}).to_string()
}

/// The text that arguments stand for; arguments of another shape are the text themselves, as a
/// model that got them wrong meant something by them.
pub(super) fn unwrapped(arguments: &str) -> String {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(mut members)) => match members.shift_remove(CUSTOM_INPUT) {
            Some(Value::String(text)) => text,
            _ => arguments.to_owned(),
        },
        Ok(Value::String(text)) => text,
        _ => arguments.to_owned(),
    }
}
