//! Reads a condition from its text, one word after the other.

use std::sync::Arc;
use std::time::Duration;

use tollgate_domain::money::parse_scaled;

use super::{Bound, Comparison, Condition};
use crate::measure::{By, Measure, Metric, Source, Unit, Window};

/// The shortest and the longest span that can be measured.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// A ratio or a quantile of fewer calls means nothing, unless the rule says otherwise.
const MIN_CALLS: u32 = 20;

/// What is wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WrongCondition {
    /// Where, in bytes from its begin.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// The name that nobody knows, and those that would be right in its place.
    pub unknown: Option<(String, Vec<&'static str>)>,
    /// What to do instead.
    pub remedy: Option<String>,
}

/// A word of a condition with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word<'a> {
    at: usize,
    text: &'a str,
    /// Whether it stood in quotes.
    quoted: bool,
}

pub(super) fn condition(text: &str) -> Result<Condition, WrongCondition> {
    let words = words(text)?;
    let mut reader = Reader { words: &words, next: 0, end: text.len() };
    let mut measure = reader.measure()?;
    let comparison = reader.comparison()?;
    let bound = reader.bound(measure.metric)?;
    let hold = reader.hold()?;
    if measure.metric.source() == Source::Calls && needs_many(measure.metric) {
        measure.min_calls = measure.min_calls.max(1);
    }
    if let Some(word) = reader.peek() {
        let message = format!("`{}` is too much at the end of the condition", word.text);
        return Err(wrong(word.at, message));
    }
    Ok(Condition { measure, comparison, bound, hold })
}

const fn needs_many(metric: Metric) -> bool {
    matches!(metric, Metric::ErrorRate) || metric.beyond().is_some()
}

fn wrong(at: usize, message: impl Into<String>) -> WrongCondition {
    WrongCondition { at, message: message.into(), unknown: None, remedy: None }
}

fn unknown(word: Word<'_>, what: &str, known: Vec<&'static str>) -> WrongCondition {
    let unknown = Some((word.text.to_owned(), known));
    WrongCondition { unknown, ..wrong(word.at, format!("there is no {what} `{}`", word.text)) }
}

/// Takes a text apart: names and numbers, signs, texts in quotes.
fn words(text: &str) -> Result<Vec<Word<'_>>, WrongCondition> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(words) };
        if first == '"' {
            let inside = rest.get(1..).unwrap_or_default();
            let Some((quoted, after)) = inside.split_once('"') else {
                return Err(wrong(at, "a quote is not closed"));
            };
            words.push(Word { at, text: quoted, quoted: true });
            rest = after;
            continue;
        }
        let length = if is_plain(first) {
            rest.find(|c| !is_plain(c)).unwrap_or(rest.len())
        } else if rest.starts_with(">=") || rest.starts_with("<=") || rest.starts_with("==") {
            2
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        words.push(Word { at, text: word, quoted: false });
        rest = after;
    }
}

/// Whether a character goes on with a word. A star at the end of a name stands apart from one that
/// multiplies by its place.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '%' | '$' | ':' | '/' | '@' | '+')
}

struct Reader<'a> {
    words: &'a [Word<'a>],
    next: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<Word<'a>> {
        self.words.get(self.next).copied()
    }

    fn take(&mut self, expected: &str) -> Result<Word<'a>, WrongCondition> {
        let word = self.peek().ok_or_else(|| {
            wrong(self.end, format!("the condition ends where {expected} was expected"))
        })?;
        self.next += 1;
        Ok(word)
    }

    fn take_sign(&mut self, sign: &str) -> Result<(), WrongCondition> {
        let word = self.take(&format!("`{sign}`"))?;
        if word.text == sign && !word.quoted {
            return Ok(());
        }
        Err(wrong(word.at, format!("`{sign}` was expected, found `{}`", word.text)))
    }

    fn is_next(&self, text: &str) -> bool {
        self.peek().is_some_and(|word| !word.quoted && word.text == text)
    }

    fn measure(&mut self) -> Result<Measure, WrongCondition> {
        let word = self.take("a metric")?;
        let metric = Metric::ALL.iter().copied().find(|metric| metric.as_str() == word.text);
        let metric = metric.ok_or_else(|| {
            unknown(word, "metric", Metric::ALL.iter().map(|metric| metric.as_str()).collect())
        })?;
        let min_calls = if needs_many(metric) { MIN_CALLS } else { 0 };
        let by = match metric.source() {
            Source::Gauges => metric.dimensions().first().copied(),
            Source::Calls | Source::Signals => None,
        };
        let mut measure = Measure { metric, by, window: Window::Now, only: Vec::new(), min_calls };
        if self.is_next("{") {
            self.next += 1;
            while !self.is_next("}") {
                self.argument(&mut measure)?;
                if !self.is_next("}") {
                    self.take_sign(",")?;
                }
            }
            self.next += 1;
        }
        if metric.source() != Source::Gauges && measure.window == Window::Now {
            let remedy = format!("write `{}{{window=1h}}`, or day, week, month", metric.as_str());
            let message = format!("`{}` needs a window", metric.as_str());
            return Err(WrongCondition { remedy: Some(remedy), ..wrong(word.at, message) });
        }
        measure.only.sort();
        Ok(measure)
    }

    fn argument(&mut self, measure: &mut Measure) -> Result<(), WrongCondition> {
        let name = self.take("an argument")?;
        self.take_sign("=")?;
        let value = self.take("a value")?;
        match name.text {
            "by" => measure.by = Some(dimension(value, measure.metric)?),
            "window" => measure.window = window(value, measure.metric)?,
            "min_calls" if needs_many(measure.metric) => {
                let count = value.text.parse().map_err(|_| {
                    wrong(value.at, format!("`{}` is no number of calls", value.text))
                })?;
                measure.min_calls = count;
            }
            _ => {
                let by = By::ALL.iter().find(|by| by.as_str() == name.text);
                let known = by.filter(|by| measure.metric.dimensions().contains(by));
                let by = known.ok_or_else(|| unknown(name, "argument", arguments(measure)))?;
                let mut text = value.text.to_owned();
                if !value.quoted && self.is_next("*") {
                    self.next += 1;
                    text.push('*');
                }
                measure.only.push((*by, Arc::from(text)));
            }
        }
        Ok(())
    }

    fn comparison(&mut self) -> Result<Comparison, WrongCondition> {
        let word = self.take("a comparison")?;
        match word.text {
            ">" => Ok(Comparison::Above),
            ">=" => Ok(Comparison::AtLeast),
            "<" => Ok(Comparison::Below),
            "<=" => Ok(Comparison::AtMost),
            other => {
                let message = format!("`{other}` is no comparison: expected >, >=, < or <=");
                Err(wrong(word.at, message))
            }
        }
    }

    fn bound(&mut self, metric: Metric) -> Result<Bound, WrongCondition> {
        let word = self.take("a number or `baseline`")?;
        if word.text == "baseline" {
            return usual(word, metric, 1_000);
        }
        if self.is_next("*") {
            self.next += 1;
            let baseline = self.take("`baseline`")?;
            if baseline.text != "baseline" {
                return Err(unknown(baseline, "name", vec!["baseline"]));
            }
            let factor = parse_scaled(word.text, 3).and_then(|it| i64::try_from(it).ok());
            let factor = factor.filter(|factor| *factor > 0).ok_or_else(|| {
                wrong(
                    word.at,
                    format!("`{}` is no factor: expected a decimal such as 15", word.text),
                )
            })?;
            return usual(word, metric, factor);
        }
        let value = amount(word.text, metric.unit()).ok_or_else(|| {
            wrong(word.at, format!("`{}` is no {}", word.text, form(metric.unit())))
        })?;
        Ok(Bound::Fixed(value))
    }

    fn hold(&mut self) -> Result<Duration, WrongCondition> {
        if !self.is_next("for") {
            return Ok(Duration::ZERO);
        }
        self.next += 1;
        let word = self.take("a duration")?;
        span(word.text).ok_or_else(|| wrong(word.at, format!("`{}` is no duration", word.text)))
    }
}

