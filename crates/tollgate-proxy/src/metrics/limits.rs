//! How limits stand, as gauges that are made when they are asked for: the configured global limits,
//! and those of the users who spent the most lately.
//!
//! Users are never labels. A top user is shown by rank, so the number of series is bounded and a
//! scrape tells nobody's name; who it is, `tollgate usage --by user` tells.

use std::fmt;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tollgate_admission::engine::LimitState;
use tollgate_domain::catalogue::{self, Family};
use tollgate_domain::limit::{Metric, Scope};

use super::begin;
use crate::past::Past;
use crate::plane::Plane;

/// How many users are shown.
const TOP: usize = 10;
/// Most limits that are shown of one user, and of all global ones.
const MOST_LIMITS: usize = 64;

/// Limits count money in nano-dollars.
const NANOS_PER_USD: f64 = 1e9;

/// Reads how limits stand.
#[derive(Debug)]
pub struct LimitMetrics(Weak<Plane>);

impl LimitMetrics {
    /// Puts the gauges into `registry`.
    pub fn register(registry: &mut Registry, plane: &Arc<Plane>) {
        registry.register_collector(Box::new(Self(Arc::downgrade(plane))));
    }
}

/// A limit with whom it is shown for: a rank among the users, or nobody where it is global.
struct Shown {
    rank: Option<usize>,
    state: LimitState,
}

impl Shown {
    /// Its labels, as the catalogue orders them.
    fn labels(&self) -> Vec<(&'static str, String)> {
        let limit = &self.state.limit;
        let scope = if self.rank.is_some() { Scope::User } else { Scope::Global };
        vec![
            ("scope", scope.as_str().to_owned()),
            ("rank", self.rank.map(|rank| rank.to_string()).unwrap_or_default()),
            ("plan", self.state.plan.as_deref().unwrap_or_default().to_owned()),
            ("limit", limit.name.to_string()),
            ("metric", limit.metric.as_str().to_owned()),
            ("window", limit.window.to_string()),
        ]
    }

    /// The share of the maximum that is used or reserved; `None` where it is unlimited.
    fn used_ratio(&self) -> Option<f64> {
        let (max, remaining) = (self.state.max?, self.state.remaining?);
        if max <= 0 {
            return Some(1.0);
        }
        let taken = self.state.used.saturating_add(self.state.reserved);
        Some(float(taken.max(max.saturating_sub(remaining))) / float(max))
    }

    /// What is left; `None` where it is unlimited.
    fn remaining(&self) -> Option<f64> {
        let amount = float(self.state.remaining?);
        let is_money = self.state.limit.metric == Metric::CostUsd;
        Some(if is_money { amount / NANOS_PER_USD } else { amount })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the exposition format knows only floats; /api/quota tells the exact figures"
)]
const fn float(amount: i64) -> f64 {
    amount as f64
}

fn shown(plane: &Plane, now: Timestamp) -> Vec<Shown> {
    let snapshot = plane.snapshot.load_full();
    let past = Past::new(plane, &snapshot);
    let is = |state: &LimitState, scope: Scope| state.limit.scope == [scope];
    let global = past.usage_of_all(now).into_iter().filter(|state| is(state, Scope::Global));
    let mut all: Vec<_> =
        global.take(MOST_LIMITS).map(|state| Shown { rank: None, state }).collect();
    for (at, (user, key)) in plane.metrics.spenders(TOP).iter().enumerate() {
        let states = past.usage(user, key.as_deref(), now).into_iter();
        let own = states.filter(|state| is(state, Scope::User)).take(MOST_LIMITS);
        all.extend(own.map(|state| Shown { rank: Some(at + 1), state }));
    }
    all
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    all: &[Shown],
    value: impl Fn(&Shown) -> Option<f64>,
) -> fmt::Result {
    let mut metric = begin(encoder, family, MetricType::Gauge)?;
    for (each, value) in all.iter().filter_map(|each| Some((each, value(each)?))) {
        ConstGauge::new(value).encode(metric.encode_family(&each.labels())?)?;
    }
    Ok(())
}

impl Collector for LimitMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(plane) = self.0.upgrade() else { return Ok(()) };
        let all = shown(&plane, plane.clock.now());
        encode(&mut encoder, &catalogue::LIMIT_USED_RATIO, &all, Shown::used_ratio)?;
        encode(&mut encoder, &catalogue::LIMIT_REMAINING, &all, Shown::remaining)
    }
}
