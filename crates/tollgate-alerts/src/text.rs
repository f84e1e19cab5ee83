//! The words of a notice, in Korean or English: a title, and lines below it.
//!
//! Figures are written here once for both languages. What comes from callers (names of users,
//! models, features) is disarmed first: no line break, no control or direction mark, of bounded
//! length; each channel then escapes for its own form.

mod en;
mod figures;
mod ko;
mod report;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate_domain::limit;
use tollgate_domain::money::NanoUsd;

use crate::condition::span_of;
use crate::incident::{Budget, Doing, Incident};
use crate::measure::{By, Metric, Unit};
use crate::notice::{Notice, NoticeKind};
use crate::rule::{Language, Severity};
use figures::{grouped, percent};

/// How amounts and times are shown.
#[derive(Clone, Debug)]
pub struct Display {
    /// ISO 4217 code of the currency that is shown beside USD.
    pub currency: Arc<str>,
    /// Millionths of its unit for one USD.
    pub per_usd: i128,
    /// The zone of times.
    pub zone: TimeZone,
}

/// A notice in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub title: String,
    /// What there is to say of each incident: a headline and its details.
    pub parts: Vec<Part>,
    /// What follows all of them.
    pub end: Option<String>,
}

/// What there is to say of one incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub headline: String,
    /// Names and values.
    pub details: Vec<(String, String)>,
}

impl Text {
    /// As plain text.
    pub fn plain(&self) -> String {
        let mut lines = vec![self.title.clone()];
        for part in &self.parts {
            if !self.says(part) {
                lines.extend([String::new(), part.headline.clone()]);
            }
            lines.extend(part.details.iter().map(|(name, value)| format!("{name}: {value}")));
        }
        if let Some(end) = &self.end {
            lines.extend([String::new(), end.clone()]);
        }
        lines.join("\n")
    }

    /// Whether the title says what the headline of a part does.
    pub(crate) fn says(&self, part: &Part) -> bool {
        self.title.ends_with(&part.headline)
    }
}

/// Words of one language.
trait Words {
    /// Why somebody is told, in front of the title.
    fn kind(&self, kind: NoticeKind) -> &'static str;
    /// How bad it is.
    fn severity(&self, severity: Severity) -> &'static str;
    /// A kind of subject.
    fn by(&self, by: &str) -> String;
    /// What is measured.
    fn metric(&self, metric: Metric) -> String;
    /// What a limit counts.
    fn counted(&self, metric: limit::Metric) -> &'static str;
    /// A window of a rule: a span, or a word of the calendar.
    fn window(&self, window: &str) -> String;
    /// A window of a limit.
    fn limit_window(&self, window: &str) -> String;
    /// A duration in microseconds.
    fn duration(&self, micros: i64) -> String;
    /// What is measured of whom, and its value.
    fn measured(&self, subject: Option<String>, window: &str, what: (Metric, &str)) -> String;
    /// A value beside what is usual, with the factor between them.
    fn beside_usual(&self, headline: &str, usual: (&str, &str)) -> String;
    /// A value beyond its bound.
    fn beyond(&self, headline: &str, bound: &str, is_above: bool) -> String;
    /// A share of a limit: a step that was reached, or what is used.
    fn share(&self, percent: &str, is_step: bool) -> String;
    /// A limit, the share, what is used and at most, and over which time.
    fn used(&self, limit: &str, share: &str, figures: (&str, &str), window: &str) -> String;
    /// That calls cannot be recorded.
    fn degraded(&self) -> &'static str;
    /// The name of a detail.
    fn detail(&self, detail: Detail) -> &'static str;
    /// What is done, and until when.
    fn doing(&self, doing: &Doing, until: Option<String>) -> String;
    /// How many more there are.
    fn more(&self, more: usize) -> String;
    /// Several at once.
    fn several(&self, count: usize, rule: &str) -> String;
    /// That a channel does not deliver: its name and whether it is left alone.
    fn failed(&self, channel: &str, is_disabled: bool) -> String;
    /// That this is a sample.
    fn sample(&self) -> &'static str;
    /// A limit, with its plan where it has one.
    fn limit(&self, name: &str, plan: Option<&str>) -> String;
}

/// What details are called.
#[derive(Clone, Copy, Debug)]
enum Detail {
    Rule,
    Since,
    Lasted,
    Models,
    Doing,
    Note,
    Why,
    Lost,
}

/// Puts a notice into words.
pub fn text(notice: &Notice, display: &Display) -> Text {
    let words: &dyn Words = match notice.language {
        Language::Ko => &ko::Korean,
        Language::En => &en::English,
    };
    let speaker = Speaker { words, display };
    speaker.notice(notice)
}

/// The headline of one incident, in words.
pub fn headline(incident: &Incident, language: Language, display: &Display) -> String {
    let words: &dyn Words = match language {
        Language::Ko => &ko::Korean,
        Language::En => &en::English,
    };
    Speaker { words, display }.headline(incident)
}

struct Speaker<'a> {
    words: &'a dyn Words,
    display: &'a Display,
}

