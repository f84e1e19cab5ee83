//! Channels that mirror: they are shown how all stands, again and again, instead of being told what
//! changes. Nothing of it is in the outbox: what was not taken is shown as it stands then.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tollgate_alerts::Incident;
use tollgate_alerts::channel::{Sending, Verdict};
use tollgate_alerts::notice::Notice;

use super::super::flights::Flight;
use super::super::routes::Route;
use super::Courier;

/// How often a channel that mirrors is shown how all stands.
const SHOW: SignedDuration = SignedDuration::from_mins(1);
/// How soon again where it did not take it.
const SHOW_AGAIN: SignedDuration = SignedDuration::from_secs(15);
/// How long it is left alone at most, whatever it asks for: what is shown there must not grow old.
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(10);
/// A channel that mirrors and has taken nothing for so many times does not work.
const MOST_FAILURES: u32 = 20;

impl Courier {
    /// Shows how all stands, where something has changed or it is time.
    pub(super) fn mirror(&mut self, route: &Arc<Route>, now: Timestamp) {
        let incidents = self.link.shelf.mirrored(&route.channel.name);
        let digest = digest(&incidents);
        let Some(standing) = self.standings.get_mut(&route.channel.name) else { return };
        let known = standing.shown.is_some_and(|(last, until)| last == digest && until > now);
        if known || (incidents.is_empty() && standing.shown.is_none()) {
            return;
        }
        standing.shown = Some((digest, now.checked_add(SHOW).unwrap_or(now)));
        let channel = Arc::clone(&route.channel.name);
        let flight = Flight { channel, record: None, notice: None };
        let (route, display) = (Arc::clone(route), self.routes.display.clone());
        self.under_way.send(flight, async move {
            let mut notice = Notice::sample(route.channel.language, now);
            notice.incidents = incidents;
            let sending = Sending { id: "", now, display: &display, poster: &route.poster };
            route.channel.send(&notice, &sending).await
        });
    }

    /// What came of showing how all stands.
    pub(super) fn mirrored(&mut self, route: &Route, verdict: &Verdict, now: Timestamp) {
        let Some(why) = verdict.why() else { return };
        let channel = &route.channel.name;
        let Some(standing) = self.standings.get_mut(channel) else { return };
        standing.shown = None;
        let asked = match verdict {
            Verdict::Later { after, .. } => after.and_then(|it| SignedDuration::try_from(it).ok()),
            _ => None,
        };
        let rest = asked.unwrap_or(SHOW_AGAIN).clamp(SHOW_AGAIN, LONGEST_REST);
        standing.rests = now.checked_add(rest).ok();
        if standing.failures != MOST_FAILURES {
            return;
        }
        let sample = Notice::sample(route.channel.language, now);
        for record in self.tell_others(route, (&sample, why, false), now) {
            if let Ok(notice) = serde_json::from_str(&record.notice) {
                self.link.shelf.put(Arc::from(&*record.channel), notice);
            }
        }
    }
}

/// Tells one state of things from another: which alerts fire and which have ended.
fn digest(incidents: &[Incident]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for incident in incidents {
        (&incident.key, incident.ended_at.is_some()).hash(&mut hasher);
    }
    hasher.finish()
}
