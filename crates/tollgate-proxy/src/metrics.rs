//! The metrics of the data plane: one catalogue of names, labels that are bounded, handles that are
//! looked up once per target and not once per call.
//!
//! A model name is a label only when the configuration or the price book knows it; what clients
//! make up is `other`. Users, keys and addresses are never labels.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use tollgate_domain::call::CallRecord;
use tollgate_domain::money::NanoUsd;

/// Upper ends of the buckets of call durations and times to first token, in seconds (SPEC §10).
const CALL_SECONDS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0];
/// Upper ends of the buckets of Tollgate's own share of a call, in seconds.
const OWN_SECONDS: [f64; 10] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25];

/// Labels of a finished call.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Served {
    model: Arc<str>,
    provider: Arc<str>,
    endpoint: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServedStatus {
    model: Arc<str>,
    provider: Arc<str>,
    endpoint: Arc<str>,
    status_code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Target {
    model: Arc<str>,
    provider: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetKind {
    model: Arc<str>,
    provider: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempt {
    provider: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Admission {
    decision: &'static str,
    limit: Arc<str>,
}

/// An amount of money that only grows: kept in nano-dollars, shown in USD.
#[derive(Clone, Debug, Default)]
pub struct MoneyCounter(Arc<AtomicI64>);

impl MoneyCounter {
    /// Adds an amount.
    pub fn add(&self, amount: NanoUsd) {
        self.0.fetch_add(amount.nanos(), Ordering::Relaxed);
    }
}

impl TypedMetric for MoneyCounter {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for MoneyCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the exposition format knows only floats; the ledger holds the exact sum"
        )]
        let usd = self.0.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_counter::<NoLabelSet, _, f64>(&usd, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// All families.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<ServedStatus, Counter>,
    duration: Family<Served, Histogram>,
    first_token: Family<Served, Histogram>,
    tokens: Family<TargetKind, Counter>,
    cost: Family<Target, MoneyCounter>,
    attempts: Family<Attempt, Counter>,
    admission: Family<Admission, Counter>,
    overhead: Histogram,
    inflight: Gauge,
    log_dropped: Counter,
    bodies_dropped: Counter,
    refusals_dropped: Counter,
}

fn call_histogram() -> Histogram {
    Histogram::new(CALL_SECONDS)
}

impl Metrics {
    /// Makes the families and puts them into `registry`.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(call_histogram),
            first_token: Family::new_with_constructor(call_histogram),
            tokens: Family::default(),
            cost: Family::default(),
            attempts: Family::default(),
            admission: Family::default(),
            overhead: Histogram::new(OWN_SECONDS),
            inflight: Gauge::default(),
            log_dropped: Counter::default(),
            bodies_dropped: Counter::default(),
            refusals_dropped: Counter::default(),
        };
        let m = &metrics;
        // The encoder appends `_total` to counters.
        registry.register("tollgate_requests", "Finished calls", m.requests.clone());
        registry.register(
            "tollgate_request_duration_seconds",
            "From the arrival of a call to the end of its answer",
            m.duration.clone(),
        );
        registry.register(
            "tollgate_time_to_first_token_seconds",
            "From the arrival of a call to the first byte of its answer",
            m.first_token.clone(),
        );
        registry.register(
            "tollgate_overhead_seconds",
            "Tollgate's own share of a call, before the provider is asked",
            m.overhead.clone(),
        );
        registry.register("tollgate_tokens", "Tokens by kind", m.tokens.clone());
        registry.register("tollgate_cost_usd", "What calls cost, in USD", m.cost.clone());
        registry.register(
            "tollgate_upstream_attempts",
            "Requests sent to providers, by how they ended",
            m.attempts.clone(),
        );
        registry.register(
            "tollgate_admission",
            "Decisions on calls, and the limit that refused",
            m.admission.clone(),
        );
        registry.register("tollgate_inflight", "Calls in flight", m.inflight.clone());
        registry.register(
            "tollgate_log_lines_dropped",
            "Log lines dropped because their writer was behind",
            m.log_dropped.clone(),
        );
        registry.register(
            "tollgate_bodies_dropped",
            "Prompts and answers that were not kept because too many waited or the disk refused",
            m.bodies_dropped.clone(),
        );
        registry.register(
            "tollgate_refusals_unrecorded",
            "Refused calls without a row of the ledger because there were too many",
            m.refusals_dropped.clone(),
        );
        Arc::new(metrics)
    }

    /// Handles for the calls of one target on one endpoint.
    pub fn target(
        &self,
        model: &Arc<str>,
        provider: &Arc<str>,
        endpoint: &Arc<str>,
    ) -> TargetMetrics {
        let (model, provider) = (Arc::clone(model), Arc::clone(provider));
        let served = Served {
            model: Arc::clone(&model),
            provider: Arc::clone(&provider),
            endpoint: Arc::clone(endpoint),
        };
        let kind =
            |kind| TargetKind { model: Arc::clone(&model), provider: Arc::clone(&provider), kind };
        TargetMetrics {
            answered: self.answered(&provider),
            ok: self.requests.get_or_create_owned(&with_status(&served, 200)),
            duration: self.duration.get_or_create_owned(&served),
            first_token: self.first_token.get_or_create_owned(&served),
            input: self.tokens.get_or_create_owned(&kind("input")),
            output: self.tokens.get_or_create_owned(&kind("output")),
            kinds: [
                self.tokens.get_or_create_owned(&kind("cached_input")),
                self.tokens.get_or_create_owned(&kind("cache_write")),
                self.tokens.get_or_create_owned(&kind("reasoning")),
            ],
            cost: self.cost.get_or_create_owned(&Target { model, provider }),
            served,
        }
    }

    /// Counts a finished call of a target.
    pub fn finished(&self, target: &TargetMetrics, call: &CallRecord) {
        if call.status == 200 {
            target.ok.inc();
        } else {
            self.requests.get_or_create(&with_status(&target.served, call.status)).inc();
        }
        target.duration.observe(seconds(call.latency_us));
        if let Some(us) = call.ttft_us {
            target.first_token.observe(seconds(us));
        }
        let usage = &call.usage;
        target.input.inc_by(usage.input);
        target.output.inc_by(usage.output);
        let parts = [usage.cache_read, usage.cache_write, usage.reasoning];
        for (counter, tokens) in target.kinds.iter().zip(parts) {
            if tokens > 0 {
                counter.inc_by(tokens);
            }
        }
        target.cost.add(call.cost);
    }

    /// Counts what was used elsewhere and reported: tokens and money, no request of ours. Both
    /// labels must be bounded.
    pub fn elsewhere(&self, model: Arc<str>, provider: Arc<str>, call: &CallRecord) {
        let usage = &call.usage;
        let kinds =
            [("input", usage.input), ("output", usage.output), ("cached_input", usage.cache_read)];
        for (kind, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
            let (model, provider) = (Arc::clone(&model), Arc::clone(&provider));
            self.tokens.get_or_create(&TargetKind { model, provider, kind }).inc_by(tokens);
        }
        self.cost.get_or_create(&Target { model, provider }).add(call.cost);
    }

    /// Counts a call that was refused before any provider was chosen.
    pub fn refused(&self, endpoint: &Arc<str>, status: u16) {
        let labels = ServedStatus {
            model: Arc::from("other"),
            provider: Arc::from(""),
            endpoint: Arc::clone(endpoint),
            status_code: status,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts a decision of admission.
    pub fn decided(&self, decision: &'static str, limit: Arc<str>) {
        self.admission.get_or_create(&Admission { decision, limit }).inc();
    }

    /// The handle that counts admitted calls.
    pub fn admitted(&self) -> Counter {
        let labels = Admission { decision: "admitted", limit: Arc::from("") };
        self.admission.get_or_create_owned(&labels)
    }

    /// Counts a request to a provider.
    pub fn attempted(&self, provider: &Arc<str>, outcome: &'static str) {
        let labels = Attempt { provider: Arc::clone(provider), outcome };
        self.attempts.get_or_create(&labels).inc();
    }

    /// The handle that counts requests to a provider that were answered.
    fn answered(&self, provider: &Arc<str>) -> Counter {
        let labels = Attempt { provider: Arc::clone(provider), outcome: "answered" };
        self.attempts.get_or_create_owned(&labels)
    }

    /// Observes our own share of a call.
    pub fn own_share(&self, micros: u64) {
        self.overhead.observe(seconds(micros));
    }

    /// Calls in flight.
    pub fn inflight(&self) -> &Gauge {
        &self.inflight
    }

    /// Refused calls that have no row.
    pub fn refusals_dropped(&self) -> &Counter {
        &self.refusals_dropped
    }

    /// Prompts and answers that were not kept.
    pub fn bodies_dropped(&self) -> &Counter {
        &self.bodies_dropped
    }

    /// Log lines that were dropped.
    pub fn log_dropped(&self) -> &Counter {
        &self.log_dropped
    }
}

/// Handles for the calls of one target on one endpoint.
#[derive(Debug)]
pub struct TargetMetrics {
    served: Served,
    answered: Counter,
    ok: Counter,
    duration: Histogram,
    first_token: Histogram,
    input: Counter,
    output: Counter,
    kinds: [Counter; 3],
    cost: MoneyCounter,
}

impl TargetMetrics {
    /// Counts a request that the provider answered.
    pub fn answered(&self) {
        self.answered.inc();
    }
}

fn with_status(served: &Served, status_code: u16) -> ServedStatus {
    ServedStatus {
        model: Arc::clone(&served.model),
        provider: Arc::clone(&served.provider),
        endpoint: Arc::clone(&served.endpoint),
        status_code,
    }
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

/// A count that never blocks the path it is on.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

impl Tally {
    /// Adds one and returns the count before.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
