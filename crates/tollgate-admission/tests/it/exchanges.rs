//! Calls that go on to another target: what they hold moves in one decision, or stays.

use std::time::Duration;

use tollgate_admission::engine::{Demand, Grant, Refusal, Subject};
use tollgate_domain::limit::{Limit, Metric, OnLimit, Scope, Window};

use crate::kit::{Desk, demand, limit, plan, sliding, success, user};

fn at(provider: &'static str) -> Subject<'static> {
    Subject { provider, model: "m", ..user("alice") }
}

fn of_provider(name: &str, metric: Metric, window: Window, max: i64) -> Limit {
    Limit { scope: vec![Scope::Provider], ..limit(name, metric, window, max) }
}

fn go_on(desk: &Desk, grant: &mut Grant, to: &'static str, asked: &Demand) -> Result<(), Refusal> {
    desk.engine.exchange(grant, &desk.terms(&at(to)), asked, (desk.now, desk.now))
}

/// Used and reserved of a limit, as a caller of this provider sees it.
fn standing(desk: &Desk, provider: &'static str, name: &str) -> (i64, i64) {
    let states = desk.usage(&at(provider));
    let state = states.iter().find(|state| &*state.limit.name == name).unwrap();
    (state.used, state.reserved)
}

#[test]
fn what_a_call_holds_at_a_provider_moves_to_the_next() {
    let desk =
        Desk::new(plan("p", [limit("spend", Metric::CostUsd, Window::Day, 1_000)])).outside([
            of_provider("tokens", Metric::Tokens, Window::Day, 500),
            of_provider("rate", Metric::Requests, sliding(60), 1),
        ]);
    let mut grant = desk.admit(&at("a"), &demand(100, 50)).unwrap();
    assert_eq!(standing(&desk, "a", "tokens"), (0, 150));
    go_on(&desk, &mut grant, "b", &demand(200, 60)).unwrap();
    assert_eq!(standing(&desk, "a", "tokens"), (0, 0));
    assert_eq!(standing(&desk, "b", "tokens"), (0, 260));
    assert_eq!((standing(&desk, "a", "rate"), standing(&desk, "b", "rate")), ((0, 0), (1, 0)));
    assert_eq!(standing(&desk, "b", "spend"), (0, 320));
    assert_eq!(grant.cost().nanos(), 320);
    // The rate of the first provider has room again, that of the second has none.
    let other = desk.admit(&at("a"), &demand(1, 1)).unwrap();
    assert_eq!(&*desk.admit(&at("b"), &demand(1, 1)).unwrap_err().limit.name, "rate");
    desk.settle(other, &success(1, 1, 3));
    desk.settle(grant, &success(180, 20, 220));
    assert_eq!(standing(&desk, "b", "tokens"), (200, 0));
    assert_eq!(standing(&desk, "b", "spend"), (223, 0));
    assert_eq!(desk.engine.census().held, 0);
}

#[test]
fn a_refused_move_leaves_the_call_with_what_it_held() {
    let desk = Desk::new(plan("p", [limit("spend", Metric::CostUsd, Window::Total, 300)]))
        .outside([of_provider("tokens", Metric::Tokens, sliding(60), 200)]);
    let mut grant = desk.admit(&at("a"), &demand(50, 50)).unwrap();
    let other = desk.admit(&at("b"), &demand(30, 30)).unwrap();
    let before = [desk.usage(&at("a")), desk.usage(&at("b"))].map(|states| format!("{states:?}"));
    for (asked, limit) in [(demand(150, 10), "tokens"), (demand(10, 120), "spend")] {
        let refusal = go_on(&desk, &mut grant, "b", &asked).unwrap_err();
        assert_eq!(&*refusal.limit.name, limit);
        let after = [desk.usage(&at("a")), desk.usage(&at("b"))].map(|it| format!("{it:?}"));
        assert_eq!(before, after);
        assert_eq!((grant.cost().nanos(), grant.output_tokens()), (150, 50));
    }
    desk.settle(grant, &success(50, 50, 150));
    desk.settle(other, &success(30, 30, 90));
    assert_eq!(standing(&desk, "a", "spend"), (240, 0));
    assert_eq!(desk.engine.census().held, 0);
}

#[test]
fn a_call_counts_once_however_often_it_goes_on() {
    let desk = Desk::new(plan(
        "p",
        [
            limit("parallel", Metric::Concurrency, Window::Now, 1),
            limit("burst", Metric::Requests, sliding(60), 1),
            limit("daily", Metric::Successes, Window::Day, 1),
        ],
    ));
    let mut grant = desk.admit(&at("a"), &demand(10, 10)).unwrap();
    for to in ["b", "c", "a"] {
        go_on(&desk, &mut grant, to, &demand(10, 10)).unwrap();
    }
    assert_eq!(standing(&desk, "a", "parallel"), (0, 1));
    assert_eq!(standing(&desk, "a", "burst"), (1, 0));
    assert_eq!(standing(&desk, "a", "daily"), (0, 1));
    desk.settle(grant, &success(1, 1, 1));
    assert_eq!(standing(&desk, "a", "parallel"), (0, 0));
    assert_eq!(standing(&desk, "a", "daily"), (1, 0));
}

#[test]
fn a_call_goes_on_in_the_day_of_its_admission_and_clamps_anew() {
    let spend =
        Limit { on_limit: OnLimit::Clamp, ..limit("spend", Metric::CostUsd, Window::Day, 200) };
    let mut desk = Desk::new(plan("p", [spend]));
    let admitted_at = desk.now;
    let mut grant = desk.admit(&at("a"), &demand(20, 40)).unwrap();
    desk.pass(Duration::from_hours(24));
    let today = desk.admit(&at("a"), &demand(20, 40)).unwrap();
    let terms = (at("b"), (admitted_at, desk.now));
    desk.engine.exchange(&mut grant, &desk.terms(&terms.0), &demand(20, 500), terms.1).unwrap();
    assert_eq!(grant.output_tokens(), 90);
    assert_eq!(standing(&desk, "a", "spend"), (0, 100), "today is as it was");
    desk.settle(grant, &success(20, 90, 200));
    assert_eq!(standing(&desk, "a", "spend"), (0, 100));
    desk.settle(today, &success(0, 0, 0));
    assert_eq!(desk.engine.census().held, 0);
}
