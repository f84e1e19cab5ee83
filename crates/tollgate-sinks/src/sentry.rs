//! Sentry: panics of the program, calls that ended in a 5xx, and a share of all calls as
//! transactions.
//!
//! The writer of envelopes is our own (ADR 4). What is sent is made of ledger rows field by field,
//! so there is nothing to scrub: no header, no query, no body is at hand here. The message of a panic
//! is sent only where it stands in the program text; one that was put together may quote data.
//!
//! Sentry says itself how much it takes. While it takes no more of a kind, reports of that kind are
//! dropped and counted, as its protocol asks, and a client report tells how many there were.

mod limits;
mod panics;
mod render;
mod report;
mod send;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tollgate_domain::clock::Clock;

pub(crate) use panics::Panics;
pub(crate) use report::{Filter, Report};

use crate::settings::SentryConfig;
use crate::transport::http::HttpClient;
use limits::Limits;

/// The sink.
pub(crate) struct Sentry {
    client: HttpClient,
    config: SentryConfig,
    clock: Clock,
    limits: Limits,
}

impl Sentry {
    pub(crate) fn new(
        config: &SentryConfig,
        clock: Clock,
        tls: Arc<ClientConfig>,
        timeout: Duration,
    ) -> Self {
        let client = HttpClient::new(&config.dsn.http(), tls, timeout);
        Self { client, config: config.clone(), clock, limits: Limits::default() }
    }
}

#[cfg(test)]
mod tests;
