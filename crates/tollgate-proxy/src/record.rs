//! Step 9 for calls that were refused: they hold nothing and cost nothing, so they are counted and
//! logged, and are no row of the ledger. Calls that were admitted are recorded where they end
//! ([`crate::open_call`]).

use std::sync::Arc;

use tollgate_admission::identity::Principal;
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use crate::accept::Arrival;
use crate::plane::Plane;
use crate::stop::Stop;

/// What was known of a call when it was refused.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The dialect in which its client is answered.
    pub dialect: Dialect,
    /// The path, where it is one of ours.
    pub endpoint: Arc<str>,
    /// Who called.
    pub user: Arc<str>,
    /// With which key.
    pub key: Option<Arc<str>>,
    /// The model that was asked for, where a provider serves it.
    pub model: Arc<str>,
}

impl Known {
    /// Notes who called.
    pub fn caller(&mut self, principal: &Principal) {
        self.user = Arc::clone(&principal.user);
        self.key = Some(Arc::clone(&principal.key.name));
    }
}

/// Counts a refused call and hands its line to the log.
pub fn refused(plane: &Plane, arrival: &Arrival, known: Known, stop: &Stop) {
    let status = stop.code.status();
    plane.metrics.refused(&known.endpoint, status);
    plane.log.push(Arc::new(CallRecord {
        call_id: arrival.call_id,
        request_id: Arc::clone(&arrival.request_id),
        time: arrival.time,
        user: known.user,
        key: known.key,
        team: None,
        ip: Some(Arc::clone(&arrival.ip_kept)),
        session: None,
        feature: None,
        tags: Vec::new(),
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
        price_version: Arc::default(),
        estimated: false,
        latency_us: plane.micros_since(arrival.started),
        ttft_us: None,
    }));
}
