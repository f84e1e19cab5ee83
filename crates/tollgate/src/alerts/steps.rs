//! Steps of limits as the engine takes them: named by limit, subject, window and step, so that each
//! is reported once in its window.

use jiff::{SignedDuration, Timestamp};
use tollgate_alerts::engine::Reached;
use tollgate_alerts::{Budget, measure, span};
use tollgate_domain::limit::Window;

use super::feed::Step;

/// What never turns is told for a day.
const A_DAY: SignedDuration = SignedDuration::from_hours(24);
/// What never turns counts as reported for so long.
const LONG: SignedDuration = SignedDuration::from_hours(24 * 400);
/// What runs at once is told for a minute.
const A_MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The step as it is reported.
pub(super) fn reached(step: Step, now: Timestamp) -> Reached {
    let Step { limit, plan, step, used, max, scope } = step;
    let (window, until, reported_until) = window(limit.window, &limit.zone, now);
    let whose: Vec<String> = scope.iter().map(|(scope, name)| format!("{scope}={name}")).collect();
    let key = format!(
        "budget/{}/{}/{}/{window}/{max}/{step}",
        plan.as_deref().unwrap_or_default(),
        limit.name,
        whose.join(","),
    );
    let budget = Budget {
        limit: limit.name.to_string(),
        plan: plan.as_deref().map(str::to_owned),
        scope,
        metric: limit.metric,
        window: limit.window.to_string(),
        used,
        max,
        step: Some(step),
    };
    Reached { key, budget, until, reported_until }
}

/// What names the window that it is in now, when that ends, and until when a step in it counts as
/// reported.
fn window(
    window: Window,
    zone: &jiff::tz::TimeZone,
    now: Timestamp,
) -> (String, Timestamp, Timestamp) {
    let after = |length: SignedDuration| now.checked_add(length).unwrap_or(Timestamp::MAX);
    let calendar = match window {
        Window::Day => measure::Window::Day,
        Window::Week => measure::Window::Week,
        Window::Month => measure::Window::Month,
        Window::Rolling { days } => {
            let until = after(SignedDuration::from_hours(24 * i64::from(days)));
            return ("rolling".to_owned(), until, until);
        }
        Window::Sliding { millis } => {
            let millis = i64::try_from(millis).unwrap_or(i64::MAX);
            let until = after(SignedDuration::from_millis(millis));
            return ("sliding".to_owned(), until, until);
        }
        Window::Total | Window::Balance => {
            return (window.to_string(), after(A_DAY), after(LONG));
        }
        Window::Now => return ("now".to_owned(), after(A_MINUTE), after(A_MINUTE)),
    };
    let span = span::window(calendar, zone, now);
    let begin = span.from.to_zoned(zone.clone()).date();
    (begin.to_string(), span.to, span.to)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::tz::TimeZone;
    use tollgate_domain::limit::{Limit, Metric, Mode, OnLimit, Scope};

    use super::*;

    fn step(window: Window, step: u16, max: i64) -> Step {
        let limit = Limit {
            name: "spend".into(),
            scope: vec![Scope::User],
            metric: Metric::CostUsd,
            window,
            max: Some(max),
            on_limit: OnLimit::Deny,
            mode: Mode::Enforce,
            warn_at: vec![500],
            rollover: 0,
            zone: TimeZone::get("Asia/Seoul").unwrap(),
            feature: None,
            models: Vec::new(),
            providers: Vec::new(),
        };
        let scope = vec![("user".to_owned(), "alice".to_owned())];
        Step { limit: Arc::new(limit), plan: Some("free".into()), step, used: 5, max, scope }
    }

    #[test]
    fn a_step_has_one_name_in_its_window_and_another_in_the_next() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (early, late) = (at("2026-11-20T15:00:00Z"), at("2026-11-21T14:59:59Z"));
        let name = |window, now| reached(step(window, 500, 10), now).key;
        assert_eq!(name(Window::Day, early), "budget/free/spend/user=alice/2026-11-21/10/500");
        assert_eq!(name(Window::Day, early), name(Window::Day, late));
        assert_ne!(name(Window::Day, early), name(Window::Day, at("2026-11-21T15:00:00Z")));
        assert_eq!(name(Window::Month, early), name(Window::Month, at("2026-11-30T14:59:59Z")));
        let whole = reached(step(Window::Day, 500, 10), early);
        assert_eq!((whole.until, whole.reported_until), (at("2026-11-21T15:00:00Z"), whole.until));
        // A larger maximum is another budget; what rolls counts as reported for its length.
        assert_ne!(whole.key, reached(step(Window::Day, 500, 20), early).key);
        let rolling = reached(step(Window::Rolling { days: 30 }, 800, 10), early);
        assert_eq!(rolling.until, at("2026-12-20T15:00:00Z"));
        let balance = reached(step(Window::Balance, 800, 10), early);
        assert!(balance.reported_until > balance.until);
    }
}
