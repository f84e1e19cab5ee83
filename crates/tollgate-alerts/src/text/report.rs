//! Reports in words. They are made of figures with names in front of them, so a language is a table
//! of names here, and the order of things is the same in both.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tollgate_domain::money::NanoUsd;

use super::figures::{grouped, percent};
use super::{Part, Speaker, Text, clean};
use crate::notice::Notice;
use crate::report::{Figures, JobFailure, Period, Report, Top};
use crate::rule::Language;

/// What things are called in a report.
struct Names {
    daily: &'static str,
    weekly: &'static str,
    spend: &'static str,
    calls: &'static str,
    failed: &'static str,
    refused: &'static str,
    tokens: &'static str,
    tokens_in: &'static str,
    tokens_out: &'static str,
    savings: &'static str,
    saved_calls: &'static str,
    users: &'static str,
    models: &'static str,
    anomalies: &'static str,
    nothing: &'static str,
    nobody: &'static str,
    others: &'static str,
    day_before: &'static str,
    week_before: &'static str,
    job: &'static str,
    job_failed: &'static str,
    cause: &'static str,
}

const KOREAN: Names = Names {
    daily: "[일간 보고서]",
    weekly: "[주간 보고서]",
    spend: "지출",
    calls: "호출",
    failed: "실패",
    refused: "거절",
    tokens: "토큰",
    tokens_in: "입력",
    tokens_out: "출력",
    savings: "절감액",
    saved_calls: "캐시 응답",
    users: "지출 상위 사용자",
    models: "지출 상위 모델",
    anomalies: "이상 징후",
    nothing: "없음",
    nobody: "(이름 없음)",
    others: "그 외",
    day_before: "전일 대비",
    week_before: "전주 대비",
    job: "[작업]",
    job_failed: "예약 작업에서 문제가 발견되었습니다",
    cause: "원인",
};

const ENGLISH: Names = Names {
    daily: "[Daily report]",
    weekly: "[Weekly report]",
    spend: "Spend",
    calls: "Calls",
    failed: "Failed",
    refused: "Refused",
    tokens: "Tokens",
    tokens_in: "in",
    tokens_out: "out",
    savings: "Savings",
    saved_calls: "answers from the cache",
    users: "Top users",
    models: "Top models",
    anomalies: "Anomalies",
    nothing: "none",
    nobody: "(no name)",
    others: "others",
    day_before: "vs. the day before",
    week_before: "vs. the week before",
    job: "[Job]",
    job_failed: "A scheduled job found something wrong",
    cause: "Cause",
};

const fn names(language: Language) -> &'static Names {
    match language {
        Language::Ko => &KOREAN,
        Language::En => &ENGLISH,
    }
}

/// What a job found, in words.
pub(super) fn failure(notice: &Notice, failure: &JobFailure) -> Text {
    let names = names(notice.language);
    let headline = format!("{}: {}", names.job_failed, clean(&failure.job));
    let details = vec![(names.cause.to_owned(), clean(&failure.why))];
    let title = format!("{} {headline}", names.job);
    Text { title, parts: vec![Part { headline, details }], end: None }
}

/// A report in words.
pub(super) fn report(speaker: &Speaker<'_>, language: Language, report: &Report) -> Text {
    let names = names(language);
    let teller = Teller { speaker, names, report };
    let spend = speaker.money(report.total.cost_usd);
    let kind = match report.period {
        Period::Day => names.daily,
        Period::Week => names.weekly,
    };
    let headline = format!("{}: {} {spend}", teller.days(), names.spend);
    let parts = vec![
        Part { headline: headline.clone(), details: teller.sums() },
        Part { headline: names.users.to_owned(), details: teller.top(&report.users) },
        Part { headline: names.models.to_owned(), details: teller.top(&report.models) },
        Part { headline: names.anomalies.to_owned(), details: teller.anomalies() },
    ];
    Text { title: format!("{kind} {headline}"), parts, end: None }
}

struct Teller<'a> {
    speaker: &'a Speaker<'a>,
    names: &'static Names,
    report: &'a Report,
}

