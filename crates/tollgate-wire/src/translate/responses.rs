//! The spoke of responses (OpenAI).
//!
//! Sources: OpenAI's API reference and SDK types, and recorded exchanges. Nothing is kept between
//! calls here: whatever refers to an earlier response is refused.

mod answer;
mod blocks;
mod content;
mod events;
mod input;
mod items;
mod object;
mod request;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Reader, read_whole};
pub(crate) use events::Writer;
pub(crate) use object::write_whole;
pub(crate) use request::read;
pub(crate) use target::write;
