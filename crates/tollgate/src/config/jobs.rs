//! Scheduled work: which jobs there are, when each is due, and what it needs to know.
//!
//! A schedule is read to its end here, so that a running program meets none that it cannot follow.
//! Jobs run where they are configured; the rollup check runs everywhere, because it only reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::alerts::AlertChannel;
use super::names::Names;
use super::reader::Fields;
use super::scalar::{Cron, HttpUrl, Scalar as _, Span, words};
use super::schema;
use super::schema::Section;
use crate::schedule::Schedule;

words! {
    /// A job.
    JobKind {
        /// Deletes what is older than its retention.
        Purge = "purge",
        /// Proves that rollups equal rows.
        RollupCheck = "rollup_check",
        /// Sends the report of the day before.
        DailyReport = "daily_report",
        /// Sends the report of the week before.
        WeeklyReport = "weekly_report",
        /// Renews the price book.
        PriceRefresh = "price_refresh",
        /// Asks each provider whether it answers.
        Probe = "probe",
        /// Sends usage to Stripe.
        StripeUpload = "stripe_upload",
        /// Makes the monthly statements.
        Statement = "statement",
    }
}

impl JobKind {
    /// Those that this version runs.
    pub const SERVED: [Self; 6] = [
        Self::Purge,
        Self::RollupCheck,
        Self::DailyReport,
        Self::WeeklyReport,
        Self::PriceRefresh,
        Self::Probe,
    ];

    /// The served one of this name.
    pub fn served(name: &str) -> Option<Self> {
        Self::SERVED.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The shortest retention of calls: a start counts limits from the calls of the last hours.
const SHORTEST: Duration = Duration::from_hours(24);

/// When a job runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its schedule.
    pub schedule: Schedule,
    /// Whether it runs by its schedule; where not it runs when somebody asks for it.
    pub enabled: bool,
}

/// Where prices are renewed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceSource {
    /// A file.
    File(PathBuf),
    /// An address that serves one.
    Url(String),
}

/// The retention of what is stored.
#[derive(Clone, Debug)]
pub struct Purge {
    /// When it is looked after.
    pub plan: Plan,
    /// How long calls are kept.
    pub keep_calls: Duration,
    /// How long prompts and answers are kept.
    pub keep_bodies: Duration,
}

/// A job other than the purge.
#[derive(Clone, Debug)]
pub struct Job {
    /// When it runs.
    pub plan: Plan,
    /// Who is told, those that are not used left out.
    pub channels: Vec<Arc<str>>,
    /// Where a price refresh reads.
    pub source: Option<PriceSource>,
    /// How long a probe waits for a provider.
    pub timeout: Duration,
}

/// Scheduled work.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// The retention purge.
    pub purge: Option<Purge>,
    /// The other jobs that there are.
    pub others: BTreeMap<JobKind, Job>,
}

/// Who can be told what.
struct Told<'a> {
    names: &'a Names,
    used: &'a [AlertChannel],
}

impl Jobs {
    pub(super) fn read(
        fields: &Fields<'_>,
        (names, used): (&Names, &[AlertChannel]),
        zone: &TimeZone,
    ) -> Self {
        let told = Told { names, used };
        let purge = fields.maybe_section("purge", &schema::PURGE);
        let purge = purge.and_then(|fields| Purge::read(&fields, zone));
        let mut others = BTreeMap::new();
        for (kind, section) in [
            (JobKind::DailyReport, &schema::REPORT),
            (JobKind::WeeklyReport, &schema::REPORT),
            (JobKind::PriceRefresh, &schema::REFRESH),
            (JobKind::RollupCheck, &schema::ROLLUP),
            (JobKind::StripeUpload, &schema::SCHEDULE),
            (JobKind::Statement, &schema::SCHEDULE),
            (JobKind::Probe, &schema::PROBE),
        ] {
            let own = match kind {
                JobKind::RollupCheck => Some(fields.section(kind.as_str(), section)),
                _ => fields.maybe_section(kind.as_str(), section),
            };
            if let Some(job) = own.and_then(|own| job(kind, &own, section, (&told, zone))) {
                others.insert(kind, job);
            }
        }
        Self { purge, others }
    }

