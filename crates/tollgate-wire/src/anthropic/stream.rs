//! What each event of a stream of the Anthropic form adds to the facts.

use std::borrow::Cow;

use crate::facts::AnswerFacts;
use crate::framing::Event;
use crate::inband::error_fields;
use crate::json::lenient::Pull;
use crate::meter::{Fate, Seen};

use super::answer::message;
use super::text::{self, Block};
use super::usage::Stated;

/// Blocks that are followed at once, to close them if the stream is ended here.
const OPEN_BLOCKS: usize = 1024;

/// Reads the events of one stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    stated: Stated,
    searches: u64,
}

impl Reader {
    /// Takes the facts of an event and says where its bytes go.
    pub(crate) fn read(&mut self, event: &Event<'_>, seen: &mut Seen) -> Fate {
        let Some(data) = event.data.as_deref() else {
            return seen.fate();
        };
        seen.events += 1;
        if event.name == b"content_block_delta" {
            delta(data, seen);
        } else {
            self.event(event.name, data, seen);
        }
        seen.fate()
    }

    /// Adds the searches that were seen to the input side of a stream whose usage never came. Where
    /// it came it counts them itself, and leaves out those that failed.
    pub(crate) fn complete(&self, facts: &mut AnswerFacts) {
        if let (None, Some(input)) = (&facts.usage, &mut facts.partial) {
            input.web_searches = self.searches;
        }
    }

    /// Any event but the most frequent. Its name is that of its `type`; some servers leave out the
    /// one, some the other.
    fn event(&mut self, name: &[u8], data: &[u8], seen: &mut Seen) {
        let mut pull = Pull::new(data);
        let (mut kind, mut index) = (Cow::Borrowed(name), None);
        let (mut block, mut start, mut change, mut usage) = (None, None, None, None);
        pull.object(|pull, key| match key {
            b"type" => {
                if let Some(text) = pull.string_or_skip() {
                    kind = Cow::Borrowed(text.raw);
                }
            }
            b"index" => index = pull.whole(),
            b"content_block" => block = pull.skip(),
            b"message" => start = pull.skip(),
            b"delta" => change = pull.skip(),
            b"usage" => usage = pull.skip(),
            _ => {
                pull.skip();
            }
        });
        match &*kind {
            b"message_start" => self.begins(start.unwrap_or_default(), seen),
            b"content_block_start" => {
                seen.blocks.extend(index.filter(|_| seen.blocks.len() < OPEN_BLOCKS));
                let block = text::block(&mut Pull::new(block.unwrap_or_default()), &mut seen.tally);
                self.searches += u64::from(block == Block::Search);
            }
            b"content_block_delta" => delta(data, seen),
            b"content_block_stop" => seen.blocks.retain(|open| Some(*open) != index),
            b"message_delta" => {
                message(
                    &mut Pull::new(change.unwrap_or_default()),
                    &mut seen.facts,
                    &mut self.stated,
                );
                self.ends(usage.unwrap_or_default(), seen);
            }
            b"message_stop" => seen.done = true,
            b"error" => {
                let error = error_fields(&mut Pull::new(data)).unwrap_or_default();
                seen.facts.error = Some(error);
            }
            _ => {}
        }
    }

    /// The first event: its output figure is that of the first few tokens, and stands for nothing.
    fn begins(&mut self, start: &[u8], seen: &mut Seen) {
        message(&mut Pull::new(start), &mut seen.facts, &mut self.stated);
        seen.facts.partial = self.stated.input_side();
    }

    /// The event with the last figures.
    fn ends(&mut self, usage: &[u8], seen: &mut Seen) {
        if self.stated.read(&mut Pull::new(usage), &mut seen.facts) {
            self.stated.settle(&mut seen.facts);
        }
        if seen.facts.usage.is_some() {
            seen.facts.partial = None;
        }
    }
}

/// More of a content block.
fn delta(data: &[u8], seen: &mut Seen) {
    Pull::new(data).object(|pull, key| match key {
        b"delta" => text::delta(pull, &mut seen.tally),
        _ => {
            pull.skip();
        }
    });
}
