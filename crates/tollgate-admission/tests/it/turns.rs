//! History that is gathered beside an engine and taken over; calls that end after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use tollgate_admission::engine::{Actual, Amounts, Engine, Source, Terms};
use tollgate_admission::gate::{Admitted, Gate};
use tollgate_domain::limit::{Limit, Metric, Plan, Window};

use crate::kit::{Desk, START, call, demand, limit, plan, sliding, success, time, user};
use crate::simulation::{Disk, row};

const WINDOWS: [Window; 5] = [
    Window::Day,
    Window::Month,
    Window::Total,
    Window::Rolling { days: 30 },
    Window::Sliding { millis: 3_600_000 },
];

fn tokens(input: i64) -> Amounts {
    Amounts { admitted: 1, requests: 1, successes: 1, input_tokens: input, ..Amounts::default() }
}

#[test]
fn a_gathered_history_replaces_what_was_used_and_keeps_what_is_set_aside() {
    for window in WINDOWS {
        let mut desk = Desk::new(plan("p", [limit("l", Metric::Tokens, window, 1_000)]));
        let subject = user("alice");
        let open = desk.admit(&subject, &demand(7, 0)).unwrap();
        desk.settle(desk.admit(&subject, &demand(5, 0)).unwrap(), &success(5, 0, 0));
        desk.pass(Duration::from_secs(5));
        let gathered = desk.engine.beside(Arc::from([]));
        // 30 in all: what was counted here, and what was not.
        for amount in [5, 25] {
            gathered.absorb(&desk.terms(&subject), desk.now, &tokens(amount));
        }
        gathered.absorb(&desk.terms(&user("bob")), desk.now, &tokens(9));
        desk.engine.adopt(&gathered);
        assert_eq!(desk.standing("alice", "l"), (30, 7, Some(963)), "{window}");
        assert_eq!(desk.standing("bob", "l"), (9, 0, Some(991)), "{window}");
        desk.settle(open, &success(6, 0, 0));
        assert_eq!(desk.standing("alice", "l"), (36, 0, Some(964)), "{window}");
        assert_eq!(desk.engine.census().held, 0);
    }
}

#[test]
fn a_window_that_began_since_stays_and_older_ones_are_taken_over() {
    let mut desk = Desk::new(plan("p", [limit("l", Metric::Tokens, Window::Day, 100)]));
    let subject = user("alice");
    let yesterday = desk.now;
    desk.pass(Duration::from_hours(24));
    let open = desk.admit(&subject, &demand(4, 0)).unwrap();
    let gathered = desk.engine.beside(Arc::from([]));
    gathered.absorb(&desk.terms(&subject), yesterday, &tokens(50));
    desk.engine.adopt(&gathered);
    assert_eq!(desk.standing("alice", "l"), (0, 4, Some(96)));
    desk.settle(open, &success(4, 0, 0));
    assert_eq!(desk.standing("alice", "l"), (4, 0, Some(96)));
}

#[test]
fn a_log_of_admissions_is_taken_over_where_it_knows_of_more() {
    let rate = limit("rate", Metric::Requests, sliding(60), 10);
    let desk = Desk::new(plan("p", [rate]));
    for (gathered_calls, used) in [(1, 2), (5, 5)] {
        let gathered = desk.engine.beside(Arc::from([]));
        for _ in 0..gathered_calls {
            gathered.absorb(&desk.terms(&user("alice")), desk.now, &tokens(1));
        }
        if used == 2 {
            desk.send("alice").unwrap();
            desk.send("alice").unwrap();
        }
        desk.engine.adopt(&gathered);
        assert_eq!(desk.standing("alice", "rate").0, used);
    }
}

#[test]
fn a_call_that_ends_later_counts_in_what_its_grant_does_not_cover() {
    let daily = || limit("daily", Metric::Tokens, Window::Day, 100);
    let all = Limit { scope: vec![tollgate_domain::limit::Scope::Global], ..daily() };
    let desk = Desk::new(plan("free", [daily()]));
    let subject = user("alice");
    let grant = desk.admit(&subject, &demand(10, 0)).unwrap();
    desk.engine.set_limits(Arc::from([Arc::new(daily()), Arc::new(all.clone())]));
    let pro: Plan = plan("pro", [daily(), all]);
    for (plan, counted) in [
        // Of the same plan only what is outside is new; of another its personal limits too.
        (&desk.plan, vec![(Some("free"), 0), (None, 8), (None, 8)]),
        (&pro, vec![(Some("pro"), 8), (Some("pro"), 0), (None, 16), (None, 16)]),
    ] {
        let terms = Terms { plan, ..desk.terms(&subject) };
        desk.engine.absorb_uncovered(&grant, &terms, desk.now, &tokens(8));
        let states = desk.engine.usage(&terms, desk.now);
        let used: Vec<_> = states.iter().map(|it| (it.plan.as_deref(), it.used)).collect();
        assert_eq!(used, counted);
    }
    desk.settle(grant, &Actual::nothing());
}

#[test]
fn use_that_no_limit_was_asked_for_is_counted_in_one_step_with_the_end_of_its_call() {
    let (strays, _strays) = channel();
    let gate = Arc::new(Gate::new(Engine::new(), Arc::new(Disk::default()), strays));
    let open = |number| gate.admit_uncounted(row(call(number), time(START), "alice")).unwrap();
    let counted = AtomicUsize::new(0);
    let end = |admitted: Admitted| {
        let count = |_: &_| {
            counted.fetch_add(1, Ordering::AcqRel);
        };
        admitted.settle_and(time(START), |_| {}, count).unwrap();
    };
    let (early, late) = (open(1), open(2));
    let turn = gate.begin_turn();
    end(early);
    assert_eq!(counted.load(Ordering::Acquire), 1);
    let (asked, waits) = channel();
    std::thread::scope(|scope| {
        turn.finish(|noted| {
            // What ended before counts in the new limits as one of the noted calls, and no other.
            assert_eq!(noted.map(|row| row.call_id).collect::<Vec<_>>(), [call(1)]);
            scope.spawn(move || {
                asked.send(()).unwrap();
                end(late);
            });
            waits.recv().unwrap();
            std::thread::yield_now();
            assert_eq!(counted.load(Ordering::Acquire), 1, "counted while the limits change");
        });
    });
    assert_eq!(counted.load(Ordering::Acquire), 2);
}

#[test]
fn history_is_counted_where_a_limit_stands() {
    let daily = || limit("daily", Metric::Requests, Window::Day, 100);
    let desk = Desk::new(plan("free", [daily()])).outside([daily()]);
    let subject = user("alice");
    let amounts = tokens(1);
    desk.engine.absorb_where(&desk.terms(&subject), desk.now, &amounts, |_, source| {
        source == Source::Outside
    });
    let states = desk.usage(&subject);
    let used: Vec<_> = states.iter().map(|it| (it.plan.as_deref(), it.used)).collect();
    assert_eq!(used, [(Some("free"), 0), (None, 1)]);
}
