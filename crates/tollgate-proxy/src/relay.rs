//! Step 7: the answer goes to the client. A whole answer is settled before it leaves, a stream
//! leaves as it comes, but for its last bytes, which wait until the call is settled.

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{Response, StatusCode};
use tokio::time::Instant;
use tollgate_admission::ledger::{LedgerError, Written};
use tollgate_domain::bodies::KeepBodies;
use tollgate_domain::call::Outcome;
use tollgate_domain::fault::Code;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::meter::Meter;

use crate::answer::{Source, is_sound};
use crate::answer_headers::{Ids, answer_headers};
use crate::attempts::{Got, WholeAnswer};
use crate::forward::Ended;
use crate::leftover::Leftover;
use crate::open_call::{End, OpenCall, Received, class_of};
use crate::provider::{Api, Backend};
use crate::pump::{Patience, Pump};
use crate::stop::Stop;
use crate::stored::{due, is_promise};
use crate::streaming::RelayBody;
use crate::upstream::{Broken, Phase};

/// Relays what the attempts of a call have brought, or says why there is no answer.
pub(crate) async fn relay(mut call: Box<OpenCall>, got: Got) -> Result<Response<RelayBody>, Stop> {
    // No byte of an answer leaves before the call is on disk (LEDGER-1).
    if let Err(error) = call.admitted.intent().durable().await {
        return Err(fail(call, unrecorded(&error).after_spending(), Received::Unanswered));
    }
    match got {
        Got::Nothing(Ended::Stopped(stop), _) => Err(fail(call, stop, Received::Unanswered)),
        Got::Nothing(Ended::Broken(broken), _) => {
            let stop = stop_of(&broken);
            Err(match broken.generated() {
                Some(part) => fail_after(call, stop, part),
                None => fail(call, stop, Received::Nothing),
            })
        }
        Got::Whole(answer) => relay_whole(call, *answer).await,
        Got::Stream(head, pump) => Ok(relay_stream(call, &head, pump)),
    }
}

