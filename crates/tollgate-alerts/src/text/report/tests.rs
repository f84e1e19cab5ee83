//! The words of reports, as they are kept for both languages.

use jiff::tz::TimeZone;

use super::*;
use crate::report::Share;
use crate::sample::{at, usd};
use crate::text::{Display, text};

fn display() -> Display {
    Display {
        currency: "KRW".into(),
        per_usd: 1_470_000_000,
        zone: TimeZone::get("Asia/Seoul").unwrap(),
    }
}

fn share(name: Option<&str>, cost: &str, calls: u64) -> Share {
    Share { name: name.map(str::to_owned), cost_usd: usd(cost), calls }
}

fn day() -> Report {
    Report {
        period: Period::Day,
        timezone: "Asia/Seoul".to_owned(),
        from: at("2026-11-19T15:00:00Z"),
        to: at("2026-11-20T15:00:00Z"),
        total: Figures {
            cost_usd: usd("31.2"),
            calls: 12_345,
            failed: 123,
            refused: 7,
            input_tokens: 1_234_567,
            output_tokens: 89_012,
            cache_hits: 45,
            savings_usd: usd("1.25"),
        },
        before: Figures { cost_usd: usd("20.8"), calls: 13_000, ..Figures::default() },
        users: Top {
            shares: vec![
                share(Some("alice"), "20", 9_000),
                share(Some("<!channel>\r\nBcc: x"), "10", 3_000),
                share(None, "1.2", 345),
            ],
            more: 4,
        },
        models: Top { shares: vec![share(Some("gpt-4o"), "31.2", 12_345)], more: 0 },
        alerts: Notice::sample(Language::En, at("2026-11-20T01:02:03Z")).incidents,
        more_alerts: 2,
    }
}

fn week() -> Report {
    Report {
        period: Period::Week,
        timezone: "Asia/Seoul".to_owned(),
        from: at("2026-11-08T15:00:00Z"),
        to: at("2026-11-15T15:00:00Z"),
        total: Figures::default(),
        before: Figures::default(),
        users: Top::default(),
        models: Top::default(),
        alerts: Vec::new(),
        more_alerts: 0,
    }
}

fn told(language: Language) -> String {
    let now = at("2026-11-21T00:00:00Z");
    let failure = JobFailure { job: "rollup_check".to_owned(), why: "2 sums differ".to_owned() };
    let notices = [
        Notice::of_report(day(), language, now),
        Notice::of_report(week(), language, now),
        Notice::of_job(failure, language, now),
    ];
    let texts = notices.iter().map(|notice| text(notice, &display()).plain());
    texts.collect::<Vec<_>>().join("\n\n----\n\n")
}

#[test]
fn reports_in_korean_are_as_kept() {
    insta::assert_snapshot!(told(Language::Ko));
}

#[test]
fn reports_in_english_are_as_kept() {
    insta::assert_snapshot!(told(Language::En));
}

#[test]
fn a_notice_of_an_earlier_version_is_still_read() {
    let notice = Notice::sample(Language::En, at("2026-11-21T00:00:00Z"));
    let json = serde_json::to_string(&notice).unwrap();
    assert!(!json.contains("\"report\"") && !json.contains("\"job\""), "{json}");
    assert_eq!(serde_json::from_str::<Notice>(&json).unwrap(), notice);
    let report = Notice::of_report(day(), Language::Ko, at("2026-11-21T00:00:00Z"));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Notice>(&json).unwrap(), report);
    assert_eq!((&*report.topic(), &*report.thread()), ("report.daily", "report/daily"));
}
