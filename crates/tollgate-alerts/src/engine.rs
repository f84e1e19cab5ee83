//! The engine: counts calls, compares with rules, and says what has begun and ended, who is to be
//! told and what is to be done.
//!
//! It does no I/O and reads no clock. Its owner feeds it ([`Engine::observe`], [`Engine::signal`],
//! [`Engine::read`], [`Engine::reach`]), asks it what it wants to know of the past
//! ([`Engine::look`], [`Engine::learn`]) and lets it take a [`Turn`]. The owner does what a turn asks
//! for, writes all of it down in one transaction, messages included, and takes the next one only
//! then: a crash in between repeats a deed, which changes nothing, and neither repeats nor forgets a
//! message.

mod amend;
mod evaluate;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_domain::call::CallRecord;

use crate::baseline::{self, Ask, History};
use crate::condition::{Bound, Condition};
use crate::incident::{Budget, Incident, State};
use crate::live::{Table, Tally};
use crate::measure::{Measure, Metric, Source};
use crate::rule::{Language, Rule, Severity};
use crate::sums::Sums;

pub use amend::Came;
pub use turn::{Act, Event, Happened, Telling, TellingKind, Turn};

/// How long what was learnt of the past holds, in minutes.
const LEARNT_FOR: i64 = 15;
/// Most subjects about whom the past is known at a time.
const MOST_LEARNT: usize = 10_000;
/// Most questions about the past in one turn.
const MOST_ASKS: usize = 50;

/// What happens beside calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// What: a metric whose source is signals.
    pub metric: Metric,
    /// To whom: the value of the metric's dimension.
    pub subject: Arc<str>,
    /// When.
    pub at: Timestamp,
}

/// How something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What: a metric whose source is gauges.
    pub metric: Metric,
    /// Of whom: the value of the metric's dimension; empty where it has none.
    pub subject: Arc<str>,
    /// In the unit of the metric.
    pub value: i64,
    /// The limit, where it is one's.
    pub budget: Option<Budget>,
    /// What there is to say about it.
    pub note: Option<String>,
}

/// A step of use that a limit has reached, and that was not reported in its window yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// What names the step: limit, subject, window and step.
    pub key: String,
    /// The limit and its figures.
    pub budget: Budget,
    /// When its window ends, and with it the alert.
    pub until: Timestamp,
    /// Until when it counts as reported.
    pub reported_until: Timestamp,
}

/// What the engine knows of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it takes incidents one by one and follows them to their end.
    pub follows: bool,
    /// Whether it is shown how all stands instead of being told what changes.
    pub mirrors: bool,
    /// What is less than this it is not told.
    pub least: Severity,
    /// In which language.
    pub language: Language,
}

/// What holds for all rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The zone of days, weeks and months.
    pub zone: TimeZone,
    /// The rules.
    pub rules: Vec<Rule>,
    /// Who can be told.
    pub listeners: Vec<Listener>,
    /// How long a second message of the same group waits at least.
    pub pause: Duration,
}

/// What is known of a rule while it is in force.
#[derive(Debug)]
struct Compiled {
    rule: Rule,
    condition: Option<Condition>,
    /// Its table, where it counts anything.
    table: Option<usize>,
}

/// The engine.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    rules: Vec<Compiled>,
    tables: Vec<Table>,
    /// The values of each table as they were looked at last.
    values: Vec<Vec<(Arc<str>, i64)>>,
    readings: Vec<Reading>,
    reached: Vec<Reached>,
    learnt: HashMap<(usize, Arc<str>), Learnt>,
    incidents: BTreeMap<String, Incident>,
    /// What has changed and is not written down.
    dirty: BTreeSet<String>,
    told: HashMap<Arc<str>, Timestamp>,
    /// What is silent at present.
    silenced: HashSet<String>,
    /// What has become an alert in this turn.
    fired: Vec<String>,
    /// The steps that this turn reports.
    steps: Vec<(String, Timestamp)>,
    /// What has ended of late, for channels that mirror.
    ended: Vec<Incident>,
}

#[derive(Debug)]
struct Learnt {
    history: History,
    at: Timestamp,
}

