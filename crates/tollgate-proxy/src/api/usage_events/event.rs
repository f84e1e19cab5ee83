//! What an event of usage says, read from native JSON or from a `CloudEvent`, checked and bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tollgate_admission::control::Written;
use tollgate_domain::call::Tags;
use tollgate_domain::limit::Metric;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;

use super::super::fields;
use super::earliest;
use crate::stop::Stop;

/// Most events of one request.
const MOST_EVENTS: usize = 1_000;
/// Most tokens of one event.
const MOST_TOKENS: u64 = 1_000_000_000_000;
/// Most that one event can cost: a million dollars.
const COSTLIEST: NanoUsd = NanoUsd::from_nanos(1_000_000_000_000_000);
/// Most tags of one event.
const MOST_TAGS: usize = 16;
/// How far ahead of ours a sender's clock may be.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// How old an event may be: 90 days.
pub(super) const MOST_HOURS: i64 = 90 * 24;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Our own: an object or an array of objects.
    Native,
    /// One `CloudEvent`.
    Cloud,
    /// An array of `CloudEvents`.
    CloudBatch,
}

impl Form {
    /// The form of this media type.
    pub(super) fn of(kind: &str) -> Option<Self> {
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        if is("application/json") {
            Some(Self::Native)
        } else if is("application/cloudevents+json") {
            Some(Self::Cloud)
        } else if is("application/cloudevents-batch+json") {
            Some(Self::CloudBatch)
        } else {
            None
        }
    }
}

/// The native form; `id` and `time` of a `CloudEvent` stand in its envelope instead.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Native {
    id: Option<String>,
    time: Option<Timestamp>,
    user: Option<String>,
    feature: Option<String>,
    session: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    provider: Option<String>,
    model: Option<String>,
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    #[serde(default)]
    cached_input_tokens: u64,
    units: Option<Written>,
    cost_usd: Option<Written>,
}

/// A `CloudEvent`. Attributes beyond these are extensions, which every event may have.
#[derive(Debug, Deserialize)]
struct Envelope {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: Option<String>,
    time: Option<Timestamp>,
    data: Option<Native>,
    data_base64: Option<IgnoredAny>,
}

/// An event that was checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stated {
    pub(super) source: Arc<str>,
    pub(super) id: Arc<str>,
    pub(super) time: Timestamp,
    pub(super) user: Arc<str>,
    pub(super) feature: Option<Arc<str>>,
    pub(super) session: Option<Arc<str>>,
    pub(super) tags: Tags,
    pub(super) provider: Option<Arc<str>>,
    pub(super) model: Option<Arc<str>>,
    pub(super) usage: Usage,
    pub(super) units: i64,
    pub(super) cost: Option<NanoUsd>,
}

/// Reads and checks the events of a body.
pub(super) fn read(form: Form, body: &[u8], now: Timestamp) -> Result<Vec<Stated>, Stop> {
    let many = body.trim_ascii_start().first() == Some(&b'[');
    let stated: Vec<Stated> = match form {
        Form::Native if many => each(fields::body(body)?, |event| native(event, now))?,
        Form::Native => vec![native(fields::body(body)?, now)?],
        Form::Cloud => vec![cloud(fields::body(body)?, now)?],
        Form::CloudBatch => each(fields::body(body)?, |event| cloud(event, now))?,
    };
    Ok(stated)
}

fn each<T>(events: Vec<T>, read: impl Fn(T) -> Result<Stated, Stop>) -> Result<Vec<Stated>, Stop> {
    if events.len() > MOST_EVENTS {
        return Err(Stop::field(format!("at most {MOST_EVENTS} events at a time"), None));
    }
    events.into_iter().map(read).collect()
}

fn native(mut event: Native, now: Timestamp) -> Result<Stated, Stop> {
    let id = event.id.take();
    let id = id.ok_or_else(|| missing("id", "so that a repetition is known"))?;
    check(event, (Arc::default(), &id), now)
}

