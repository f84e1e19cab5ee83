//! Step 9 for calls that were refused: they hold nothing and cost nothing. They are counted and
//! logged, and become rows of the ledger as far as there is room for them ([`crate::refusals`]); a
//! caller who is not known, or may not be served at all, leaves none. Calls that were admitted are
//! recorded where they end ([`crate::open_call`]), and here where nobody settled them.

use std::sync::Arc;

use tollgate_admission::gate::{Stray, Unwritten};
use tollgate_admission::identity::Principal;
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::fault::Code;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use crate::accept::Arrival;
use crate::identify::Labels;
use crate::plane::Plane;
use crate::stop::Stop;

/// What was known of a call when it was refused.
#[derive(Debug, Default)]
pub struct Known {
    /// The dialect in which its client is answered.
    pub dialect: Dialect,
    /// The path, where it is one of ours.
    pub endpoint: Arc<str>,
    /// Whether it is a call to a model.
    pub is_call: bool,
    /// Who called.
    pub user: Arc<str>,
    /// With which key.
    pub key: Option<Arc<str>>,
    /// What the application says about it.
    pub labels: Labels,
    /// The model that was asked for, where a provider serves it.
    pub model: Arc<str>,
}

impl Known {
    /// Notes who called.
    pub fn caller(&mut self, principal: &Principal) {
        self.user = Arc::clone(&principal.user);
        self.key = Some(Arc::clone(&principal.key.name));
    }

    /// Whether a refusal with this code is worth a row.
    fn has_row(&self, code: Code) -> bool {
        self.is_call
            && !self.user.is_empty()
            && !matches!(code, Code::Unauthenticated | Code::Forbidden | Code::GuestForbidden)
    }
}

/// Settles an admitted call that nobody settled (a panic, a task that was cut off, an answer that
/// never came), as in doubt at its reservation, and counts and logs it like any other (LEDGER-2).
pub fn stray(plane: &Plane, stray: Stray) -> Result<(), Unwritten> {
    let settled = plane.gate.settle_stray(stray, plane.clock.now());
    let row = match &settled {
        Ok(settled) => &settled.record,
        Err(unwritten) => &unwritten.record,
    };
    // The name under which it was admitted, so no new label.
    let model = Some(row.model_counted()).filter(|name| !name.is_empty());
    let model = model.unwrap_or_else(|| Arc::from("other"));
    let target = plane.metrics.target(&model, &row.provider, &row.endpoint);
    plane.metrics.inflight().dec();
    plane.metrics.finished(&target, row);
    plane.log.push(Arc::clone(row));
    settled.map(drop)
}

/// Counts a refused call, and hands its line to the log and its row to the ledger.
pub fn refused(plane: &Plane, arrival: &Arrival, known: Known, stop: &Stop) {
    let status = stop.code.status();
    count(plane, &known, stop);
    // Under overload nothing is spent on what is refused because of it.
    if stop.code == Code::Overloaded {
        return;
    }
    let has_row = known.has_row(stop.code);
    let Labels { session, feature, tags } = known.labels;
    let row = Arc::new(CallRecord {
        call_id: arrival.call_id,
        request_id: Arc::clone(&arrival.request_id),
        trace: arrival.trace,
        time: arrival.time,
        user: known.user,
        key: known.key,
        team: None,
        ip: Some(Arc::clone(&arrival.ip_kept)),
        session,
        feature,
        tags,
        dialect: known.dialect,
        endpoint: known.endpoint,
        provider: Arc::default(),
        model_asked: Arc::clone(&known.model),
        model: known.model,
        stream: false,
        status,
        outcome: Outcome::Refused,
        error_type: Some(Arc::from(stop.code.as_str())),
        attempts: 0,
        cache: CacheState::Bypass,
        usage: Usage::default(),
        cost: NanoUsd::ZERO,
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: None,
        price_version: Arc::default(),
        estimated: false,
        latency_us: plane.micros_since(arrival.started),
        ttft_us: None,
        decision: stop.limit.as_ref().map(|(refusal, _)| refusal.decision.clone()),
        tries: Vec::new(),
    });
    if has_row {
        // A refusal is no answer that took its time: sums of it leave it out.
        let row = CallRecord { latency_us: 0, ..CallRecord::clone(&row) };
        plane.refusals.push(Arc::new(row), arrival.time);
    }
    plane.log.push(row);
}

/// Counts a refused call under the model that it asked for, as far as that is a label.
fn count(plane: &Plane, known: &Known, stop: &Stop) {
    let snapshot = plane.snapshot.load();
    let asked = Some(&known.model).filter(|model| !model.is_empty());
    let route = asked.and_then(|model| snapshot.route(model));
    let label = route.as_deref().map_or("", |route| snapshot.label(route));
    plane.metrics.refused(label, &known.endpoint, stop.code);
}
