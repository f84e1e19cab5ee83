//! The burst of the example: a hundred sends in a second on the free plan, and what refuses them.

use std::collections::BTreeMap;
use std::time::Duration;

use tollgate_admission::engine::{Actual, Demand, Subject};
use tollgate_domain::fault::Code;
use tollgate_domain::limit::{Metric, Scope, Window};

use crate::kit::{Desk, free_plan, limit, sliding, success, time, user};

/// Counts what a hundred sends within a second come to; each passes or names its refusing limit.
fn hundred(desk: &mut Desk, in_flight: bool) -> BTreeMap<String, usize> {
    let mut outcomes = BTreeMap::new();
    for _ in 0..100 {
        desk.pass(Duration::from_millis(10));
        let outcome = match desk.admit(&user("alice"), &Demand::default()) {
            Ok(grant) => {
                if !in_flight {
                    desk.settle(grant, &success(0, 0, 0));
                }
                "passed".to_owned()
            }
            Err(refusal) => format!("{} {}", refusal.limit.name, refusal.code.as_str()),
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    outcomes
}

fn counted(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn the_first_limit_to_bind_is_the_one_that_refuses() {
    // Calls that end at once: ten pass, then the rate binds (the day is used up as well, but the
    // cheap refusal comes first).
    let mut desk = Desk::new(free_plan());
    assert_eq!(hundred(&mut desk, false), counted(&[("passed", 10), ("burst rate_limited", 90)]));
    // A minute later the rate is free again, and the day is not.
    desk.pass(Duration::from_mins(1));
    assert_eq!(hundred(&mut desk, false), counted(&[("daily quota_exhausted", 100)]));
    // Calls that stay in flight: three pass, then what runs at once binds.
    let mut desk = Desk::new(free_plan());
    let expected = counted(&[("passed", 3), ("parallel concurrency_limited", 97)]);
    assert_eq!(hundred(&mut desk, true), expected);
    // The refused calls have used nothing: seven more pass the rate once the three have ended.
    assert_eq!(desk.standing("alice", "burst"), (3, 0, Some(7)));
}

#[test]
fn a_refusal_says_when_waiting_helps() {
    let mut desk = Desk::new(free_plan());
    let started = desk.now;
    for _ in 0..10 {
        desk.send("alice").unwrap();
    }
    desk.pass(Duration::from_secs(20));
    let refusal = desk.send("alice").unwrap_err();
    assert_eq!(refusal.code, Code::RateLimited);
    assert_eq!(refusal.frees_at, Some(started + Duration::from_mins(1)));
    assert_eq!(refusal.retry_after(desk.now), Some(Duration::from_secs(40)));
    desk.pass(Duration::from_secs(40));
    let refusal = desk.send("alice").unwrap_err();
    assert_eq!(&*refusal.limit.name, "daily");
    assert_eq!(refusal.frees_at, Some(time("2026-11-21T15:00:00Z")));
    assert_eq!(
        refusal.to_string(),
        "limit `daily` of plan `free` allows 10 successes (day): 10 used, 0 reserved, 1 asked"
    );
    desk.now = time("2026-11-21T15:00:00Z");
    desk.send("alice").unwrap();
}

#[test]
fn a_rolling_limit_frees_at_the_midnight_at_which_enough_leaves() {
    let month = limit("spend", Metric::Successes, Window::Rolling { days: 30 }, 3);
    let mut desk = Desk::new(crate::kit::plan("pro", [month]));
    for _ in 0..3 {
        desk.send("alice").unwrap();
        desk.pass(Duration::from_hours(24));
    }
    let refusal = desk.send("alice").unwrap_err();
    // The first call was on 21 November in Seoul; it leaves as 21 December begins.
    assert_eq!(refusal.frees_at, Some(time("2026-12-20T15:00:00Z")));
    desk.now = time("2026-12-20T14:59:59Z");
    assert!(desk.send("alice").is_err());
    desk.now = time("2026-12-20T15:00:00Z");
    desk.send("alice").unwrap();
    assert!(desk.send("alice").is_err());
}

#[test]
fn failed_calls_leave_quotas_untouched_and_rates_counted() {
    let mut limits = free_plan();
    let daily = limit("calls", Metric::Requests, Window::Day, 5);
    limits.limits.push(std::sync::Arc::new(daily));
    let desk = Desk::new(limits);
    for _ in 0..4 {
        let grant = desk.admit(&user("alice"), &Demand::default()).unwrap();
        assert_eq!(desk.standing("alice", "calls"), (0, 1, Some(4)));
        desk.settle(grant, &Actual::nothing());
    }
    for untouched in ["daily", "monthly", "parallel", "calls"] {
        let (used, reserved, _) = desk.standing("alice", untouched);
        assert_eq!((used, reserved), (0, 0), "{untouched}");
    }
    assert_eq!(desk.standing("alice", "burst"), (4, 0, Some(6)));
    // Cut off midway: what was used is charged, and the request counts; a success it is not.
    let grant = desk.admit(&user("alice"), &Demand::default()).unwrap();
    let cut = Actual { output_tokens: 3, ..Actual::nothing() };
    desk.settle(grant, &cut);
    assert_eq!(desk.standing("alice", "calls"), (1, 0, Some(4)));
    assert_eq!(desk.standing("alice", "daily"), (0, 0, Some(10)));
}

#[test]
fn a_limit_counts_per_combination_of_its_scopes_and_only_where_they_are_known() {
    let mut by_pair = limit("pair", Metric::Successes, Window::Day, 1);
    by_pair.scope = vec![Scope::Model, Scope::User];
    let mut by_team = limit("team", Metric::Successes, Window::Day, 3);
    by_team.scope = vec![Scope::Team];
    let mut by_ip = limit("ip", Metric::Requests, sliding(60), 4);
    by_ip.scope = vec![Scope::Ip];
    let desk = Desk::new(crate::kit::plan("pro", [])).outside([by_pair, by_team, by_ip]);
    let send = |user, model, team, ip| {
        let subject = Subject { user, model, team, ip, ..Subject::default() };
        desk.admit(&subject, &Demand::default()).map(drop).map_err(|no| no.limit.name.to_string())
    };
    let (team, ip) = (Some("red"), Some("10.0.0.1"));
    assert_eq!(send("alice", "a", team, ip), Ok(()));
    assert_eq!(send("alice", "a", team, ip), Err("pair".to_owned()));
    assert_eq!(send("alice", "b", team, ip), Ok(()));
    assert_eq!(send("bob", "a", team, ip), Ok(()));
    assert_eq!(send("bob", "b", team, ip), Err("team".to_owned()));
    assert_eq!(send("bob", "b", None, ip), Ok(()));
    assert_eq!(send("carol", "a", None, ip), Err("ip".to_owned()));
    assert_eq!(send("carol", "a", None, None), Ok(()));
}

#[test]
fn filters_decide_which_calls_a_limit_concerns() {
    let mut dear = limit("dear", Metric::Successes, Window::Day, 1);
    dear.models = vec!["gpt-4*".into(), "o1".into()];
    dear.providers = vec!["openai".into()];
    let mut diary = limit("diary", Metric::Successes, Window::Day, 1);
    diary.feature = Some("diary".into());
    let desk = Desk::new(crate::kit::plan("pro", [dear, diary]));
    let send = |model, provider, feature| {
        let subject = Subject { user: "alice", model, provider, feature, ..Subject::default() };
        desk.admit(&subject, &Demand::default()).map(drop).map_err(|no| no.limit.name.to_string())
    };
    assert_eq!(send("gpt-4o", "openai", None), Ok(()));
    assert_eq!(send("o1", "openai", None), Err("dear".to_owned()));
    assert_eq!(send("o1-mini", "openai", None), Ok(()));
    assert_eq!(send("o1", "azure", Some("diary")), Ok(()));
    assert_eq!(send("o3", "azure", Some("diary")), Err("diary".to_owned()));
    assert_eq!(send("o3", "azure", Some("chat")), Ok(()));
    // Both are shown, whatever the caller is about to call.
    assert_eq!(desk.usage(&Subject { user: "alice", ..Subject::default() }).len(), 2);
}
