//! The metrics of the data plane: labels that are bounded, handles that are looked up once per target
//! and not once per call. Names and help are the catalogue's ([`tollgate_domain::catalogue`]).
//!
//! A model name is a label only when the configuration or the price book knows it; what clients
//! make up is `other`. Users, keys and addresses are never labels.

mod bounded;
mod limits;
mod spenders;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};
use tollgate_admission::engine::Grant;
use tollgate_domain::call::CallRecord;
use tollgate_domain::catalogue::{self, Family as Described};
use tollgate_domain::fault::Code;
use tollgate_domain::limit::Mode;
use tollgate_domain::money::NanoUsd;

use self::bounded::Bounded;
pub use self::limits::LimitMetrics;
use self::spenders::Spenders;

/// Upper ends of the buckets of call durations and times to first token, in seconds (SPEC §10).
const CALL_SECONDS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0];
/// Upper ends of the buckets of Tollgate's own share of a call, in seconds.
const OWN_SECONDS: [f64; 10] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25];
/// Most names of models and of limits that are labels; what is beyond is `other`.
const MOST_MODELS: usize = 1_024;
const MOST_LIMITS: usize = 256;

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
    model: Arc<str>,
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
    shed_share: Gauge<f64, AtomicU64>,
    log_dropped: Counter,
    bodies_dropped: Counter,
    refusals_dropped: Counter,
    models: Bounded,
    limits: Bounded,
    spenders: Spenders,
}

/// Registers a metric as the catalogue describes it; the registry appends what the format wants.
pub(crate) fn put(registry: &mut Registry, family: &Described, metric: impl Metric) {
    registry.register(family.stem(), family.help, metric);
}

