//! The prompt and the answer of a call, where they are kept (`[logs] bodies`). They are no part of
//! the ledger row and travel by a way of their own.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::CallId;

/// Whether prompts and answers are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepBodies {
    /// They are not.
    #[default]
    Off,
    /// Without what [`crate::redact`] takes out.
    Redacted,
    /// As they are.
    Full,
}

/// The prompt and the answer of a call.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBodies {
    /// The call.
    pub call_id: CallId,
    /// When it arrived.
    pub time: Timestamp,
    /// Whether personal data was taken out.
    pub redacted: bool,
    /// The request as the client sent it, or its beginning; `None` where it was no text.
    pub prompt: Option<String>,
    /// The answer, or its beginning: of a stream the generated text alone; `None` where there was
    /// none or it was no text.
    pub answer: Option<String>,
    /// Length of the whole request, in bytes.
    pub prompt_bytes: u64,
    /// Length of the whole answer, in bytes.
    pub answer_bytes: u64,
}

/// Shows how much there is, and none of it.
impl fmt::Debug for CallBodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallBodies")
            .field("call_id", &self.call_id)
            .field("redacted", &self.redacted)
            .field("prompt_bytes", &self.prompt_bytes)
            .field("answer_bytes", &self.answer_bytes)
            .finish_non_exhaustive()
    }
}
