//! What `/metrics` shows of alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tollgate_alerts::channel::Verdict;
use tollgate_domain::catalogue;

use super::routes::Routes;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRule {
    rule: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfChannel {
    channel: Arc<str>,
    outcome: &'static str,
}

/// The families. Their labels are names of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlertMetrics {
    firing: Family<OfRule, Gauge>,
    notifications: Family<OfChannel, Counter>,
    pub(super) dropped: Counter,
}

impl AlertMetrics {
    /// Makes the families and puts them into `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let firing = catalogue::ALERTS_FIRING;
        registry.register(firing.stem(), firing.help, metrics.firing.clone());
        let sent = catalogue::ALERT_NOTIFICATIONS;
        registry.register(sent.stem(), sent.help, metrics.notifications.clone());
        let dropped = catalogue::ALERT_CALLS_DROPPED;
        registry.register(dropped.stem(), dropped.help, metrics.dropped.clone());
        metrics
    }

    pub(super) fn show(&self, firing: BTreeMap<Arc<str>, u64>) {
        // Rules that are gone must not go on firing.
        self.firing.clear();
        for (rule, count) in firing {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.firing.get_or_create(&OfRule { rule }).set(count);
        }
    }

    /// Shows every outcome of channels from the start, so that the first failure is an increase.
    pub(super) fn know(&self, routes: &Routes) {
        for channel in routes.all.iter().map(|route| &route.channel.name) {
            for outcome in Verdict::WORDS {
                let labels = OfChannel { channel: Arc::clone(channel), outcome };
                drop(self.notifications.get_or_create(&labels));
            }
        }
    }

    pub(super) fn sent(&self, channel: &Arc<str>, outcome: &'static str) {
        let labels = OfChannel { channel: Arc::clone(channel), outcome };
        self.notifications.get_or_create(&labels).inc();
    }
}
