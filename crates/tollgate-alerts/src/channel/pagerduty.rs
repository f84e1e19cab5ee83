//! `PagerDuty`, Events API v2: one event an incident, joined by a key of ours, so that its end
//! resolves what its begin has opened.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::{Sending, Verdict, told, usual};
use crate::incident::Incident;
use crate::notice::{Notice, NoticeKind};
use crate::post::{Place, Post, Reach, Reply};
use crate::rule::Severity;
use crate::text::{Text, text};

/// Longest summary, in characters.
const SUMMARY: usize = 1_000;
/// Longest key that joins events.
const KEY: usize = 255;

/// The events API.
#[derive(Clone, Debug)]
pub struct Pagerduty {
    /// Where it is: `https://events.pagerduty.com/v2/enqueue`, or that of the EU.
    pub place: Place,
    /// The key of the service that is paged.
    pub routing_key: SecretString,
}

impl Pagerduty {
    pub(super) async fn send(&self, notice: &Notice, sending: &Sending<'_>) -> Verdict {
        let text = text(notice, sending.display);
        let action = if notice.kind == NoticeKind::Resolved { "resolve" } else { "trigger" };
        let verdict = self.enqueue(action, (notice, &text), sending).await;
        if notice.kind == NoticeKind::Test && verdict == Verdict::Delivered {
            // Nobody is to stay paged by a sample.
            return self.enqueue("resolve", (notice, &text), sending).await;
        }
        verdict
    }

    async fn enqueue(
        &self,
        action: &str,
        (notice, text): (&Notice, &Text),
        sending: &Sending<'_>,
    ) -> Verdict {
        let mut event = event(action, notice, text);
        if let Some(event) = event.as_object_mut() {
            let key = self.routing_key.expose_secret();
            event.insert("routing_key".to_owned(), Value::from(key));
        }
        let body = serde_json::to_vec(&event).unwrap_or_default();
        let post = Post { headers: &[], bearer: None, body };
        match sending.poster.post(&self.place, Reach::Anywhere, post).await {
            Ok(reply) => verdict(&reply),
            Err(none) => none.into(),
        }
    }
}

/// 202 is success; 400 says what is wrong with the event, and sending it again changes nothing.
fn verdict(reply: &Reply) -> Verdict {
    if reply.status.as_u16() != 400 {
        return usual(reply);
    }
    let answer: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let errors = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
    let errors: Vec<&str> = errors.filter_map(Value::as_str).take(3).collect();
    let why = if errors.is_empty() {
        told(reply)
    } else {
        format!("it answers 400 {}", errors.join("; "))
    };
    if why.contains("routing_key") || why.contains("routing key") {
        return Verdict::Gone { why: "it does not know the routing key".to_owned() };
    }
    Verdict::Refused { why: why.chars().take(200).collect() }
}

/// The event, without the key of its service.
pub(super) fn event(action: &str, notice: &Notice, text: &Text) -> Value {
    let incident = notice.incidents.first();
    let part = text.parts.first();
    let other = notice.job.as_ref().map_or("channel", |job| job.job.as_str());
    let headline = part.map_or(&*text.title, |part| &*part.headline);
    let mut event = json!({
        "event_action": action,
        "dedup_key": key(&notice.thread()),
        "client": "Tollgate",
    });
    if action == "trigger" {
        let details: Map<String, Value> = part
            .into_iter()
            .flat_map(|part| &part.details)
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        let payload = json!({
            "summary": headline.chars().take(SUMMARY).collect::<String>(),
            "source": "tollgate",
            "severity": severity(notice.severity()),
            "timestamp": incident.map_or(notice.time, began),
            "component": incident.map_or(other, |it| it.rule.as_str()),
            "group": incident.and_then(|it| it.by).map(super::super::measure::By::as_str),
            "class": incident.and_then(|it| it.metric).map(super::super::measure::Metric::as_str),
            "custom_details": details,
        });
        if let Some(event) = event.as_object_mut() {
            event.insert("payload".to_owned(), payload);
        }
    }
    event
}

fn began(incident: &Incident) -> Timestamp {
    incident.fired_at.unwrap_or(incident.since)
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// What joins the events of one incident; too long a name is told by its digest.
fn key(thread: &str) -> String {
    let key = format!("tollgate/{thread}");
    if key.len() <= KEY && !key.chars().any(char::is_control) {
        return key;
    }
    format!("tollgate/{}", hex(digest(&SHA256, thread.as_bytes()).as_ref()))
}

/// Bytes as digits of sixteen.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
        text
    })
}
