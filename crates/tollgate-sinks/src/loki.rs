//! Loki: lines of JSON in few streams, ids as structured metadata.
//!
//! A stream is a combination of labels: those that are configured, and the level. What is different
//! with each call is metadata of its line. A line that comes twice with the same time is one line
//! to Loki, so a batch that is sent again makes no duplicates.

mod render;
mod send;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::event::WriteLine;
use crate::settings::LokiConfig;
use crate::transport::http::HttpClient;

/// The sink.
pub(crate) struct Loki {
    client: HttpClient,
    labels: BTreeMap<String, String>,
    line: WriteLine,
}

impl Loki {
    pub(crate) fn new(
        config: &LokiConfig,
        line: WriteLine,
        tls: Arc<ClientConfig>,
        timeout: Duration,
    ) -> Self {
        let client = HttpClient::new(&config.http, tls, timeout);
        Self { client, labels: config.labels.clone(), line }
    }
}

#[cfg(test)]
mod tests;