/// Begins a family that is read when it is asked for, as the catalogue describes it.
///
/// # Errors
///
/// Where the text cannot be written.
pub fn begin<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    family: &Described,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(family.stem(), &format!("{}.", family.help), None, kind)
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
            shed_share: Gauge::default(),
            log_dropped: Counter::default(),
            bodies_dropped: Counter::default(),
            refusals_dropped: Counter::default(),
            models: Bounded::new(MOST_MODELS),
            limits: Bounded::new(MOST_LIMITS),
            spenders: Spenders::default(),
        };
        metrics.put_into(registry);
        for decision in ["blocked", "degraded", "kill_switch"] {
            // Counters that are not there yet have no first increase, and these are alerted on.
            drop(metrics.admission.get_or_create(&Admission { decision, limit: Arc::default() }));
        }
        Arc::new(metrics)
    }

    fn put_into(&self, registry: &mut Registry) {
        put(registry, &catalogue::REQUESTS, self.requests.clone());
        put(registry, &catalogue::REQUEST_DURATION, self.duration.clone());
        put(registry, &catalogue::TIME_TO_FIRST_TOKEN, self.first_token.clone());
        put(registry, &catalogue::OVERHEAD, self.overhead.clone());
        put(registry, &catalogue::TOKENS, self.tokens.clone());
        put(registry, &catalogue::COST, self.cost.clone());
        put(registry, &catalogue::ATTEMPTS, self.attempts.clone());
        put(registry, &catalogue::ADMISSION, self.admission.clone());
        put(registry, &catalogue::INFLIGHT, self.inflight.clone());
        put(registry, &catalogue::OVERLOAD, self.shed_share.clone());
        put(registry, &catalogue::LOG_LINES_DROPPED, self.log_dropped.clone());
        put(registry, &catalogue::BODIES_DROPPED, self.bodies_dropped.clone());
        put(registry, &catalogue::REFUSALS_UNRECORDED, self.refusals_dropped.clone());
    }

    /// Handles for the calls of one target on one endpoint. `model` is the name under which the
    /// snapshot has it counted.
    pub fn target(&self, model: &str, provider: &Arc<str>, endpoint: &Arc<str>) -> TargetMetrics {
        let (model, provider) = (self.models.label(model), Arc::clone(provider));
        let served = Served {
            model: Arc::clone(&model),
            provider: Arc::clone(&provider),
            endpoint: Arc::clone(endpoint),
        };
        let kind =
            |kind| TargetKind { model: Arc::clone(&model), provider: Arc::clone(&provider), kind };
        TargetMetrics {
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
        self.spenders.note(&call.user, call.key.as_ref(), (call.cost, call.time));
    }

    /// Counts what was used elsewhere and reported: tokens and money, no request of ours. The
    /// provider must be one that is known, the model named as the snapshot has it counted.
    pub fn elsewhere(&self, model: &str, provider: Arc<str>, call: &CallRecord) {
        self.spenders.note(&call.user, call.key.as_ref(), (call.cost, call.time));
        let (usage, model) = (&call.usage, self.models.label(model));
        let kinds =
            [("input", usage.input), ("output", usage.output), ("cached_input", usage.cache_read)];
        for (kind, tokens) in kinds.into_iter().filter(|(_, tokens)| *tokens > 0) {
            let (model, provider) = (Arc::clone(&model), Arc::clone(&provider));
            self.tokens.get_or_create(&TargetKind { model, provider, kind }).inc_by(tokens);
        }
        self.cost.get_or_create(&Target { model, provider }).add(call.cost);
    }

    /// Counts a call that was refused before any provider was asked. `model` is the name under which
    /// the snapshot has it counted.
    pub fn refused(&self, model: &str, endpoint: &Arc<str>, code: Code) {
        let labels = ServedStatus {
            model: self.models.label(model),
            provider: Arc::default(),
            endpoint: Arc::clone(endpoint),
            status_code: code.status(),
        };
        self.requests.get_or_create(&labels).inc();
        match code {
            Code::UserBlocked => self.decided("blocked", ""),
            Code::KillSwitch => self.decided("kill_switch", ""),
            _ => {}
        }
    }

    /// Counts a decision of admission, and the limit that made it where one did.
    pub fn decided(&self, decision: &'static str, limit: &str) {
        let limit = if limit.is_empty() { Arc::default() } else { self.limits.label(limit) };
        self.admission.get_or_create(&Admission { decision, limit }).inc();
    }

    /// Counts what limits did to a call that was admitted: they lowered what it may put out, or would
    /// have refused it if they decided.
    pub fn granted(&self, grant: &Grant, clamped: bool) {
        if clamped {
            self.decided("clamped", "");
        }
        for passed in grant.passed() {
            let shadow = passed.limit.mode == Mode::Shadow;
            self.decided(if shadow { "shadow" } else { "alert" }, &passed.limit.name);
        }
    }

    /// Who spent the most lately, the greatest spender first, with the key that was used.
    pub fn spenders(&self, most: usize) -> Vec<(Arc<str>, Option<Arc<str>>)> {
        self.spenders.top(most)
    }

    /// The handle that counts admitted calls.
    pub fn admitted(&self) -> Counter {
        let labels = Admission { decision: "admitted", limit: Arc::default() };
        self.admission.get_or_create_owned(&labels)
    }

    /// The handle that counts requests to a target with this outcome. Both labels must be bounded.
    pub fn attempts(
        &self,
        provider: &Arc<str>,
        model: &Arc<str>,
        outcome: &'static str,
    ) -> Counter {
        let (provider, model) = (Arc::clone(provider), Arc::clone(model));
        self.attempts.get_or_create_owned(&Attempt { provider, model, outcome })
    }

    /// Observes our own share of a call.
    pub fn own_share(&self, micros: u64) {
        self.overhead.observe(seconds(micros));
    }

    /// Calls in flight.
    pub fn inflight(&self) -> &Gauge {
        &self.inflight
    }

    /// Notes the share of calls that is refused under overload, in parts per thousand.
    pub fn shed_share(&self, per_mille: u32) {
        self.shed_share.set(f64::from(per_mille) / 1_000.0);
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
    ok: Counter,
    duration: Histogram,
    first_token: Histogram,
    input: Counter,
    output: Counter,
    kinds: [Counter; 3],
    cost: MoneyCounter,
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
