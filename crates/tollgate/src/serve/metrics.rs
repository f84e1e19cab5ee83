//! Metrics of the ledger, of the sinks and of the process, read when they are asked for.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tollgate_sinks::{Sinks, Status};
use tollgate_store::SqliteLedger;

/// Reads the state of the ledger and of the process.
#[derive(Debug)]
pub(super) struct LedgerMetrics(Arc<SqliteLedger>);

impl LedgerMetrics {
    pub(super) fn register(registry: &mut Registry, ledger: &Arc<SqliteLedger>) {
        registry.register_collector(Box::new(Self(Arc::clone(ledger))));
        registry.register_collector(Box::new(Process));
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    value: u64,
) -> fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    let encoder = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    gauge.encode(encoder)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    counter.encode(encoder)
}

impl Collector for LedgerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.0.status();
        let e = &mut encoder;
        gauge(
            e,
            ("tollgate_ledger_waiting", "Closed calls not yet in the database", None),
            status.waiting,
        )?;
        gauge(
            e,
            ("tollgate_ledger_open", "Calls in flight, as the journal knows them", None),
            status.open,
        )?;
        gauge(
            e,
            ("tollgate_ledger_journal_segments", "Segments of the journal", None),
            status.segments,
        )?;
        gauge(
            e,
            ("tollgate_ledger_journal", "Size of the journal", Some(&Unit::Bytes)),
            status.bytes,
        )?;
        gauge(
            e,
            ("tollgate_ledger_healthy", "1 while calls can be recorded", None),
            u64::from(status.last_error.is_none()),
        )?;
        counter(e, "tollgate_ledger_rows", "Calls folded into the database", status.folded)?;
        counter(
            e,
            "tollgate_ledger_failures",
            "Transactions that the database refused",
            status.failures,
        )
    }
}

/// Reads how the sinks stand.
#[derive(Debug)]
pub(super) struct SinkMetrics(Arc<Sinks>);

/// Counts of a sink: name, help, value.
type SinkCount = (&'static str, &'static str, fn(&Status) -> u64);

const SINK_COUNTS: [SinkCount; 4] = [
    ("tollgate_sink_sent", "Calls that the service of a sink took", |sink| sink.sent),
    (
        "tollgate_sink_dropped",
        "Calls that were dropped because queue and spool of a sink were full",
        |sink| sink.dropped,
    ),
    ("tollgate_sink_retried", "Calls whose delivery was tried again", |sink| sink.retried),
    ("tollgate_sink_rejected", "Calls that the service of a sink refused for good", |sink| {
        sink.rejected
    }),
];

impl SinkMetrics {
    pub(super) fn register(registry: &mut Registry, sinks: &Arc<Sinks>) {
        registry.register_collector(Box::new(Self(Arc::clone(sinks))));
    }
}

impl Collector for SinkMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sinks = self.0.status();
        if sinks.is_empty() {
            return Ok(());
        }
        for (name, help, value) in SINK_COUNTS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for sink in &sinks {
                let labels = [("sink", &*sink.name)];
                ConstCounter::new(value(sink)).encode(family.encode_family(&labels)?)?;
            }
        }
        let about = "What waits on disk for the service of a sink";
        let mut family = encoder.encode_descriptor(
            "tollgate_sink_spool",
            about,
            Some(&Unit::Bytes),
            MetricType::Gauge,
        )?;
        for sink in &sinks {
            let bytes = ConstGauge::new(i64::try_from(sink.spool_bytes).unwrap_or(i64::MAX));
            bytes.encode(family.encode_family(&[("sink", &*sink.name)])?)?;
        }
        let about = "Age of the oldest call that a sink has not delivered";
        let mut family = encoder.encode_descriptor(
            "tollgate_sink_lag",
            about,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for sink in &sinks {
            let lag = ConstGauge::new(sink.lag.as_secs_f64());
            lag.encode(family.encode_family(&[("sink", &*sink.name)])?)?;
        }
        Ok(())
    }
}

/// The process, as the usual names of Prometheus clients say it.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        if let Some(figures) = Figures::read() {
            let seconds = figures.cpu;
            let cpu = ConstCounter::new(seconds);
            let descriptor = e.encode_descriptor(
                "process_cpu",
                "CPU time of the process",
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?;
            cpu.encode(descriptor)?;
            gauge(
                e,
                ("process_resident_memory", "Resident memory", Some(&Unit::Bytes)),
                figures.resident,
            )?;
            gauge(e, ("process_open_fds", "Open file descriptors", None), figures.files)?;
            gauge(e, ("process_threads", "Threads", None), figures.threads)?;
        }
        Ok(())
    }
}

/// What `/proc` says of this process (proc(5)).
struct Figures {
    cpu: f64,
    resident: u64,
    files: u64,
    threads: u64,
}

/// Clock ticks a second in `/proc/self/stat`: 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
/// Bytes of a page in `/proc/self/stat`.
const PAGE: u64 = 4_096;

impl Figures {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program may hold spaces; what follows its bracket does not.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = u32::try_from(field(14)? + field(15)?).ok()?;
        let files = std::fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self {
            cpu: f64::from(ticks) / TICKS,
            resident: field(24)? * PAGE,
            files: u64::try_from(files).ok()?,
            threads: field(20)?,
        })
    }
}
