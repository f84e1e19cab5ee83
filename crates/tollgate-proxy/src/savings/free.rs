//! A call whose answer is not bought: it comes from the cache, from another call that was under way,
//! or from the first use of an idempotency key. It passes the same gate as any other, asking for
//! nothing that costs: its rate, its place among what runs at once and its success count, tokens and
//! money do not. Its row says what the answer would have cost.

use std::sync::Arc;
use std::time::Duration;

use tollgate_admission::engine::{Demand, Subject};
use tollgate_admission::gate::{Admitted, NotAdmitted};
use tollgate_admission::ledger::Written;
use tollgate_admission::switches::Traffic;
use tollgate_domain::call::{CacheState, CallRecord, Outcome};
use tollgate_domain::fault::Code;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use super::audience::Audience;
use super::kept::Ending;
use super::{Saved, Trip};
use crate::accept::counted;
use crate::admit::{draft, unrecordable};
use crate::headroom::LimitHeaders;
use crate::leftover::Leftover;
use crate::metrics::TargetMetrics;
use crate::plane::Plane;
use crate::relay::unrecorded;
use crate::snapshot::Snapshot;
use crate::standing::refuse_stopped;
use crate::stop::Stop;

/// A call whose answer is not bought. Dropped before it has ended, its client has gone.
#[derive(Debug)]
pub struct FreeCall(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    plane: Arc<Plane>,
    snapshot: Arc<Snapshot>,
    admitted: Admitted,
    metrics: Arc<TargetMetrics>,
    limits: LimitHeaders,
    saved: Saved,
    audience: Option<Arc<Audience>>,
    model: Arc<str>,
    plan: Arc<str>,
    started: Duration,
    first_byte_us: Option<u64>,
    /// The last change of the kill switches that it has seen.
    change: u64,
}

/// Why a call is not given an answer for nothing.
pub(super) enum NotFree {
    /// It may not be made at all.
    Refused(Stop),
    /// A limit has it served from another model, so this answer is not for it; its refusal, where
    /// nothing else may serve it.
    Otherwise(Stop),
}

impl From<Stop> for NotFree {
    fn from(stop: Stop) -> Self {
        Self::Refused(stop)
    }
}

impl NotFree {
    /// Says where the answer was to come from.
    pub(super) fn instead_of(self, cache: CacheState) -> Self {
        match self {
            Self::Refused(stop) => Self::Refused(stop.instead_of(cache)),
            Self::Otherwise(stop) => Self::Otherwise(stop.instead_of(cache)),
        }
    }
}

/// How the answer of a call ended that was not bought.
pub(super) struct FreeEnd<'a> {
    /// The status that the client got.
    pub(super) status: u16,
    /// How the call ended that bought it.
    pub(super) ending: &'a Ending,
}

impl FreeCall {
    /// Decides on a call that gets the answer of `provider`.
    pub(super) fn admit(
        trip: &Trip,
        (provider, metrics): (&Arc<str>, &Arc<TargetMetrics>),
        (state, saved): (CacheState, Saved),
    ) -> Result<Self, NotFree> {
        let Trip { plane, snapshot, candidate, .. } = trip;
        let standing = &candidate.standing;
        let traffic = Traffic { provider, ..candidate.traffic() };
        refuse_stopped(plane, snapshot, &traffic)?;
        let mut row = draft(candidate, plane.names.of(candidate.endpoint));
        row.provider = Arc::clone(provider);
        (row.cache, row.attempts) = (state, 0);
        let address = counted(snapshot, &candidate.caller.arrival);
        // An answer that costs nothing passes a budget that is used up, as a free model does.
        let own = candidate.caller.subject(standing, &address, &candidate.chosen);
        let subject = Subject { provider, free: true, ..own };
        let nothing = Demand::default();
        let terms = standing.terms(&subject);
        let admitted = plane.gate.admit(row, &terms, (&nothing, &[]), |_| None);
        let admitted = admitted.map_err(|refused| not_free(plane, trip, refused))?;
        if let Some(audience) = &candidate.marks.audience {
            audience.admit();
        }
        plane.admitted.inc();
        plane.metrics.inflight().inc();
        plane.metrics.own_share(plane.micros_since(candidate.caller.arrival.started));
        Ok(Self(Some(Box::new(Open {
            plane: Arc::clone(plane),
            snapshot: Arc::clone(snapshot),
            limits: admitted.grant().map(LimitHeaders::of).unwrap_or_default(),
            admitted,
            metrics: Arc::clone(metrics),
            saved,
            audience: candidate.marks.audience.clone(),
            model: Arc::clone(&candidate.chosen.route.name),
            plan: Arc::clone(&standing.plan.name),
            started: candidate.caller.arrival.started,
            first_byte_us: None,
            change: plane.switches.change(),
        }))))
    }

    /// Waits until it is on disk that the call was made: no byte of its answer leaves before
    /// (LEDGER-1).
    pub(super) async fn recorded(&mut self) -> Result<(), Stop> {
        let Some(open) = &mut self.0 else { return Ok(()) };
        let intent = open.admitted.intent();
        intent.durable().await.map_err(|error| unrecorded(&error))
    }

