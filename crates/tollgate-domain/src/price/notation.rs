//! How the price book writes the prices of a model.
//!
//! Groups are parted by tabs, terms by spaces. A term is a price (`input=3`, or with tiers
//! `input=3>200000:6`, dearer when the whole input is over 200 000 tokens), a time in UTC
//! (`@2026-12-01` from that day on, `@00:30-16:30` daily), a condition
//! (`?service_tier=priority`), or the word `free`. A group with a condition is a special price,
//! the others are the standard one.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::book::Reason;
use super::model::{Period, Variant};
use super::served::{Condition, Question, Window};
use super::set::{Price, Tier};
use super::unit::Unit;

/// Reads the groups of a model: its standard prices and its special ones.
pub(super) fn groups<'a>(
    groups: impl Iterator<Item = &'a str>,
) -> Result<(Vec<Period>, Vec<Variant>), Reason> {
    let (mut periods, mut variants) = (Vec::new(), Vec::new());
    for group in groups {
        let variant = read(group)?;
        if variant.conditions.is_empty() {
            periods.push(variant.period);
        } else {
            variants.push(variant);
        }
    }
    if periods.iter().any(|period| period.window == Window::ALWAYS) {
        Ok((periods, variants))
    } else {
        Err(Reason::NoPrices)
    }
}

fn read(group: &str) -> Result<Variant, Reason> {
    let mut conditions = Vec::new();
    let mut prices = Vec::new();
    let mut window = Window::ALWAYS;
    let mut free = false;
    for term in group.split(' ') {
        let bad = || Reason::Term(term.to_owned());
        if let Some(time) = term.strip_prefix('@') {
            narrow(&mut window, time).ok_or_else(bad)?;
        } else if let Some(condition) = term.strip_prefix('?') {
            let (key, answer) = condition.split_once('=').ok_or_else(bad)?;
            let question = Question::from_key(key).ok_or_else(bad)?;
            conditions.push(Condition { question, answer: answer.into() });
        } else if term == "free" {
            free = true;
        } else {
            let (key, price) = term.split_once('=').ok_or_else(bad)?;
            let unit = Unit::from_key(key).ok_or_else(bad)?;
            let known = prices.iter().any(|(other, _)| *other == unit);
            let price = read_price(unit, price).filter(|_| !known).ok_or_else(bad)?;
            prices.push((unit, price));
        }
    }
    // Nothing written is not the same as written that it costs nothing.
    if prices.is_empty() != free {
        return Err(Reason::NoPrices);
    }
    Ok(Variant { conditions: conditions.into(), period: Period { window, prices: prices.into() } })
}

fn read_price(unit: Unit, text: &str) -> Option<Price> {
    let mut parts = text.split('>');
    let base = unit.parse_rate(parts.next()?)?;
    let mut tiers: Vec<Tier> = Vec::new();
    for part in parts {
        let (over, rate) = part.split_once(':')?;
        let tier = Tier { over: over.parse().ok()?, rate: unit.parse_rate(rate)? };
        if tiers.last().is_some_and(|last| last.over >= tier.over) {
            return None;
        }
        tiers.push(tier);
    }
    Some(Price { base, tiers: tiers.into() })
}

fn narrow(window: &mut Window, time: &str) -> Option<()> {
    if time.contains(':') {
        let (from, until) = time.split_once('-')?;
        window.daily = Some((second_of_day(from)?, second_of_day(until)?));
    } else {
        window.from = midnight(time)?;
    }
    Some(())
}

/// `HH:MM` as a second of the day.
fn second_of_day(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (hour.parse::<u32>().ok()?, minute.parse::<u32>().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 3_600 + minute * 60)
}

/// The first second of a day in UTC.
pub(super) fn midnight(date: &str) -> Option<i64> {
    let date: Date = date.parse().ok()?;
    let at: Timestamp = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(at.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_prices_are_refused() {
        for good in ["free", "input=0", "input=3>200000:6 output=1", "@2026-12-01 input=1\tinput=2"]
        {
            assert!(groups(good.split('\t')).is_ok(), "{good}");
        }
        for bad in [
            "",
            "input",
            "input=",
            "input=-1",
            "input=1 input=2",
            "inputs=1",
            "free input=1",
            "@2026-12-01 input=1",
            "@2026-02-30 input=1\tinput=2",
            "@25:00-01:00 input=1\tinput=2",
            "?processing=batch input=1",
            "?mood=good input=1\tinput=2",
            "input=1>5:2>5:3",
            "input=1>x:2",
            "input=1  output=2",
            "input=0.00000000001",
        ] {
            assert!(groups(bad.split('\t')).is_err(), "{bad}");
        }
    }
}
