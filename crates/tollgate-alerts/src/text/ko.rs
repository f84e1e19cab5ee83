//! Korean. Figures stand behind nouns, so that no particle depends on how a name or a number ends.

use tollgate_domain::limit;

use super::{Detail, Words, seconds};
use crate::incident::{Doing, Progress};
use crate::measure::Metric;
use crate::notice::NoticeKind;
use crate::rule::{Deed, Severity};

/// The words of Korean.
pub(super) struct Korean;

impl Words for Korean {
    fn kind(&self, kind: NoticeKind) -> &'static str {
        match kind {
            NoticeKind::Fired => "[경보]",
            NoticeKind::Repeated => "[경보 지속]",
            NoticeKind::Resolved => "[해소]",
            NoticeKind::ChannelFailed => "[채널]",
            NoticeKind::Test => "[테스트]",
            NoticeKind::Report => "[보고서]",
            NoticeKind::JobFailed => "[작업]",
        }
    }

    fn severity(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Info => "정보",
            Severity::Warning => "경고",
            Severity::Critical => "심각",
        }
    }

    fn by(&self, by: &str) -> String {
        match by {
            "user" => "사용자",
            "key" => "키",
            "ip" => "주소",
            "model" => "모델",
            "provider" => "공급자",
            "team" => "팀",
            "feature" => "기능",
            "limit" => "한도",
            "session" => "세션",
            other => other,
        }
        .to_owned()
    }

    fn metric(&self, metric: Metric) -> String {
        match metric {
            Metric::CostUsd => "지출",
            Metric::Calls => "호출 수",
            Metric::FailedCalls => "실패한 호출",
            Metric::Refusals => "거절된 호출",
            Metric::GuestCalls => "인증 없는 호출",
            Metric::Tokens => "토큰",
            Metric::InputTokens => "입력 토큰",
            Metric::OutputTokens => "출력 토큰",
            Metric::CallCostUsd => "가장 비싼 호출",
            Metric::ErrorRate => "오류율",
            Metric::LatencyP50 => "P50 응답 시간",
            Metric::LatencyP95 => "P95 응답 시간",
            Metric::LatencyP99 => "P99 응답 시간",
            Metric::TtftP50 => "P50 첫 응답까지의 시간",
            Metric::TtftP95 => "P95 첫 응답까지의 시간",
            Metric::TtftP99 => "P99 첫 응답까지의 시간",
            Metric::DuplicateStorms => "중복 요청 폭주",
            Metric::BreakerOpenings => "서킷 브레이커가 열린 횟수",
            Metric::BreakerOpen => "열린 서킷 브레이커",
            Metric::StoreDegraded => "저장소 장애",
            Metric::LedgerWaiting => "데이터베이스 기록 대기 중인 호출",
            Metric::LimitUsedRatio | Metric::BudgetUsedRatio => "사용률",
            Metric::BillingLag => "Stripe 업로드 지연",
        }
        .to_owned()
    }

    fn counted(&self, metric: limit::Metric) -> &'static str {
        match metric {
            limit::Metric::Requests => "요청",
            limit::Metric::Successes => "성공",
            limit::Metric::InputTokens => "입력 토큰",
            limit::Metric::OutputTokens => "출력 토큰",
            limit::Metric::Tokens => "토큰",
            limit::Metric::CostUsd => "",
            limit::Metric::Concurrency => "동시 호출",
            limit::Metric::Units => "단위",
        }
    }

    fn window(&self, window: &str) -> String {
        match (window, seconds(window)) {
            ("day", _) => "오늘".to_owned(),
            ("week", _) => "이번 주".to_owned(),
            ("month", _) => "이번 달".to_owned(),
            (_, Some(seconds)) => format!("최근 {}", span(seconds)),
            _ => String::new(),
        }
    }

    fn limit_window(&self, window: &str) -> String {
        match window.split_once(' ') {
            Some(("sliding" | "rolling", length)) => {
                let seconds = seconds(length);
                seconds.map_or_else(|| window.to_owned(), |it| format!("최근 {}", span(it)))
            }
            _ => match window {
                "day" => "일간",
                "week" => "주간",
                "month" => "월간",
                "total" => "전체 기간",
                "balance" => "선불 잔액",
                "now" => "동시",
                other => other,
            }
            .to_owned(),
        }
    }

    fn duration(&self, micros: i64) -> String {
        match micros / 1_000_000 {
            7_200.. => format!("{}시간 {}분", micros / 3_600_000_000, micros / 60_000_000 % 60),
            120.. => format!("{}분", micros / 60_000_000),
            1.. => format!("{}.{}초", micros / 1_000_000, micros / 100_000 % 10),
            _ => format!("{}ms", micros / 1_000),
        }
    }

    fn measured(
        &self,
        subject: Option<String>,
        window: &str,
        (metric, value): (Metric, &str),
    ) -> String {
        let (what, window) = (self.metric(metric), self.window(window));
        let subject = subject.map(|subject| format!("{subject} · ")).unwrap_or_default();
        let window = if window.is_empty() { window } else { format!("{window} ") };
        let counter = match metric {
            Metric::Calls
            | Metric::FailedCalls
            | Metric::Refusals
            | Metric::GuestCalls
            | Metric::LedgerWaiting => "건",
            Metric::DuplicateStorms | Metric::BreakerOpenings => "회",
            Metric::BreakerOpen => "개",
            _ => "",
        };
        format!("{subject}{window}{what} {value}{counter}")
    }

    fn beside_usual(&self, headline: &str, (usual, factor): (&str, &str)) -> String {
        format!("{headline} — 평소 {usual}의 {factor}배")
    }

    fn beyond(&self, headline: &str, bound: &str, is_above: bool) -> String {
        let word = if is_above { "초과" } else { "미달" };
        format!("{headline} — 기준 {bound} {word}")
    }

    fn share(&self, percent: &str, is_step: bool) -> String {
        if is_step { format!("{percent} 도달") } else { format!("{percent} 사용") }
    }

    fn used(&self, limit: &str, share: &str, (used, max): (&str, &str), window: &str) -> String {
        format!("{limit} · {share} — {window} {max} 중 {used}")
    }

    fn degraded(&self) -> &'static str {
        "호출을 기록하지 못해 새 호출을 받지 않고 있습니다"
    }

    fn detail(&self, detail: Detail) -> &'static str {
        match detail {
            Detail::Rule => "규칙",
            Detail::Since => "시작",
            Detail::Lasted => "지속 시간",
            Detail::Models => "많이 쓴 모델",
            Detail::Doing => "조치",
            Detail::Note => "원인",
            Detail::Why => "원인",
            Detail::Lost => "전달하지 못한 알림",
        }
    }

    fn doing(&self, doing: &Doing, until: Option<String>) -> String {
        let what = match doing.deed {
            Deed::Throttle => "호출 속도 제한",
            Deed::QuotaZero => "할당량 0 적용",
            Deed::Block => "사용자 차단",
            Deed::KillSwitch => "호출 중지",
        };
        match (doing.progress, until) {
            (Progress::Lifted, _) => format!("{what}: 해제됨"),
            (Progress::Standing, Some(until)) => format!("{what}, {until}까지"),
            (Progress::Standing, None) => format!("{what}, 직접 해제할 때까지"),
            (Progress::Left, _) => format!("{what}: 이미 적용되어 있어 그대로 두었습니다"),
            (Progress::Due | Progress::Failed, _) => format!("{what}: 실행하지 못했습니다"),
        }
    }

    fn more(&self, more: usize) -> String {
        format!("외 {more}건: `tollgate alerts list`에서 확인하세요")
    }

    fn several(&self, count: usize, rule: &str) -> String {
        format!("{rule}: {count}건 동시 발생")
    }

    fn failed(&self, channel: &str, is_disabled: bool) -> String {
        if is_disabled {
            format!("알림 채널 {channel}: 메시지를 거부하여 사용을 중지했습니다")
        } else {
            format!("알림 채널 {channel}: 메시지를 전달하지 못했습니다")
        }
    }

    fn sample(&self) -> &'static str {
        "Tollgate가 보낸 시험 메시지입니다. 실제로 발생한 일은 없습니다."
    }

    fn limit(&self, name: &str, plan: Option<&str>) -> String {
        match plan {
            Some(plan) => format!("요금제 {plan}의 한도 {name}"),
            None => format!("한도 {name}"),
        }
    }
}

/// A length of time behind "최근".
fn span(seconds: u64) -> String {
    for (size, name) in [(86_400, "일"), (3_600, "시간"), (60, "분"), (1, "초")] {
        if seconds >= size && seconds.is_multiple_of(size) {
            return format!("{}{name}", seconds / size);
        }
    }
    format!("{seconds}초")
}