    /// Notes that the first byte of the answer is ready.
    pub(super) fn first_byte(&mut self) {
        if let Some(open) = &mut self.0 {
            let us = open.plane.micros_since(open.started);
            open.first_byte_us.get_or_insert(us);
        }
    }

    /// The row as far as it is known.
    pub(super) fn record(&self) -> Option<&CallRecord> {
        self.0.as_ref().map(|open| open.admitted.record())
    }

    /// What its limits have left.
    pub(super) fn limits(&self) -> LimitHeaders {
        self.0.as_ref().map(|open| open.limits.clone()).unwrap_or_default()
    }

    /// Why an operator has stopped calls like it meanwhile, if one has.
    pub(super) fn stopped(&mut self) -> Option<Stop> {
        let open = self.0.as_mut()?;
        let change = open.plane.switches.change();
        if std::mem::replace(&mut open.change, change) == change {
            return None;
        }
        let record = open.admitted.record();
        let traffic = Traffic {
            provider: &record.provider,
            model: &open.model,
            plan: &open.plan,
            user: &record.user,
        };
        refuse_stopped(&open.plane, &open.snapshot, &traffic).err()
    }

    /// Ends the call as the one ended that bought its answer.
    pub(super) fn end(self, end: &FreeEnd<'_>) -> Written {
        let FreeEnd { status, ending } = end;
        self.settle(|row| {
            row.status = *status;
            row.outcome = ending.outcome;
            row.error_type.clone_from(&ending.error_type);
            if !ending.model.is_empty() {
                row.model = Arc::clone(&ending.model);
                row.price_version = Arc::clone(&ending.price_version);
            }
            if ending.outcome == Outcome::Success {
                row.saved = ending.value;
            }
        })
    }

    /// Ends the call with an error of ours.
    pub(super) fn fail(self, code: Code) -> Written {
        self.settle(|row| {
            row.status = code.status();
            row.outcome = Outcome::Failed;
            row.error_type = Some(Arc::from(code.as_str()));
        })
    }

    /// Ends the call of a client that has gone.
    pub(crate) fn cancel(self) {
        let code = Code::ClientClosed;
        let written = self.settle(|row| {
            row.status = code.status();
            row.outcome = Outcome::Cancelled;
            row.error_type = Some(Arc::from(code.as_str()));
        });
        drop(written);
    }

    fn settle(mut self, finish: impl FnOnce(&mut CallRecord)) -> Written {
        let Some(open) = self.0.take() else { return Written::Durable };
        let Open { plane, admitted, metrics, saved, audience, started, first_byte_us, .. } = *open;
        let latency_us = plane.micros_since(started);
        let mut outcome = Outcome::Failed;
        let settled = admitted.settle(plane.clock.now(), |row| {
            (row.usage, row.cost, row.estimated) = (Usage::default(), NanoUsd::ZERO, false);
            (row.latency_us, row.ttft_us) = (latency_us, first_byte_us);
            finish(row);
            outcome = row.outcome;
            Audience::correct(audience.as_deref(), row);
        });
        plane.metrics.inflight().dec();
        let (record, written) = match settled {
            Ok(settled) => (settled.record, settled.written),
            Err(unwritten) => {
                // The intent is down, so the call is not lost; its row is tried again.
                let record = Arc::clone(&unwritten.record);
                drop(plane.leftovers.send(Leftover::Unwritten(unwritten.record)));
                (record, Written::Durable)
            }
        };
        plane.metrics.finished(&metrics, &record);
        plane.savings.metrics().saved(saved, record.saved);
        plane.log.push(Arc::clone(&record));
        Audience::tell(audience.as_deref(), &record, (outcome, outcome == Outcome::Success));
        written
    }

    /// What the task that looks after leftovers is handed.
    fn take(&mut self) -> Option<(Arc<Plane>, Self)> {
        let open = self.0.take()?;
        Some((Arc::clone(&open.plane), Self(Some(open))))
    }
}

impl Drop for FreeCall {
    fn drop(&mut self) {
        if let Some((plane, call)) = self.take() {
            // Nobody listens only when the program has ended; then the intent on disk speaks.
            if let Err(unsent) = plane.leftovers.send(Leftover::Free(call)) {
                forget(unsent.0);
            }
        }
    }
}

/// Lets go of a call that nobody can settle any more, without handing it over once more.
fn forget(leftover: Leftover) {
    if let Leftover::Free(mut call) = leftover {
        drop(call.0.take());
    }
}

fn not_free(plane: &Plane, trip: &Trip, refused: NotAdmitted) -> NotFree {
    match refused {
        NotAdmitted::Limit(refusal) => {
            let (now, otherwise) =
                (trip.candidate.caller.arrival.time, refusal.downgrade().is_some());
            let limit = Arc::clone(&refusal.limit.name);
            let stop = Stop::limit(refusal, now);
            if otherwise {
                return NotFree::Otherwise(stop);
            }
            plane.metrics.decided("refused", &limit);
            NotFree::Refused(stop)
        }
        NotAdmitted::Ledger(error) => {
            plane.metrics.decided("degraded", "");
            NotFree::Refused(unrecordable(&error))
        }
    }
}
