//! Sinks that can be started: all that may be wrong with a configuration is found before anything
//! that runs is touched.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::{Parts, Surroundings, spawn};
use crate::elasticsearch::Elasticsearch;
use crate::file::Lines;
use crate::logstash::Logstash;
use crate::loki::Loki;
use crate::otlp::Otlp;
use crate::sentry::Sentry;
use crate::settings::{Kind, SinkConfig, TlsConfig};
use crate::transport::tls::trust;

/// Why a sink cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its files of TLS are not usable.
    #[error("sink `{0}`: TLS: {1}")]
    Tls(Arc<str>, #[source] io::Error),
    /// Its spool cannot be used.
    #[error("sink `{0}` runs without its spool, so what waits for it is in memory only: {1}")]
    Spool(Arc<str>, #[source] io::Error),
    /// It has no thread.
    #[error("sink `{0}` has no thread: {1}")]
    Thread(Arc<str>, #[source] io::Error),
}

/// Sinks that can be started.
pub struct Prepared {
    pub(super) sinks: Vec<PreparedSink>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.sinks.iter().map(|sink| &sink.config.name)).finish()
    }
}

type Start = Box<dyn FnOnce(Parts) -> io::Result<JoinHandle<()>> + Send>;

pub(super) struct PreparedSink {
    pub(super) config: SinkConfig,
    pub(super) start: Start,
}

impl Prepared {
    pub(super) fn new(
        configs: Vec<SinkConfig>,
        surroundings: &Surroundings,
    ) -> Result<Self, StartError> {
        let prepare = |config: SinkConfig| {
            let start = start_of(&config, surroundings)
                .map_err(|error| StartError::Tls(Arc::clone(&config.name), error))?;
            Ok(PreparedSink { config, start })
        };
        Ok(Self { sinks: configs.into_iter().map(prepare).collect::<Result<_, StartError>>()? })
    }
}

fn start_of(config: &SinkConfig, surroundings: &Surroundings) -> io::Result<Start> {
    let timeout = config.delivery.timeout;
    let line = surroundings.line;
    let tls = |files: &TlsConfig| trust(&surroundings.tls, files);
    Ok(match &config.kind {
        Kind::Elasticsearch(config) => {
            let sink = Elasticsearch::new(config, line, tls(&config.http.tls)?, timeout);
            Box::new(|parts| spawn(sink, parts))
        }
        Kind::Logstash(config) => {
            let sink = Logstash::new(config, line, tls(&config.tls)?, timeout);
            Box::new(|parts| spawn(sink, parts))
        }
        Kind::Loki(config) => {
            let sink = Loki::new(config, line, tls(&config.http.tls)?, timeout);
            Box::new(|parts| spawn(sink, parts))
        }
        Kind::Otlp(config) => {
            let with = (line, surroundings.clock.clone());
            let sink = Otlp::new(config, with, tls(&config.http.tls)?, timeout);
            Box::new(|parts| spawn(sink, parts))
        }
        Kind::Sentry(config) => {
            let clock = surroundings.clock.clone();
            let sink = Sentry::new(config, clock, tls(&TlsConfig::default())?, timeout);
            Box::new(|parts| spawn(sink, parts))
        }
        Kind::File(config) => {
            let sink = Lines::new(config, line);
            Box::new(|parts| spawn(sink, parts))
        }
    })
}