fn cloud(event: Envelope, now: Timestamp) -> Result<Stated, Stop> {
    let Envelope { specversion, id, source, kind, subject, time, data, data_base64 } = event;
    let wrong = |field: &'static str, why: &str| {
        Err(Stop::field(format!("event `{id}`: {why}"), Some(field.into())))
    };
    if specversion != "1.0" {
        return wrong("specversion", "`specversion` must be 1.0");
    }
    if kind.is_empty() {
        return wrong("type", "`type` must not be empty");
    }
    if data_base64.is_some() {
        return wrong("data_base64", "`data` must be JSON");
    }
    let Some(mut data) = data else { return wrong("data", "`data` is missing") };
    if data.id.is_some() || data.time.is_some() {
        return wrong("data", "`id` and `time` belong into the event, not into its data");
    }
    data.time = time;
    data.user = data.user.or(subject);
    let source = fields::name("source", &source)?;
    check(data, (source, &id), now)
}

fn check(event: Native, (source, id): (Arc<str>, &str), now: Timestamp) -> Result<Stated, Stop> {
    let id = fields::name("id", id)?;
    let user = event.user.ok_or_else(|| missing("user", "to be charged"))?;
    let usage = usage(event.input_tokens, event.cached_input_tokens, event.output_tokens)?;
    let cost = event.cost_usd.map(|cost| amount("cost_usd", &cost, Metric::CostUsd)).transpose()?;
    if cost.is_some_and(|cost| cost > COSTLIEST.nanos()) {
        return Err(Stop::field("`cost_usd` is more than a million", Some("cost_usd".into())));
    }
    let units = event.units.map(|units| amount("units", &units, Metric::Units)).transpose()?;
    Ok(Stated {
        source,
        id,
        time: at(event.time, now)?,
        user: fields::name("user", &user)?,
        feature: fields::optional("feature", event.feature.as_deref())?,
        session: fields::optional("session", event.session.as_deref())?,
        tags: tags(event.tags.unwrap_or_default())?,
        provider: fields::optional("provider", event.provider.as_deref())?,
        model: fields::optional("model", event.model.as_deref())?,
        usage,
        units: units.unwrap_or_default(),
        cost: cost.map(NanoUsd::from_nanos),
    })
}

fn missing(field: &'static str, why: &str) -> Stop {
    Stop::field(format!("an event needs `{field}`, {why}"), Some(field.into()))
}

fn amount(field: &'static str, amount: &Written, metric: Metric) -> Result<i64, Stop> {
    amount.count(metric).map_err(|wrong| Stop::field(wrong.to_string(), Some(field.into())))
}

fn usage(input: u64, cached: u64, output: u64) -> Result<Usage, Stop> {
    let usage = Usage { cache_read: cached, ..Usage::tokens(input, output) };
    if input > MOST_TOKENS || output > MOST_TOKENS {
        return Err(Stop::field(format!("more than {MOST_TOKENS} tokens in one event"), None));
    }
    if cached > input {
        let message = "`cached_input_tokens` are a part of `input_tokens`, and more than these";
        return Err(Stop::field(message, Some("cached_input_tokens".into())));
    }
    Ok(usage)
}

