//! Which conditions hold at present, for whom.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Compiled, Engine, Reached};
use crate::condition::{Bound, Condition};
use crate::incident::{Doing, Incident, Progress, State, is_above};
use crate::measure::Source;
use crate::rule::Rule;

/// How long a condition must not hold before an alert is over: what hovers around its bound is one
/// alert.
const CALM: SignedDuration = SignedDuration::from_secs(60);
/// Most open incidents of a rule; the largest values come first.
const MOST_OPEN: usize = 500;
/// An alert lasts until the value is below this share of its bound, in parts per thousand.
const STAYS: i128 = 900;

/// A condition that holds for a subject.
struct Held {
    subject: Arc<str>,
    value: i64,
    bound: i64,
    usual: Option<i64>,
    /// The reading that it is about.
    reading: Option<usize>,
}

impl Engine {
    /// Begins, goes on with and ends incidents; gives the keys of those that hold.
    pub(super) fn evaluate(&mut self, now: Timestamp) -> HashSet<String> {
        let mut holding = HashSet::new();
        for at in 0..self.rules.len() {
            let held = self.rules.get(at).map(|it| self.held(it)).unwrap_or_default();
            for held in held {
                let Some(compiled) = self.rules.get(at) else { continue };
                let Some(condition) = compiled.condition.clone() else { continue };
                let rule = compiled.rule.clone();
                let key = key_of(&rule, &condition, &held.subject);
                self.hold((&rule, &condition), &key, &held, now);
                holding.insert(key);
            }
        }
        for step in std::mem::take(&mut self.reached) {
            self.begin_step(step, now);
        }
        holding
    }

    /// For whom the condition of a rule holds.
    fn held(&self, compiled: &Compiled) -> Vec<Held> {
        let Some(condition) = &compiled.condition else { return Vec::new() };
        let mut held: Vec<Held> = match compiled.table {
            Some(at) => {
                let values = self.values.get(at).into_iter().flatten();
                values
                    .filter_map(|(subject, value)| {
                        let judged = (subject, *value);
                        self.judge(compiled, condition, judged, None)
                    })
                    .collect()
            }
            None => {
                let fits = |(_, reading): &(usize, &super::Reading)| {
                    let measure = &condition.measure;
                    reading.metric == measure.metric
                        && measure.covers_subject(measure.by, &reading.subject)
                };
                self.readings
                    .iter()
                    .enumerate()
                    .filter(fits)
                    .filter_map(|(at, reading)| {
                        let judged = (&reading.subject, reading.value);
                        self.judge(compiled, condition, judged, Some(at))
                    })
                    .collect()
            }
        };
        held.sort_by_key(|held| std::cmp::Reverse(held.value));
        held.truncate(MOST_OPEN);
        held
    }

    fn judge(
        &self,
        compiled: &Compiled,
        condition: &Condition,
        (subject, value): (&Arc<str>, i64),
        reading: Option<usize>,
    ) -> Option<Held> {
        let (usual, bound) = match condition.bound {
            Bound::Fixed(bound) => (None, bound),
            Bound::Usual { thousandths } => {
                let usual =
                    self.usual((compiled.table?, compiled.rule.floor), condition, subject)?;
                let bound = i128::from(usual) * i128::from(thousandths) / 1_000;
                (Some(usual), i64::try_from(bound).unwrap_or(i64::MAX))
            }
        };
        let key = key_of(&compiled.rule, condition, subject);
        let fires = self.incidents.get(&key).is_some_and(|it| it.state == State::Firing);
        let (wide, limit) = (i128::from(value), i128::from(bound));
        let stays = fires
            && condition.comparison.is_upwards()
            && condition.measure.metric.source() == Source::Calls
            && wide * 1_000 > limit * STAYS;
        let holds = stays || condition.comparison.holds(wide, limit);
        holds.then(|| Held { subject: Arc::clone(subject), value, bound, usual, reading })
    }

