//! Alerts: what is open, what happened, silences, samples.

use jiff::Timestamp;
use tollgate_admission::control::{
    Actor, AlertEventRow, AlertHistoryQuery, AlertRow, AlertRuleRow, AlertTest, AlertTestRow,
    ControlError, NewSilence, Page, SilenceRow, page_size,
};
use tollgate_alerts::rule::Shipped;
use tollgate_alerts::text::{Display, headline};
use tollgate_alerts::{Incident, MATCHABLE, Silence, State};
use tollgate_store::{AlertEventFilter, AlertRecord, SilenceRecord};

use super::{Controls, Deed, check_known, failed};
use crate::alerts;
use crate::config::Config;

/// Longest reason, in bytes.
const MAX_REASON: usize = 500;
/// Most labels that a silence matches.
const MAX_MATCHERS: usize = 12;

impl Controls {
    pub(super) fn list_alerts(&self) -> Result<Vec<AlertRow>, ControlError> {
        let now = self.clock.now();
        let registry = self.registry.lock();
        let (records, silences) = (registry.alerts()?, alerts::silences(&registry, now)?);
        let shown = Shown { config: &self.config.lock(), silences, now };
        let rows = records.iter().filter_map(|record| shown.row(record));
        Ok(rows.filter(|row| row.state != State::Resolved.as_str()).collect())
    }

    pub(super) fn list_alert_history(
        &self,
        query: &AlertHistoryQuery,
    ) -> Result<Page<AlertEventRow>, ControlError> {
        let size = page_size(query.limit)?;
        let before = query.cursor.as_deref().map(|text| {
            text.parse().map_err(|_| ControlError::Invalid(format!("`{text}` is no cursor")))
        });
        let filter = AlertEventFilter {
            rule: query.rule.clone(),
            key: query.key.clone(),
            before: before.transpose()?,
        };
        let found = self.registry.lock().alert_history(&filter, size + 1)?;
        let shown =
            Shown { config: &self.config.lock(), silences: Vec::new(), now: self.clock.now() };
        let row = |event: tollgate_store::AlertEventRecord| {
            Some(AlertEventRow {
                id: event.id,
                time: event.time,
                happened: event.happened,
                alert: shown.row(&event.alert)?,
            })
        };
        let rows: Vec<AlertEventRow> = found.into_iter().filter_map(row).collect();
        Ok(Page::cut(rows, size, |row| row.id.to_string()))
    }