/// When it happened. A clock that is a little ahead of ours means now.
fn at(time: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Stop> {
    let time = time.unwrap_or(now);
    let wrong = |why: &str| Err(Stop::field(format!("`time` {why}"), Some("time".into())));
    if time.duration_since(now) > SKEW {
        return wrong("lies ahead");
    }
    if time < earliest(now) {
        return wrong("lies more than 90 days back");
    }
    Ok(time.min(now))
}

fn tags(given: BTreeMap<String, String>) -> Result<Tags, Stop> {
    if given.len() > MOST_TAGS {
        return Err(Stop::field(format!("at most {MOST_TAGS} tags"), Some("tags".into())));
    }
    let mut tags = Tags::with_capacity(given.len());
    for (name, value) in given {
        let value = if value.is_empty() { Arc::default() } else { fields::name("tags", &value)? };
        tags.push((fields::name("tags", &name)?, value));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn one(form: Form, body: &str) -> Result<Stated, String> {
        let read = read(form, body.as_bytes(), now()).map_err(|stop| stop.message.into_owned())?;
        assert_eq!(read.len(), 1);
        Ok(read[0].clone())
    }

    #[test]
    fn a_native_event_and_a_cloud_event_say_the_same() {
        let native = one(
            Form::Native,
            r#"{"id":"e1","user":"alice","model":"m","input_tokens":10,"cached_input_tokens":4,
                "output_tokens":5,"units":2,"cost_usd":"0.25","time":"2026-11-21T11:00:00Z",
                "tags":{"stage":"test"},"feature":"f","session":"s","provider":"p"}"#,
        )
        .unwrap();
        assert_eq!(native.usage, Usage { cache_read: 4, ..Usage::tokens(10, 5) });
        assert_eq!((native.units, native.cost), (2, Some(NanoUsd::from_nanos(250_000_000))));
        let cloud = one(
            Form::Cloud,
            r#"{"specversion":"1.0","id":"e1","source":"/app","type":"llm.usage","subject":"alice",
                "time":"2026-11-21T11:00:00Z","datacontenttype":"application/json","myext":"x",
                "data":{"model":"m","input_tokens":10,"cached_input_tokens":4,"output_tokens":5,
                "units":2,"cost_usd":0.25,"tags":{"stage":"test"},"feature":"f","session":"s",
                "provider":"p"}}"#,
        )
        .unwrap();
        assert_eq!(cloud, Stated { source: "/app".into(), ..native });
    }

    #[test]
    fn what_an_event_cannot_mean_is_refused_with_a_sentence() {
        let future = r#"{"id":"1","user":"a","time":"2026-11-21T12:06:00Z"}"#;
        let past = r#"{"id":"1","user":"a","time":"2026-08-01T12:00:00Z"}"#;
        let cloud = |rest: &str| {
            format!(r#"{{"id":"1","source":"s","type":"t","specversion":"1.0"{rest}}}"#)
        };
        for (form, body, part) in [
            (Form::Native, r#"{"user":"a"}"#, "`id`"),
            (Form::Native, r#"{"id":"1"}"#, "`user`"),
            (Form::Native, r#"{"id":"1","user":"a","tokens":1}"#, "tokens"),
            (Form::Native, r#"{"id":"1","user":"a","input_tokens":-1}"#, "u64"),
            (Form::Native, r#"{"id":"1","user":"a","input_tokens":1.5}"#, "u64"),
            (Form::Native, r#"{"id":"1","user":"a","cached_input_tokens":1}"#, "part"),
            (Form::Native, r#"{"id":"1","user":"a","cost_usd":"-1"}"#, "-1"),
            (Form::Native, r#"{"id":"1","user":"a","cost_usd":1000001}"#, "million"),
            (Form::Native, r#"{"id":"1","user":"a","units":0.5}"#, "whole"),
            (Form::Native, r#"{"id":"1","id":"2","user":"a"}"#, "duplicate"),
            (Form::Native, r#"{"id":"","user":"a"}"#, "`id`"),
            (Form::Native, future, "ahead"),
            (Form::Native, past, "90 days"),
            (Form::Native, "not json", "body"),
            (Form::Cloud, &cloud(""), "`data`"),
            (Form::Cloud, &cloud(r#","data":{"id":"2","user":"a"}"#), "belong"),
            (Form::Cloud, &cloud(r#","data_base64":"e30=""#), "JSON"),
            (Form::Cloud, &cloud(r#","data":{}"#), "`user`"),
            (Form::Cloud, r#"{"id":"1","source":"s","type":"t","specversion":"0.3"}"#, "1.0"),
            (Form::CloudBatch, r#"{"id":"1"}"#, "body"),
        ] {
            let why = one(form, body).unwrap_err();
            assert!(why.contains(part), "{body}: {why}");
        }
        let many = format!("[{}]", vec![r#"{"id":"1","user":"a"}"#; 1_001].join(","));
        assert!(read(Form::Native, many.as_bytes(), now()).is_err());
        assert_eq!(read(Form::Native, b"[]", now()).unwrap(), []);
    }

    #[test]
    fn a_clock_that_is_a_little_ahead_means_now() {
        let event = one(Form::Native, r#"{"id":"1","user":"a","time":"2026-11-21T12:04:00Z"}"#);
        assert_eq!(event.unwrap().time, now());
    }
}
