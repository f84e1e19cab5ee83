//! What is different for one user: overrides, quota zero, balances; and what is carried over.

use std::sync::Arc;
use std::time::Duration;

use tollgate_admission::engine::{Actual, Override, OwnLimits, Subject, Terms};
use tollgate_domain::fault::Code;
use tollgate_domain::limit::{Limit, Metric, Scope, Window};

use crate::kit::{Desk, call, demand, free_plan, limit, plan, success, time, user};

fn passes(desk: &Desk, most: usize) -> usize {
    (0..most).take_while(|_| desk.send("alice").is_ok()).count()
}

#[test]
fn an_override_holds_until_its_end_and_keeps_the_count() {
    let daily = || limit("daily", Metric::Successes, Window::Day, 3);
    let mut desk = Desk::new(plan("free", [daily()]));
    assert_eq!(passes(&desk, 10), 3);
    let until = desk.now + Duration::from_hours(1);
    desk.overlay.overrides =
        vec![Override { limit: "daily".into(), max: Some(5), until: Some(until) }];
    assert_eq!(passes(&desk, 10), 2);
    desk.now = until;
    assert_eq!(passes(&desk, 10), 0);
    desk.overlay.overrides = vec![Override { limit: "daily".into(), max: None, until: None }];
    assert_eq!(passes(&desk, 50), 50);
    // Zero blocks, until it ends.
    let until = desk.now + Duration::from_mins(1);
    desk.now = time("2026-11-22T03:00:00Z");
    let until = until.max(desk.now + Duration::from_mins(1));
    desk.overlay.overrides =
        vec![Override { limit: "daily".into(), max: Some(0), until: Some(until) }];
    let refusal = desk.send("alice").unwrap_err();
    assert_eq!((refusal.code, refusal.frees_at), (Code::QuotaExhausted, Some(until)));
    desk.now = until;
    assert_eq!(passes(&desk, 10), 3);
}

#[test]
fn an_override_of_one_user_does_not_lift_the_limit_of_all() {
    let mut company = limit("company", Metric::Successes, Window::Day, 2);
    company.scope = vec![Scope::Global];
    let own = limit("own", Metric::Successes, Window::Day, 0);
    let mut desk = Desk::new(plan("free", [])).outside([company, own]);
    desk.overlay.overrides = ["company", "own"]
        .map(|name| Override { limit: name.into(), max: None, until: None })
        .to_vec();
    assert_eq!(passes(&desk, 10), 2);
}

#[test]
fn quota_zero_refuses_everything_until_it_ends() {
    let mut desk = Desk::new(plan("admin", []));
    let until = desk.now + Duration::from_hours(1);
    desk.overlay.zero_until = Some(until);
    let refusal = desk.send("alice").unwrap_err();
    assert_eq!(refusal.code, Code::QuotaExhausted);
    assert_eq!(&*refusal.limit.name, "quota_zero");
    assert_eq!(refusal.retry_after(desk.now), Some(Duration::from_hours(1)));
    desk.plan = free_plan();
    assert!(desk.usage(&user("alice")).iter().all(|state| state.remaining == Some(0)));
    desk.now = until;
    assert!(desk.send("alice").is_ok());
}

#[test]
fn a_balance_is_what_was_paid_in_less_what_was_used_and_set_aside() {
    let wallet = Limit { max: None, ..limit("wallet", Metric::CostUsd, Window::Balance, 0) };
    let mut desk = Desk::new(plan("prepaid", [wallet]));
    assert_eq!(desk.admit(&user("alice"), &demand(1, 0)).unwrap_err().frees_at, None);
    desk.overlay.balances = vec![("wallet".into(), 300)];
    let grant = desk.admit(&user("alice"), &demand(100, 50)).unwrap();
    assert_eq!(desk.standing("alice", "wallet"), (0, 200, Some(100)));
    assert!(desk.admit(&user("alice"), &demand(100, 50)).is_err());
    desk.settle(grant, &success(100, 40, 180));
    assert_eq!(desk.standing("alice", "wallet"), (180, 0, Some(120)));
    desk.now = time("2027-11-21T00:00:00Z");
    desk.overlay.balances.push(("wallet".into(), 100));
    assert_eq!(desk.standing("alice", "wallet"), (180, 0, Some(220)));
    assert!(desk.admit(&user("alice"), &demand(100, 50)).is_ok());
}

