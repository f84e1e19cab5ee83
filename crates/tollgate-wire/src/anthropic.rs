//! The Anthropic dialect: messages.
//!
//! Sources: the provider's API reference and SDK types, and the recorded exchanges of the tests.

mod answer;
mod cut;
mod request;
mod stream;
mod text;
mod usage;

pub(crate) use answer::read_answer;
pub(crate) use cut::cut_events;
pub(crate) use request::{peek, rewrite};
pub(crate) use stream::Reader;
pub(crate) use text::answer_text;
