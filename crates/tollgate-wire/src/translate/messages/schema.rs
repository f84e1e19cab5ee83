//! JSON Schema as Claude follows it to the letter.
//!
//! Its decoder knows a subset: objects must be closed, and bounds on values are unknown to it. A
//! bound becomes part of the description, where the model at least reads it, as Anthropic's own
//! SDKs do. Source: Anthropic's documentation of structured outputs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// Bounds that the decoder refuses.
const BOUNDS: [&str; 11] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// Formats of strings that it knows.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The schema of a tool's arguments, which must say that they are an object.
pub(in crate::translate) fn object_schema(schema: Option<&Value>) -> Value {
    let mut schema = match schema {
        Some(Value::Object(members)) => members.clone(),
        _ => Map::new(),
    };
    if !schema.contains_key("type") {
        schema.insert("type".to_owned(), json!("object"));
    }
    if schema.get("type") == Some(&json!("object")) && !schema.contains_key("properties") {
        schema.insert("properties".to_owned(), json!({}));
    }
    Value::Object(schema)
}

/// The schema with every object closed and every bound told in words.
pub(in crate::translate) fn closed(schema: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let mut out = Map::new();
    let mut told = String::new();
    for (name, value) in members {
        match (name.as_str(), value) {
            // Under these names stand schemas by names of the caller's own.
            ("properties" | "$defs" | "definitions", Value::Object(schemas)) => {
                let each = schemas.iter().map(|(name, schema)| (name.clone(), closed(schema)));
                out.insert(name.clone(), Value::Object(each.collect()));
            }
            ("items" | "additionalProperties", _) => {
                out.insert(name.clone(), closed(value));
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(schemas)) => {
                let name = if name == "oneOf" { "anyOf" } else { name };
                out.insert(name.to_owned(), schemas.iter().map(closed).collect());
            }
            (bound, _) if is_unknown(bound, value) => tell(&mut told, bound, value),
            _ => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    if !told.is_empty() {
        let before =
            out.get("description").and_then(Value::as_str).map(|text| format!("{text}\n\n"));
        let description = format!("{}{{{told}}}", before.unwrap_or_default());
        out.insert("description".to_owned(), Value::String(description));
    }
    if is_object(&out) && !out.contains_key("additionalProperties") {
        out.insert("additionalProperties".to_owned(), json!(false));
    }
    Value::Object(out)
}

fn is_unknown(name: &str, value: &Value) -> bool {
    match name {
        "minItems" => value.as_u64().is_none_or(|least| least > 1),
        "format" => value.as_str().is_none_or(|format| !FORMATS.contains(&format)),
        name => BOUNDS.contains(&name),
    }
}

fn tell(told: &mut String, name: &str, value: &Value) {
    let comma = if told.is_empty() { "" } else { ", " };
    let written = write!(told, "{comma}{name}: {value}");
    debug_assert!(written.is_ok(), "a string takes every write");
}

fn is_object(schema: &Map<String, Value>) -> bool {
    schema.get("type").is_some_and(|kind| {
        kind == "object" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("object")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_closed_at_every_depth_and_names_of_properties_are_no_keywords() {
        let schema = json!({"type": "object", "properties": {
            "type": {"type": ["object", "null"], "properties": {"minimum": {"type": "string"}}},
            "b": {"$ref": "#/$defs/c"},
            "list": {"type": "array", "minItems": 1, "items": {"oneOf": [{"type": "object"}]}}},
            "$defs": {"c": {"type": "object", "properties": {}, "enum": [{"type": "object"}]}}});
        let expected = json!({"type": "object", "properties": {
            "type": {"type": ["object", "null"], "properties": {"minimum": {"type": "string"}},
                "additionalProperties": false},
            "b": {"$ref": "#/$defs/c"},
            "list": {"type": "array", "minItems": 1, "items":
                {"anyOf": [{"type": "object", "additionalProperties": false}]}}},
            "$defs": {"c": {"type": "object", "properties": {}, "enum": [{"type": "object"}],
                "additionalProperties": false}},
            "additionalProperties": false});
        assert_eq!(closed(&schema), expected);
    }

    #[test]
    fn bounds_are_told_in_the_description() {
        let schema = json!({"type": "integer", "minimum": 1, "maximum": 5, "description": "Stars"});
        let expected =
            json!({"type": "integer", "description": "Stars\n\n{minimum: 1, maximum: 5}"});
        assert_eq!(closed(&schema), expected);
        let phone = closed(&json!({"type": "string", "format": "phone"}));
        assert_eq!(phone, json!({"type": "string", "description": "{format: \"phone\"}"}));
        let date = json!({"type": "string", "format": "date", "pattern": "^2"});
        assert_eq!(closed(&date), date);
    }
}
