//! Between the configuration and the engine: rules, listeners, and how amounts are shown.

use tollgate_alerts::engine::{Listener, Settings};
use tollgate_alerts::text::Display;
use tollgate_domain::money::parse_scaled;

use crate::config::{AlertWay, Config};

/// What the engine goes by.
pub(super) fn settings(config: &Config) -> Settings {
    let alerts = &config.alerts;
    let listener = |channel: &crate::config::AlertChannel| Listener {
        name: channel.name.clone(),
        follows: matches!(channel.way, AlertWay::Pagerduty(_)),
        mirrors: matches!(channel.way, AlertWay::Alertmanager(_)),
        least: channel.least,
        language: channel.language,
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
        currency: config.display.currency.clone(),
        per_usd: parse_scaled(&config.display.usd_rate, 6).unwrap_or(1_000_000),
        zone: config.server.timezone.clone(),
    }
}
