//! The spoke of chat completions (OpenAI, and most other vendors).
//!
//! Sources: OpenAI's API reference and SDK types; for thoughts, the members `reasoning_content`
//! (DeepSeek) and `reasoning_details` (OpenRouter), which clients of many vendors know.

mod answer;
mod calls;
mod chunks;
mod content;
mod details;
mod messages;
mod request;
mod scan;
mod show;
mod target;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use answer::{Reader, read_whole};
pub(crate) use chunks::Writer;
pub(crate) use request::read;
pub(crate) use show::write_whole;
pub(crate) use target::write;
