//! What people are told, in both languages, with names that try to be more than names.

use super::*;
use crate::incident::{Progress, State};
use crate::notice::Failure;
use crate::rule::Deed;
use crate::sample::{at, usd};

fn display() -> Display {
    Display {
        currency: "KRW".into(),
        per_usd: 1_470_000_000,
        zone: TimeZone::get("Asia/Seoul").unwrap(),
    }
}

const NOW: &str = "2026-11-21T01:02:03Z";

fn incident(metric: Metric, by: Option<(By, &str)>, window: &str, figures: (i64, i64)) -> Incident {
    Incident {
        key: "k".to_owned(),
        rule: "rule".to_owned(),
        severity: Severity::Critical,
        state: State::Firing,
        by: by.map(|(by, _)| by),
        subject: by.map(|(_, name)| name.to_owned()).unwrap_or_default(),
        metric: Some(metric),
        window: window.to_owned(),
        value: figures.0,
        bound: figures.1,
        is_above: true,
        usual: None,
        budget: None,
        note: None,
        since: at(NOW),
        fired_at: Some(at(NOW)),
        ended_at: None,
        until: None,
        last_held: at(NOW),
        told_at: None,
        models: Vec::new(),
        doing: None,
    }
}

fn budget(step: Option<u16>) -> Incident {
    let budget = Budget {
        limit: "spend".to_owned(),
        plan: Some("premium".to_owned()),
        scope: vec![("user".to_owned(), "alice".to_owned())],
        metric: limit::Metric::CostUsd,
        window: "rolling 30d".to_owned(),
        used: 4_000_000_000,
        max: 5_000_000_000,
        step,
    };
    Incident { budget: Some(budget), metric: None, ..incident(Metric::Calls, None, "", (0, 0)) }
}

fn notice(kind: NoticeKind, incidents: Vec<Incident>, more: usize) -> Notice {
    let (time, language) = (at(NOW), Language::Ko);
    Notice { kind, incidents, more, ..Notice::sample(language, time) }
}

/// One of each, as an operator may get them.
fn notices() -> Vec<Notice> {
    let runaway = Incident {
        rule: "runaway-user".to_owned(),
        usual: Some(500_000_000),
        models: vec![("gpt-4o".to_owned(), usd("29")), ("gpt-4o-mini".to_owned(), usd("2.2"))],
        doing: Some(Doing {
            deed: Deed::QuotaZero,
            until: Some(at("2026-11-21T02:02:03Z")),
            progress: Progress::Standing,
            tries: 1,
        }),
        ..incident(
            Metric::CostUsd,
            Some((By::User, "alice")),
            "1h",
            (31_200_000_000, 7_500_000_000),
        )
    };
    let daily = Incident {
        rule: "daily-spend".to_owned(),
        ..incident(Metric::CostUsd, None, "day", (100_250_000_000, 100_000_000_000))
    };
    let errors = incident(Metric::ErrorRate, None, "5m", (123_400, 50_000));
    let latency =
        incident(Metric::LatencyP99, Some((By::Model, "gpt-4o")), "5m", (7_230_000, 5_000_000));
    let busy = Incident {
        usual: Some(20),
        ..incident(Metric::Calls, Some((By::Ip, "10.0.0.1")), "10m", (1_234, 300))
    };
    let breaker = incident(Metric::BreakerOpen, Some((By::Provider, "openai")), "now", (2, 0));
    let storm = incident(Metric::DuplicateStorms, Some((By::User, "eve")), "5m", (1, 0));
    let store = Incident {
        note: Some("the ledger cannot be written: No space left on device".to_owned()),
        ..incident(Metric::StoreDegraded, None, "now", (1, 0))
    };
    let ended = Incident {
        state: State::Resolved,
        ended_at: Some(at("2026-11-21T03:40:00Z")),
        ..daily.clone()
    };
    let single = [runaway.clone(), daily, errors, latency, busy, breaker, storm, store];
    let mut notices: Vec<Notice> =
        single.into_iter().map(|it| notice(NoticeKind::Fired, vec![it], 0)).collect();
    notices.push(notice(NoticeKind::Fired, vec![budget(Some(800))], 0));
    notices.push(notice(NoticeKind::Repeated, vec![budget(None)], 0));
    notices.push(notice(
        NoticeKind::Fired,
        vec![runaway.clone(), Incident { subject: "bob".to_owned(), ..runaway }],
        7,
    ));
    notices.push(notice(NoticeKind::Resolved, vec![ended], 0));
    let failure = Failure {
        channel: "ops".to_owned(),
        why: "it answers 404 channel_not_found".to_owned(),
        lost: "[Alert] Spend today: $100.25".to_owned(),
        is_disabled: true,
    };
    notices.push(Notice::of_failure(failure, Language::Ko, at(NOW)));
    notices.push(Notice::sample(Language::Ko, at(NOW)));
    notices
}

fn told(language: Language) -> String {
    let texts = notices()
        .into_iter()
        .map(|notice| text(&Notice { language, ..notice }, &display()).plain());
    texts.collect::<Vec<_>>().join("\n--------\n")
}

#[test]
fn texts_in_korean_are_as_kept() {
    insta::assert_snapshot!(told(Language::Ko));
}

#[test]
fn texts_in_english_are_as_kept() {
    insta::assert_snapshot!(told(Language::En));
}

#[test]
fn every_metric_has_words_in_both_languages() {
    for metric in Metric::ALL {
        for language in [Language::Ko, Language::En] {
            let one = incident(*metric, None, "1h", (1_000_000, 1));
            let told = headline(&one, language, &display());
            assert!(told.chars().count() > 3, "{told}");
            let korean = told.chars().any(|c| ('\u{ac00}'..='\u{d7a3}').contains(&c));
            assert_eq!(korean, language == Language::Ko, "{told}");
        }
    }
}

#[test]
fn names_of_callers_cannot_break_lines_hide_text_or_fill_a_message() {
    let evil = "a\r\nBcc: x@example.com\u{202e}gnp\u{2028}b\u{0}";
    let one = incident(Metric::Calls, Some((By::User, evil)), "1h", (5, 1));
    let notice = Notice { incidents: vec![one], ..Notice::sample(Language::En, at(NOW)) };
    let text = text(&notice, &display());
    assert!(!text.title.contains(is_armed), "{:?}", text.title);
    assert!(text.title.contains("Bcc: x@example.com"), "it is shown, on one line");
    assert_eq!(clean(&"x".repeat(5_000)).chars().count(), LONGEST + 1);
}
