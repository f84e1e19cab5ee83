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
pub(crate) use answer::{member, response};
pub(crate) use cut::{cut_events as cut, push_responses_usage, push_usage};
pub use request::peek;
pub(crate) use request::peek_at;
pub use rewrite::rewrite;
pub(crate) use stream::Reader;

pub use crate::dialect::cut_events;
pub use crate::inband::read_error;
pub use crate::meter::{Flow, Meter as OpenAiStream, StreamError};
pub use crate::rewrite::Rewrite;
pub use text::answer_text;
pub use vendor::{UsageRules, Vendor};
