//! What each chunk of a stream of the Gemini form adds to the facts.

use tollgate_domain::usage::Usage;

use crate::facts::StreamFacts;
use crate::framing::Event;
use crate::json::lenient::Pull;
use crate::meter::{Fate, Seen};

use super::answer::Chunk;

/// Reads the chunks of one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    chunk: Chunk,
}

impl Default for Reader {
    fn default() -> Self {
        Self { chunk: Chunk::new(true) }
    }
}

impl Reader {
    /// Takes the facts of a chunk and says where its bytes go. No event ends this stream, so the
    /// chunk after which no candidate is open is held until another follows.
    pub(crate) fn read(&mut self, event: &Event<'_>, seen: &mut Seen) -> Fate {
        let Some(data) = event.data.as_deref() else {
            return seen.fate();
        };
        if data == b"]" {
            seen.done = true;
            return Fate::Held;
        }
        seen.events += 1;
        self.chunk.read(&mut Pull::new(data), &mut seen.facts, Some(&mut seen.tally));
        self.chunk.count_searches(&mut seen.facts);
        seen.open = self.chunk.open;
        seen.stopped = self.chunk.stopped && self.chunk.open == 0;
        seen.fate()
    }
}

/// Early chunks may state thoughts and no candidates; where no other followed, the text that came
/// is not in that figure.
pub(crate) fn complete(facts: &mut StreamFacts) {
    let lacks_text = |usage: &Usage| usage.output <= usage.reasoning && facts.text_bytes > 0;
    if !facts.is_complete() && facts.answer.usage.as_ref().is_some_and(lacks_text) {
        facts.answer.break_off();
    }
}
