//! Metrics of the ledger and of the process, read when they are asked for.

use std::fmt;
use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tollgate_proxy::plane::Plane;
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
    let encoder = encoder.encode_descriptor(
        name,
        help,
        unit,
        prometheus_client::metrics::MetricType::Gauge,
    )?;
    gauge.encode(encoder)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    let encoder = encoder.encode_descriptor(
        name,
        help,
        None,
        prometheus_client::metrics::MetricType::Counter,
    )?;
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

/// Reads how much is kept so that no answer is bought twice.
#[derive(Debug)]
pub(super) struct SavingsGauges(Weak<Plane>);

impl SavingsGauges {
    pub(super) fn register(registry: &mut Registry, plane: &Arc<Plane>) {
        registry.register_collector(Box::new(Self(Arc::downgrade(plane))));
    }
}

impl Collector for SavingsGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(plane) = self.0.upgrade() else { return Ok(()) };
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let e = &mut encoder;
        let (bytes, entries) = plane.savings.cached();
        let name = "tollgate_cache_entries";
        gauge(e, (name, "Answers in the prompt cache", None), wide(entries))?;
        let name = "tollgate_cache_held";
        gauge(e, (name, "Size of the prompt cache", Some(&Unit::Bytes)), wide(bytes))?;
        let (bytes, entries) = plane.savings.repeatable();
        let name = "tollgate_idempotency_keys";
        gauge(e, (name, "Idempotency keys whose answer is kept", None), wide(entries))?;
        let name = "tollgate_idempotency_held";
        gauge(e, (name, "Size of their answers", Some(&Unit::Bytes)), wide(bytes))?;
        let name = "tollgate_shared_answers";
        let help = "Size of answers on their way that may be shared or kept";
        gauge(e, (name, help, Some(&Unit::Bytes)), wide(plane.savings.in_flight()))
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
                prometheus_client::metrics::MetricType::Counter,
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
