//! What is written in rules, and what is read from it; and every mistake, with what is said of it.

use super::*;
use crate::measure::{By, Metric, Window};

fn read(text: &str) -> Condition {
    text.parse().unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
}

#[test]
fn the_conditions_of_the_example_are_read() {
    let daily = read("cost_usd{window=day} > 100");
    assert_eq!(daily.measure.metric, Metric::CostUsd);
    assert_eq!((daily.measure.by, daily.measure.window), (None, Window::Day));
    assert_eq!(daily.bound, Bound::Fixed(100_000_000_000));
    let runaway = read("cost_usd{by=user,window=1h} > 15 * baseline");
    assert_eq!(runaway.measure.by, Some(By::User));
    assert_eq!(runaway.measure.window, Window::Last(Duration::from_hours(1)));
    assert_eq!(runaway.bound, Bound::Usual { thousandths: 15_000 });
}

#[test]
fn a_condition_prints_as_it_is_written() {
    for text in [
        "cost_usd{window=day} > 100",
        "cost_usd{by=user,window=1h} > 15 * baseline",
        "cost_usd{by=key,window=90s} >= 0.000000001",
        "calls{by=ip,window=5m} > 2.5 * baseline for 2m",
        "error_rate{window=5m,provider=\"openai\",min_calls=20} > 5% for 2m",
        "latency_p99{by=model,window=5m,min_calls=1} > 5s for 3m",
        "latency_p99{window=5m,model=\"gpt-4o*\",min_calls=20} > 250ms",
        "limit_used_ratio{by=limit} >= 80%",
        "store_degraded > 0",
        "refusals{by=user,window=10m} < 3",
        "error_rate{window=1h,min_calls=50} <= 0.1%",
    ] {
        assert_eq!(read(text).to_string(), text);
    }
}

#[test]
fn spaces_signs_and_other_spellings_mean_the_same() {
    for (one, other) in [
        ("cost_usd { window = day }>$100.00", "cost_usd{window=day} > 100"),
        ("error_rate{window=5m} > 0.05", "error_rate{window=300s} > 5%"),
        ("calls{window=1h} > baseline", "calls{window=1h} > 1 * baseline"),
        ("calls{window=1h, model=gpt-4o*} > 1", "calls{window=1h, model=\"gpt-4o*\"} > 1"),
        ("latency_p99{window=5m} > 5s for 0s", "latency_p99{window=5m} > 5000ms"),
    ] {
        assert_eq!(read(one), read(other), "{one}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_names_that_are_right() {
    for (text, at, message, near) in [
        ("cost_usb{window=day} > 1", 0, "there is no metric `cost_usb`", Some("cost_usd")),
        ("cost_usd{by=usr,window=1h} > 1", 12, "there is no dimension `usr`", Some("user")),
        ("cost_usd{windo=1h} > 1", 9, "there is no argument `windo`", Some("window")),
        ("cost_usd{window=year} > 1", 16, "there is no window `year`", Some("day")),
        ("cost_usd{window=1s} > 1", 16, "a window lasts from 10s to 7d", None),
        ("cost_usd > 1", 0, "`cost_usd` needs a window", None),
        ("cost_usd{window=1h} = 1", 20, "`=` is no comparison", None),
        ("cost_usd{window=1h} > many", 22, "`many` is no amount in USD", None),
        ("cost_usd{window=1h} > -1", 22, "`-1` is no amount in USD", None),
        ("cost_usd{window=1h} > 15 * basline", 27, "there is no name `basline`", Some("baseline")),
        ("cost_usd{window=1h} > 0 * baseline", 22, "`0` is no factor", None),
        ("cost_usd{window=1h} >", 21, "ends where a number", None),
        ("cost_usd{window=1h > 1", 19, "`,` was expected", None),
        ("cost_usd{window=1h} > 1 for ever", 28, "`ever` is no duration", None),
        ("cost_usd{window=1h} > 1 or more", 24, "`or` is too much", None),
        ("cost_usd{user=\"a} > 1", 14, "a quote is not closed", None),
        ("guest_calls{window=1h} > 15 * baseline", 25, "is not known", None),
        ("latency_p99{window=day} > 5s", 19, "a quantile is measured", None),
        ("latency_p99{window=5m} > 5", 25, "no duration such as", None),
        ("store_degraded{window=1h} > 0", 22, "has no window", None),
        ("limit_used_ratio{by=user} > 80%", 20, "there is no dimension `user`", Some("limit")),
        ("store_degraded{by=user} > 0", 18, "is not measured by anything", None),
        ("calls{window=1h} > 1.5", 19, "no whole number", None),
        ("", 0, "ends where a metric", None),
    ] {
        let wrong = text.parse::<Condition>().unwrap_err();
        assert!(wrong.message.contains(message), "{text}: {wrong}");
        assert_eq!(wrong.at, at, "{text}: {wrong}");
        match near {
            Some(near) => assert!(wrong.unknown.unwrap().1.contains(&near), "{text}"),
            None => assert_eq!(wrong.unknown, None, "{text}"),
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        drop(text.parse::<Condition>());
        let near = format!("cost_usd{{by=user,window=1h}} > {text}");
        if let Err(wrong) = near.parse::<Condition>() {
            assert!(wrong.at <= near.len());
        }
    }

    #[test]
    fn every_condition_reads_back(
        metric in 0..Metric::ALL.len(), minutes in 1u64..10_000, value in 0i64..1_000_000_000_000,
        hold in 0u64..600, by in 0usize..8,
    ) {
        let metric = Metric::ALL[metric];
        let dimensions = metric.dimensions();
        let gauge = metric.source() == crate::measure::Source::Gauges;
        let by = if gauge { dimensions.first() } else { dimensions.get(by) };
        let mut text = metric.as_str().to_owned();
        let window = (!gauge).then(|| format!("window={minutes}m"));
        let inside: Vec<String> =
            by.map(|by| format!("by={}", by.as_str())).into_iter().chain(window).collect();
        if !inside.is_empty() {
            text = format!("{text}{{{}}}", inside.join(","));
        }
        let value = if metric.unit() == Unit::Duration { value / 1_000 * 1_000 } else { value };
        let text = format!("{text} > {} for {hold}s", amount(metric.unit(), value));
        let condition = read(&text);
        assert_eq!(condition.bound, Bound::Fixed(value));
        assert_eq!(read(&condition.to_string()), condition);
    }
}
