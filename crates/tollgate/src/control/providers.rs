//! Providers as they are configured, and how their targets do where a server runs in this process.

use std::time::Duration;

use tollgate_admission::control::{ProviderRow, TargetRow};
use tollgate_proxy::health::TargetState;

use super::Controls;

impl Controls {
    pub(super) fn list_providers(&self) -> Vec<ProviderRow> {
        let states = self.live.as_ref().map(|live| live.handle.plane.healths.states());
        let states = states.unwrap_or_default();
        let config = self.config.lock();
        let rows = config.providers.values().map(|provider| ProviderRow {
            name: provider.name.to_string(),
            kind: provider.kind.as_str().to_owned(),
            base_url: provider.base_url.clone(),
            attempts: provider.retry.attempts,
            targets: states
                .iter()
                .filter(|state| state.provider == provider.name && !state.model.is_empty())
                .map(target)
                .collect(),
        });
        rows.collect()
    }
}

fn target(state: &TargetState) -> TargetRow {
    TargetRow {
        model: state.model.to_string(),
        breaker: state.breaker.as_str().to_owned(),
        opens_in_ms: state.opens_in.map(millis),
        rests_for_ms: state.rests_for.map(millis),
        latency_ms: state.latency.map(millis),
        running: state.running,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
