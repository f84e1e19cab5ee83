//! What each frame of a Bedrock stream adds to the facts.
//!
//! The frames of Converse are events of their own; those of an invocation hold the events of the
//! model's own form. Either can be an exception, after a status of 200.

use super::error::exception;
use super::{converse, invoke};
use crate::facts::StreamFacts;
use crate::framing::Event;
use crate::json::lenient::Pull;
use crate::meter::{Fate, Seen};

/// Reads the frames of one stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    native: invoke::Reader,
}

impl Reader {
    /// Takes what a frame says into `seen`, and says where its bytes go.
    pub(crate) fn read(&mut self, event: &Event<'_>, seen: &mut Seen) -> Fate {
        let Some(data) = event.data.as_deref() else { return seen.fate() };
        seen.events += 1;
        match event.name {
            b"chunk" => self.native.read(data, seen),
            name if name == b"error" || name.ends_with(b"Exception") => {
                seen.facts.error = Some(exception(name, data));
            }
            name => {
                blocks(name, data, seen);
                let pull = &mut Pull::new(data);
                seen.done |= converse::event(name, pull, &mut seen.facts, &mut seen.tally);
            }
        }
        seen.fate()
    }

    /// Adds to the facts of an ended stream what the reader of another dialect counted.
    pub(crate) fn complete(&self, facts: &mut StreamFacts) {
        self.native.complete(facts);
    }
}

/// Follows which content blocks are open. Blocks of text begin without a word.
fn blocks(name: &[u8], data: &[u8], seen: &mut Seen) {
    let ends = match name {
        b"contentBlockStart" | b"contentBlockDelta" => false,
        b"contentBlockStop" => true,
        _ => return,
    };
    let mut index = None;
    Pull::new(data).object(|pull, key| match key {
        b"contentBlockIndex" => index = pull.whole(),
        _ => converse::skip(pull),
    });
    let Some(index) = index else { return };
    if ends {
        seen.blocks.retain(|open| *open != index);
    } else if !seen.blocks.contains(&index) && seen.blocks.len() < MAX_BLOCKS {
        seen.blocks.push(index);
    }
}

/// Blocks come one after the other; more open ones are no stream that anybody sends.
const MAX_BLOCKS: usize = 64;
