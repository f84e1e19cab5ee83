//! Step 7: the answer goes to the client. A whole answer is settled before it leaves, a stream
//! leaves as it comes, but for its last bytes, which wait until the call is settled.

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{Response, StatusCode};
use tollgate_admission::ledger::{LedgerError, Written};
use tollgate_domain::bodies::KeepBodies;
use tollgate_domain::call::Outcome;
use tollgate_domain::fault::Code;
use tollgate_wire::dialect::{read_answer, read_error, read_headers};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::meter::Meter;

use crate::answer::{Answer, AnswerBody, Source, is_sound};
use crate::answer_headers::{Ids, answer_headers};
use crate::forward::Ended;
use crate::leftover::Leftover;
use crate::open_call::{End, OpenCall, Received, class_of};
use crate::provider::{Api, Backend};
use crate::pump::{Patience, Pump};
use crate::stop::Stop;
use crate::stored::{due, is_promise};
use crate::streaming::RelayBody;
use crate::upstream::{Broken, Phase};

/// Relays the answer of a provider, or says why there is none.
pub async fn relay(
    mut call: Box<OpenCall>,
    answered: Result<Answer, Ended>,
) -> Result<Response<RelayBody>, Stop> {
    // No byte of an answer leaves before the call is on disk (LEDGER-1).
    if let Err(error) = call.admitted.intent().durable().await {
        let stop = unrecorded(&error).after_spending();
        settle_failed(call, &stop, Received::Unanswered);
        return Err(stop);
    }
    match answered {
        Err(Ended::Stopped(stop)) => {
            settle_failed(call, &stop, Received::Unanswered);
            Err(stop)
        }
        Err(Ended::Broken(broken)) => {
            call.plane.metrics.attempted(&call.chosen.target.provider.name, ended_as(&broken));
            let stop = stop_of(&broken);
            settle_failed(call, &stop, Received::Nothing);
            Err(stop)
        }
        Ok(Answer { head, body }) => {
            call.first_byte();
            call.metrics.answered();
            match body {
                AnswerBody::Whole(body) => relay_whole(call, head, body).await,
                AnswerBody::Stream(source) => Ok(relay_stream(call, &head, source)),
            }
        }
    }
}

async fn relay_whole(
    call: Box<OpenCall>,
    head: Parts,
    body: Bytes,
) -> Result<Response<RelayBody>, Stop> {
    let (rules, operation) = (call.chosen.target.provider.vendor.usage, call.operation());
    let mut facts = read_answer(operation, rules, &body);
    read_headers(operation, &|name| head.headers.get(name)?.to_str().ok(), &mut facts);
    // What is asked for in an unknown form may be anything: a file, a picture, nothing at all.
    let cut = facts.cut && !matches!(operation, Endpoint::Other | Endpoint::Read);
    if head.status.is_success() && (cut || !operation.answers_with(&body)) {
        let message = "the provider's answer is not the JSON that it should be";
        let stop = Stop::new(Code::UpstreamError, message).after_spending();
        settle_failed(call, &stop, Received::Nothing);
        return Err(stop);
    }
    if let Some(id) = facts.id.as_deref().filter(|_| is_promise(operation, &facts)) {
        call.remember(&facts);
        return Ok(relay_promise(call, &head, body, id.into()));
    }
    let kept = match due(&call, head.status.is_success(), &body) {
        Some(due) if operation == Endpoint::Read => match due.claim().await {
            Ok(claimed) => claimed,
            Err(stop) => {
                settle_failed(call, &stop, Received::Nothing);
                return Err(stop);
            }
        },
        _ => None,
    };
    let refused = if head.status.is_success() { None } else { read_error(&body) };
    let error = refused.as_ref().or(facts.error.as_ref());
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
    let ids = Ids::of(&call);
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

fn relay_stream(call: Box<OpenCall>, head: &Parts, source: Source) -> Response<RelayBody> {
    let settings = &call.snapshot.settings;
    let patience = match &call.chosen.target.provider.backend {
        Backend::Remote(remote) => Patience { idle: remote.idle, total: remote.total },
        Backend::Simulated(_) => Patience { idle: settings.drain_for, total: settings.drain_for },
    };
    let pump = pump(&call, head, source, patience).translated(call.translator());
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
fn settle_failed(call: Box<OpenCall>, stop: &Stop, received: Received<'_>) {
    let end = End {
        status: stop.code.status(),
        outcome: Outcome::Failed,
        error_type: Some(Arc::from(stop.code.as_str())),
        received,
    };
    // A row that could not be written is tried again elsewhere; the intent is down.
    drop(call.end(&end));
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
    if broken.phase == Phase::Body { stop.after_spending() } else { stop }
}

fn ended_as(broken: &Broken) -> &'static str {
    match (broken.phase, broken.timed_out) {
        (_, true) => "timeout",
        (Phase::Connect, false) => "connect",
        (Phase::Request | Phase::Body, false) => "broken",
    }
}

fn unrecorded(error: &LedgerError) -> Stop {
    Stop::new(Code::Degraded, format!("the call cannot be recorded: {error}"))
}
