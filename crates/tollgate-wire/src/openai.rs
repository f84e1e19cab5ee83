//! The OpenAI dialect, which most other providers speak too.
//!
//! What differs between vendors is data ([`vendor::VENDORS`]), never a second copy of this code.
//! Sources: the provider's API reference and SDK types, and the recorded exchanges of the tests.

mod answer;
pub mod audio;
mod cut;
pub mod images;
pub(crate) mod media;
mod request;
mod rewrite;
mod stream;
mod text;
mod usage;
pub mod vendor;

pub use answer::read_answer;
pub(crate) use cut::{cut_events as cut, push_responses_usage, push_usage};
pub use request::peek;
pub use rewrite::rewrite;
pub(crate) use stream::Reader;

pub use crate::dialect::cut_events;
pub use crate::inband::read_error;
pub use crate::meter::{Flow, Meter as OpenAiStream, StreamError};
pub use crate::rewrite::Rewrite;
pub use text::answer_text;
pub use vendor::{UsageRules, Vendor};

use bytes::Bytes;

use crate::json::{push_fmt, push_string};

/// One model of a list.
#[derive(Clone, Copy, Debug)]
pub struct ModelEntry<'a> {
    /// The public name.
    pub id: &'a str,
    /// The provider.
    pub owned_by: &'a str,
    /// Seconds since the epoch.
    pub created: u64,
}

/// The answer of `GET /v1/models`.
pub fn models_list<'a>(models: impl IntoIterator<Item = ModelEntry<'a>>) -> Bytes {
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (index, model) in models.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_model(&mut out, &model);
    }
    out.extend_from_slice(b"]}");
    out.into()
}

/// The answer of `GET /v1/models/{id}`.
pub fn model_body(model: &ModelEntry<'_>) -> Bytes {
    let mut out = Vec::with_capacity(128);
    push_model(&mut out, model);
    out.into()
}

fn push_model(out: &mut Vec<u8>, model: &ModelEntry<'_>) {
    out.extend_from_slice(b"{\"id\":");
    push_string(out, model.id);
    push_fmt(
        out,
        format_args!(",\"object\":\"model\",\"created\":{},\"owned_by\":", model.created),
    );
    push_string(out, model.owned_by);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_names_are_escaped_in_the_list() {
        let entry = ModelEntry { id: "a\"b", owned_by: "sim", created: 7 };
        let list: serde_json::Value = serde_json::from_slice(&models_list([entry, entry])).unwrap();
        assert_eq!(list["data"].as_array().unwrap().len(), 2);
        assert_eq!(list["data"][1]["id"], "a\"b");
        assert_eq!(list["data"][0]["object"], "model");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&models_list([])).unwrap()["data"],
            serde_json::json!([])
        );
        let one: serde_json::Value = serde_json::from_slice(&model_body(&entry)).unwrap();
        assert_eq!(one, list["data"][0]);
    }
}