impl Speaker<'_> {
    fn notice(&self, notice: &Notice) -> Text {
        if let Some(report) = &notice.report {
            return report::report(self, notice.language, report);
        }
        if let Some(failure) = &notice.job {
            return report::failure(notice, failure);
        }
        let kind = self.words.kind(notice.kind);
        if let Some(failure) = &notice.failure {
            let headline = self.words.failed(&clean(&failure.channel), failure.is_disabled);
            let name = |detail| self.words.detail(detail).to_owned();
            let details = vec![
                (name(Detail::Why), clean(&failure.why)),
                (name(Detail::Lost), clean(&failure.lost)),
            ];
            let title = format!("{kind} {headline}");
            return Text { title, parts: vec![Part { headline, details }], end: None };
        }
        let parts: Vec<Part> =
            notice.incidents.iter().map(|it| self.part(it, notice.kind)).collect();
        let subject = match (parts.as_slice(), notice.incidents.first()) {
            ([only], _) if notice.more == 0 => only.headline.clone(),
            (_, Some(first)) => {
                self.words.several(notice.incidents.len() + notice.more, &clean(&first.rule))
            }
            _ => String::new(),
        };
        let end = match notice.kind {
            NoticeKind::Test => Some(self.words.sample().to_owned()),
            _ => (notice.more > 0).then(|| self.words.more(notice.more)),
        };
        Text { title: format!("{kind} {subject}"), parts, end }
    }

    fn part(&self, incident: &Incident, kind: NoticeKind) -> Part {
        let mut details = Vec::new();
        let mut add = |detail, value: String| {
            details.push((self.words.detail(detail).to_owned(), value));
        };
        let severity = self.words.severity(incident.severity);
        add(Detail::Rule, format!("{} ({severity})", clean(&incident.rule)));
        let since = incident.fired_at.unwrap_or(incident.since);
        add(Detail::Since, self.time(since));
        if let (NoticeKind::Resolved, Some(ended)) = (kind, incident.ended_at) {
            let micros = i64::try_from(ended.duration_since(since).as_micros()).unwrap_or(i64::MAX);
            add(Detail::Lasted, self.words.duration(micros));
        }
        if !incident.models.is_empty() {
            let models = incident.models.iter();
            let models =
                models.map(|(name, cost)| format!("{} {}", clean(name), self.money(*cost)));
            add(Detail::Models, models.collect::<Vec<_>>().join(", "));
        }
        if let Some(doing) = &incident.doing {
            add(Detail::Doing, self.words.doing(doing, doing.until.map(|until| self.time(until))));
        }
        if let Some(note) = &incident.note {
            add(Detail::Note, clean(note));
        }
        Part { headline: self.headline(incident), details }
    }

    fn headline(&self, incident: &Incident) -> String {
        if let Some(budget) = &incident.budget {
            return self.used(budget);
        }
        let Some(metric) = incident.metric else { return clean(&incident.rule) };
        if metric == Metric::StoreDegraded {
            return self.words.degraded().to_owned();
        }
        let subject = incident.by.map(|by| self.subject(by, &incident.subject));
        let value = self.value(metric.unit(), incident.value);
        let headline = self.words.measured(subject, &incident.window, (metric, &value));
        match incident.usual {
            Some(usual) => {
                let factor = figures::factor(incident.value, usual);
                let usual = self.value(metric.unit(), usual);
                self.words.beside_usual(&headline, (&usual, &factor))
            }
            None if incident.bound == 0 => headline,
            None => {
                let bound = self.value(metric.unit(), incident.bound);
                self.words.beyond(&headline, &bound, incident.is_above)
            }
        }
    }

    fn subject(&self, by: By, name: &str) -> String {
        format!("{} {}", self.words.by(by.as_str()), clean(name))
    }

    fn used(&self, budget: &Budget) -> String {
        let plan = budget.plan.as_deref().map(clean);
        let mut limit = self.words.limit(&clean(&budget.limit), plan.as_deref());
        for (scope, name) in &budget.scope {
            limit = format!("{limit}, {} {}", self.words.by(scope), clean(name));
        }
        let share = match budget.step {
            Some(step) => i64::from(step) * 1_000,
            None => {
                let share = i128::from(budget.used) * 1_000_000 / i128::from(budget.max.max(1));
                i64::try_from(share).unwrap_or(i64::MAX)
            }
        };
        let share = self.words.share(&percent(share), budget.step.is_some());
        let amount = |value: i64| match budget.metric {
            limit::Metric::CostUsd => self.money(NanoUsd::from_nanos(value)),
            metric => {
                format!("{} {}", grouped(value), self.words.counted(metric)).trim().to_owned()
            }
        };
        let figures = (&*amount(budget.used), &*amount(budget.max));
        self.words.used(&limit, &share, figures, &self.words.limit_window(&budget.window))
    }

    fn value(&self, unit: Unit, value: i64) -> String {
        match unit {
            Unit::Usd => self.money(NanoUsd::from_nanos(value)),
            Unit::Count => grouped(value),
            Unit::Ratio => percent(value),
            Unit::Duration => self.words.duration(value),
        }
    }

    fn money(&self, amount: NanoUsd) -> String {
        figures::money(amount, (&self.display.currency, self.display.per_usd))
    }

    fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.display.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }
}

/// The longest name that is told, in characters.
const LONGEST: usize = 120;

/// A text of somebody else, disarmed: one line, nothing that moves or hides text, not too long.
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| if is_armed(c) { ' ' } else { c };
    let mut clean: String = text.chars().take(LONGEST).map(shown).collect();
    if text.chars().nth(LONGEST).is_some() {
        clean.push('\u{2026}');
    }
    clean
}

/// Whether a character breaks lines, controls or changes the direction of what follows.
fn is_armed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The length of a window that is a span, in seconds.
fn seconds(window: &str) -> Option<u64> {
    span_of(window).map(|span| span.as_secs())
}

#[cfg(test)]
mod tests;
