//! The process, under the names that Prometheus clients usually give it. Where there is no `/proc`
//! (proc(5)) the figures are left out.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tollgate_domain::catalogue;
use tollgate_proxy::metrics::begin;

use super::gauge;

/// Clock ticks a second in `/proc/self/stat`: 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;
/// Bytes of a `kB` in `/proc/self/status`.
const KB: u64 = 1_024;

/// Reads what the system says of this process.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    /// When it started, in seconds since 1970.
    start: Option<f64>,
}

impl ProcessMetrics {
    pub(super) fn new() -> Self {
        Self { start: start() }
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let e = &mut encoder;
        let Some(figures) = Figures::read() else { return Ok(()) };
        let cpu = begin(e, &catalogue::PROCESS_CPU, MetricType::Counter)?;
        ConstCounter::new(figures.cpu).encode(cpu)?;
        gauge(e, &catalogue::PROCESS_RESIDENT, figures.resident)?;
        gauge(e, &catalogue::PROCESS_VIRTUAL, figures.virtual_memory)?;
        gauge(e, &catalogue::PROCESS_FILES, figures.files)?;
        gauge(e, &catalogue::PROCESS_MOST_FILES, figures.most_files)?;
        gauge(e, &catalogue::PROCESS_THREADS, figures.threads)?;
        let Some(start) = self.start else { return Ok(()) };
        ConstGauge::new(start).encode(begin(e, &catalogue::PROCESS_START, MetricType::Gauge)?)
    }
}

struct Figures {
    cpu: f64,
    resident: u64,
    virtual_memory: u64,
    files: u64,
    most_files: u64,
    threads: u64,
}

impl Figures {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        Some(Self {
            cpu: (ticks(&stat, 14)? + ticks(&stat, 15)?) / TICKS,
            resident: status_field(&status, "VmRSS:")?.saturating_mul(KB),
            virtual_memory: status_field(&status, "VmSize:")?.saturating_mul(KB),
            files: u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
            most_files: most_files(&limits)?,
            threads: status_field(&status, "Threads:")?,
        })
    }
}

/// When this process started: its ticks since the boot, and when that was.
fn start() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let booted = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(booted.trim().parse::<f64>().ok()? + ticks(&stat, 22)? / TICKS)
}

/// A field of `/proc/self/stat` by its number in proc(5). The name of the program may hold spaces;
/// what follows its bracket does not.
fn ticks(stat: &str, number: usize) -> Option<f64> {
    let field = stat.rsplit_once(") ")?.1.split(' ').nth(number.checked_sub(3)?)?;
    field.trim().parse().ok()
}

/// The first number of a line of `/proc/self/status`.
fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The soft limit of open files in `/proc/self/limits`.
fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_program_is_called() {
        let rest: Vec<String> = (3..=52).map(|number: u32| number.to_string()).collect();
        let stat = format!("4711 (a name) with) 14) {}\n", rest.join(" "));
        assert_eq!(ticks(&stat, 14), Some(14.0));
        assert_eq!(ticks(&stat, 22), Some(22.0));
        assert_eq!(ticks(&stat, 52), Some(52.0));
        assert_eq!(ticks(&stat, 99), None);
        assert_eq!(status_field("Name:\tx\nVmRSS:\t  39000 kB\n", "VmRSS:"), Some(39_000));
        let head = "Limit                     Soft Limit           Hard Limit           Units\n";
        let limits =
            |soft: &str| format!("{head}Max open files            {soft}  1048576  files\n");
        assert_eq!(most_files(&limits("1024")), Some(1_024));
        assert_eq!(most_files(&limits("unlimited")), Some(u64::MAX));
    }
}