impl Engine {
    /// An engine that has counted nothing; `open` is what a previous one left.
    pub fn new(settings: Settings, open: impl IntoIterator<Item = Incident>) -> Self {
        let incidents = open.into_iter().map(|incident| (incident.key.clone(), incident)).collect();
        let mut engine = Self {
            rules: Vec::new(),
            tables: Vec::new(),
            values: Vec::new(),
            readings: Vec::new(),
            reached: Vec::new(),
            learnt: HashMap::new(),
            incidents,
            dirty: BTreeSet::new(),
            told: HashMap::new(),
            silenced: HashSet::new(),
            fired: Vec::new(),
            steps: Vec::new(),
            ended: Vec::new(),
            settings,
        };
        engine.compile();
        engine
    }

    /// Puts other rules in force. What was counted for a measure that stays is kept.
    pub fn change(&mut self, settings: Settings) {
        let same_zone = self.settings.zone == settings.zone;
        self.settings = settings;
        if !same_zone {
            self.tables.clear();
        }
        self.learnt.clear();
        self.compile();
    }

    fn compile(&mut self) {
        let mut before = std::mem::take(&mut self.tables);
        self.rules.clear();
        for rule in self.settings.rules.clone() {
            let condition = rule.condition().cloned();
            let counted = condition.as_ref().map(|it| &it.measure);
            let counted = counted.filter(|it| it.metric.source() != Source::Gauges);
            let table = counted.map(|measure| {
                let known = self.tables.iter().position(|table| table.measure() == measure);
                known.unwrap_or_else(|| {
                    let kept = before.iter().position(|table| table.measure() == measure);
                    let fresh = || Table::new(measure.clone(), self.settings.zone.clone());
                    let table = kept.map_or_else(fresh, |at| before.swap_remove(at));
                    self.tables.push(table);
                    self.tables.len() - 1
                })
            });
            self.rules.push(Compiled { rule, condition, table });
        }
        self.values = vec![Vec::new(); self.tables.len()];
    }

    /// Counts a finished call.
    pub fn observe(&mut self, call: &CallRecord) {
        for table in &mut self.tables {
            table.observe(call);
        }
    }

    /// Forgets what was counted: for a recall that broke off and is begun again.
    pub fn forget_counts(&mut self) {
        self.tables.clear();
        self.compile();
    }

    /// What is counted of calls, in the order of [`Engine::recall`].
    pub fn measures(&self) -> Vec<Measure> {
        self.tables.iter().map(|table| table.measure().clone()).collect()
    }

    /// Counts what calls of a subject added up to before the engine began, from `at` on, in one
    /// measure: one that has sums.
    pub fn recall(&mut self, measure: usize, subject: Arc<str>, (at, sums): (Timestamp, &Sums)) {
        if let Some(table) = self.tables.get_mut(measure) {
            let value = sums.value(table.measure().metric);
            if value != 0 {
                table.count(subject, at, Tally::Add(value));
            }
        }
    }

    /// Counts a call that happened before the engine began, in one measure.
    pub fn recall_call(&mut self, measure: usize, call: &CallRecord) {
        if let Some(table) = self.tables.get_mut(measure) {
            table.observe(call);
        }
    }

    /// Counts something that happened beside calls.
    pub fn signal(&mut self, signal: &Signal) {
        let dimension = signal.metric.dimensions().first().copied();
        for table in &mut self.tables {
            let measure = table.measure();
            if measure.metric == signal.metric && measure.covers_subject(dimension, &signal.subject)
            {
                let subject =
                    if measure.by.is_some() { Arc::clone(&signal.subject) } else { Arc::default() };
                table.count(subject, signal.at, Tally::Add(1));
            }
        }
    }

    /// Takes how things stand, in the place of what was read before.
    pub fn read(&mut self, readings: Vec<Reading>) {
        self.readings = readings;
    }

    /// Takes steps of use that are to be reported in the next turn.
    pub fn reach(&mut self, reached: impl IntoIterator<Item = Reached>) {
        for step in reached {
            let known = self.reached.iter().any(|known| known.key == step.key);
            if !known && !self.incidents.contains_key(&step.key) {
                self.reached.push(step);
            }
        }
    }

