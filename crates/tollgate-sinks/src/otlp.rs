//! OTLP over HTTP: a span, a log record and points of metrics for each call, after the conventions
//! of OpenTelemetry for generative AI.
//!
//! The encoder is our own (`sheet`): the messages that are sent are described once and written as
//! protobuf or JSON. Batching, retry and spool are those of every sink, so nothing of the SDK would
//! be used but its structs (ADR 4).
//!
//! The conventions were renamed in 2026; `Conventions` says which generation is sent, or both.

mod call;
mod genai;
mod message;
mod metrics;
mod send;
mod series;
mod sheet;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tollgate_domain::clock::Clock;

use crate::event::WriteLine;
use crate::settings::{Conventions, Encoding, OtlpConfig, Vendor};
use crate::transport::http::HttpClient;
pub(crate) use call::is_sampled;
pub(crate) use genai::operation;
use metrics::Totals;
use send::Position;

/// The sink.
pub(crate) struct Otlp {
    client: HttpClient,
    config: OtlpConfig,
    line: WriteLine,
    clock: Clock,
    totals: Totals,
    /// How far the batch came that is under way.
    position: Position,
}

impl Otlp {
    pub(crate) fn new(
        config: &OtlpConfig,
        (line, clock): (WriteLine, Clock),
        tls: Arc<ClientConfig>,
        timeout: Duration,
    ) -> Self {
        Self {
            client: HttpClient::new(&config.http, tls, timeout),
            config: config.clone(),
            line,
            totals: Totals::new(clock.now()),
            clock,
            position: Position::default(),
        }
    }

    /// What describes a call.
    fn view(&self) -> View<'_> {
        View { conventions: self.config.conventions, vendors: &self.config.vendors }
    }
}

/// How calls are described.
#[derive(Clone, Copy)]
struct View<'a> {
    conventions: Conventions,
    vendors: &'a BTreeMap<String, Vendor>,
}

impl Encoding {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

#[cfg(test)]
mod tests;
