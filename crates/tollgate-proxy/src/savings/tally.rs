//! The metrics of saving: what was saved and why, where answers came from, storms.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tollgate_domain::call::CacheState;
use tollgate_domain::catalogue;
use tollgate_domain::money::NanoUsd;

use super::settings::StormAction;
use crate::metrics::{MoneyCounter, put};

/// Why an answer had not to be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It was in the cache.
    Cache,
    /// It was being bought by an identical call.
    Coalesced,
    /// The idempotency key was used before.
    Idempotency,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Action {
    action: &'static str,
}

/// Handles of the metrics of saving.
#[derive(Debug)]
pub struct SavingsMetrics {
    saved: [MoneyCounter; 3],
    states: [Counter; 4],
    storms: Family<Action, Counter>,
}

impl SavingsMetrics {
    /// Makes the families and puts them into `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let saved = Family::<Reason, MoneyCounter>::default();
        let states = Family::<State, Counter>::default();
        let storms = Family::<Action, Counter>::default();
        put(registry, &catalogue::SAVINGS, saved.clone());
        put(registry, &catalogue::CACHE_CALLS, states.clone());
        put(registry, &catalogue::DUPLICATE_STORMS, storms.clone());
        for action in StormAction::ALL {
            drop(storms.get_or_create(&Action { action: action.as_str() }));
        }
        let reason = |reason| saved.get_or_create_owned(&Reason { reason });
        let state =
            |state: CacheState| states.get_or_create_owned(&State { state: state.as_str() });
        Self {
            saved: ["cache", "coalesced", "idempotency"].map(reason),
            states: [CacheState::Hit, CacheState::Miss, CacheState::Coalesced, CacheState::Bypass]
                .map(state),
            storms,
        }
    }

    /// Counts what an answer would have cost.
    pub(super) fn saved(&self, why: Saved, amount: NanoUsd) {
        let [cache, coalesced, idempotency] = &self.saved;
        match why {
            Saved::Cache => cache.add(amount),
            Saved::Coalesced => coalesced.add(amount),
            Saved::Idempotency => idempotency.add(amount),
        }
    }

    /// Counts a call by where its answer comes from.
    pub(super) fn from(&self, state: CacheState) {
        let [hit, miss, coalesced, bypass] = &self.states;
        match state {
            CacheState::Hit => hit.inc(),
            CacheState::Miss => miss.inc(),
            CacheState::Coalesced => coalesced.inc(),
            CacheState::Bypass => bypass.inc(),
        };
    }

    /// Counts a call whose answer is bought without a look into the cache.
    pub(super) fn bypassed(&self) {
        self.from(CacheState::Bypass);
    }

    /// Counts a storm.
    pub(super) fn stormed(&self, action: StormAction) {
        self.storms.get_or_create(&Action { action: action.as_str() }).inc();
    }
}
