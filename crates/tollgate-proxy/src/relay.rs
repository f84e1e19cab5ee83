//! Step 7: the answer goes to the client. A whole answer is settled before it leaves, a stream
//! leaves as it comes, but for its last bytes, which wait until the call is settled.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, SERVER, SET_COOKIE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Frame;
use tollgate_admission::gate::Settled;
use tollgate_admission::ledger::{LedgerError, Written};
use tollgate_domain::call::{CallRecord, Dialect, Outcome};
use tollgate_domain::fault::Code;
use tollgate_wire::error::{ErrorView, error_event};
use tollgate_wire::openai::{OpenAiStream, read_answer, read_error};

use crate::accept::REQUEST_ID;
use crate::answer::{Answer, AnswerBody, Source};
use crate::leftover::Leftover;
use crate::open_call::{End, OpenCall, Received, class_of};
use crate::pump::{Patience, Pump, Step};
use crate::snapshot::Backend;
use crate::stop::Stop;
use crate::upstream::{Broken, Phase};

const CALL_ID: HeaderName = HeaderName::from_static("x-tollgate-call-id");
const PROVIDER: HeaderName = HeaderName::from_static("x-tollgate-provider");
const MODEL: HeaderName = HeaderName::from_static("x-tollgate-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
const CACHE: HeaderName = HeaderName::from_static("x-tollgate-cache");
const COST: HeaderName = HeaderName::from_static("x-tollgate-cost-usd");
const LITELLM_COST: HeaderName = HeaderName::from_static("x-litellm-response-cost");
const UPSTREAM_ID: HeaderName = HeaderName::from_static("x-tollgate-upstream-request-id");

/// Relays the answer of a provider, or says why there is none.
pub async fn relay(
    mut call: Box<OpenCall>,
    answered: Result<Answer, Broken>,
) -> Result<Response<RelayBody>, Stop> {
    // No byte of an answer leaves before the call is on disk (LEDGER-1).
    if let Err(error) = call.admitted.intent().durable().await {
        let stop = unrecorded(&error).after_spending();
        settle_failed(call, &stop, Received::Unanswered);
        return Err(stop);
    }
    match answered {
        Err(broken) => {
            call.plane.metrics.attempted(&call.chosen.target.provider.name, ended_as(&broken));
            let stop = stop_of(&broken);
            settle_failed(call, &stop, Received::Nothing);
            Err(stop)
        }
        Ok(Answer { head, body }) => {
            call.first_byte();
            call.plane.metrics.attempted(&call.chosen.target.provider.name, "answered");
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
    let rules = call.chosen.target.provider.vendor.usage;
    let facts = read_answer(call.endpoint, rules, &body);
    let is_object = body.trim_ascii_start().starts_with(b"{");
    if head.status.is_success() && (facts.cut || !is_object) {
        let message = "the provider's answer is not the JSON that it should be";
        let stop = Stop::new(Code::UpstreamError, message).after_spending();
        settle_failed(call, &stop, Received::Nothing);
        return Err(stop);
    }
    let stated = if head.status.is_success() { None } else { read_error(&body) };
    let error = stated.as_ref().or(facts.error.as_ref());
    let failed = !head.status.is_success() || error.is_some();
    let end = End {
        status: head.status.as_u16(),
        outcome: if failed { Outcome::Failed } else { Outcome::Success },
        error_type: failed.then(|| match error {
            Some(error) => Arc::from(class_of(error)),
            None => Arc::from(Code::UpstreamError.as_str()),
        }),
        received: if failed && facts.usage.is_none() {
            Received::Nothing
        } else {
            Received::Whole(&facts, &body)
        },
    };
    let ids = Ids::of(&call);
    let (record, written) = match call.end(&end) {
        Ok(settled) => (Some(settled.record), settled.written),
        Err(_) => (None, Written::Durable),
    };
    // A row that could not be written is tried again elsewhere; the intent is down.
    drop(written.durable().await);
    let mut response = Response::new(RelayBody::whole(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = response_headers(&head.headers, &ids, record.as_deref());
    Ok(response)
}

fn relay_stream(call: Box<OpenCall>, head: &Parts, source: Source) -> Response<RelayBody> {
    let rules = call.chosen.target.provider.vendor.usage;
    let meter = OpenAiStream::new(call.endpoint, rules, call.peek.usage_asked);
    let settings = &call.snapshot.settings;
    let patience = match &call.chosen.target.provider.backend {
        Backend::Remote(remote) => Patience { idle: remote.idle, total: remote.total },
        Backend::Simulated(_) => Patience { idle: settings.drain_for, total: settings.drain_for },
    };
    let pump = Pump::new(source, meter, patience);
    let headers = response_headers(&head.headers, &Ids::of(&call), None);
    let body = Streaming {
        call: Some(call),
        pump: Some(Box::new(pump)),
        status: head.status.as_u16(),
        waiting: None,
        last: VecDeque::new(),
    };
    let mut response = Response::new(RelayBody(Kind::Stream(Box::new(body))));
    *response.status_mut() = head.status;
    *response.headers_mut() = headers;
    response
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

/// What names a call in the headers of its answer.
pub(crate) struct Ids {
    request_id: Arc<str>,
    call_id: tollgate_domain::id::CallId,
    provider: Arc<str>,
    model: Arc<str>,
}

impl Ids {
    fn of(call: &OpenCall) -> Self {
        let record = call.admitted.record();
        Self {
            request_id: Arc::clone(&record.request_id),
            call_id: record.call_id,
            provider: Arc::clone(&call.chosen.target.provider.name),
            model: Arc::clone(&call.chosen.target.model),
        }
    }
}

/// The provider's headers without those of its connection and its own ids, and with ours.
fn response_headers(upstream: &HeaderMap, ids: &Ids, record: Option<&CallRecord>) -> HeaderMap {
    const STAY: [HeaderName; 10] = [
        CONNECTION,
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        TRAILER,
        UPGRADE,
        DATE,
        SERVER,
        SET_COOKIE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("alt-svc"),
    ];
    let mut headers = HeaderMap::with_capacity(upstream.len() + 8);
    for (name, value) in upstream {
        if *name == REQUEST_ID {
            headers.append(UPSTREAM_ID, value.clone());
        } else if !STAY.contains(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(REQUEST_ID, &ids.request_id);
    put(CALL_ID, ids.call_id.encode(&mut [0; 36]));
    put(PROVIDER, &ids.provider);
    put(MODEL, record.map_or(&*ids.model, |record| &*record.model));
    put(ATTEMPTS, "1");
    put(CACHE, "miss");
    if let Some(record) = record {
        let cost = record.cost.to_string();
        put(COST, &cost);
        put(LITELLM_COST, &cost);
    }
    headers
}

/// The body of an answer to a client.
#[derive(Debug)]
pub struct RelayBody(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    Stream(Box<Streaming>),
}

/// A stream to a client, and the call that its end settles.
struct Streaming {
    call: Option<Box<OpenCall>>,
    pump: Option<Box<Pump>>,
    status: u16,
    /// Resolves when the row is down; the last bytes wait for it.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The last bytes.
    last: VecDeque<Bytes>,
}

impl std::fmt::Debug for Streaming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streaming").field("call", &self.call).finish_non_exhaustive()
    }
}

impl RelayBody {
    /// A body that is all there.
    pub fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole((!bytes.is_empty()).then_some(bytes)))
    }
}

impl http_body::Body for RelayBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match &mut self.get_mut().0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take()),
            Kind::Stream(streaming) => streaming.poll_bytes(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Whole(None))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => http_body::SizeHint::with_exact(
                bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            ),
            Kind::Stream(_) => http_body::SizeHint::default(),
        }
    }
}

