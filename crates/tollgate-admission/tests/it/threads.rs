//! Many threads at one limit: never one call too many, never one too few.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use tollgate_admission::engine::{Actual, Demand, Subject};
use tollgate_domain::limit::{Limit, Metric, OnLimit, Scope, Window};

use crate::kit::{Desk, demand, limit, plan, sliding, success, user};

const THREADS: usize = 8;

/// Runs a closure on eight threads at once and adds up what it returns.
fn together(work: impl Fn(usize) -> usize + Sync) -> usize {
    let gate = Barrier::new(THREADS);
    let sum = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (gate, sum, work) = (&gate, &sum, &work);
            scope.spawn(move || {
                gate.wait();
                sum.fetch_add(work(thread), Ordering::Relaxed);
            });
        }
    });
    sum.into_inner()
}

#[test]
fn exactly_as_many_pass_as_a_limit_allows() {
    for (metric, window) in [
        (Metric::Requests, sliding(60)),
        (Metric::Successes, Window::Day),
        (Metric::Concurrency, Window::Now),
        (Metric::CostUsd, Window::Rolling { days: 30 }),
        (Metric::Tokens, Window::Total),
    ] {
        // A call needs 1 request, success or place, and 3 nano-dollars or 3 tokens.
        let each = if matches!(metric, Metric::CostUsd | Metric::Tokens) { 3 } else { 1 };
        let mut shared = limit("shared", metric, window, 100 * each);
        shared.scope = vec![Scope::Global];
        let desk = Desk::new(plan("pro", [])).outside([shared]);
        let asked = if metric == Metric::Tokens { demand(1, 2) } else { demand(1, 1) };
        let passed = together(|thread| {
            let name = format!("user {thread}");
            let tried = (0..50).map(|_| desk.admit(&user(&name), &asked));
            tried.flatten().count()
        });
        assert_eq!(passed, 100, "{metric:?}");
    }
}

#[test]
fn calls_that_fail_make_room_and_nothing_is_lost_or_counted_twice() {
    let mut shared = limit("shared", Metric::Successes, Window::Day, 500);
    shared.scope = vec![Scope::Global];
    let parallel = limit("parallel", Metric::Concurrency, Window::Now, 1);
    let desk = Desk::new(plan("pro", [parallel])).outside([shared]);
    let passed = together(|thread| {
        let name = format!("user {thread}");
        let mut passed = 0;
        for round in 0..2_000 {
            let Ok(grant) = desk.admit(&user(&name), &Demand::default()) else { continue };
            if round % 3 == 0 {
                desk.settle(grant, &Actual::nothing());
            } else {
                desk.settle(grant, &success(0, 0, 0));
                passed += 1;
            }
        }
        passed
    });
    assert_eq!(passed, 500);
    assert_eq!(desk.standing("user 1", "shared"), (500, 0, Some(0)));
    assert_eq!(desk.engine.census().held, 0);
}

#[test]
fn decisions_over_many_scopes_in_any_order_neither_block_each_other_nor_tear() {
    let by = |name: &str, scope: &[Scope], metric| Limit {
        scope: scope.to_vec(),
        on_limit: OnLimit::Clamp,
        ..limit(name, metric, Window::Day, 40_000)
    };
    let desk = Desk::new(plan("pro", [by("own", &[Scope::User], Metric::Tokens)])).outside([
        by("pair", &[Scope::User, Scope::Model], Metric::Tokens),
        by("model", &[Scope::Model], Metric::CostUsd),
        by("ip", &[Scope::Ip], Metric::OutputTokens),
        by("all", &[Scope::Global], Metric::Tokens),
    ]);
    together(|thread| {
        for round in 0..1_000 {
            let (name, model) =
                (format!("user {}", (thread + round) % 5), format!("m{}", round % 7));
            let subject = Subject { user: &name, model: &model, ip: Some(&model), ..user("") };
            let Ok(grant) = desk.admit(&subject, &demand(3, 50)) else { continue };
            let output = grant.output_tokens();
            let actual = if round % 2 == 0 { Actual::nothing() } else { success(3, output, 1) };
            desk.settle(grant, &actual);
        }
        0
    });
    let of_all = desk.standing("nobody", "all");
    // A call needs 4 tokens at least, so up to 3 are left over.
    assert!((39_997..=40_000).contains(&of_all.0) && of_all.1 == 0, "{of_all:?}");
    let users: i64 = (0..5).map(|n| desk.standing(&format!("user {n}"), "own").0).sum();
    assert_eq!(users, of_all.0);
    assert_eq!(desk.engine.census().held, 0);
}
