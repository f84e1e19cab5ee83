//! Between the configuration and the engine: rules, listeners, and how amounts are shown.

use std::sync::Arc;

use tollgate_alerts::engine::{Listener, Settings};
use tollgate_alerts::text::Display;
use tollgate_domain::money::parse_scaled;

use crate::config::{AlertChannel, Config};

/// What the engine goes by.
pub(super) fn settings(config: &Config) -> Settings {
    let alerts = &config.alerts;
    let listener = |own: &AlertChannel| Listener {
        name: Arc::clone(&own.channel.name),
        follows: own.channel.follows(),
        mirrors: own.channel.mirrors(),
        least: own.channel.least,
        language: own.channel.language,
    };
    Settings {
        zone: config.server.timezone.clone(),
        rules: alerts.rules.clone(),
        listeners: alerts.channels.iter().map(listener).collect(),
        pause: alerts.pause,
    }
}

/// How amounts and times are shown.
pub(crate) fn display(config: &Config) -> Display {
    Display {
        currency: Arc::clone(&config.display.currency),
        per_usd: parse_scaled(&config.display.usd_rate, 6).unwrap_or(1_000_000),
        zone: config.server.timezone.clone(),
    }
}
