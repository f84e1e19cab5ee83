//! Turns of the engine as the database keeps them.

use jiff::Timestamp;
use serde::Serialize;
use tollgate_alerts::engine::{Event, Turn};
use tollgate_alerts::notice::Notice;
use tollgate_alerts::{Incident, Silence};
use tollgate_store::{
    AlertEventRecord, AlertRecord, AlertWork, NoticeRecord, Registry, SilenceRecord, StoreError,
};

/// A turn as it is written down.
pub(super) fn work(turn: &Turn, now: Timestamp) -> AlertWork {
    AlertWork {
        put: turn.changed.iter().map(record).collect(),
        remove: turn.gone.clone(),
        steps: turn.steps.clone(),
        events: turn.events.iter().map(event).collect(),
        notices: turn
            .tellings
            .iter()
            .map(|telling| NoticeRecord {
                thread: Some(telling.thread.to_string()),
                ..notice(&telling.channel, &Notice::of(telling, now))
            })
            .collect(),
    }
}

/// What is written down of a turn before anything is done: whom something is done to, that it is
/// due, and until when, so that whatever comes between finds its way back. That they were told is
/// written with the messages.
pub(super) fn intent(turn: &Turn, now: Timestamp) -> AlertWork {
    let acts = |key: &str| turn.act.iter().any(|act| act.key == key);
    let incidents = turn.changed.iter().filter(|incident| acts(&incident.key));
    let put = incidents.map(|incident| {
        let told_at = incident.told_at.filter(|told| *told != now);
        record(&Incident { told_at, ..incident.clone() })
    });
    AlertWork {
        put: put.collect(),
        events: turn.events.iter().filter(|it| acts(&it.incident.key)).map(event).collect(),
        ..AlertWork::default()
    }
}

fn event(event: &Event) -> AlertEventRecord {
    AlertEventRecord {
        id: 0,
        time: event.time,
        happened: event.happened.as_str().to_owned(),
        alert: record(&event.incident),
    }
}

fn record(incident: &Incident) -> AlertRecord {
    AlertRecord { key: incident.key.clone(), rule: incident.rule.clone(), alert: json(incident) }
}

/// A message as it is written down.
pub(crate) fn notice(channel: &str, notice: &Notice) -> NoticeRecord {
    NoticeRecord {
        id: 0,
        channel: channel.to_owned(),
        notice: json(notice),
        thread: None,
        created_at: notice.time,
        attempts: 0,
    }
}

/// Nothing that is written here can fail to be JSON: no map has keys that are no text.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What a previous run left open. What cannot be read is left out: it would keep all others from
/// being followed.
pub(super) fn open(registry: &Registry) -> Result<Vec<Incident>, StoreError> {
    let records = registry.alerts()?.into_iter();
    Ok(records.filter_map(|record| serde_json::from_str(&record.alert).ok()).collect())
}

/// The silences in force.
pub(crate) fn silences(registry: &Registry, now: Timestamp) -> Result<Vec<Silence>, StoreError> {
    Ok(registry.silences(now)?.into_iter().filter_map(silence).collect())
}

pub(crate) fn silence(record: SilenceRecord) -> Option<Silence> {
    Some(Silence {
        id: record.id,
        matchers: serde_json::from_str(&record.matchers).ok()?,
        reason: record.reason,
        by: record.by,
        from: record.from,
        until: record.until,
    })
}