async fn relay_whole(
    call: Box<OpenCall>,
    answer: WholeAnswer,
) -> Result<Response<RelayBody>, Stop> {
    let operation = call.operation();
    let WholeAnswer { head, body, facts, error, garbage } = answer;
    if garbage {
        let message = "the provider's answer is not the JSON that it should be";
        let stop = Stop::new(Code::UpstreamError, message).after_spending();
        return Err(fail_after(call, stop, &body));
    }
    if let Some(id) = facts.id.as_deref().filter(|_| is_promise(operation, &facts)) {
        call.remember(&facts);
        return Ok(relay_promise(call, &head, body, id.into()));
    }
    let kept = match due(&call, head.status.is_success(), &body) {
        Some(due) if operation == Endpoint::Read => match due.claim().await {
            Ok(claimed) => claimed,
            Err(stop) => return Err(fail(call, stop, Received::Nothing)),
        },
        _ => None,
    };
    let error = error.as_ref();
    let failed = !head.status.is_success() || error.is_some();
    let end = End {
        status: head.status.as_u16(),
        outcome: if failed { Outcome::Failed } else { Outcome::Success },
        error_type: failed.then(|| match error {
            Some(error) => Arc::from(class_of(error)),
            None => Arc::from(Code::UpstreamError.as_str()),
        }),
        received: match &kept {
            Some(kept) => Received::Kept(&kept.facts),
            None if failed && facts.usage.is_none() => Received::Nothing,
            None => Received::Whole(&facts, &body),
        },
    };
    let meant = error.and_then(|error| error.status).filter(|_| head.status.is_success());
    let told = call.in_clients_form(&body, failed.then(|| meant.unwrap_or(end.status)));
    let ids = Box::new(Ids::of(&call));
    let (record, written) = match call.end(&end) {
        Ok(settled) => (Some(settled.record), settled.written),
        Err(_) => (None, Written::Durable),
    };
    // A row that could not be written is tried again elsewhere; the intent is down.
    drop(written.durable().await);
    if let Some(kept) = kept {
        kept.written().await;
    }
    let headers = answer_headers(&head.headers, &ids, record.as_deref());
    let (status, body) = told.unwrap_or((head.status.as_u16(), body));
    let mut response = Response::new(RelayBody::whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(head.status);
    *response.headers_mut() = headers;
    Ok(response)
}

/// An answer that is made in the background: its call stays open, and is settled when it is there.
fn relay_promise(
    call: Box<OpenCall>,
    head: &Parts,
    body: Bytes,
    id: Box<str>,
) -> Response<RelayBody> {
    let headers = answer_headers(&head.headers, &Ids::of(&call), None);
    let body = call.in_clients_form(&body, None).map_or(body, |(_, body)| body);
    Leftover::Background(call, id).hand_over();
    let mut response = Response::new(RelayBody::whole(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = headers;
    response
}

/// What brings the stream of a provider to its client.
pub(crate) fn stream_pump(call: &OpenCall, head: &Parts, source: Source) -> Pump {
    let settings = &call.snapshot.settings;
    let patience = match &call.chosen.target.provider.backend {
        Backend::Remote(remote) => {
            let left = call.tries.deadline().map(|at| at.saturating_duration_since(Instant::now()));
            Patience { idle: remote.idle, total: left.unwrap_or(remote.total) }
        }
        Backend::Simulated(_) => Patience { idle: settings.drain_for, total: settings.drain_for },
    };
    pump(call, head, source, patience).translated(call.translator())
}

fn relay_stream(call: Box<OpenCall>, head: &Parts, pump: Box<Pump>) -> Response<RelayBody> {
    let headers = answer_headers(&head.headers, &Ids::of(&call), None);
    let status = head.status;
    let mut response = Response::new(RelayBody::stream(call, pump, status.as_u16()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What brings and meters the stream of a provider.
pub(crate) fn pump(call: &OpenCall, head: &Parts, source: Source, patience: Patience) -> Pump {
    let (operation, provider) = (call.operation(), &call.chosen.target.provider);
    // What is only read, such as a kept answer as a stream, is not metered: only its call is.
    let meter = if is_sound(head) || operation == Endpoint::Read {
        Meter::opaque(operation)
    } else {
        Meter::new(operation, provider.vendor.usage, call.sent().1.usage_asked)
    };
    let source = match provider.api {
        Api::Bedrock(_) if operation == Endpoint::Messages => source.unframed(),
        _ => source,
    };
    let keeps = call.snapshot.settings.bodies != KeepBodies::Off;
    Pump::new(source, meter, patience).keeping_text(keeps)
}

/// Settles a call that ends with an error of ours.
fn fail(call: Box<OpenCall>, stop: Stop, received: Received<'_>) -> Stop {
    let ids = Box::new(Ids::of(&call));
    let end = End {
        status: stop.code.status(),
        outcome: Outcome::Failed,
        error_type: Some(Arc::from(stop.code.as_str())),
        received,
    };
    // A row that could not be written is tried again elsewhere; the intent is down.
    drop(call.end(&end));
    Stop { settled: Some(ids), ..stop }
}

/// The same of a call whose answer broke off after this part of it: its provider has most likely made
/// all of it. One in the background it goes on making.
fn fail_after(call: Box<OpenCall>, stop: Stop, part: &[u8]) -> Stop {
    let facts = call.remains(part);
    match call.goes_on(&facts) {
        Some(id) => {
            let ids = Box::new(Ids::of(&call));
            Leftover::Background(call, id).hand_over();
            Stop { settled: Some(ids), ..stop }
        }
        None => fail(call, stop, Received::Part(&facts, part)),
    }
}

/// What a client is told of an exchange that broke.
pub(crate) fn stop_of(broken: &Broken) -> Stop {
    let code = if broken.timed_out { Code::UpstreamTimeout } else { Code::UpstreamError };
    let message = match (broken.phase, broken.timed_out) {
        (Phase::Connect, false) => "the provider cannot be reached",
        (Phase::Connect, true) => "connecting to the provider took too long",
        (Phase::Request, false) => "the provider closed the connection without an answer",
        (Phase::Request, true) => "the provider did not answer in time",
        (Phase::Body, false) => "the provider's answer broke off",
        (Phase::Body, true) => "the provider's answer paused for too long",
    };
    let stop = Stop::new(code, message);
    // Once the answer had begun, it was generated, and another try would be charged again.
    let refused = broken.part.is_some() && broken.generated().is_none();
    if broken.phase == Phase::Body && !refused { stop.after_spending() } else { stop }
}

/// What is told where it cannot be recorded that a call was made.
pub(crate) fn unrecorded(error: &LedgerError) -> Stop {
    Stop::new(Code::Degraded, format!("the call cannot be recorded: {error}"))
}
