//! What an attempt has shown, as a pure function: whether and where the call may be tried again,
//! whose fault it was, whether the provider charges for it (FAULT-1).
//!
//! What the caller is to blame for tells nothing about the target. A refused credential is ours, and
//! every call would meet it, so 401 counts as a failure of the target; 402, 403 and 404 may be about
//! this one model or request (a model that was withdrawn, a policy), so they lead to another target
//! and leave the breaker alone. 429 is no failure: the target rests.

use std::sync::Arc;
use std::time::Duration;

use tollgate_domain::attempt::Billing;

use crate::upstream::Phase;

/// What was seen of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// An answer, whole or begun.
    Answer,
    /// An answer of this status that is none of success.
    Status(u16),
    /// An error inside an answer of success, and the status that it means.
    ErrorInside(u16),
    /// An answer of success that is not what it should be.
    Garbage,
    /// The exchange broke, in this phase, or took too long.
    Broken(Phase, bool),
    /// An operator has stopped it.
    Stopped,
}

/// Whether a call may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// No: it was answered, or nobody would answer otherwise.
    Never,
    /// At another target; this one would do the same.
    Elsewhere,
    /// Also at the same target, later.
    Same,
}

/// Whose doing an attempt's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// Nobody's: it went well.
    Good,
    /// The target's.
    Target,
    /// Nobody's: the target has had enough for a while.
    Rest,
    /// The caller's, or an operator's: it tells nothing about the target.
    Nobody,
}

/// What an attempt has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) again: Again,
    pub(super) blame: Blame,
    pub(super) billing: Billing,
    /// The word of the metric.
    pub(super) outcome: &'static str,
    /// The class of the error, where the provider names one.
    pub(super) class: Option<Arc<str>>,
    /// How long the provider asks to wait.
    pub(super) wait: Option<Duration>,
}

impl Verdict {
    /// What was seen, judged.
    pub(super) fn of(seen: Seen) -> Self {
        let (again, blame) = match seen {
            Seen::Answer => (Again::Never, Blame::Good),
            Seen::Status(status) | Seen::ErrorInside(status) => of_status(status),
            Seen::Garbage | Seen::Broken(..) => (Again::Same, Blame::Target),
            Seen::Stopped => (Again::Never, Blame::Nobody),
        };
        let billing = match seen {
            Seen::Answer => Billing::Billed,
            Seen::Status(_) | Seen::Broken(Phase::Connect, _) => Billing::Unbilled,
            Seen::ErrorInside(_) | Seen::Garbage | Seen::Broken(..) | Seen::Stopped => {
                Billing::Unknown
            }
        };
        Self { again, blame, billing, outcome: outcome(seen, blame), class: None, wait: None }
    }

    /// The same where the provider says how long to wait, or that trying again is of no use. It is
    /// asked only where a call may go on.
    pub(super) fn told_to_wait(self, told: impl FnOnce() -> (Option<Duration>, bool)) -> Self {
        if self.again == Again::Never {
            return self;
        }
        let (wait, never) = told();
        let again = if never && self.again == Again::Same { Again::Elsewhere } else { self.again };
        Self { again, wait, ..self }
    }

    /// Whether the provider cannot have done anything.
    pub(super) fn is_untouched(&self) -> bool {
        self.outcome == "connect" || self.blame == Blame::Rest
    }
}

const fn of_status(status: u16) -> (Again, Blame) {
    match status {
        401 => (Again::Elsewhere, Blame::Target),
        402..=404 => (Again::Elsewhere, Blame::Nobody),
        408 | 500 | 502..=504 | 520..=529 => (Again::Same, Blame::Target),
        429 => (Again::Same, Blame::Rest),
        501 | 505.. => (Again::Elsewhere, Blame::Target),
        _ => (Again::Never, Blame::Nobody),
    }
}

fn outcome(seen: Seen, blame: Blame) -> &'static str {
    match (seen, blame) {
        (Seen::Broken(_, true), _) => "timeout",
        (Seen::Broken(Phase::Connect, false), _) => "connect",
        (Seen::Broken(..), _) => "broken",
        (Seen::Garbage, _) => "garbage",
        (Seen::Stopped, _) => "stopped",
        (_, Blame::Rest) => "rate_limited",
        (_, Blame::Target) => "error",
        (_, Blame::Good | Blame::Nobody) => "answered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Again::{Elsewhere, Never, Same};
    use Billing::{Billed, Unbilled, Unknown};

    #[test]
    fn every_end_of_an_attempt_has_its_verdict() {
        let broken = |phase, late| Seen::Broken(phase, late);
        for (seen, again, blame, billing, outcome) in [
            (Seen::Answer, Never, Blame::Good, Billed, "answered"),
            (Seen::Status(400), Never, Blame::Nobody, Unbilled, "answered"),
            (Seen::Status(401), Elsewhere, Blame::Target, Unbilled, "error"),
            (Seen::Status(403), Elsewhere, Blame::Nobody, Unbilled, "answered"),
            (Seen::Status(404), Elsewhere, Blame::Nobody, Unbilled, "answered"),
            (Seen::Status(413), Never, Blame::Nobody, Unbilled, "answered"),
            (Seen::Status(422), Never, Blame::Nobody, Unbilled, "answered"),
            (Seen::Status(429), Same, Blame::Rest, Unbilled, "rate_limited"),
            (Seen::Status(500), Same, Blame::Target, Unbilled, "error"),
            (Seen::Status(501), Elsewhere, Blame::Target, Unbilled, "error"),
            (Seen::Status(502), Same, Blame::Target, Unbilled, "error"),
            (Seen::Status(503), Same, Blame::Target, Unbilled, "error"),
            (Seen::Status(504), Same, Blame::Target, Unbilled, "error"),
            (Seen::Status(529), Same, Blame::Target, Unbilled, "error"),
            (Seen::ErrorInside(529), Same, Blame::Target, Unknown, "error"),
            (Seen::ErrorInside(400), Never, Blame::Nobody, Unknown, "answered"),
            (Seen::ErrorInside(429), Same, Blame::Rest, Unknown, "rate_limited"),
            (Seen::Garbage, Same, Blame::Target, Unknown, "garbage"),
            (broken(Phase::Connect, false), Same, Blame::Target, Unbilled, "connect"),
            (broken(Phase::Connect, true), Same, Blame::Target, Unbilled, "timeout"),
            (broken(Phase::Request, true), Same, Blame::Target, Unknown, "timeout"),
            (broken(Phase::Body, false), Same, Blame::Target, Unknown, "broken"),
            (Seen::Stopped, Never, Blame::Nobody, Unknown, "stopped"),
        ] {
            let verdict = Verdict::of(seen);
            let made = (verdict.again, verdict.blame, verdict.billing, verdict.outcome);
            assert_eq!(made, (again, blame, billing, outcome), "{seen:?}");
        }
    }

    #[test]
    fn a_provider_that_asks_not_to_be_tried_again_is_not() {
        let wait = Some(Duration::from_secs(3));
        let verdict = Verdict::of(Seen::Status(529)).told_to_wait(|| (wait, true));
        assert_eq!((verdict.again, verdict.wait), (Elsewhere, wait));
        let never_asked = || -> (Option<Duration>, bool) { panic!("asked without need") };
        assert_eq!(Verdict::of(Seen::Status(400)).told_to_wait(never_asked).again, Never);
    }
}
