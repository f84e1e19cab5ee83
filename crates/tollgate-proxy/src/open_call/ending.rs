//! How a call ends: what was received of its answer, and how that is kept.

use std::sync::Arc;

use tollgate_domain::call::Outcome;
use tollgate_domain::fault::Code;
use tollgate_wire::facts::{AnswerFacts, InbandError};

use crate::pump::Ending;
use crate::stop::Stop;

/// What was received of an answer when it ended.
#[derive(Clone, Copy, Debug)]
pub enum Received<'a> {
    /// Nothing that was generated.
    Nothing,
    /// The request was sent and taken up, no answer was seen.
    Unanswered,
    /// A whole answer that was not streamed.
    Whole(&'a AnswerFacts, &'a [u8]),
    /// A part of an answer that was to come whole.
    Part(&'a AnswerFacts, &'a [u8]),
    /// A stream, whole or in part.
    Stream(&'a Ending),
    /// An answer that its provider kept and that is charged now.
    Kept(&'a AnswerFacts),
}

impl<'a> Received<'a> {
    /// What the answer says about itself.
    pub(crate) fn facts(self) -> Option<&'a AnswerFacts> {
        match self {
            Self::Whole(facts, _) | Self::Part(facts, _) | Self::Kept(facts) => Some(facts),
            Self::Stream(ending) => Some(&ending.facts.answer),
            Self::Nothing | Self::Unanswered => None,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct End<'a> {
    /// The status that the client got.
    pub status: u16,
    /// The outcome.
    pub outcome: Outcome,
    /// The class of the error.
    pub error_type: Option<Arc<str>>,
    /// What was received.
    pub received: Received<'a>,
}

impl<'a> End<'a> {
    /// The end of a stream that the client heard to its end; `stop` says what cut it off, if
    /// anything did.
    pub fn of_stream(ending: &'a Ending, status: u16, stop: Option<&Stop>) -> Self {
        let error = match (stop, &ending.facts.answer.error) {
            (Some(stop), _) => Some(stop.code.as_str()),
            (None, Some(error)) => Some(class_of(error)),
            (None, None) => None,
        };
        Self {
            status,
            outcome: if error.is_some() { Outcome::Failed } else { Outcome::Success },
            error_type: error.map(Arc::from),
            received: Received::Stream(ending),
        }
    }
}

impl<'a> End<'a> {
    /// The end of a stream that was ended at the edge of its reservation.
    pub const fn of_cut(ending: &'a Ending, status: u16) -> Self {
        let received = Received::Stream(ending);
        Self { status, outcome: Outcome::Success, error_type: None, received }
    }
}

/// The class of a provider's error, as the ledger keeps it: its code or type, never its message.
pub(crate) fn class_of(error: &InbandError) -> &str {
    error
        .code
        .as_deref()
        .or(error.kind.as_deref())
        .filter(|class| class.len() <= 64 && class.bytes().all(|b| b.is_ascii_graphic()))
        .unwrap_or(Code::UpstreamError.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_an_error_is_its_code_and_never_its_message() {
        let error = |code: Option<&str>, kind: Option<&str>| InbandError {
            code: code.map(Into::into),
            kind: kind.map(Into::into),
            message: "a prompt may stand here".into(),
            status: None,
        };
        assert_eq!(class_of(&error(Some("rate_limit_exceeded"), Some("x"))), "rate_limit_exceeded");
        assert_eq!(class_of(&error(None, Some("server_error"))), "server_error");
        assert_eq!(class_of(&error(None, None)), "upstream_error");
        assert_eq!(class_of(&error(Some("a prompt in disguise"), None)), "upstream_error");
    }
}