    /// Looks at all counters, and says what has to be known of the past for the next turn.
    pub fn look(&mut self, now: Timestamp) -> Vec<Ask> {
        self.values = self.tables.iter_mut().map(|table| table.values(now)).collect();
        let old = |learnt: &Learnt| now.duration_since(learnt.at).as_mins() >= LEARNT_FOR;
        self.learnt.retain(|_, learnt| !old(learnt));
        let mut asks = Vec::new();
        for compiled in &self.rules {
            let (Some(condition), Some(at)) = (&compiled.condition, compiled.table) else {
                continue;
            };
            let Bound::Usual { thousandths } = condition.bound else { continue };
            for (subject, value) in self.values.get(at).into_iter().flatten() {
                let least = i128::from(compiled.rule.floor) * i128::from(thousandths);
                let may_be = i128::from(*value) * 1_000 >= least;
                let known = self.learnt.contains_key(&(at, Arc::clone(subject)));
                let asked = asks
                    .iter()
                    .any(|(_, ask): &(i64, Ask)| ask.table == at && ask.subject == *subject);
                if may_be && !known && !asked {
                    let table = (at, &condition.measure);
                    let zone = &self.settings.zone;
                    asks.push((*value, Ask::new(table, Arc::clone(subject), zone, now)));
                }
            }
        }
        asks.sort_by_key(|(value, _)| std::cmp::Reverse(*value));
        asks.into_iter().take(MOST_ASKS).map(|(_, ask)| ask).collect()
    }

    /// Takes the answer to a question about the past.
    pub fn learn(&mut self, ask: &Ask, history: History, now: Timestamp) {
        if self.learnt.len() >= MOST_LEARNT {
            self.learnt.clear();
        }
        let learnt = Learnt { history, at: now };
        self.learnt.insert((ask.table, Arc::clone(&ask.subject)), learnt);
    }

    /// What is usual for a subject; `None` where its past is not known.
    fn usual(
        &self,
        (at, floor): (usize, i64),
        condition: &Condition,
        subject: &Arc<str>,
    ) -> Option<i64> {
        let learnt = self.learnt.get(&(at, Arc::clone(subject)))?;
        let measure = (&condition.measure, floor);
        Some(baseline::usual(measure, &learnt.history, &self.settings.zone, learnt.at))
    }

    /// What is open, in the order of its keys.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values().filter(|incident| incident.is_open())
    }

    /// What a channel that mirrors is shown: what fires, and what has ended of late.
    pub fn mirrored<'a>(&'a self, listener: &'a str) -> impl Iterator<Item = &'a Incident> {
        let told = move |incident: &&Incident| {
            let rule = self.rules.iter().find(|it| *it.rule.name == *incident.rule);
            rule.is_some_and(|it| it.rule.channels.iter().any(|name| **name == *listener))
        };
        let shown = |it: &&Incident| {
            it.told_at.is_some() && it.is_open() && !self.silenced.contains(&it.key)
        };
        // What is open again is the same alert there: its earlier end would end it.
        let names = |it: &Incident| (it.labels(), it.budget.as_ref().and_then(|it| it.step));
        let again = move |ended: &&Incident| {
            self.incidents().any(|open| open.rule == ended.rule && names(open) == names(ended))
        };
        let ended = self.ended.iter().filter(move |it| !again(it));
        ended.chain(self.incidents.values().filter(shown)).filter(told)
    }

    /// How many alerts each rule has, every rule named.
    pub fn firing(&self) -> BTreeMap<Arc<str>, u64> {
        let mut firing: BTreeMap<Arc<str>, u64> =
            self.rules.iter().map(|it| (Arc::clone(&it.rule.name), 0)).collect();
        for incident in self.incidents.values().filter(|it| it.state == State::Firing) {
            if let Some(count) = firing.get_mut(&*incident.rule) {
                *count += 1;
            }
        }
        firing
    }

    fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().map(|compiled| &compiled.rule).find(|rule| *rule.name == *name)
    }

    fn listener(&self, name: &str) -> Option<&Listener> {
        self.settings.listeners.iter().find(|listener| *listener.name == *name)
    }
}

#[cfg(test)]
mod tests;
