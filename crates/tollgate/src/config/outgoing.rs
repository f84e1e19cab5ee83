//! What leaves the program by itself: log lines, error reports, billing.

use std::sync::Arc;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use tollgate_sinks::settings::Dsn;

use super::reader::Fields;
use super::scalar::{Share, words};
use super::schema;
use super::server::secret;
use super::sink::{self, Sink};

words! {
    /// How log lines are written.
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Pretty = "pretty",
    }
}

words! {
    /// Whether prompts and answers are kept.
    Bodies {
        /// They are not.
        Off = "off",
        /// With personal data taken out.
        Redacted = "redacted",
        /// As they are.
        Full = "full",
    }
}

/// Log lines.
#[derive(Clone, Debug)]
pub struct Logs {
    /// How they are written to standard output.
    pub format: LogFormat,
    /// Whether each call is a line there.
    pub calls: bool,
    /// Whether prompts and answers are kept.
    pub bodies: Bodies,
    /// Services that get them.
    pub sinks: Vec<Sink>,
}

impl Logs {
    pub(super) fn read(fields: &Fields<'_>, zone: &TimeZone) -> Self {
        Self {
            format: fields.get("format"),
            calls: fields.get("calls"),
            bodies: fields.get("bodies"),
            sinks: sink::read(&fields.sections("sinks", &schema::SINK), zone),
        }
    }
}

/// Error reports.
#[derive(Clone, Debug)]
pub struct Sentry {
    /// Where they go; `None` is nowhere.
    pub dsn: Option<Dsn>,
    /// The environment they name.
    pub environment: Arc<str>,
    /// The share of calls that are traced.
    pub traces_sample_rate: Share,
    /// Whether failures of providers are reported beside our own.
    pub upstream: bool,
}

impl Sentry {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self {
            dsn: dsn(fields),
            environment: fields.get("environment"),
            traces_sample_rate: fields.get("traces_sample_rate"),
            upstream: fields.get("upstream"),
        }
    }
}

fn dsn(fields: &Fields<'_>) -> Option<Dsn> {
    let text = secret(fields, "dsn")?;
    let dsn = Dsn::read(text.expose_secret());
    if dsn.is_err() {
        let remedy = "copy it from the project's settings: https://KEY@HOST/PROJECT".to_owned();
        fields.fail_at("dsn", "`dsn` is no DSN of Sentry".to_owned(), Some(remedy));
    }
    dsn.ok()
}

/// Usage that is sent to Stripe.
#[derive(Clone, Debug)]
pub struct Stripe {
    /// The API key; `None` means that nothing is sent.
    pub api_key: Option<SecretString>,
    /// What webhooks are signed with.
    pub webhook_secret: Option<SecretString>,
    /// The event name of the meter.
    pub meter: Arc<str>,
    /// What is sent.
    pub quantity: Arc<str>,
}

impl Stripe {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        Self {
            api_key: secret(fields, "api_key"),
            webhook_secret: secret(fields, "webhook_secret"),
            meter: fields.get("meter"),
            quantity: fields.get("quantity"),
        }
    }
}
