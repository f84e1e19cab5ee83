//! One turn: what has happened since the last one, who is to be told, what is to be done.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::incident::{Doing, Incident, Progress, State};
use crate::measure::By;
use crate::rule::{Deed, Language};
use crate::silence::Silence;

/// Most incidents that are told one by one in a message.
const MOST_TOLD: usize = 20;
/// Most steps of limits that stay open until their window ends; more are told and done with.
const MOST_STEPS: usize = 1_000;
/// What has ended is shown to channels that mirror for so long.
const SHOWN_FOR: SignedDuration = SignedDuration::from_mins(10);

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// It became an alert.
    Fired,
    /// It is over.
    Resolved,
}

impl Happened {
    /// The word that documents use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Resolved => "resolved",
        }
    }
}

/// Something that happened, for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// What.
    pub happened: Happened,
    /// To which incident, as it was then.
    pub incident: Incident,
}

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TellingKind {
    /// It has begun.
    Fired,
    /// It goes on.
    Repeated,
    /// It is over.
    Resolved,
}

/// A message to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// The channel.
    pub channel: Arc<str>,
    /// Why.
    pub kind: TellingKind,
    /// In which language.
    pub language: Language,
    /// About what; never empty.
    pub incidents: Vec<Incident>,
    /// How many more there are that are not told one by one.
    pub more: usize,
    /// Messages of one thread reach a channel in the order in which they were written.
    pub thread: Arc<str>,
}

/// Something that is to be done or undone about an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The incident.
    pub key: String,
    /// The rule.
    pub rule: String,
    /// What.
    pub deed: Deed,
    /// To what kind of thing.
    pub by: Option<By>,
    /// To whom.
    pub subject: String,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Rules that do the same to the same subject and end sooner: this deed takes their place.
    pub outlasts: Vec<String>,
}

/// What a turn brings. It is to be written down as a whole, then carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Incidents that are new or have changed.
    pub changed: Vec<Incident>,
    /// Keys of those that need no longer be kept.
    pub gone: Vec<String>,
    /// Steps of limits that are reported from now on, and until when.
    pub steps: Vec<(String, Timestamp)>,
    /// What happened.
    pub events: Vec<Event>,
    /// Who is told.
    pub tellings: Vec<Telling>,
    /// What is done.
    pub act: Vec<Act>,
    /// What is undone.
    pub lift: Vec<Act>,
}

impl Turn {
    /// Whether there is anything to write down.
    pub fn is_nothing(&self) -> bool {
        self.changed.is_empty()
            && self.gone.is_empty()
            && self.steps.is_empty()
            && self.events.is_empty()
            && self.tellings.is_empty()
    }
}

/// Messages that are being put together: by channel, kind and group.
type Messages = BTreeMap<(Arc<str>, TellingKind, Arc<str>), (Language, Vec<Incident>)>;

impl Engine {
    /// Takes a turn.
    pub fn turn(&mut self, now: Timestamp, silences: &[Silence]) -> Turn {
        let mut turn = Turn::default();
        let holding = self.evaluate(now);
        for key in std::mem::take(&mut self.fired) {
            if let Some(incident) = self.incidents.get(&key) {
                turn.events.push(Event {
                    time: now,
                    happened: Happened::Fired,
                    incident: incident.clone(),
                });
            }
        }
        turn.steps = std::mem::take(&mut self.steps);
        let silenced: HashSet<String> = self
            .incidents
            .values()
            .filter(|incident| silences.iter().any(|silence| silence.covers(incident, now)))
            .map(|incident| incident.key.clone())
            .collect();
        self.silenced.clone_from(&silenced);
        let mut messages = Messages::new();
        self.end(&holding, &silenced, now, (&mut turn, &mut messages));
        self.tell(&silenced, now, &mut messages);
        turn.tellings = tellings(messages);
        (turn.act, turn.lift) = self.deeds(&silenced, now);
        self.clean(&mut turn, now);
        turn
    }

    /// Ends what is over.
    fn end(
        &mut self,
        holding: &HashSet<String>,
        silenced: &HashSet<String>,
        now: Timestamp,
        (turn, messages): (&mut Turn, &mut Messages),
    ) {
        let over: Vec<String> = self
            .incidents
            .values()
            .filter(|it| it.is_open() && !holding.contains(&it.key) && self.is_over(it, now))
            .map(|it| it.key.clone())
            .collect();
        for key in over {
            let Some(incident) = self.incidents.get_mut(&key) else { continue };
            let fired = incident.state == State::Firing;
            incident.state = State::Resolved;
            incident.ended_at = Some(now);
            self.dirty.insert(key.clone());
            if !fired {
                continue;
            }
            let incident = incident.clone();
            // What nobody was told of is told together with its end.
            if incident.told_at.is_some() {
                let silent = silenced.contains(&key);
                self.address((TellingKind::Resolved, silent), &incident, messages);
                self.ended.push(incident.clone());
            }
            turn.events.push(Event { time: now, happened: Happened::Resolved, incident });
        }
        self.ended.retain(|it| it.ended_at.is_some_and(|end| now.duration_since(end) < SHOWN_FOR));
    }

