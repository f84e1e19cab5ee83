//! Logstash: a line of JSON a call over TCP, for an input with the codec `json_lines`.
//!
//! The protocol has no acknowledgement. What the machine has taken counts as delivered; what was on
//! the wire when Logstash died is lost, and nobody can tell which lines those were. Lines carry the
//! id of their call, so that a pipeline can make it the id of its document (`document_id =>
//! "%{call_id}"`), and a line that comes twice after a broken connection stays one document.

mod render;
mod send;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::event::WriteLine;
use crate::settings::LogstashConfig;
use crate::settings::Place;
use crate::transport::stream::Stream;

/// The sink.
pub(crate) struct Logstash {
    place: Place,
    tls: Arc<ClientConfig>,
    timeout: Duration,
    line: WriteLine,
    kept: Option<Stream>,
}

impl Logstash {
    pub(crate) fn new(
        config: &LogstashConfig,
        line: WriteLine,
        tls: Arc<ClientConfig>,
        timeout: Duration,
    ) -> Self {
        Self { place: config.place.clone(), tls, timeout, line, kept: None }
    }
}

#[cfg(test)]
mod tests;
