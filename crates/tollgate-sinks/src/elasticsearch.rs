//! Elasticsearch and OpenSearch: calls as documents of daily indices, by the bulk API.
//!
//! Each document is *created* under the id of its call. A batch that is sent again, after an answer
//! that was lost, finds its documents there and is told so (409): there are no duplicates.

mod render;
mod send;
mod setup;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::event::WriteLine;
use crate::settings::ElasticsearchConfig;
use crate::transport::http::HttpClient;

pub use render::is_index;

/// The sink.
pub(crate) struct Elasticsearch {
    client: HttpClient,
    index: Arc<str>,
    line: WriteLine,
    /// What is still to be installed, last first.
    to_install: Vec<setup::Document>,
}

impl Elasticsearch {
    pub(crate) fn new(
        config: &ElasticsearchConfig,
        line: WriteLine,
        tls: Arc<ClientConfig>,
        timeout: Duration,
    ) -> Self {
        Self {
            client: HttpClient::new(&config.http, tls, timeout),
            index: Arc::clone(&config.index),
            line,
            to_install: setup::documents(config.setup),
        }
    }
}

#[cfg(test)]
mod tests;
