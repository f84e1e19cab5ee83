//! Every section and key that a configuration may hold: name, form, default, meaning.
//!
//! This table decides which keys are known, gives the defaults that are in force, and is what the
//! reference is printed from; so a key cannot be accepted without being documented, and a
//! documented default is the one that is used.

mod alerts;
mod calls;
mod caps;
mod outgoing;
mod service;

pub(super) use alerts::{ALERTS, CHANNEL, RULE};
pub(super) use calls::{BREAKER, DEFAULT_PRICE, MODEL, PRICE, PROVIDER, RETRY, TARGET, TIMEOUT};
pub(super) use caps::{LIMIT, PLAN};
pub(super) use outgoing::{
    BILLING, DISPLAY, JOBS, LOGS, PROBE, PURGE, REFRESH, REPORT, ROLLUP, SCHEDULE, SENTRY, SINK,
    SINK_BATCH, SINK_RETRY, SINK_ROTATE, SINK_SPOOL, SINK_TLS, STRIPE,
};
pub(super) use service::{
    AUTH, CACHE, CAPTCHA, COUNTERS, DUPLICATES, IDEMPOTENCY, JWT, KEY, ROOT, SERVER, STORAGE,
};

/// A table of the configuration.
#[derive(Debug)]
pub(super) struct Section {
    /// How its header is written, such as `[server]` or `[providers.NAME]`.
    pub(super) header: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// Its keys.
    pub(super) keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// How its value is written, for the reference.
    pub(super) form: &'static str,
    /// What holds where it is left out.
    pub(super) given: Given,
    /// What it means.
    pub(super) about: &'static str,
}

/// What holds where a key is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// It may not be left out.
    Required,
    /// Then there is none.
    Optional,
    /// Then this, as TOML writes it.
    Default(&'static str),
    /// It is a table of its own; its header.
    Table(&'static str),
}

impl Section {
    /// The key of this name.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// All sections, in the order of the reference.
pub(super) const ALL: &[&Section] = &[
    &ROOT,
    &SERVER,
    &STORAGE,
    &COUNTERS,
    &AUTH,
    &CAPTCHA,
    &JWT,
    &KEY,
    &PROVIDER,
    &TIMEOUT,
    &RETRY,
    &BREAKER,
    &MODEL,
    &TARGET,
    &PRICE,
    &DEFAULT_PRICE,
    &PLAN,
    &LIMIT,
    &CACHE,
    &IDEMPOTENCY,
    &DUPLICATES,
    &LOGS,
    &SINK,
    &SINK_TLS,
    &SINK_BATCH,
    &SINK_RETRY,
    &SINK_SPOOL,
    &SINK_ROTATE,
    &SENTRY,
    &ALERTS,
    &CHANNEL,
    &RULE,
    &BILLING,
    &STRIPE,
    &JOBS,
    &PURGE,
    &ROLLUP,
    &REPORT,
    &REFRESH,
    &PROBE,
    &SCHEDULE,
    &DISPLAY,
];

const fn required(name: &'static str, form: &'static str, about: &'static str) -> Key {
    Key { name, form, given: Given::Required, about }
}

const fn optional(name: &'static str, form: &'static str, about: &'static str) -> Key {
    Key { name, form, given: Given::Optional, about }
}

const fn key(
    name: &'static str,
    form: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { name, form, given: Given::Default(default), about }
}

const fn table(name: &'static str, header: &'static str, about: &'static str) -> Key {
    Key { name, form: "table", given: Given::Table(header), about }
}
