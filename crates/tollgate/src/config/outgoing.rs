//! What leaves the program by itself: log lines, error reports, alerts, billing, scheduled work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use tollgate_sinks::settings::Dsn;

use super::names::Names;
use super::reader::Fields;
use super::scalar::{Cron, Name, Scalar, Share, Span, Wrong, read_duration, words};
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
    /// Whether prompts and answers are kept.
    pub bodies: Bodies,
    /// Services that get them.
    pub sinks: Vec<Sink>,
}

impl Logs {
    pub(super) fn read(fields: &Fields<'_>, zone: &TimeZone) -> Self {
        Self {
            format: fields.get("format"),
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

words! {
    /// The language of alert texts.
    Language {
        /// Korean.
        Korean = "ko",
        /// English.
        English = "en",
    }
}

words! {
    /// A kind of alert channel.
    ChannelKind {
        /// A Slack webhook.
        Slack = "slack",
        /// The events API of `PagerDuty`.
        Pagerduty = "pagerduty",
        /// E-mail.
        Email = "email",
        /// A signed webhook.
        Webhook = "webhook",
        /// Alertmanager.
        Alertmanager = "alertmanager",
    }
}

/// Alerts.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// The language of their texts.
    pub language: Language,
    /// Where they go, by name.
    pub channels: BTreeMap<Arc<str>, Channel>,
    /// What is alerted, in the order of the file.
    pub rules: Vec<Rule>,
}

/// Where alerts go.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What it is.
    pub kind: ChannelKind,
    /// Its address, which is a credential; `None` means that it is not used.
    pub url: Option<SecretString>,
}

/// What is alerted.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub name: Arc<str>,
    /// The condition.
    pub when: Arc<str>,
    /// Who is told.
    pub channels: Vec<Arc<str>>,
    /// What it does besides.
    pub action: Option<RuleAction>,
}

words! {
    /// What an alert rule does.
    Deed {
        /// Slows calls down.
        Throttle = "throttle",
        /// Refuses the user's calls.
        Block = "block",
        /// Refuses all calls.
        KillSwitch = "kill_switch",
        /// Takes the user's quota away.
        QuotaZero = "quota_zero",
    }
}

/// What an alert rule does, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct RuleAction {
    /// What it does.
    pub deed: Deed,
    /// For how long; until somebody undoes it where absent.
    pub lasting: Option<Duration>,
}

impl Scalar for RuleAction {
    fn read(text: &str) -> Result<Self, Wrong> {
        let (deed, lasting) = match text.split_once(" for ") {
            Some((deed, lasting)) => (
                deed,
                Some(read_duration(lasting.trim()).ok_or_else(|| {
                    Wrong::expected("a duration after `for`, such as `quota_zero for 1h`")
                })?),
            ),
            None => (text, None),
        };
        Ok(Self { deed: Deed::read(deed.trim())?, lasting })
    }
}

impl Alerts {
    pub(super) fn read(fields: &Fields<'_>, names: &Names) -> Self {
        let channel = |(name, fields): (&str, Fields<'_>)| {
            (Arc::from(name), Channel { kind: fields.get("kind"), url: secret(&fields, "url") })
        };
        let mut seen = BTreeSet::new();
        let mut rules = Vec::new();
        for fields in fields.sections("rules", &schema::RULE) {
            let Name(name) = fields.get("name");
            if fields.has("name") && !seen.insert(Arc::clone(&name)) {
                let message = format!("there are two alert rules with the name `{name}`");
                fields.fail_at("name", message, None);
            }
            let Name(when) = fields.get("when");
            let channels = names.mentions(&fields, "channels");
            rules.push(Rule { name, when, channels, action: fields.maybe("action") });
        }
        Self {
            language: fields.get("language"),
            channels: fields.named("channels", &schema::CHANNEL).into_iter().map(channel).collect(),
            rules,
        }
    }
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

/// A job that runs on a schedule.
#[derive(Clone, Debug)]
pub struct Job {
    /// Five fields of cron.
    pub schedule: String,
    /// Who gets its report.
    pub channels: Vec<Arc<str>>,
    /// Where a price refresh reads.
    pub url: Option<Arc<str>>,
}

/// The retention of what is stored.
#[derive(Clone, Debug)]
pub struct Purge {
    /// Five fields of cron.
    pub schedule: String,
    /// How long calls are kept.
    pub keep_calls: Duration,
    /// How long prompts and answers are kept.
    pub keep_bodies: Duration,
}

/// Scheduled work.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// The retention purge.
    pub purge: Option<Purge>,
    /// The other jobs that are configured, by name.
    pub others: BTreeMap<&'static str, Job>,
}

impl Jobs {
    pub(super) fn read(fields: &Fields<'_>, channels: &Names) -> Self {
        let purge = fields.maybe_section("purge", &schema::PURGE).map(|fields| Purge {
            schedule: fields.get::<Cron>("schedule").0,
            keep_calls: fields.get::<Span>("keep_calls").0,
            keep_bodies: fields.get::<Span>("keep_bodies").0,
        });
        let mut others = BTreeMap::new();
        for (name, section) in [
            ("daily_report", &schema::REPORT),
            ("weekly_report", &schema::REPORT),
            ("price_refresh", &schema::REFRESH),
            ("rollup_check", &schema::SCHEDULE),
            ("stripe_upload", &schema::SCHEDULE),
            ("statement", &schema::SCHEDULE),
            ("probe", &schema::SCHEDULE),
        ] {
            let Some(fields) = fields.maybe_section(name, section) else {
                continue;
            };
            let known = |key: &str| section.key(key).is_some();
            let job = Job {
                schedule: fields.get::<Cron>("schedule").0,
                channels: if known("channels") {
                    channels.mentions(&fields, "channels")
                } else {
                    Vec::new()
                },
                url: known("url").then(|| fields.get("url")),
            };
            others.insert(name, job);
        }
        Self { purge, others }
    }
}