    pub(super) fn list_alert_rules(&self) -> Result<Vec<AlertRuleRow>, ControlError> {
        let open = self.registry.lock().alerts()?;
        let firing = |rule: &str| {
            let of_rule = open.iter().filter(|record| record.rule == rule);
            let incidents = of_rule.filter_map(incident);
            let count = incidents.filter(|it| it.state == State::Firing).count();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        let config = self.config.lock();
        let rules = config.alerts.rules.iter().map(|rule| AlertRuleRow {
            name: rule.name.to_string(),
            when: rule.when(),
            severity: rule.severity.as_str().to_owned(),
            channels: rule.channels.iter().map(ToString::to_string).collect(),
            action: rule.action.map(|action| {
                let lasting = action.lasting.map(tollgate_alerts::measure::span_text);
                let lasting = lasting.map(|text| format!(" for {text}")).unwrap_or_default();
                format!("{}{lasting}", action.deed.as_str())
            }),
            shipped: Shipped::named(&rule.name).is_some(),
            firing: firing(&rule.name),
        });
        Ok(rules.collect())
    }

    pub(super) fn list_silences(&self) -> Result<Vec<SilenceRow>, ControlError> {
        let silences = alerts::silences(&self.registry.lock(), self.clock.now())?;
        Ok(silences.into_iter().map(silence_row).collect())
    }

    pub(super) fn make_silence(
        &self,
        by: &Actor,
        new: NewSilence,
    ) -> Result<SilenceRow, ControlError> {
        let now = self.clock.now();
        check_silence(&new, now)?;
        let matchers: Vec<(String, String)> = new.matchers.into_iter().collect();
        let mut silence = Silence {
            id: 0,
            matchers,
            reason: new.reason.unwrap_or_default(),
            by: by.0.clone(),
            from: now,
            until: new.until,
        };
        let record = SilenceRecord {
            id: 0,
            matchers: serde_json::to_string(&silence.matchers).map_err(failed)?,
            reason: silence.reason.clone(),
            by: silence.by.clone(),
            from: silence.from,
            until: silence.until,
        };
        self.registry.lock().change(|change| {
            silence.id = change.insert_silence(&record)?;
            let row = silence_row(silence);
            let subject = row.id.to_string();
            let deed = Deed { by, action: "silence.create", subject: &subject };
            deed.note(change, &self.clock, (None::<&SilenceRow>, Some(&row)))?;
            Ok(row)
        })
    }

    pub(super) fn end_silence(&self, by: &Actor, id: i64) -> Result<(), ControlError> {
        let now = self.clock.now();
        self.registry.lock().change(|change| {
            let before = alerts::silence_of(change.end_silence(id, now)?).map(silence_row);
            let subject = id.to_string();
            let deed = Deed { by, action: "silence.end", subject: &subject };
            deed.note(change, &self.clock, (before.as_ref(), None::<&SilenceRow>))
        })
    }

    pub(super) fn send_samples(
        &self,
        by: &Actor,
        test: AlertTest,
    ) -> Result<Vec<AlertTestRow>, ControlError> {
        let config = self.config.lock().clone();
        if let Some(channel) = &test.channel {
            let names = config.alerts.channels.iter().map(|own| &own.channel.name);
            check_known("alert channel", channel, names)?;
        }
        let sent = alerts::test(&config, test.channel.as_deref(), &self.clock).map_err(failed)?;
        let rows: Vec<AlertTestRow> = sent
            .into_iter()
            .map(|(channel, kind, verdict)| AlertTestRow {
                channel: channel.to_string(),
                kind: kind.to_owned(),
                outcome: verdict.as_str().to_owned(),
                why: verdict.why().map(str::to_owned),
            })
            .collect();
        let subject = test.channel.unwrap_or_else(|| "all".to_owned());
        self.registry.lock().change(|change| {
            let deed = Deed { by, action: "alert.test", subject: &subject };
            deed.note(change, &self.clock, (None::<&AlertTestRow>, Some(&rows)))
        })?;
        Ok(rows)
    }
}

fn incident(record: &AlertRecord) -> Option<Incident> {
    serde_json::from_str(&record.alert).ok()
}

/// How alerts are shown.
struct Shown<'a> {
    config: &'a Config,
    silences: Vec<Silence>,
    now: Timestamp,
}

impl Shown<'_> {
    /// A row; `None` where another version of the program has written what cannot be read.
    fn row(&self, record: &AlertRecord) -> Option<AlertRow> {
        let incident = incident(record)?;
        let display: Display = alerts::display(self.config);
        let doing = incident.doing.as_ref();
        Some(AlertRow {
            text: headline(&incident, self.config.alerts.language, &display),
            labels: incident.labels(),
            silenced: self.silences.iter().any(|it| it.covers(&incident, self.now)),
            action: doing.map(|doing| doing.deed.as_str().to_owned()),
            action_state: doing.map(|doing| doing.progress.as_str().to_owned()),
            action_until: doing.and_then(|doing| doing.until),
            key: incident.key,
            rule: incident.rule,
            severity: incident.severity.as_str().to_owned(),
            state: incident.state.as_str().to_owned(),
            since: incident.since,
            fired_at: incident.fired_at,
            ended_at: incident.ended_at,
            told_at: incident.told_at,
        })
    }
}

fn check_silence(new: &NewSilence, now: Timestamp) -> Result<(), ControlError> {
    let invalid = |message: String| Err(ControlError::Invalid(message));
    if new.until <= now {
        return invalid("`until` lies in the past".to_owned());
    }
    if new.matchers.is_empty() || new.matchers.len() > MAX_MATCHERS {
        return invalid(format!("a silence matches 1 to {MAX_MATCHERS} labels"));
    }
    for (name, value) in &new.matchers {
        if !MATCHABLE.contains(&name.as_str()) {
            let known = MATCHABLE.join(", ");
            return invalid(format!("there is no label `{name}`; the labels are: {known}"));
        }
        if value.is_empty() || value.len() > MAX_REASON || value.chars().any(char::is_control) {
            return invalid(format!("the value of `{name}` must be one line of text"));
        }
    }
    let reason = new.reason.as_deref().unwrap_or_default();
    if reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
        return invalid(format!("the reason must be one line of at most {MAX_REASON} bytes"));
    }
    Ok(())
}

fn silence_row(silence: Silence) -> SilenceRow {
    SilenceRow {
        id: silence.id,
        matchers: silence.matchers.into_iter().collect(),
        reason: silence.reason,
        by: silence.by,
        from: silence.from,
        until: silence.until,
    }
}
