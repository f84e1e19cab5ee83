//! Prompts and answers on their way to where they are kept, where an operator has switched that on.
//!
//! The path of a call hands over what it has (the request is shared, the answer copied) and goes
//! on. A thread of its own makes text of it, takes personal data out and puts it on disk. When too much
//! waits, or the disk refuses, bodies are dropped and counted; calls never wait (BOUND-1).
//!
//! While bodies are off nothing is handed over. Nothing here goes to a log line or a sink.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::counter::Counter;
use tollgate_domain::bodies::{CallBodies, KeepBodies};
use tollgate_domain::call::CallRecord;
use tollgate_domain::id::CallId;
use tollgate_domain::redact::redact_document;

use crate::open_call::Received;

/// Most bytes that wait.
const BOUND: usize = 64 << 20;
/// Most bytes of a text that are kept.
const LONGEST: usize = 256 << 10;
/// Most calls that are put on disk together.
const TOGETHER: usize = 128;
/// How often the shelf is called where nothing comes.
const LOOK: Duration = Duration::from_mins(1);

/// Puts bodies where they are kept; says whether they are. It is called with none now and then, to
/// remove what is too old. May block.
pub type Shelf = Box<dyn FnMut(&[CallBodies]) -> bool + Send>;

/// Hands bodies to the thread that keeps them.
#[derive(Debug)]
pub struct BodyLog {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    raw: Vec<Raw>,
    bytes: usize,
    ending: bool,
}

/// The bodies of a call as they came.
struct Raw {
    call_id: CallId,
    time: Timestamp,
    redacted: bool,
    prompt: Bytes,
    answer: Bytes,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").field("call_id", &self.call_id).finish_non_exhaustive()
    }
}

impl BodyLog {
    /// Starts the thread that puts bodies on `shelf`. Those that were not kept count in `dropped`.
    pub fn start(shelf: Shelf, dropped: &Counter) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            dropped: dropped.clone(),
        });
        let for_keeper = Arc::clone(&shared);
        let keeper = thread::Builder::new()
            .name("bodies".to_owned())
            .spawn(move || keep_all(&for_keeper, shelf))?;
        Ok(Self { shared, keeper: Mutex::new(Some(keeper)) })
    }

    /// Takes the bodies of a call that has ended, where they are wanted.
    pub(crate) fn keep(
        &self,
        keep: KeepBodies,
        call: &CallRecord,
        prompt: &Bytes,
        received: Received<'_>,
    ) {
        if keep == KeepBodies::Off {
            return;
        }
        let answer = match received {
            Received::Whole(_, body) | Received::Part(_, body) => Bytes::copy_from_slice(body),
            Received::Stream(ending) => ending
                .text
                .as_ref()
                .map(|text| Bytes::copy_from_slice(text.0.as_bytes()))
                .unwrap_or_default(),
            Received::Nothing | Received::Unanswered | Received::Kept(_) => Bytes::new(),
        };
        let bytes = prompt.len() + answer.len();
        let mut waiting = self.shared.waiting.lock();
        if waiting.bytes + bytes > BOUND {
            self.shared.dropped.inc();
            return;
        }
        waiting.bytes += bytes;
        waiting.raw.push(Raw {
            call_id: call.call_id,
            time: call.time,
            redacted: keep == KeepBodies::Redacted,
            prompt: prompt.clone(),
            answer,
        });
        drop(waiting);
        self.shared.wake.notify_one();
    }

    /// Keeps what waits and ends the thread.
    pub fn close(&self) {
        self.shared.waiting.lock().ending = true;
        self.shared.wake.notify_one();
        if let Some(keeper) = self.keeper.lock().take() {
            // One that panicked has nothing left to keep.
            drop(keeper.join());
        }
    }
}

impl Drop for BodyLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn keep_all(shared: &Shared, mut shelf: Shelf) {
    loop {
        let (raw, ending) = {
            let mut waiting = shared.waiting.lock();
            if waiting.raw.is_empty() && !waiting.ending {
                shared.wake.wait_for(&mut waiting, LOOK);
            }
            waiting.bytes = 0;
            (std::mem::take(&mut waiting.raw), waiting.ending)
        };
        let mut all = raw.into_iter().peekable();
        loop {
            let bodies: Vec<CallBodies> = all.by_ref().take(TOGETHER).map(texts).collect();
            if !shelf(&bodies) {
                shared.dropped.inc_by(u64::try_from(bodies.len()).unwrap_or_default());
            }
            if all.peek().is_none() {
                break;
            }
        }
        if ending {
            return;
        }
    }
}

/// Makes text of what came.
fn texts(raw: Raw) -> CallBodies {
    let Raw { call_id, time, redacted, prompt, answer } = raw;
    let length = |bytes: &Bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    CallBodies {
        call_id,
        time,
        redacted,
        prompt: text(&prompt, redacted),
        answer: text(&answer, redacted),
        prompt_bytes: length(&prompt),
        answer_bytes: length(&answer),
    }
}

/// The beginning of some bytes as text; `None` where they are no text. What is taken out is looked
/// for in the whole, so that nothing is kept because its end was cut off.
fn text(bytes: &Bytes, redacted: bool) -> Option<String> {
    let whole = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    let mut text = if redacted { redact_document(whole) } else { whole.to_owned() };
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character_and_what_is_no_text_is_left_out() {
        let long = "한".repeat(LONGEST);
        let kept = text(&Bytes::from(long), false).unwrap();
        assert!(kept.len() <= LONGEST && kept.len() > LONGEST - 4 && kept.ends_with('한'));
        assert_eq!(text(&Bytes::from_static(b"\xff\xd8\xff"), false), None);
        assert_eq!(text(&Bytes::new(), false), None);
    }

    #[test]
    fn what_stands_at_the_cut_is_taken_out_whole() {
        let mail = "kim.ann@example.com";
        let document = format!("{} {mail}", "x".repeat(LONGEST - 8));
        let kept = text(&Bytes::from(document), true).unwrap();
        assert!(!kept.contains("kim"));
    }
}
