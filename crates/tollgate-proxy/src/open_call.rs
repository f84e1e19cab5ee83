//! An admitted call that is under way: what its end will need, whichever of the four ends it is
//! (whole answer, upstream error, client gone, shut down).

mod charge;
mod ending;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tollgate_admission::engine::Grant;
use tollgate_admission::gate::{Admitted, Settled};
use tollgate_admission::identity::OnDisconnect;
use tollgate_admission::ledger::LedgerError;
use tollgate_admission::switches::Traffic;
use tollgate_domain::call::CallRecord;
use tollgate_domain::limit::{Metric, Mode, OnLimit};
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::AnswerFacts;
use tollgate_wire::peek::Peek;
use tollgate_wire::remains::read_remains;
use tollgate_wire::translate::{Translator, View, translate_error, translate_whole};

use crate::admit::Caller;
use crate::attempts::Tries;
use crate::edge::Edge;
use crate::headroom::LimitHeaders;
use crate::leftover::Leftover;
use crate::media::Media;
use crate::metrics::TargetMetrics;
use crate::past::Past;
use crate::plane::Plane;
use crate::route::{Chosen, Way};
use crate::savings::{Audience, is_whole};
use crate::snapshot::{Snapshot, Target};
use crate::through::Through;
pub(crate) use charge::Charged;
pub(crate) use ending::class_of;
pub use ending::{End, Received};

/// An admitted call that is under way.
#[derive(Debug)]
pub struct OpenCall {
    /// What all calls share.
    pub plane: Arc<Plane>,
    /// The configuration under which it was admitted.
    pub snapshot: Arc<Snapshot>,
    /// The reservation.
    pub admitted: Admitted,
    /// Who calls.
    pub caller: Caller,
    /// Who serves it.
    pub chosen: Chosen,
    /// Who is asked after that, where there is somebody.
    pub way: Option<Box<Way>>,
    /// Its attempts.
    pub tries: Tries,
    /// How it is asked, where the client calls the provider's own API.
    pub through: Option<Box<Through>>,
    /// What it takes, where it is about pictures or sound.
    pub media: Option<Media>,
    /// Handles of its metrics.
    pub metrics: Arc<TargetMetrics>,
    /// What was called.
    pub endpoint: Endpoint,
    /// What was asked.
    pub peek: Peek,
    /// The request as the client sent it; counted when the provider states no usage.
    pub body: Bytes,
    /// Whether a client of Gemini wants its stream as one JSON array.
    pub array: bool,
    /// When it arrived.
    pub started: Duration,
    /// When the first byte of the answer was ready, in microseconds since the arrival.
    pub first_byte_us: Option<u64>,
    /// What becomes of it when its client goes away.
    pub on_disconnect: OnDisconnect,
    /// The plan it was admitted under.
    pub plan: Arc<str>,
    /// The most output tokens per choice, where a limit has lowered what was asked.
    pub clamped_output: Option<u64>,
    /// Where its stream must end, where a hard limit stands behind the reservation.
    pub edge: Option<Edge>,
    /// What its limits have left, for the answer.
    pub limits: LimitHeaders,
    /// Who wants to know how it ends.
    pub audience: Option<Arc<Audience>>,
}

impl OpenCall {
    /// What is sent to the provider, but for the few bytes that forwarding changes, and where in it
    /// they stand.
    pub fn sent(&self) -> (&Bytes, &Peek) {
        match self.chosen.translated.as_deref() {
            Some(translated) => (&translated.body, &translated.peek),
            None => (&self.body, &self.peek),
        }
    }

    /// The operation of the provider; what it sends is read by its form.
    pub fn operation(&self) -> Endpoint {
        self.chosen.operation(self.endpoint)
    }

    /// The answer in the form that the client speaks, with its status, where that is not the
    /// provider's own. `failure` is the status of an answer that is an error.
    pub fn in_clients_form(&self, body: &[u8], failure: Option<u16>) -> Option<(u16, Bytes)> {
        let view = self.view()?;
        Some(match failure {
            Some(status) => {
                let request_id = &self.admitted.record().request_id;
                translate_error(self.endpoint, status, body, Some(request_id))
            }
            None => (200, translate_whole(self.operation(), self.endpoint, body, &view)),
        })
    }

    /// What turns the provider's stream into the client's form, where that is another.
    pub fn translator(&self) -> Option<Box<Translator>> {
        Translator::new(self.operation(), self.endpoint, &self.view()?).map(Box::new)
    }

    fn view(&self) -> Option<View> {
        let translated = self.chosen.translated.as_deref()?;
        let record = self.admitted.record();
        let created = u64::try_from(record.time.as_second()).unwrap_or_default();
        let fallback_id = record.call_id.encode(&mut [0; 36]).replace('-', "");
        Some(View { created, fallback_id, ..translated.view.clone() })
    }

    /// Remembers whose an answer is that its provider keeps.
    pub fn remember(&self, facts: &AnswerFacts) {
        let kept = self.operation().is_responses() && self.peek.store != Some(false);
        if let Some(id) = facts.id.as_deref().filter(|_| kept) {
            let record = self.admitted.record();
            self.plane.answers.remember(&record.provider, id, &record.user);
        }
    }

