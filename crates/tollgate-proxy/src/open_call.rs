//! An admitted call that is under way: what its end will need, whichever of the four ends it is
//! (whole answer, upstream error, client gone, shut down).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tollgate_admission::gate::{Admitted, Settled};
use tollgate_admission::identity::OnDisconnect;
use tollgate_admission::ledger::LedgerError;
use tollgate_admission::switches::Traffic;
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::fault::Code;
use tollgate_domain::money::{Exact, NanoUsd};
use tollgate_domain::price::{ModelPrice, Served};
use tollgate_domain::usage::Usage;
use tollgate_wire::count;
use tollgate_wire::dialect::answer_text;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::facts::{AnswerFacts, InbandError};
use tollgate_wire::peek::Peek;
use tollgate_wire::translate::{Translator, View, translate_error, translate_whole};

use crate::edge::Edge;
use crate::headroom::LimitHeaders;
use crate::leftover::Leftover;
use crate::media::Media;
use crate::metrics::TargetMetrics;
use crate::past::Past;
use crate::plane::Plane;
use crate::pump::Ending;
use crate::route::Chosen;
use crate::snapshot::Snapshot;
use crate::stop::Stop;
use crate::through::Through;

/// An admitted call that is under way.
#[derive(Debug)]
pub struct OpenCall {
    /// What all calls share.
    pub plane: Arc<Plane>,
    /// The configuration under which it was admitted.
    pub snapshot: Arc<Snapshot>,
    /// The reservation.
    pub admitted: Admitted,
    /// Who serves it.
    pub chosen: Chosen,
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
}