    /// The condition of a rule holds for a subject.
    fn hold(
        &mut self,
        (rule, condition): (&Rule, &Condition),
        key: &str,
        held: &Held,
        now: Timestamp,
    ) {
        let reading = held.reading.and_then(|at| self.readings.get(at)).cloned();
        let open = self.incidents.get_mut(key).filter(|incident| incident.is_open());
        if let Some(incident) = open {
            incident.last_held = now;
            incident.value = held.value;
            incident.bound = held.bound;
            incident.usual = held.usual;
            if let Some(reading) = reading {
                (incident.budget, incident.note) = (reading.budget, reading.note);
            }
            let long = now.duration_since(incident.since) >= hold_of(condition);
            if incident.state == State::Pending && long {
                self.fire(key, now);
            }
            return;
        }
        let lifting = self.incidents.get(key).and_then(|incident| incident.doing.clone());
        let (budget, note) = reading.map_or((None, None), |it| (it.budget, it.note));
        let incident = Incident {
            key: key.to_owned(),
            rule: rule.name.to_string(),
            severity: rule.severity,
            state: State::Pending,
            by: condition.measure.by,
            subject: held.subject.to_string(),
            metric: Some(condition.measure.metric),
            window: condition.measure.window.to_string(),
            value: held.value,
            bound: held.bound,
            is_above: is_above(condition.comparison),
            usual: held.usual,
            budget,
            note,
            since: now,
            fired_at: None,
            ended_at: None,
            until: None,
            last_held: now,
            told_at: None,
            models: Vec::new(),
            doing: lifting,
        };
        self.incidents.insert(key.to_owned(), incident);
        self.dirty.insert(key.to_owned());
        if condition.hold.is_zero() {
            self.fire(key, now);
        }
    }

    /// Makes an alert of an incident.
    fn fire(&mut self, key: &str, now: Timestamp) {
        let action = self
            .incidents
            .get(key)
            .and_then(|incident| self.rule(&incident.rule))
            .and_then(|rule| rule.action);
        let Some(incident) = self.incidents.get_mut(key) else { return };
        incident.state = State::Firing;
        incident.fired_at = Some(now);
        if let Some(action) = action {
            let lasting = action.lasting.and_then(|it| SignedDuration::try_from(it).ok());
            incident.doing = Some(Doing {
                deed: action.deed,
                until: lasting.and_then(|lasting| now.checked_add(lasting).ok()),
                progress: Progress::Due,
                tries: 0,
            });
        }
        self.dirty.insert(key.to_owned());
        self.fired.push(key.to_owned());
    }

    /// A limit has reached a step of use.
    fn begin_step(&mut self, step: Reached, now: Timestamp) {
        let Reached { key, budget, until, reported_until } = step;
        let found = self.rules.iter().find(|compiled| compiled.condition.is_none());
        let Some(rule) = found.map(|compiled| &compiled.rule) else { return };
        let severity = if budget.step.is_some_and(|step| step >= 1_000) {
            rule.severity.max(crate::rule::Severity::Critical)
        } else {
            rule.severity
        };
        let incident = Incident {
            key: key.clone(),
            rule: rule.name.to_string(),
            severity,
            state: State::Pending,
            by: None,
            subject: String::new(),
            metric: None,
            window: budget.window.clone(),
            value: budget.used,
            bound: budget.max,
            is_above: true,
            usual: None,
            budget: Some(budget),
            note: None,
            since: now,
            fired_at: None,
            ended_at: None,
            until: Some(until),
            last_held: now,
            told_at: None,
            models: Vec::new(),
            doing: None,
        };
        self.steps.push((key.clone(), reported_until));
        self.incidents.insert(key.clone(), incident);
        self.fire(&key, now);
    }

    /// Whether an incident that does not hold is over.
    pub(super) fn is_over(&self, incident: &Incident, now: Timestamp) -> bool {
        if let Some(until) = incident.until {
            return until <= now;
        }
        let rule = self.rules.iter().find(|it| *it.rule.name == *incident.rule);
        let Some(condition) = rule.and_then(|it| it.condition.as_ref()) else { return true };
        let calm = condition.measure.window.is_calendar() || incident.state == State::Pending;
        calm || now.duration_since(incident.last_held) >= CALM
    }
}

fn hold_of(condition: &Condition) -> SignedDuration {
    SignedDuration::try_from(condition.hold).unwrap_or(SignedDuration::MAX)
}

/// What names an incident.
fn key_of(rule: &Rule, condition: &Condition, subject: &str) -> String {
    match condition.measure.by {
        Some(by) => format!("{}/{}={subject}", rule.name, by.as_str()),
        None => rule.name.to_string(),
    }
}
