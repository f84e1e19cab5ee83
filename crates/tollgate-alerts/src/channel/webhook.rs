//! Webhooks, signed after Standard Webhooks 1.0: the id stays the same over attempts, the time is
//! that of the attempt, and while a secret is being changed both sign.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use serde_json::{Value, json};
use tollgate_domain::limit::Metric;
use tollgate_domain::money::NanoUsd;

use super::{Sending, Verdict, told, usual};
use crate::condition::decimal;
use crate::incident::{Budget, Incident};
use crate::measure::Unit;
use crate::notice::Notice;
use crate::post::{Place, Post, Reach, Reply};
use crate::report::Report;
use crate::text::{Text, text};

/// What secrets are written with.
const PREFIX: &str = "whsec_";
/// Largest body, in bytes.
const MAX_BODY: usize = 20_000;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What messages are signed with.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// A text that is no secret of Standard Webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected whsec_ and 24 to 64 random bytes in base64")]
pub struct WrongKey;

impl SigningKey {
    /// Reads a secret: `whsec_` and base64.
    pub fn read(text: &str) -> Result<Self, WrongKey> {
        let bytes = text.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.filter(|bytes| (24..=64).contains(&bytes.len())).ok_or(WrongKey)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// A signed webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where it is.
    pub place: Place,
    /// What it signs with: the present secret, and the one before while it is being changed.
    pub keys: Vec<SigningKey>,
    /// Which addresses it may reach.
    pub reach: Reach,
}

impl Webhook {
    pub(super) async fn send(&self, notice: &Notice, sending: &Sending<'_>) -> Verdict {
        let body = body(notice, &text(notice, sending.display));
        let seconds = sending.now.as_second();
        let mut headers = vec![(ID, sending.id.to_owned()), (TIMESTAMP, seconds.to_string())];
        let signed: Vec<String> =
            self.keys.iter().map(|key| key.sign(sending.id, seconds, &body)).collect();
        if !signed.is_empty() {
            headers.push((SIGNATURE, signed.join(" ")));
        }
        let post = Post { headers: &headers, bearer: None, body };
        match sending.poster.post(&self.place, self.reach, post).await {
            Ok(reply) => verdict(&reply),
            Err(none) => none.into(),
        }
    }
}

/// 2xx is success, 410 ends the endpoint; everything else may pass: redirects are not followed.
fn verdict(reply: &Reply) -> Verdict {
    match reply.status.as_u16() {
        200..300 => Verdict::Delivered,
        410 => Verdict::Gone { why: told(reply) },
        _ => match usual(reply) {
            Verdict::Refused { why } => Verdict::Later { why, after: reply.retry_after },
            verdict => verdict,
        },
    }
}

/// The body: type, time, and what there is to say, as words and as figures.
pub(super) fn body(notice: &Notice, text: &Text) -> Vec<u8> {
    let mut shown = notice.incidents.len();
    loop {
        let incidents: Vec<Value> = notice.incidents.iter().take(shown).map(facts).collect();
        let more = notice.more + notice.incidents.len() - shown;
        let parts: Vec<Value> = text
            .parts
            .iter()
            .take(if notice.report.is_some() { usize::MAX } else { shown.max(1) })
            .map(|part| json!({"headline": part.headline, "details": part.details}))
            .collect();
        let body = json!({
            "type": notice.topic(),
            "timestamp": notice.time,
            "data": {
                "title": text.title,
                "language": notice.language.as_str(),
                "severity": notice.severity().as_str(),
                "parts": parts,
                "incidents": incidents,
                "more": more,
                "failure": notice.failure,
                "report": notice.report.as_deref().map(totals),
                "job": notice.job,
            },
        });
        let body = serde_json::to_vec(&body).unwrap_or_default();
        if body.len() < MAX_BODY || shown == 0 {
            return body;
        }
        shown /= 2;
    }
}

/// A report as programs read it; its alerts stand in their own messages.
fn totals(report: &Report) -> Value {
    json!({
        "period": report.period,
        "timezone": report.timezone,
        "from": report.from,
        "to": report.to,
        "total": report.total,
        "before": report.before,
        "users": report.users,
        "models": report.models,
        "alerts": report.alerts.len() + report.more_alerts,
    })
}

/// An incident as programs read it: money as decimal strings in USD, durations in milliseconds.
fn facts(incident: &Incident) -> Value {
    let steps = || incident.budget.as_ref().map(unit_of);
    let unit = incident.metric.map(crate::measure::Metric::unit).or_else(steps);
    let figure = |value: i64| figure(value, unit.unwrap_or(Unit::Count));
    json!({
        "key": incident.key,
        "rule": incident.rule,
        "severity": incident.severity.as_str(),
        "state": incident.state.as_str(),
        "labels": incident.labels(),
        "metric": incident.metric.map(crate::measure::Metric::as_str),
        "window": incident.window,
        "value": figure(incident.value),
        "bound": figure(incident.bound),
        "usual": incident.usual.map(figure),
        "limit": incident.budget.as_ref().map(limit),
        "since": incident.fired_at.unwrap_or(incident.since),
        "ended_at": incident.ended_at,
        "models": incident.models.iter().map(|(model, cost)| json!({"model": model, "cost_usd": cost})).collect::<Vec<_>>(),
        "action": incident.doing,
        "note": incident.note,
    })
}

/// The limit of an incident as programs read it.
fn limit(budget: &Budget) -> Value {
    let unit = unit_of(budget);
    json!({
        "limit": budget.limit,
        "plan": budget.plan,
        "scope": budget.scope,
        "metric": budget.metric,
        "window": budget.window,
        "used": figure(budget.used, unit),
        "max": figure(budget.max, unit),
        "step": budget.step,
    })
}

fn unit_of(budget: &Budget) -> Unit {
    if budget.metric == Metric::CostUsd { Unit::Usd } else { Unit::Count }
}

fn figure(value: i64, unit: Unit) -> Value {
    match unit {
        Unit::Usd => Value::from(NanoUsd::from_nanos(value).to_string()),
        Unit::Ratio => Value::from(decimal(i128::from(value), 6)),
        Unit::Duration => Value::from(value / 1_000),
        Unit::Count => Value::from(value),
    }
}
