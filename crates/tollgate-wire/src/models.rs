//! Lists of models, and counts of tokens, in the form of each dialect: what is answered here without
//! a provider.

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_domain::call::Dialect;

use crate::endpoint::Endpoint;

/// One model of a list.
#[derive(Clone, Copy, Debug)]
pub struct ModelEntry<'a> {
    /// The public name.
    pub id: &'a str,
    /// The provider.
    pub owned_by: &'a str,
    /// Seconds since the epoch.
    pub created: u64,
    /// The same as a date (RFC 3339).
    pub created_at: &'a str,
}

/// The answer of a list of models, whole: there is never a next page.
pub fn models_list<'a>(
    dialect: Dialect,
    models: impl IntoIterator<Item = ModelEntry<'a>>,
) -> Bytes {
    let models: Vec<Value> = models.into_iter().map(|model| document(dialect, &model)).collect();
    let list = match dialect {
        Dialect::Openai => json!({ "object": "list", "data": models }),
        Dialect::Gemini => json!({ "models": models }),
        Dialect::Anthropic => {
            let id = |model: Option<&Value>| {
                model.and_then(|model| model.get("id")).cloned().unwrap_or_default()
            };
            let (first, last) = (id(models.first()), id(models.last()));
            json!({ "data": models, "has_more": false, "first_id": first, "last_id": last })
        }
    };
    list.to_string().into()
}

/// The answer of one model.
pub fn model_body(dialect: Dialect, model: &ModelEntry<'_>) -> Bytes {
    document(dialect, model).to_string().into()
}

fn document(dialect: Dialect, model: &ModelEntry<'_>) -> Value {
    let ModelEntry { id, owned_by, created, created_at } = *model;
    match dialect {
        Dialect::Openai => {
            json!({ "id": id, "object": "model", "created": created, "owned_by": owned_by })
        }
        Dialect::Anthropic => {
            json!({ "type": "model", "id": id, "display_name": id, "created_at": created_at })
        }
        Dialect::Gemini => json!({
            "name": format!("models/{id}"),
            "baseModelId": id,
            "displayName": id,
            "description": owned_by,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }),
    }
}

/// The answer of a count of tokens.
pub fn count_body(endpoint: Endpoint, tokens: u64) -> Bytes {
    let body = match endpoint.dialect() {
        Dialect::Openai => json!({ "object": "response.input_tokens", "input_tokens": tokens }),
        Dialect::Anthropic => json!({ "input_tokens": tokens }),
        Dialect::Gemini => json!({ "totalTokens": tokens }),
    };
    body.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_lists_models_in_its_own_form() {
        let entry = ModelEntry {
            id: "a\"b",
            owned_by: "sim",
            created: 7,
            created_at: "1970-01-01T00:00:07Z",
        };
        let list = |dialect| -> Value {
            serde_json::from_slice(&models_list(dialect, [entry, entry])).unwrap()
        };
        assert_eq!(list(Dialect::Openai)["data"][1]["id"], "a\"b");
        assert_eq!(list(Dialect::Openai)["data"][0]["object"], "model");
        assert_eq!(list(Dialect::Anthropic)["last_id"], "a\"b");
        assert_eq!(list(Dialect::Anthropic)["has_more"], false);
        assert_eq!(list(Dialect::Gemini)["models"][0]["name"], "models/a\"b");
        let empty: Value = serde_json::from_slice(&models_list(Dialect::Anthropic, [])).unwrap();
        assert_eq!(
            empty,
            json!({"data": [], "has_more": false, "first_id": null, "last_id": null})
        );
        let one: Value = serde_json::from_slice(&model_body(Dialect::Openai, &entry)).unwrap();
        assert_eq!(one, list(Dialect::Openai)["data"][0]);
    }

    #[test]
    fn a_count_is_answered_in_the_form_of_its_path() {
        assert_eq!(&*count_body(Endpoint::MessageTokens, 7), br#"{"input_tokens":7}"#);
        assert_eq!(&*count_body(Endpoint::CountTokens, 7), br#"{"totalTokens":7}"#);
    }
}
