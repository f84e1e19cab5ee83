//! Metrics that are read when they are asked for: the ledger's, the counters', the sinks', the program's.

mod process;

use std::fmt;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tollgate_admission::gate::Gate;
use tollgate_domain::catalogue::{self, Family};
use tollgate_proxy::health::Healths;
use tollgate_proxy::metrics::{LimitMetrics, begin};
use tollgate_proxy::plane::Plane;
use tollgate_sinks::{Sinks, Status};
use tollgate_store::SqliteLedger;

/// Puts the program, the process and the ledger into the registry.
pub(super) fn register(registry: &mut Registry, ledger: &Arc<SqliteLedger>) {
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register(catalogue::BUILD.stem(), catalogue::BUILD.help, build);
    registry.register_collector(Box::new(LedgerMetrics(Arc::clone(ledger))));
    registry.register_collector(Box::new(process::ProcessMetrics::new()));
}

/// Puts how the targets do into the registry.
pub(super) fn register_breakers(registry: &mut Registry, healths: &Arc<Healths>) {
    registry.register_collector(Box::new(BreakerMetrics(Arc::clone(healths))));
}

/// Puts how the sinks stand into the registry.
pub(super) fn register_sinks(registry: &mut Registry, sinks: &Arc<Sinks>) {
    registry.register_collector(Box::new(SinkMetrics(Arc::clone(sinks))));
}

/// Puts how limits stand, what they hold and what is kept for savings into the registry.
pub(super) fn register_plane(registry: &mut Registry, plane: &Arc<Plane>) {
    registry.register_collector(Box::new(CounterMetrics(Arc::clone(&plane.gate))));
    registry.register_collector(Box::new(SavingsMetrics(Arc::downgrade(plane))));
    LimitMetrics::register(registry, plane);
}

/// Writes a gauge without labels.
fn gauge(encoder: &mut DescriptorEncoder<'_>, family: &Family, value: u64) -> fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    gauge.encode(begin(encoder, family, MetricType::Gauge)?)
}

/// Writes a counter without labels.
fn counter(encoder: &mut DescriptorEncoder<'_>, family: &Family, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(begin(encoder, family, MetricType::Counter)?)
}

/// Reads how much is kept so that no answer is bought twice.
#[derive(Debug)]
struct SavingsMetrics(Weak<Plane>);

impl Collector for SavingsMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(plane) = self.0.upgrade() else { return Ok(()) };
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let e = &mut encoder;
        let (bytes, entries) = plane.savings.cached();
        gauge(e, &catalogue::CACHE_ENTRIES, wide(entries))?;
        gauge(e, &catalogue::CACHE_HELD, wide(bytes))?;
        let (bytes, entries) = plane.savings.repeatable();
        gauge(e, &catalogue::IDEMPOTENCY_KEYS, wide(entries))?;
        gauge(e, &catalogue::IDEMPOTENCY_HELD, wide(bytes))?;
        gauge(e, &catalogue::SHARED_ANSWERS, wide(plane.savings.in_flight()))
    }
}

/// Reads how the sinks stand.
#[derive(Debug)]
struct SinkMetrics(Arc<Sinks>);

/// A count of a sink.
type SinkCount = (&'static Family, fn(&Status) -> u64);

const SINK_COUNTS: [SinkCount; 4] = [
    (&catalogue::SINK_SENT, |sink| sink.sent),
    (&catalogue::SINK_DROPPED, |sink| sink.dropped),
    (&catalogue::SINK_RETRIED, |sink| sink.retried),
    (&catalogue::SINK_REJECTED, |sink| sink.rejected),
];

impl Collector for SinkMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sinks = self.0.status();
        if sinks.is_empty() {
            return Ok(());
        }
        for (family, value) in SINK_COUNTS {
            let mut counts = begin(&mut encoder, family, MetricType::Counter)?;
            for sink in &sinks {
                let labels = [("sink", &*sink.name)];
                ConstCounter::new(value(sink)).encode(counts.encode_family(&labels)?)?;
            }
        }
        let mut sizes = begin(&mut encoder, &catalogue::SINK_SPOOL, MetricType::Gauge)?;
        for sink in &sinks {
            let bytes = ConstGauge::new(i64::try_from(sink.spool_bytes).unwrap_or(i64::MAX));
            bytes.encode(sizes.encode_family(&[("sink", &*sink.name)])?)?;
        }
        let mut ages = begin(&mut encoder, &catalogue::SINK_LAG, MetricType::Gauge)?;
        for sink in &sinks {
            let age = ConstGauge::new(sink.lag.as_secs_f64());
            age.encode(ages.encode_family(&[("sink", &*sink.name)])?)?;
        }
        Ok(())
    }
}

/// Reads how the targets do.
#[derive(Debug)]
struct BreakerMetrics(Arc<Healths>);

impl Collector for BreakerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut descriptor = begin(&mut encoder, &catalogue::BREAKER_STATE, MetricType::Gauge)?;
        for target in self.0.states() {
            let labels = [("provider", &*target.provider), ("model", &*target.model)];
            let gauge = ConstGauge::new(target.breaker.number());
            gauge.encode(descriptor.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Reads how the ledger does.
#[derive(Debug)]
struct LedgerMetrics(Arc<SqliteLedger>);

impl Collector for LedgerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        let e = &mut encoder;
        gauge(e, &catalogue::LEDGER_WAITING, status.waiting)?;
        gauge(e, &catalogue::LEDGER_OPEN, status.open)?;
        gauge(e, &catalogue::LEDGER_SEGMENTS, status.segments)?;
        gauge(e, &catalogue::LEDGER_BYTES, status.bytes)?;
        gauge(e, &catalogue::LEDGER_HEALTHY, u64::from(status.last_error.is_none()))?;
        counter(e, &catalogue::LEDGER_ROWS, status.folded)?;
        counter(e, &catalogue::LEDGER_FAILURES, status.failures)
    }
}

/// Counts through what the limits hold.
#[derive(Debug)]
struct CounterMetrics(Arc<Gate>);

impl Collector for CounterMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let census = self.0.engine().census();
        let e = &mut encoder;
        gauge(e, &catalogue::COUNTERS_ACCOUNTS, census.accounts)?;
        gauge(e, &catalogue::COUNTERS_KEPT, census.counters)?;
        gauge(e, &catalogue::COUNTERS_HELD, census.held)
    }
}
