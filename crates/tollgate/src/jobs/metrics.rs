//! What `/metrics` shows of jobs, and of the providers that one of them probes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tollgate_domain::catalogue;
use tollgate_proxy::probe::Probed;
use tollgate_store::JobRecord;

use crate::config::JobKind;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRun {
    job_name: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfJob {
    job_name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProvider {
    provider: Arc<str>,
}

/// The families. Their labels are names of jobs and of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobMetrics {
    runs: Family<OfRun, Counter>,
    succeeded: Family<OfJob, Gauge>,
    failed: Family<OfJob, Gauge>,
    up: Family<OfProvider, Gauge>,
    took: Family<OfProvider, Gauge<f64, AtomicU64>>,
}

impl JobMetrics {
    /// Makes the families and puts them into `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let runs = catalogue::JOB_RUNS;
        registry.register(runs.stem(), runs.help, metrics.runs.clone());
        let succeeded = catalogue::JOB_LAST_SUCCESS;
        registry.register(succeeded.stem(), succeeded.help, metrics.succeeded.clone());
        let failed = catalogue::JOB_LAST_FAILURE;
        registry.register(failed.stem(), failed.help, metrics.failed.clone());
        let up = catalogue::PROVIDER_UP;
        registry.register(up.stem(), up.help, metrics.up.clone());
        let took = catalogue::PROVIDER_PROBE;
        registry.register(took.stem(), took.help, metrics.took.clone());
        metrics
    }

    /// A run has ended, well or not.
    pub(super) fn ended(&self, kind: JobKind, is_success: bool) {
        let outcome = if is_success { "success" } else { "failed" };
        self.runs.get_or_create(&OfRun { job_name: kind.as_str(), outcome }).inc();
    }

    /// How a job that is switched on stands, whoever ran it last.
    pub(super) fn stands(&self, kind: JobKind, record: &JobRecord) {
        let has_failed = record.outcome.as_deref() == Some("failed");
        let failed = record.ended.filter(|_| has_failed);
        for (family, at) in [(&self.succeeded, record.succeeded), (&self.failed, failed)] {
            if let Some(at) = at {
                family.get_or_create(&OfJob { job_name: kind.as_str() }).set(at.as_second());
            }
        }
    }

    /// A job is switched off: nobody waits for its next success.
    pub(super) fn switched_off(&self, kind: JobKind) {
        for family in [&self.succeeded, &self.failed] {
            family.remove(&OfJob { job_name: kind.as_str() });
        }
    }

    /// How providers do. Those that are gone must not go on being up.
    pub(super) fn probed(&self, probed: &[(Arc<str>, Probed)]) {
        self.up.clear();
        self.took.clear();
        for (provider, probed) in probed {
            let labels = OfProvider { provider: Arc::clone(provider) };
            self.up.get_or_create(&labels).set(i64::from(probed.trouble.is_none()));
            self.took.get_or_create(&labels).set(probed.took.as_secs_f64());
        }
    }
}
