//! The smallest document that fits a JSON schema, for structured answers of the simulation.

use serde_json::{Map, Value, json};

/// Bounds recursion through references.
const DEPTH: u8 = 12;

/// An instance of `schema`: required members only, first of each choice.
pub(super) fn instance(schema: &Value) -> Value {
    build(schema, schema, DEPTH)
}

fn build(schema: &Value, root: &Value, depth: u8) -> Value {
    let Some(depth) = depth.checked_sub(1) else {
        return Value::Null;
    };
    if let Some(fixed) = schema.get("const").or_else(|| schema.pointer("/enum/0")) {
        return fixed.clone();
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let found = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return found.map_or(Value::Null, |found| build(found, root, depth));
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(choice).and_then(|list| list.get(0)) {
            return build(first, root, depth);
        }
    }
    match kind(schema) {
        "object" => object(schema, root, depth),
        "array" => {
            let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(16);
            let items = schema.get("items").unwrap_or(&Value::Null);
            (0..count).map(|_| build(items, root, depth)).collect()
        }
        "string" => string(schema),
        "integer" | "number" => number(schema),
        "boolean" => Value::Bool(false),
        _ => Value::Null,
    }
}

fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut named = kinds.iter().filter_map(Value::as_str);
            named.find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ => "null",
    }
}

fn object(schema: &Value, root: &Value, depth: u8) -> Value {
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    let member = |name: &str| {
        let inner = schema.get("properties").and_then(|all| all.get(name)).unwrap_or(&Value::Null);
        (name.to_owned(), build(inner, root, depth))
    };
    Value::Object(names.map(member).collect::<Map<_, _>>())
}

fn string(schema: &Value) -> Value {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-01-01".to_owned(),
        Some("date-time") => "2026-01-01T00:00:00Z".to_owned(),
        Some("email") => "user@example.com".to_owned(),
        Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
        _ => "simulated".to_owned(),
    };
    let length = |key: &str| schema.get(key).and_then(Value::as_u64);
    let least = usize::try_from(length("minLength").unwrap_or(0)).unwrap_or(0).min(4096);
    let most = usize::try_from(length("maxLength").unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let padded = text.chars().chain(std::iter::repeat('x'));
    padded.take(text.len().max(least).min(most)).collect::<String>().into()
}

fn number(schema: &Value) -> Value {
    let bound = |key: &str| schema.get(key).filter(|bound| bound.is_number()).cloned();
    if let Some(least) = bound("minimum").or_else(|| bound("maximum").filter(below_zero)) {
        return least;
    }
    match schema.get("exclusiveMinimum").and_then(Value::as_i64) {
        Some(bound) => json!(bound.saturating_add(1)),
        None => json!(0),
    }
}

fn below_zero(bound: &Value) -> bool {
    bound.as_i64().is_some_and(|bound| bound < 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_have_what_is_required_and_nothing_else() {
        let schema = json!({"type": "object", "required": ["a", "b", "c", "d", "e", "f"],
            "$defs": {"city": {"type": "object", "required": ["name"],
                "properties": {"name": {"type": "string", "maxLength": 3}}}},
            "properties": {"a": {"enum": ["x", "y"]}, "b": {"$ref": "#/$defs/city"},
                "c": {"type": "array", "minItems": 2, "items": {"type": "integer", "minimum": 4}},
                "d": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
                "e": {"type": ["null", "number"]}, "f": {"type": "string", "minLength": 12},
                "g": {"type": "string"}}});
        assert_eq!(
            instance(&schema),
            json!({"a": "x", "b": {"name": "sim"}, "c": [4, 4], "d": false, "e": 0,
                "f": "simulatedxxx"})
        );
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "required": ["next"],
            "properties": {"next": {"$ref": "#"}}});
        assert!(instance(&schema).to_string().len() < 400);
    }
}