/// What was received of an answer when it ended.
#[derive(Clone, Copy, Debug)]
pub enum Received<'a> {
    /// Nothing that was generated.
    Nothing,
    /// The request was sent and taken up, no answer was seen.
    Unanswered,
    /// A whole answer that was not streamed.
    Whole(&'a AnswerFacts, &'a [u8]),
    /// A stream, whole or in part.
    Stream(&'a Ending),
    /// An answer that its provider kept and that is charged now.
    Kept(&'a AnswerFacts),
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

/// How an answer was served, as it says itself.
fn served(facts: Option<&AnswerFacts>, at: Timestamp) -> Served<'_> {
    Served {
        service_tier: facts.and_then(|facts| facts.service_tier.as_deref()),
        speed: facts.and_then(|facts| facts.speed.as_deref()),
        ..Served::at(at)
    }
}

/// What a call turned out to have used.
struct Metered {
    usage: Usage,
    estimated: bool,
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
            self.plane.answers.remember(id, &record.user, &record.provider);
        }
    }

    /// The id of an answer that is not made yet and that its provider goes on making whoever listens:
    /// one in the background. What it takes is known when it is there.
    pub fn goes_on(&self, facts: &AnswerFacts) -> Option<Box<str>> {
        let made = facts.status.is_some_and(|status| !status.is_pending());
        let background = self.operation().is_responses() && self.peek.background;
        facts.id.clone().filter(|_| background && !made && facts.error.is_none())
    }

    /// Leaves the call in doubt at what it holds: nobody will say any more what it used.
    pub fn give_up(self) {
        self.plane.metrics.inflight().dec();
    }

    /// Charges a row for an answer that its provider kept.
    pub fn charge_kept(&self, facts: &AnswerFacts, row: &mut CallRecord) {
        let price = self.price_served(facts.model.as_deref());
        let served = served(Some(facts), row.time);
        let metered = Metered { usage: facts.usage.unwrap_or_default(), estimated: false };
        row.cost = self.cost(Some(facts), &metered, (&price, &served));
        row.usage = metered.usage;
        row.price_version = Arc::clone(price.version());
        row.endpoint = self.plane.names.of(Endpoint::Responses);
        (row.status, row.outcome, row.estimated) = (200, Outcome::Success, false);
        if let Some(model) = facts.model.as_deref() {
            row.model = Arc::from(model);
        }
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

    /// Notes that the first byte of the answer is ready.
    pub fn first_byte(&mut self) {
        if self.first_byte_us.is_none() {
            self.first_byte_us = Some(self.plane.micros_since(self.started));
        }
    }

    /// What a stream has used that is ended at the edge of its reservation: counted here.
    pub fn usage_of_cut(&self, ending: &Ending) -> Usage {
        self.meter(Received::Stream(ending)).usage
    }

    /// Settles the call, counts it and hands its line to the log. Whoever sends the end of the
    /// answer waits until the row is down.
    pub fn end(self, end: &End<'_>) -> Result<Settled, LedgerError> {
        let Self { admitted, .. } = &self;
        let facts = match end.received {
            Received::Whole(facts, _) | Received::Kept(facts) => Some(facts),
            Received::Stream(ending) => Some(&ending.facts.answer),
            Received::Nothing | Received::Unanswered => None,
        };
        if let Some(facts) = facts {
            self.remember(facts);
        }
        let metered = self.meter(end.received);
        let model = facts.and_then(|facts| facts.model.as_deref());
        let price = self.price_served(model);
        let time = admitted.record().time;
        let served = served(facts, time);
        let cost = self.cost(facts, &metered, (&price, &served));
        self.settle(end, facts, &metered, &Priced { cost, price })
    }

    /// What it cost: where several models worked on an answer, each part at its own price.
    fn cost(
        &self,
        facts: Option<&AnswerFacts>,
        metered: &Metered,
        (price, served): (&ModelPrice, &Served<'_>),
    ) -> NanoUsd {
        let parts = facts.map(|facts| &*facts.parts).unwrap_or_default();
        if metered.estimated || parts.is_empty() {
            return price.charge(&metered.usage, served).total.charge();
        }
        let each = parts.iter().map(|part| {
            let own = part.model.as_deref().map(|model| self.price_served(Some(model)));
            own.as_deref().unwrap_or(price).charge(&part.usage, served).total
        });
        each.fold(Exact::ZERO, |sum, part| sum + part).charge()
    }

    fn settle(
        self,
        end: &End<'_>,
        facts: Option<&AnswerFacts>,
        metered: &Metered,
        priced: &Priced,
    ) -> Result<Settled, LedgerError> {
        let Self { plane, snapshot, admitted, metrics, body, started, first_byte_us, .. } = self;
        let latency_us = plane.micros_since(started);
        let fill = |row: &mut CallRecord| {
            row.status = end.status;
            row.outcome = end.outcome;
            row.error_type.clone_from(&end.error_type);
            if let Some(model) = facts.and_then(|facts| facts.model.as_deref())
                && *row.model != *model
            {
                row.model = Arc::from(model);
            }
            row.usage = metered.usage;
            row.estimated = metered.estimated;
            row.cost = priced.cost;
            row.provider_cost = facts.and_then(|facts| facts.provider_cost);
            row.price_version = Arc::clone(priced.price.version());
            if matches!(end.received, Received::Kept(_)) {
                row.endpoint = plane.names.of(Endpoint::Responses);
            }
            row.latency_us = latency_us;
            row.ttft_us = first_byte_us;
        };
        plane.metrics.inflight().dec();
        let settled = admitted.settle(plane.clock.now(), fill);
        let record = match &settled {
            Ok(settled) => &settled.record,
            Err(unwritten) => &unwritten.record,
        };
        // It was not foreseen at admission, so the counters learn of it now.
        if matches!(end.received, Received::Kept(_)) {
            Past::new(&plane, &snapshot).call(record);
        }
        plane.metrics.finished(&metrics, record);
        plane.bodies.keep(snapshot.settings.bodies, record, &body, end.received);
        plane.log.push(Arc::clone(record));
        settled.map_err(|unwritten| {
            // The intent is down, so the call is not lost; its row is tried again.
            drop(plane.leftovers.send(Leftover::Unwritten(unwritten.record)));
            unwritten.error
        })
    }

    /// What was used: the provider's own figure, else a count that is marked as such.
    fn meter(&self, received: Received<'_>) -> Metered {
        let stated = |usage| Metered { usage, estimated: false };
        let estimated = |facts: &AnswerFacts, visible| Metered {
            usage: match &self.media {
                Some(media) => media.likely,
                None => facts.estimate(visible, || self.count_prompt()),
            },
            estimated: true,
        };
        match received {
            Received::Kept(facts) => stated(facts.usage.unwrap_or_default()),
            _ if !self.operation().is_billed() => stated(Usage::default()),
            Received::Nothing => stated(Usage::default()),
            Received::Unanswered => estimated(&AnswerFacts::default(), 0),
            Received::Whole(facts, body) => match facts.usage {
                Some(usage) => stated(usage),
                None => {
                    let count = |text: &str| count::count_tokens(self.model(), text);
                    estimated(facts, answer_text(self.operation(), body, count))
                }
            },
            Received::Stream(ending) => match ending.facts.answer.usage {
                Some(usage) => stated(usage),
                None => estimated(&ending.facts.answer, ending.counted_output),
            },
        }
    }

    fn model(&self) -> &str {
        &self.chosen.target.model
    }

    fn count_prompt(&self) -> u64 {
        count::estimate_prompt(self.endpoint, &self.peek, &self.body)
    }

    /// The price of the model that the answer names, else of the one that was asked.
    fn price_served(&self, served: Option<&str>) -> Arc<ModelPrice> {
        match served {
            Some(served) if *served != *self.chosen.target.model => {
                self.snapshot.price(&self.chosen.target.provider, served)
            }
            _ => None,
        }
        .unwrap_or_else(|| Arc::clone(&self.chosen.price))
    }
}

struct Priced {
    cost: NanoUsd,
    price: Arc<ModelPrice>,
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
