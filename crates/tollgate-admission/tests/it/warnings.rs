//! Steps of use fire once per window.

use std::time::Duration;

use tollgate_admission::engine::Demand;
use tollgate_domain::limit::{Limit, Metric, Window};

use crate::kit::{Desk, demand, limit, plan, sliding, success, user};

/// Sends a call that uses so many tokens and returns the steps that fire, of grant, settlement or
/// refusal.
fn steps(desk: &Desk, tokens: u64) -> Vec<u16> {
    match desk.admit(&user("alice"), &demand(tokens, 0)) {
        Ok(grant) => {
            let mut steps: Vec<u16> = grant.warnings().iter().map(|one| one.step).collect();
            let settled = desk.engine.settle(grant, &success(tokens, 0, 0), desk.now);
            steps.extend(settled.warnings.iter().map(|one| one.step));
            steps
        }
        Err(refusal) => refusal.warnings.iter().map(|one| one.step).collect(),
    }
}

#[test]
fn each_step_fires_once_in_a_window_and_again_in_the_next() {
    let daily = Limit {
        warn_at: vec![500, 800, 1_000],
        ..limit("daily", Metric::Tokens, Window::Day, 100)
    };
    let mut desk = Desk::new(plan("free", [daily]));
    for _ in 0..2 {
        // An oversized call that a fresh budget refuses is no budget used up.
        assert_eq!(steps(&desk, 101), [0u16; 0]);
        assert_eq!(steps(&desk, 49), [0u16; 0]);
        assert_eq!(steps(&desk, 1), [500]);
        assert_eq!(steps(&desk, 40), [800]);
        // Refused: the limit is reached, and says so once.
        assert_eq!(steps(&desk, 11), [1_000]);
        assert_eq!(steps(&desk, 11), [0u16; 0]);
        assert_eq!(steps(&desk, 10), [0u16; 0]);
        desk.pass(Duration::from_hours(24));
    }
    assert_eq!(steps(&desk, 100), [500, 800, 1_000]);
}

#[test]
fn a_rate_that_hovers_around_a_step_warns_once_per_window() {
    let burst = Limit { warn_at: vec![500], ..limit("burst", Metric::Requests, sliding(60), 4) };
    let mut desk = Desk::new(plan("free", [burst]));
    let mut fired = 0;
    // One or two in each window of a minute, for twenty minutes.
    for _ in 0..(20 * 2) {
        fired += steps(&desk, 0).len();
        fired += steps(&desk, 0).len();
        desk.pass(Duration::from_secs(30));
        desk.pass(Duration::from_secs(31));
    }
    assert!((10..=40).contains(&fired), "{fired}");
}

#[test]
fn what_runs_at_once_warns_at_admission() {
    let parallel =
        Limit { warn_at: vec![800], ..limit("parallel", Metric::Concurrency, Window::Now, 4) };
    let desk = Desk::new(plan("free", [parallel]));
    let held: Vec<_> =
        (0..4).map(|_| desk.admit(&user("alice"), &Demand::default()).unwrap()).collect();
    let fired: Vec<usize> = held.iter().map(|grant| grant.warnings().len()).collect();
    assert_eq!(fired, [0, 0, 0, 1]);
    for grant in held {
        desk.settle(grant, &success(0, 0, 0));
    }
    assert_eq!(desk.standing("alice", "parallel"), (0, 0, Some(4)));
}
