//! The OpenAI dialect, which most other providers speak too.
//!
//! What differs between vendors is data ([`vendor::VENDORS`]), never a second copy of this code.
//! Sources: the provider's API reference and SDK types, and the recorded exchanges of the tests.

mod answer;
mod cut;
mod error;
mod request;
mod rewrite;
mod stream;
mod text;
mod usage;
pub mod vendor;

pub use answer::read_answer;
pub use cut::{Cut, cut_events};
pub(crate) use cut::{push_responses_usage, push_usage};
pub use error::read_error;
pub use request::peek;
pub use rewrite::{Rewrite, rewrite};
pub use stream::{Flow, OpenAiStream, StreamError};
pub use text::answer_text;
pub use vendor::{UsageRules, Vendor};