    /// Tells what has begun, and again what goes on.
    fn tell(&mut self, silenced: &HashSet<String>, now: Timestamp, messages: &mut Messages) {
        let mut due = Vec::new();
        for incident in self.incidents.values() {
            let tells = incident.state == State::Firing || incident.is_untold();
            if !tells || silenced.contains(&incident.key) {
                continue;
            }
            let Some(rule) = self.rule(&incident.rule) else { continue };
            let kind = match incident.told_at {
                None if self.is_paused(&rule.group, now) => continue,
                None => TellingKind::Fired,
                Some(told) => {
                    let repeat = rule.repeat.and_then(|it| SignedDuration::try_from(it).ok());
                    if repeat.is_none_or(|repeat| now.duration_since(told) < repeat) {
                        continue;
                    }
                    TellingKind::Repeated
                }
            };
            due.push((incident.key.clone(), kind, Arc::clone(&rule.group)));
        }
        for (key, kind, group) in due {
            let Some(incident) = self.incidents.get_mut(&key) else { continue };
            incident.told_at = Some(now);
            let incident = incident.clone();
            self.dirty.insert(key);
            self.told.insert(group, now);
            self.address((kind, false), &incident, messages);
            if incident.state == State::Resolved {
                self.address((TellingKind::Resolved, false), &incident, messages);
            }
        }
    }

    /// Whether a group was told of so lately that the next message waits.
    fn is_paused(&self, group: &str, now: Timestamp) -> bool {
        let pause = SignedDuration::try_from(self.settings.pause).unwrap_or(SignedDuration::ZERO);
        self.told.get(group).is_some_and(|told| now.duration_since(*told).abs() < pause)
    }

    /// Puts an incident into the messages of the channels that are told of it. A channel that
    /// follows it is told of its end in a silence as well: there it would stay open for ever.
    fn address(
        &self,
        (kind, silent): (TellingKind, bool),
        incident: &Incident,
        messages: &mut Messages,
    ) {
        let Some(rule) = self.rule(&incident.rule) else { return };
        for listener in rule.channels.iter().filter_map(|name| self.listener(name)) {
            let wanted = match kind {
                TellingKind::Resolved => listener.follows || (rule.tells_end && !silent),
                TellingKind::Repeated => !listener.follows,
                TellingKind::Fired => true,
            };
            if listener.mirrors || !wanted || incident.severity < listener.least {
                continue;
            }
            let group =
                if listener.follows { Arc::from(&*incident.key) } else { Arc::clone(&rule.group) };
            let language = rule.language.unwrap_or(listener.language);
            let place = (Arc::clone(&listener.name), kind, group);
            messages
                .entry(place)
                .or_insert_with(|| (language, Vec::new()))
                .1
                .push(incident.clone());
        }
    }

    /// What is to be done, and what to be undone.
    fn deeds(&self, silenced: &HashSet<String>, now: Timestamp) -> (Vec<Act>, Vec<Act>) {
        let mut act = Vec::new();
        let mut lift = Vec::new();
        for incident in self.incidents.values() {
            let Some(doing) = &incident.doing else { continue };
            let deed = || Act {
                key: incident.key.clone(),
                rule: incident.rule.clone(),
                deed: doing.deed,
                by: incident.by,
                subject: incident.subject.clone(),
                until: doing.until,
                outlasts: self.outlasted(incident),
            };
            let lasts = doing.until.is_none_or(|until| until > now);
            let due = doing.progress == Progress::Due && incident.state == State::Firing;
            if due && lasts && !silenced.contains(&incident.key) {
                act.push(deed());
            } else if incident.is_to_be_lifted() && !lasts {
                lift.push(deed());
            }
        }
        (act, lift)
    }

    /// Rules that do to the same subject what is done about an incident, and end sooner.
    fn outlasted(&self, incident: &Incident) -> Vec<String> {
        let Some(own) = &incident.doing else { return Vec::new() };
        let end = |doing: &Doing| doing.until.unwrap_or(Timestamp::MAX);
        let sooner = |other: &&Incident| {
            other.key != incident.key
                && (other.by, &other.subject) == (incident.by, &incident.subject)
                && other.doing.as_ref().is_some_and(|it| it.deed == own.deed && end(it) < end(own))
        };
        self.incidents.values().filter(sooner).map(|other| other.rule.clone()).collect()
    }

    /// Forgets what is over, and says what is to be written down.
    fn clean(&mut self, turn: &mut Turn, now: Timestamp) {
        let open_steps = self.incidents.values().filter(|it| it.until.is_some()).count();
        let mut spare = open_steps.saturating_sub(MOST_STEPS);
        let mut gone = Vec::new();
        self.incidents.retain(|key, incident| {
            let told_step = incident.until.is_some() && incident.told_at.is_some();
            let too_many = told_step && spare > 0;
            spare -= usize::from(too_many);
            let waits = incident.is_untold()
                && !self.silenced.contains(key)
                && self.rules.iter().any(|it| *it.rule.name == *incident.rule);
            let over = !incident.is_open() && !incident.is_to_be_lifted() && !waits;
            if over || too_many {
                gone.push(key.clone());
            }
            !(over || too_many)
        });
        for key in std::mem::take(&mut self.dirty) {
            turn.changed.extend(self.incidents.get(&key).cloned());
        }
        turn.gone = gone;
        self.told.retain(|_, told| now.duration_since(*told).as_hours().abs() < 24);
    }
}

/// Messages as they are sent: the gravest first, the rest only counted.
fn tellings(messages: Messages) -> Vec<Telling> {
    let mut tellings = Vec::with_capacity(messages.len());
    for ((channel, kind, thread), (language, mut incidents)) in messages {
        incidents.sort_by_key(|it| (std::cmp::Reverse(it.severity), std::cmp::Reverse(it.value)));
        let more = incidents.len().saturating_sub(MOST_TOLD);
        incidents.truncate(MOST_TOLD);
        tellings.push(Telling { channel, kind, language, incidents, more, thread });
    }
    tellings
}
