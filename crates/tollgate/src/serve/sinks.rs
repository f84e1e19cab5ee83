//! The log sinks of the program: from the configuration to what runs.

mod vendors;

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tollgate_proxy::call_log::write_json;
use tollgate_sinks::settings::{
    Batch, DeliveryConfig, Kind, Retry, SentryConfig, SinkConfig, SpoolConfig,
};
use tollgate_sinks::{Prepared, Say, Sinks, Surroundings};

use super::metrics::register_sinks;
use crate::compose::{self, Ground};
use crate::config::{Config, SENTRY};
use crate::out;

/// Starts the sinks of a configuration, with their metrics in `metrics`.
pub(super) fn start(
    config: &Config,
    database: &Path,
    ground: &Ground,
    metrics: &mut Registry,
) -> anyhow::Result<Arc<Sinks>> {
    let surroundings = Surroundings {
        line: write_json,
        clock: ground.clock.clone(),
        tls: Arc::new(compose::machine_tls()?),
        say: Say::new(|what| out::note(what)),
        seed: RandomState::new().hash_one(0),
    };
    let sinks = Sinks::new(surroundings);
    let prepared = sinks.prepare(configured(config, database))?;
    sinks.change(prepared)?;
    let sinks = Arc::new(sinks);
    register_sinks(metrics, &sinks);
    report_panics(&sinks);
    Ok(sinks)
}

/// Puts the sinks of a reload in force. What goes wrong by then is said, and the others run.
pub(super) fn put_in_force(sinks: &Sinks, prepared: Prepared) {
    if let Err(error) = sinks.change(prepared) {
        out::note(format_args!("{error}"));
    }
}

/// Reports panics as well as they are printed. The hook belongs to the process, and asks the
/// sinks at each panic whether there is anybody to report to.
fn report_panics(sinks: &Arc<Sinks>) {
    let printing = std::panic::take_hook();
    let sinks = Arc::downgrade(sinks);
    std::panic::set_hook(Box::new(move |info| {
        printing(info);
        if let Some(reporter) = sinks.upgrade().and_then(|sinks| sinks.panics()) {
            reporter.report(info);
        }
    }));
}

/// The sinks that a configuration switches on.
pub(super) fn configured(config: &Config, database: &Path) -> Vec<SinkConfig> {
    let mut sinks = lines(config, database);
    sinks.extend(sentry(config, database));
    sinks
}

/// The folder of a spool that has none of its own: beside the database.
fn folder(database: &Path, name: &str) -> PathBuf {
    let mut folder = database.as_os_str().to_owned();
    folder.push(".sinks");
    Path::new(&folder).join(name)
}

fn sentry(config: &Config, database: &Path) -> Option<SinkConfig> {
    let sentry = config.sentry.as_ref()?;
    let kind = Kind::Sentry(SentryConfig {
        dsn: sentry.dsn.clone()?,
        environment: sentry.environment.to_string(),
        release: concat!("tollgate@", env!("CARGO_PKG_VERSION")).to_owned(),
        upstream: sentry.upstream,
        sample_per_million: sentry.traces_sample_rate.per_million(),
    });
    let delivery = DeliveryConfig {
        queue: 1_000,
        batch: Batch { calls: 50, bytes: 1 << 20, age: Duration::from_secs(1) },
        spool: Some(SpoolConfig { folder: folder(database, SENTRY), bound: 8 << 20 }),
        retry: Retry { base: Duration::from_secs(1), max: Duration::from_mins(1) },
        timeout: Duration::from_secs(30),
    };
    Some(SinkConfig { name: Arc::from(SENTRY), kind, delivery })
}

fn lines(config: &Config, database: &Path) -> Vec<SinkConfig> {
    let providers = &config.providers;
    let enabled = config.logs.sinks.iter().filter(|sink| sink.enabled);
    enabled
        .map(|sink| {
            let mut config = sink.config.clone();
            if let Some(spool) = config.delivery.spool.as_mut().filter(|_| !sink.own_folder) {
                spool.folder = folder(database, &config.name);
            }
            if let Kind::Otlp(otlp) = &mut config.kind {
                otlp.vendors = vendors::vendors(providers);
            }
            config
        })
        .collect()
}