#[test]
fn unused_allowance_is_carried_over_up_to_its_cap() {
    let daily = Limit { rollover: 500, ..limit("daily", Metric::Successes, Window::Day, 10) };
    let mut desk = Desk::new(plan("free", [daily]));
    let day = Duration::from_hours(24);
    // (days since the last row, sends tried, sends that pass)
    for (row, (days, tried, passed)) in [
        (0, 8, 8),   // the first day: nothing is carried over to it
        (1, 20, 12), // 2 were left
        (1, 4, 4),   // 0 were left
        (1, 20, 15), // 6 were left, 5 is the cap
        (3, 20, 15), // days without a call left all of theirs
        (1, 1, 1),
        (1, 20, 15),
    ]
    .into_iter()
    .enumerate()
    {
        desk.pass(day * days);
        assert_eq!(passes(&desk, tried), passed, "row {row}");
    }
}

#[test]
fn a_reservation_that_stands_over_midnight_is_settled_into_the_day_it_was_taken_from() {
    let mut desk = Desk::new(plan(
        "pro",
        [
            Limit { rollover: 1_000, ..limit("daily", Metric::CostUsd, Window::Day, 300) },
            limit("two", Metric::CostUsd, Window::Rolling { days: 2 }, 1_000),
        ],
    ));
    desk.now = time("2026-11-21T14:59:59Z");
    let grant = desk.admit(&user("alice"), &demand(100, 50)).unwrap();
    desk.now = time("2026-11-21T15:00:00Z");
    // Nothing of the new day is taken, and what yesterday has set aside is not carried over.
    assert_eq!(desk.standing("alice", "daily"), (0, 0, Some(400)));
    assert_eq!(desk.standing("alice", "two"), (0, 200, Some(800)));
    desk.settle(grant, &success(100, 25, 150));
    assert_eq!(desk.standing("alice", "daily"), (0, 0, Some(450)));
    assert_eq!(desk.standing("alice", "two"), (150, 0, Some(850)));
    // As the next day begins, the day of admission has left the two-day window.
    desk.now = time("2026-11-22T15:00:00Z");
    assert_eq!(desk.standing("alice", "two"), (0, 0, Some(1_000)));
}

#[test]
fn a_keys_own_limits_are_weighed_with_those_of_the_plan_and_count_by_key() {
    let spend = |name: &str, max| limit(name, Metric::CostUsd, Window::Day, max);
    let of_key = Limit { scope: vec![Scope::Key], ..spend("own", 10) };
    let own = OwnLimits::of(vec![Arc::new(of_key)]).unwrap();
    let desk = Desk::new(plan("p", [spend("daily", 25)]));
    let ask = |key: &str, own: Option<&OwnLimits>| {
        let subject = Subject { key: Some(key), ..user("ann") };
        let terms = Terms { own, ..desk.terms(&subject) };
        desk.engine.admit(call(1), &terms, &demand(6, 1), desk.now)
    };
    let first = ask("a", Some(&own)).unwrap();
    let refused = ask("a", Some(&own)).unwrap_err();
    assert_eq!((&*refused.limit.name, refused.balance.reserved), ("own", 8));
    // Another key of the same limits, and one without, until the plan refuses; then nothing of the
    // key's is kept.
    let second = ask("b", Some(&own)).unwrap();
    let third = ask("c", None).unwrap();
    desk.settle(second, &Actual::nothing());
    desk.settle(first, &success(6, 1, 8));
    assert!(ask("d", Some(&own)).is_ok_and(|grant| {
        let refused = ask("b", Some(&own)).unwrap_err();
        desk.settle(grant, &Actual::nothing());
        &*refused.limit.name == "daily"
    }));
    desk.settle(third, &Actual::nothing());
    let subject = Subject { key: Some("a"), ..user("ann") };
    let terms = Terms { own: Some(&own), ..desk.terms(&subject) };
    let states = desk.engine.usage(&terms, desk.now);
    let used: Vec<_> = states.iter().map(|state| (&*state.limit.name, state.used)).collect();
    assert_eq!(used, [("daily", 8), ("own", 8)]);
    assert_eq!(desk.engine.census().held, 0);
}
