//! Streams through the meter: what passes, what is held, what is learned.

use bytes::Bytes;
use tollgate_domain::fault::Code;
use tollgate_domain::usage::Usage;
use tollgate_wire::dialect::{cut_events, error_events};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::error::ErrorView;
use tollgate_wire::facts::StreamFacts;
use tollgate_wire::framing::Framing;
use tollgate_wire::meter::{Flow, Meter, StreamError};
use tollgate_wire::openai::UsageRules;

use crate::Input;

/// What became of a stream.
#[derive(Debug, PartialEq)]
pub struct Metered {
    /// What left before the end.
    pub out: Vec<u8>,
    /// What waited for the settlement.
    pub held: Vec<u8>,
    /// How it went.
    pub flow: Result<Flow, StreamError>,
    /// What was learned; the charge follows from it.
    pub facts: StreamFacts,
    /// The generated text, counted in bytes.
    pub estimate: u64,
    /// The number of the next event.
    pub next: Option<u64>,
    /// The framing that was found.
    pub framing: Framing,
    /// How the stream would be ended from our side, before its own end.
    pub cut: Bytes,
    /// How it would be ended by an error, before its own end.
    pub error: Bytes,
}

/// Puts a stream through a meter, piece by piece.
pub fn meter(mut meter: Meter, pieces: &[Bytes]) -> Metered {
    let (mut out, mut flow) = (Vec::new(), Ok(Flow::More));
    for piece in pieces {
        flow = meter.push(piece, &mut out);
    }
    let cut = cut_events(&meter.cut(), "cut-model", Some(&Usage::tokens(7, 3)));
    let error = error_events(&meter.cut(), &ErrorView::new(Code::Internal, "went wrong"));
    let (next, framing) = (meter.next_sequence(), meter.framing());
    let facts = meter.finish();
    Metered {
        out: out.concat(),
        held: meter.take_final().concat(),
        flow,
        facts,
        estimate: meter.estimate_output(|text| u64::try_from(text.len()).unwrap_or(u64::MAX)),
        next,
        framing,
        cut,
        error,
    }
}

/// Puts a stream through the meter, whole and in pieces, and holds the two against each other.
pub fn check(input: &Input<'_>, endpoint: Endpoint, body: &Bytes) {
    let (rules, keep) = (input.rules(), input.choice & 2 == 0);
    let new = || Meter::new(endpoint, rules, keep);
    let whole = meter(new(), std::slice::from_ref(body));
    let cut = meter(new(), &input.pieces(body));
    assert_eq!(cut, whole, "{endpoint:?}: the cuts matter");
    let passed = [&whole.out[..], &whole.held[..]].concat();
    let may_leave_out = endpoint.has_usage_switch() || endpoint == Endpoint::Other;
    if whole.flow.is_ok() && (keep || !may_leave_out) {
        assert!(passed == **body, "{endpoint:?}: bytes were changed");
    }
    assert!(whole.estimate <= whole.facts.text_bytes, "{endpoint:?}: more text than bytes");
    if let Some(mut usage) = whole.facts.answer.usage {
        assert!(!usage.clamp_parts(), "{endpoint:?}: a part exceeds its whole: {usage:?}");
    }
    if whole.flow == Ok(Flow::More) && can_end(&whole) {
        ends(endpoint, rules, &whole);
    }
}

/// Whether what passed can be ended at all: sound just stops, and an array that is no JSON has no
/// end that would make it one.
fn can_end(metered: &Metered) -> bool {
    let array = || [&metered.out[..], b"]"].concat();
    match metered.framing {
        Framing::Opaque => false,
        Framing::Array if !metered.out.is_empty() => {
            serde_json::from_slice::<serde::de::IgnoredAny>(&array()).is_ok()
        }
        _ => true,
    }
}

/// A client that reads a stream that was ended from our side finds an end, or the error.
fn ends(endpoint: Endpoint, rules: UsageRules, metered: &Metered) {
    let again = |end: &Bytes| {
        let body = Bytes::from([&metered.out[..], end].concat());
        meter(Meter::new(endpoint, rules, true), &[body])
    };
    let ended = again(&metered.cut);
    let shown = || String::from_utf8_lossy(&metered.cut).into_owned();
    // A form that nobody knows may have no end that could be written.
    let known = endpoint != Endpoint::Other || metered.framing == Framing::Events;
    let done = ended.facts.done || (!known && ended.held.is_empty());
    assert!(ended.flow.is_ok() && done, "{endpoint:?}: no end: {}", shown());
    let failed = again(&metered.error);
    let shown = || String::from_utf8_lossy(&metered.error).into_owned();
    let error = failed.facts.answer.error;
    assert!(
        error.is_some_and(|error| &*error.message == "went wrong"),
        "{endpoint:?}: {}",
        shown()
    );
}
