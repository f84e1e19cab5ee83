//! The `generateContent` form of Gemini.
//!
//! Source: the reference of the Gemini API and Google's SDKs.

mod convert;
mod parts;
mod read;
mod reader;
mod schema;
mod usage;
mod write;
mod writer;

pub(crate) use read::read;
pub(crate) use reader::{Reader, read_whole};
pub(crate) use write::write;
pub(crate) use writer::{Writer, write_whole};

use super::reply::Reason;

/// The reason that a word means, where no function was called: there is no word for calls. Words
/// come up that nobody knows yet: they end the turn.
fn reason(word: &str) -> Reason {
    match word {
        "MAX_TOKENS" => Reason::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
        | "MODEL_ARMOR" => Reason::Filtered,
        word if word.starts_with("IMAGE_") => Reason::Filtered,
        _ => Reason::End,
    }
}

/// The word for a reason.
const fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::End | Reason::Calls => "STOP",
        Reason::Length => "MAX_TOKENS",
        Reason::Filtered => "SAFETY",
    }
}