impl Streaming {
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(written) = &mut self.waiting {
                std::task::ready!(written.as_mut().poll(cx));
                self.waiting = None;
            }
            if let Some(bytes) = self.last.pop_front() {
                return Poll::Ready(Some(bytes));
            }
            let Some(pump) = &mut self.pump else {
                return Poll::Ready(None);
            };
            match std::task::ready!(pump.poll_step(cx)) {
                Step::Bytes(bytes) => return Poll::Ready(Some(bytes)),
                Step::Last(last) => {
                    self.settle(None);
                    self.last.extend(last);
                }
                Step::Ended => self.ended(),
                Step::Broken(broken) => self.broken(&broken),
            }
        }
    }

    /// The provider has ended the stream.
    fn ended(&mut self) {
        if let (Some(call), Some(pump)) = (&self.call, &mut self.pump) {
            let whole = pump.ending(&call.chosen.target.model).facts.is_complete();
            let rest = pump.take_rest();
            if whole {
                self.settle(None);
                self.last.extend(rest);
            } else {
                self.last.extend(rest);
                self.broken(&Broken::new(Phase::Body, "the stream ended before its end"));
            }
        }
        self.pump = None;
    }

    /// The stream broke off: the client is told in its dialect, and what came is charged.
    fn broken(&mut self, broken: &Broken) {
        if self.call.is_some() {
            let stop = stop_of(broken);
            let view = ErrorView::new(stop.code, &stop.message);
            let sequence = self.pump.as_ref().and_then(|pump| pump.next_sequence());
            self.settle(Some(&stop));
            self.last.push_back(error_event(Dialect::Openai, &view, sequence));
        }
        self.pump = None;
    }

    /// Settles the call, once; what is in `last` afterwards leaves when its row is down.
    fn settle(&mut self, stop: Option<&Stop>) {
        let (Some(call), Some(pump)) = (self.call.take(), &mut self.pump) else {
            return;
        };
        let ending = pump.ending(&call.chosen.target.model);
        let end = End::of_stream(&ending, self.status, stop);
        // Where the row cannot be written it is tried again elsewhere; the intent is down.
        if let Ok(Settled { written: pending @ Written::Pending(_), .. }) = call.end(&end) {
            self.waiting = Some(Box::pin(async move { drop(pending.durable().await) }));
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if let (Some(call), Some(pump)) = (self.call.take(), self.pump.take()) {
            Leftover::Streaming(call, pump).hand_over();
        }
    }
}
