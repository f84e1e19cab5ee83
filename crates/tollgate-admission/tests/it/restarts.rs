//! Reloads and restarts: what is counted survives other maxima, and history comes back.

use std::sync::Arc;
use std::time::Duration;

use tollgate_admission::engine::{Amounts, Demand, Engine};
use tollgate_domain::limit::{Limit, Metric, Scope, Window};

use crate::kit::{Desk, demand, free_plan, limit, plan, sliding, success, user};

#[test]
fn a_reload_changes_maxima_and_keeps_counts() {
    let daily = |max| limit("daily", Metric::Successes, Window::Day, max);
    let company = |max| Limit {
        scope: vec![Scope::Global],
        ..limit("company", Metric::Tokens, Window::Day, max)
    };
    let mut desk = Desk::new(plan("free", [daily(3)])).outside([company(1_000)]);
    for _ in 0..3 {
        desk.send("alice").unwrap();
    }
    assert!(desk.send("alice").is_err());
    let held = desk.admit(&user("bob"), &demand(10, 10)).unwrap();
    desk.plan = plan("free", [daily(5)]);
    desk.engine.set_limits(Arc::from([Arc::new(company(25))]));
    assert_eq!(desk.standing("alice", "daily"), (3, 0, Some(2)));
    assert_eq!(desk.standing("alice", "company"), (0, 20, Some(5)));
    // What was reserved before the reload is settled after it.
    desk.settle(held, &success(10, 5, 0));
    assert_eq!(desk.standing("alice", "company"), (15, 0, Some(10)));
    // The same name in another plan, or over another window, is another counter.
    desk.plan = plan("pro", [daily(5)]);
    assert_eq!(desk.standing("alice", "daily"), (0, 0, Some(5)));
    desk.plan = plan("free", [limit("daily", Metric::Successes, Window::Week, 5)]);
    assert_eq!(desk.standing("alice", "daily"), (0, 0, Some(5)));
    desk.plan = plan("free", [daily(4)]);
    assert_eq!(desk.standing("alice", "daily"), (3, 0, Some(1)));
}

#[test]
fn history_in_any_order_gives_the_counts_that_were_lost() {
    let limits = || {
        [
            limit("burst", Metric::Requests, sliding(3_600), 100),
            limit("daily", Metric::Successes, Window::Day, 100),
            limit("month", Metric::CostUsd, Window::Month, 100_000),
            limit("rolling", Metric::Tokens, Window::Rolling { days: 3 }, 100_000),
            limit("total", Metric::OutputTokens, Window::Total, 100_000),
        ]
    };
    let mut desk = Desk::new(plan("pro", limits()));
    let mut history = Vec::new();
    for step in 0..200u64 {
        desk.pass(Duration::from_mins(40));
        let grant = desk.admit(&user("alice"), &demand(step, 20)).unwrap();
        let actual = success(step, step % 7, i64::try_from(step * 3).unwrap());
        desk.settle(grant, &actual);
        history.push((desk.now, actual.amounts()));
    }
    let before: Vec<_> =
        desk.usage(&user("alice")).iter().map(|one| (one.used, one.resets_at)).collect();
    // Newest first, then everything in a pattern.
    let reversed: Vec<_> = history.iter().rev().copied().collect();
    let mixed: Vec<_> = (0..200).map(|n| history[(n * 77) % 200]).collect();
    for order in [history, reversed, mixed] {
        desk.engine = Engine::new();
        for (at, amounts) in &order {
            desk.engine.absorb(&desk.terms(&user("alice")), *at, amounts);
        }
        let after: Vec<_> =
            desk.usage(&user("alice")).iter().map(|one| (one.used, one.resets_at)).collect();
        assert_eq!(after, before);
    }
}

#[test]
fn many_calls_may_be_absorbed_together_and_old_windows_count_no_more() {
    let desk = Desk::new(free_plan());
    let subject = user("alice");
    let amounts = Amounts { requests: 7, successes: 6, admitted: 7, ..Amounts::default() };
    desk.engine.absorb(&desk.terms(&subject), desk.now, &amounts);
    desk.engine.absorb(&desk.terms(&subject), desk.now - Duration::from_hours(24), &amounts);
    desk.engine.absorb(&desk.terms(&subject), desk.now - Duration::from_hours(24 * 60), &amounts);
    assert_eq!(desk.standing("alice", "burst"), (7, 0, Some(3)));
    assert_eq!(desk.standing("alice", "daily"), (6, 0, Some(4)));
    assert_eq!(desk.standing("alice", "monthly"), (12, 0, Some(288)));
    assert_eq!(desk.standing("alice", "parallel"), (0, 0, Some(3)));
}

#[test]
fn a_grant_of_another_engine_settles_nothing() {
    let (one, other) = (Desk::new(free_plan()), Desk::new(free_plan()));
    let grant = one.admit(&user("alice"), &Demand::default()).unwrap();
    let held = other.admit(&user("alice"), &Demand::default()).unwrap();
    other.settle(grant, &success(0, 0, 0));
    assert_eq!(other.standing("alice", "daily"), (0, 1, Some(9)));
    other.settle(held, &success(0, 0, 0));
    assert_eq!(other.standing("alice", "daily"), (1, 0, Some(9)));
}

#[test]
fn subjects_whose_windows_are_over_are_forgotten_and_others_never() {
    let mut desk = Desk::new(plan(
        "free",
        [
            limit("burst", Metric::Requests, sliding(60), 10),
            limit("total", Metric::CostUsd, Window::Total, 1_000_000),
        ],
    ));
    let kept = desk.admit(&user("in flight"), &demand(10, 10)).unwrap();
    let payer = desk.admit(&user("payer"), &demand(10, 10)).unwrap();
    desk.settle(payer, &success(10, 10, 30));
    for n in 0..50_000 {
        desk.pass(Duration::from_millis(100));
        desk.send(&format!("visitor {n}")).unwrap();
    }
    // Sixty seconds of visitors are within the window; the table may hold a few times that.
    assert!(desk.engine.census().accounts < 5_000, "{:?}", desk.engine.census());
    desk.pass(Duration::from_hours(1));
    while desk.engine.census().accounts > 2 {
        let before = desk.engine.census().accounts;
        desk.engine.sweep(desk.now);
        assert!(desk.engine.census().accounts < before);
    }
    desk.settle(kept, &success(10, 10, 30));
    for name in ["in flight", "payer"] {
        assert_eq!(desk.standing(name, "total"), (30, 0, Some(999_970)));
    }
}