    /// The id of an answer that is not made yet and that its provider goes on making whoever listens:
    /// one in the background. What it takes is known when it is there.
    pub fn goes_on(&self, facts: &AnswerFacts) -> Option<Box<str>> {
        let made = facts.status.is_some_and(|status| !status.is_pending());
        let background = self.operation().is_responses() && self.peek.background;
        facts.id.clone().filter(|_| background && !made && facts.error.is_none())
    }

    /// What can be read of an answer that was to come whole and of which this has come.
    pub fn remains(&self, body: &[u8]) -> AnswerFacts {
        read_remains(self.operation(), self.chosen.target.provider.vendor.usage, body)
    }

    /// What it is, as far as the kill switch asks.
    pub fn traffic(&self) -> Traffic<'_> {
        let record = self.admitted.record();
        Traffic {
            provider: &record.provider,
            model: &self.chosen.route.name,
            plan: &self.plan,
            user: &record.user,
        }
    }

    /// Notes that the first byte of an answer is ready.
    pub fn first_byte(&mut self) {
        if self.first_byte_us.is_none() {
            self.first_byte_us = Some(self.plane.micros_since(self.started));
        }
    }

    /// Heeds what was granted: how much may come out, and what its limits have left.
    pub(crate) fn heed_grant(&mut self, asked_output: u64) {
        let grant = self.admitted.grant();
        let choices = self.peek.choices.max(1);
        self.clamped_output = grant
            .map(Grant::output_tokens)
            .filter(|granted| *granted < asked_output)
            .map(|granted| (granted / choices).max(1));
        self.edge =
            grant.filter(|grant| is_bounded(grant)).map(|grant| Edge::at(grant.output_tokens()));
        self.limits = grant.map(LimitHeaders::of).unwrap_or_default();
    }

    /// Settles the call, counts it and hands its line to the log. Whoever sends the end of the
    /// answer waits until the row is down.
    pub fn end(self, end: &End<'_>) -> Result<Settled, LedgerError> {
        if let Some(facts) = end.received.facts() {
            self.remember(facts);
        }
        let charged = if self.tries.is_under_way() {
            self.charge(end.received)
        } else {
            // The last attempt was charged when the call left it.
            Charged::before(self.tries.used(), &self.chosen.price)
        };
        self.settle(end, &charged)
    }

    fn settle(mut self, end: &End<'_>, charged: &Charged) -> Result<Settled, LedgerError> {
        let facts = end.received.facts();
        let whole = is_whole(&self, end, facts);
        let spent = self.tries.spent();
        let tries = self.tries_at(end, charged);
        let latency_us = self.plane.micros_since(self.started);
        let Self { plane, snapshot, admitted, metrics, body, first_byte_us, chosen, .. } = self;
        let (all, audience) = (self.tries, self.audience);
        let fill = |row: &mut CallRecord| {
            name_target(row, &chosen.target, all.count());
            row.status = end.status;
            row.outcome = end.outcome;
            row.error_type.clone_from(&end.error_type);
            charged.enter(facts, row);
            row.estimated |= all.guessed();
            row.cost += spent;
            row.tries = tries;
            if matches!(end.received, Received::Kept(_)) {
                row.endpoint = plane.names.of(Endpoint::Responses);
            }
            row.latency_us = latency_us;
            row.ttft_us = first_byte_us;
            Audience::correct(audience.as_deref(), row);
        };
        // An answer that was kept was not foreseen at admission: the limits that are in force when
        // it is charged learn of it with the end of the call.
        let count = |row: &CallRecord| {
            if matches!(end.received, Received::Kept(_)) {
                Past::new(&plane, &plane.snapshot.load()).call(row);
            }
        };
        plane.metrics.inflight().dec();
        let settled = admitted.settle_and(plane.clock.now(), fill, count);
        let record = match &settled {
            Ok(settled) => &settled.record,
            Err(unwritten) => &unwritten.record,
        };
        plane.metrics.finished(&metrics, record);
        plane.bodies.keep(snapshot.settings.bodies, record, &body, end.received);
        plane.log.push(Arc::clone(record));
        Audience::tell(audience.as_deref(), record, (end.outcome, whole));
        settled.map_err(|unwritten| {
            // The intent is down, so the call is not lost; its row is tried again.
            drop(plane.leftovers.send(Leftover::Unwritten(unwritten.record)));
            unwritten.error
        })
    }
}

/// Names in a row who served the call, where that is not who was to serve it first.
fn name_target(row: &mut CallRecord, target: &Target, attempts: u16) {
    row.attempts = attempts;
    if row.provider != target.provider.name {
        row.provider = Arc::clone(&target.provider.name);
    }
    if row.model != target.model {
        row.model = Arc::clone(&target.model);
    }
}

/// Whether a hard limit on money or output stands behind a grant, so that the answer must not go
/// beyond what was set aside.
fn is_bounded(grant: &Grant) -> bool {
    grant.headroom().any(|room| {
        let counts =
            matches!(room.limit.metric, Metric::CostUsd | Metric::OutputTokens | Metric::Tokens);
        counts
            && room.max.is_some()
            && room.limit.mode == Mode::Enforce
            && room.limit.on_limit != OnLimit::Alert
    })
}
