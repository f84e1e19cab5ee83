//! Thoughts in chat messages: `reasoning_content` for those who only show them, and
//! `reasoning_details` for those who give them back with their proof.

use serde_json::{Value, json};

use crate::peek::BodyError;
use crate::translate::fields::Fields;
use crate::translate::prompt::{Part, Thought};

/// Takes the thoughts out of a message. Where details are given they say it all.
pub(super) fn thoughts(message: &mut Fields) -> Result<Vec<Part>, BodyError> {
    let plain = message.string("reasoning_content")?;
    let plain = plain.or(message.string("reasoning")?);
    let details = message.list("reasoning_details")?.unwrap_or_default();
    let mut thoughts: Vec<Part> = details.iter().filter_map(thought).map(Part::Thought).collect();
    if thoughts.is_empty()
        && let Some(text) = plain.filter(|text| !text.is_empty())
    {
        thoughts.push(Part::Thought(Thought { text, ..Thought::default() }));
    }
    Ok(thoughts)
}

fn thought(detail: &Value) -> Option<Thought> {
    let text = |key: &str| detail.get(key).and_then(Value::as_str).map(str::to_owned);
    match detail.get("type")?.as_str()? {
        "reasoning.text" => {
            let proof = text("signature")?;
            Some(Thought {
                text: text("text").unwrap_or_default(),
                proof: Some(proof),
                sealed: false,
            })
        }
        "reasoning.encrypted" => {
            Some(Thought { text: String::new(), proof: Some(text("data")?), sealed: true })
        }
        _ => None,
    }
}

/// One entry of `reasoning_details`.
pub(super) fn detail(index: usize, text: &str, proof: &str, sealed: bool) -> Value {
    if sealed {
        json!({"type": "reasoning.encrypted", "data": proof, "format": "tollgate", "index": index})
    } else {
        json!({"type": "reasoning.text", "text": text, "signature": proof, "format": "tollgate",
            "index": index})
    }
}
