//! Alertmanager, API v2. It wants to be shown again and again what fires, and keeps for itself what
//! it tells: so it is no channel that is told once, but one that mirrors. An alert that is not shown
//! any more ends there by itself.
//!
//! Every member of a cluster is shown all of it, as its documentation asks.

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::{Sending, Verdict, usual};
use crate::incident::{Incident, State};
use crate::post::{Place, Post, Reach};
use crate::rule::Language;
use crate::text::{Display, headline};

/// What is shown holds for so long: a few times the interval at which it is shown again.
const HOLDS_FOR: SignedDuration = SignedDuration::from_mins(5);

/// The members of an Alertmanager cluster.
#[derive(Clone, Debug)]
pub struct Alertmanager {
    /// Where they are, without `/api/v2`.
    pub members: Vec<Place>,
    /// What a proxy in front of them asks for.
    pub token: Option<SecretString>,
}

impl Alertmanager {
    /// Shows incidents to every member.
    pub(super) async fn show(
        &self,
        incidents: &[Incident],
        language: Language,
        sending: &Sending<'_>,
    ) -> Verdict {
        let body = alerts(incidents, language, (sending.display, sending.now));
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut worst = Verdict::Delivered;
        for member in &self.members {
            let post = Post { headers: &[], bearer: self.token.as_ref(), body: body.clone() };
            let place = member.below("/api/v2/alerts");
            let verdict = match sending.poster.post(&place, Reach::Anywhere, post).await {
                Ok(reply) => usual(&reply),
                Err(none) => none.into(),
            };
            if verdict != Verdict::Delivered {
                worst = verdict;
            }
        }
        worst
    }
}

/// The alerts, as the API takes them.
pub(super) fn alerts(
    incidents: &[Incident],
    language: Language,
    (display, now): (&Display, Timestamp),
) -> Value {
    let alert = |incident: &Incident| {
        let mut labels = Map::new();
        labels.insert("alertname".to_owned(), Value::from(incident.rule.as_str()));
        labels.insert("source".to_owned(), Value::from("tollgate"));
        for (name, value) in incident.labels().into_iter().filter(|(name, _)| name != "rule") {
            labels.insert(name, Value::from(value));
        }
        if let Some(step) = incident.budget.as_ref().and_then(|budget| budget.step) {
            labels.insert("step".to_owned(), Value::from(format!("{}%", step / 10)));
        }
        let ends = match incident.state {
            State::Resolved => incident.ended_at.unwrap_or(now),
            State::Firing | State::Pending => now.checked_add(HOLDS_FOR).unwrap_or(now),
        };
        json!({
            "labels": labels,
            "annotations": {"summary": headline(incident, language, display)},
            "startsAt": incident.fired_at.unwrap_or(incident.since),
            "endsAt": ends,
        })
    };
    incidents.iter().map(alert).collect()
}