/// What may stand between the braces.
fn arguments(measure: &Measure) -> Vec<&'static str> {
    let own = measure.metric.dimensions().iter().map(|by| by.as_str());
    let few = needs_many(measure.metric).then_some("min_calls");
    ["by", "window"].into_iter().chain(few).chain(own).collect()
}

fn dimension(word: Word<'_>, metric: Metric) -> Result<By, WrongCondition> {
    let known = metric.dimensions();
    let found = known.iter().find(|by| by.as_str() == word.text);
    found.copied().ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|by| by.as_str()).collect();
        if known.is_empty() {
            return wrong(word.at, format!("`{}` is not measured by anything", metric.as_str()));
        }
        unknown(word, "dimension", known)
    })
}

fn window(word: Word<'_>, metric: Metric) -> Result<Window, WrongCondition> {
    if metric.source() == Source::Gauges {
        let message = format!("`{}` says how something stands and has no window", metric.as_str());
        return Err(wrong(word.at, message));
    }
    let calendar = match word.text {
        "day" => Some(Window::Day),
        "week" => Some(Window::Week),
        "month" => Some(Window::Month),
        _ => None,
    };
    if let Some(window) = calendar {
        if metric.beyond().is_some() {
            let message = "a quantile is measured over a duration of at most 7d";
            return Err(wrong(word.at, message));
        }
        return Ok(window);
    }
    match span(word.text) {
        Some(span) if (SHORTEST..=LONGEST).contains(&span) => Ok(Window::Last(span)),
        Some(_) => Err(wrong(word.at, format!("a window lasts from 10s to 7d, not {}", word.text))),
        None => Err(unknown(word, "window", vec!["day", "week", "month", "1h", "5m"])),
    }
}

fn usual(word: Word<'_>, metric: Metric, thousandths: i64) -> Result<Bound, WrongCondition> {
    if metric.has_baseline() {
        return Ok(Bound::Usual { thousandths });
    }
    let message = format!("what is usual for `{}` is not known", metric.as_str());
    Err(WrongCondition {
        remedy: Some("compare it with a number".to_owned()),
        ..wrong(word.at, message)
    })
}

/// Reads an amount in a unit.
pub fn amount(text: &str, unit: Unit) -> Option<i64> {
    let scaled =
        |text: &str, places| parse_scaled(text, places).and_then(|it| i64::try_from(it).ok());
    let value = match unit {
        Unit::Usd => scaled(text.strip_prefix('$').unwrap_or(text), 9),
        Unit::Count => text.replace('_', "").parse().ok(),
        Unit::Ratio => match text.strip_suffix('%') {
            Some(percent) => scaled(percent, 4),
            None => scaled(text, 6),
        },
        Unit::Duration => span(text).and_then(|span| i64::try_from(span.as_micros()).ok()),
    };
    value.filter(|value| *value >= 0)
}

/// How an amount of a unit is written.
pub const fn form(unit: Unit) -> &'static str {
    match unit {
        Unit::Usd => "amount in USD such as 100 or 0.50",
        Unit::Count => "whole number",
        Unit::Ratio => "share such as 5% or 0.05",
        Unit::Duration => "duration such as 500ms or 5s",
    }
}

/// Reads `1h30m`: whole numbers with units, one after the other.
pub fn span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let factor: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}
