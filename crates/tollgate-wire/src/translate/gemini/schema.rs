//! Gemini's own notation of schemas, a dialect of `OpenAPI`, as JSON Schema.
//!
//! The other way nothing is to be done: Gemini takes JSON Schema under names of its own.

use serde_json::{Map, Value, json};

use crate::translate::items::in_camel_case;

/// Counts, which the notation writes as strings.
const COUNTS: [&str; 6] =
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// The JSON Schema that is meant. What already is one stays.
pub(super) fn to_json_schema(schema: Value) -> Value {
    let Value::Object(members) = schema else { return schema };
    let mut out = Map::new();
    let mut nullable = false;
    for (name, value) in in_camel_case(members) {
        match (name.as_str(), value) {
            ("nullable", value) => nullable = value == json!(true),
            // The order of properties is theirs as they stand.
            ("propertyOrdering", _) => {}
            ("example", value) => {
                out.insert("examples".to_owned(), json!([value]));
            }
            ("type", Value::String(kind)) if kind == "TYPE_UNSPECIFIED" => {}
            ("type", Value::String(kind)) => {
                out.insert(name, json!(kind.to_ascii_lowercase()));
            }
            ("properties" | "$defs" | "defs", Value::Object(each)) => {
                let name = if name == "defs" { "$defs".to_owned() } else { name };
                let each = each.into_iter().map(|(name, value)| (name, to_json_schema(value)));
                out.insert(name, Value::Object(each.collect()));
            }
            ("items" | "additionalProperties", value) => {
                out.insert(name, to_json_schema(value));
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(each)) => {
                out.insert(name, each.into_iter().map(to_json_schema).collect());
            }
            (count, Value::String(digits)) if COUNTS.contains(&count) => {
                let number =
                    digits.parse::<u64>().map_or_else(|_| json!(digits), |number| json!(number));
                out.insert(name, number);
            }
            (_, value) => {
                out.insert(name, value);
            }
        }
    }
    if nullable {
        allow_null(&mut out);
    }
    Value::Object(out)
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.push(json!({"type": "null"}));
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geminis_notation_becomes_json_schema() {
        let geminis = json!({"type": "OBJECT", "property_ordering": ["b", "any_of"], "properties": {
            "b": {"type": "STRING", "nullable": true, "enum": ["x"], "format": "enum"},
            "any_of": {"any_of": [{"type": "INTEGER"}, {"type": "NUMBER"}]},
            "list": {"type": "ARRAY", "min_items": "1", "items": {"type": "BOOLEAN"}}},
            "required": ["b"]});
        let expected = json!({"type": "object", "properties": {
            "b": {"type": ["string", "null"], "enum": ["x", null], "format": "enum"},
            "any_of": {"anyOf": [{"type": "integer"}, {"type": "number"}]},
            "list": {"type": "array", "minItems": 1, "items": {"type": "boolean"}}},
            "required": ["b"]});
        assert_eq!(to_json_schema(geminis), expected);
        assert_eq!(to_json_schema(expected.clone()), expected, "what is one stays");
    }
}
