//! Arguments of a call: text that ought to be a JSON object.
//!
//! OpenAI's form has them as text, which a model may get wrong; the others have an object. Nothing
//! is lost on the way to an object: what is none stands in it under [`RAW`].

use serde_json::{Map, Value};

/// The key of a text that is no JSON object.
pub(crate) const RAW: &str = "raw_arguments";

/// The object that is meant; empty for no text.
pub(crate) fn object(text: &str) -> Map<String, Value> {
    if text.trim().is_empty() {
        return Map::new();
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => members,
        // A model that quotes the whole document means what is inside the quotes.
        Ok(Value::String(inner)) => match serde_json::from_str(&inner) {
            Ok(Value::Object(members)) => members,
            _ => raw(text),
        },
        Ok(Value::Null) => Map::new(),
        _ => raw(text),
    }
}

fn raw(text: &str) -> Map<String, Value> {
    Map::from_iter([(RAW.to_owned(), Value::String(text.to_owned()))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_that_are_no_object_are_kept_under_a_key() {
        for (text, expected) in [
            ("", json!({})),
            (" \n", json!({})),
            ("null", json!({})),
            ("{\"a\":1}", json!({"a": 1})),
            ("\"{\\\"a\\\":1}\"", json!({"a": 1})),
            ("{\"a\":", json!({"raw_arguments": "{\"a\":"})),
            ("[1]", json!({"raw_arguments": "[1]"})),
        ] {
            assert_eq!(Value::Object(object(text)), expected, "{text}");
        }
    }
}