impl Teller<'_> {
    /// The day, or the first and the last one.
    fn days(&self) -> String {
        let zone = TimeZone::get(&self.report.timezone);
        let zone = zone.unwrap_or_else(|_| self.speaker.display.zone.clone());
        let day = |at: Timestamp| at.to_zoned(zone.clone()).date().to_string();
        let last = self.report.to.checked_sub(SignedDuration::from_secs(1));
        let (first, last) = (day(self.report.from), day(last.unwrap_or(self.report.to)));
        if first == last { first } else { format!("{first} \u{2013} {last}") }
    }

    fn sums(&self) -> Vec<(String, String)> {
        let Figures { calls, failed, refused, .. } = self.report.total;
        let (names, total, before) = (self.names, &self.report.total, &self.report.before);
        let spent = self.beside(
            &self.speaker.money(total.cost_usd),
            (nanos(total.cost_usd), nanos(before.cost_usd)),
            &self.speaker.money(before.cost_usd),
        );
        let called = self.beside(
            &count(calls),
            (i128::from(calls), i128::from(before.calls)),
            &count(before.calls),
        );
        let saved = format!(
            "{} ({} {})",
            self.speaker.money(total.savings_usd),
            names.saved_calls,
            count(total.cache_hits)
        );
        let tokens = format!(
            "{} {}, {} {}",
            names.tokens_in,
            count(total.input_tokens),
            names.tokens_out,
            count(total.output_tokens)
        );
        let failed = format!("{} ({})", count(failed), share(failed, calls));
        [
            (names.spend, spent),
            (names.calls, called),
            (names.failed, failed),
            (names.refused, count(refused)),
            (names.tokens, tokens),
            (names.savings, saved),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// A value, and by how much it differs from the period before.
    fn beside(&self, value: &str, (now, before): (i128, i128), was: &str) -> String {
        let against = match self.report.period {
            Period::Day => self.names.day_before,
            Period::Week => self.names.week_before,
        };
        if before == 0 {
            return format!("{value} ({against}: {was})");
        }
        let parts = (now - before).saturating_mul(1_000_000) / before;
        let parts = i64::try_from(parts).unwrap_or(i64::MAX);
        let sign = if parts > 0 { "+" } else { "" };
        let parts = if parts < 0 { format!("-{}", percent(-parts)) } else { percent(parts) };
        format!("{value} ({against}: {sign}{parts}, {was})")
    }

    fn top(&self, top: &Top) -> Vec<(String, String)> {
        let mut rows: Vec<_> = top
            .shares
            .iter()
            .map(|it| {
                let name = it.name.as_deref().map_or_else(|| self.names.nobody.to_owned(), clean);
                let calls = format!("{} {}", self.names.calls, count(it.calls));
                (name, format!("{} \u{b7} {calls}", self.speaker.money(it.cost_usd)))
            })
            .collect();
        if rows.is_empty() {
            rows.push((self.names.calls.to_owned(), self.names.nothing.to_owned()));
        }
        if top.more > 0 {
            rows.push((self.names.others.to_owned(), top.more.to_string()));
        }
        rows
    }

    fn anomalies(&self) -> Vec<(String, String)> {
        let mut rows: Vec<_> = self
            .report
            .alerts
            .iter()
            .map(|incident| {
                let begun = incident.fired_at.unwrap_or(incident.since);
                let rule = clean(&incident.rule);
                let told = format!("{rule}: {}", self.speaker.headline(incident));
                (self.speaker.time(begun), told)
            })
            .collect();
        if rows.is_empty() {
            rows.push((self.names.anomalies.to_owned(), self.names.nothing.to_owned()));
        }
        if self.report.more_alerts > 0 {
            rows.push((self.names.others.to_owned(), self.report.more_alerts.to_string()));
        }
        rows
    }
}

fn nanos(amount: NanoUsd) -> i128 {
    i128::from(amount.nanos())
}

fn count(value: u64) -> String {
    grouped(i64::try_from(value).unwrap_or(i64::MAX))
}

fn share(part: u64, whole: u64) -> String {
    let parts = u128::from(part) * 1_000_000 / u128::from(whole.max(1));
    percent(i64::try_from(parts).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