    /// When a job runs; `None` where it is not configured.
    pub fn plan(&self, kind: JobKind) -> Option<&Plan> {
        match kind {
            JobKind::Purge => self.purge.as_ref().map(|purge| &purge.plan),
            _ => self.others.get(&kind).map(|job| &job.plan),
        }
    }
}

impl Purge {
    fn read(fields: &Fields<'_>, zone: &TimeZone) -> Option<Self> {
        let keep_calls = fields.get::<Span>("keep_calls").0;
        if keep_calls < SHORTEST && !keep_calls.is_zero() {
            let message = format!("`{}.keep_calls`: expected a day or longer", fields.path);
            let remedy = "a start counts limits from the calls of the last hours";
            fields.fail_at("keep_calls", message, Some(remedy.to_owned()));
        }
        let keep_bodies = fields.get::<Span>("keep_bodies").0;
        Some(Self { plan: plan(fields, zone)?, keep_calls, keep_bodies })
    }
}

fn job(
    kind: JobKind,
    fields: &Fields<'_>,
    section: &'static Section,
    (told, zone): (&Told<'_>, &TimeZone),
) -> Option<Job> {
    let knows = |key: &str| section.key(key).is_some();
    let channels = if knows("channels") { told.read(kind, fields) } else { Vec::new() };
    let timeout = if knows("timeout") { fields.get::<Span>("timeout").0 } else { Duration::ZERO };
    let source = if knows("url") { source(fields) } else { None };
    Some(Job { plan: plan(fields, zone)?, channels, source, timeout })
}

/// When a job runs; `None` where that is wrong and reported.
fn plan(fields: &Fields<'_>, zone: &TimeZone) -> Option<Plan> {
    let Cron(text) = fields.get("schedule");
    let zone = fields.maybe("timezone").unwrap_or_else(|| zone.clone());
    let enabled = fields.get("enabled");
    if text.is_empty() {
        return None;
    }
    match Schedule::new(&text, zone) {
        Ok(schedule) => Some(Plan { schedule, enabled }),
        Err(error) => {
            let message = format!("`{}.schedule`: \"{text}\": {error}", fields.path);
            let remedy = "\"0 3 * * *\" is every day at 03:00";
            fields.fail_at("schedule", message, Some(remedy.to_owned()));
            None
        }
    }
}

fn source(fields: &Fields<'_>) -> Option<PriceSource> {
    let text: Arc<str> = fields.get("url");
    if !text.contains("://") {
        return (!text.is_empty()).then(|| PriceSource::File(PathBuf::from(&*text)));
    }
    match HttpUrl::read(&text) {
        Ok(HttpUrl(url)) => Some(PriceSource::Url(url)),
        Err(_) => {
            let message = format!("`{}.url`: expected a path or an http(s) address", fields.path);
            fields.fail_at("url", message, None);
            None
        }
    }
}

impl Told<'_> {
    /// Who is told: those that are named, else every channel that can be.
    fn read(&self, kind: JobKind, fields: &Fields<'_>) -> Vec<Arc<str>> {
        let named = self.names.mentions(fields, "channels");
        let is_report = kind != JobKind::RollupCheck;
        let mut found = Vec::new();
        for AlertChannel { channel, .. } in self.used {
            let is_named = named.contains(&channel.name);
            let is_unfit = channel.mirrors() || (is_report && channel.follows());
            if is_unfit && is_named {
                let what = if is_report { "report" } else { "message of a job" };
                let message = format!(
                    "`{}.channels`: a channel of kind {} takes no {what}",
                    fields.path,
                    channel.kind()
                );
                let remedy = "name a channel of another kind".to_owned();
                fields.fail_at("channels", message, Some(remedy));
            } else if is_named || (!is_unfit && !fields.has("channels")) {
                found.push(Arc::clone(&channel.name));
            }
        }
        found
    }
}
