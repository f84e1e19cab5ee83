//! What is learned of a target, with a clock that is moved by hand.

use super::*;
use prometheus_client::registry::Registry;

const POLICY: BreakerPolicy = BreakerPolicy {
    errors_per_million: 500_000,
    window: Duration::from_secs(30),
    min_calls: 2,
    open_for: Duration::from_secs(15),
    slow_first_byte: Duration::from_secs(5),
};

fn healths() -> (Clock, Healths) {
    let clock = Clock::manual("2026-11-21T00:00:00Z".parse().unwrap());
    (clock.clone(), Healths::new(clock, Metrics::register(&mut Registry::default())))
}

fn target(healths: &Healths, model: &str) -> Arc<Health> {
    healths.of(&Arc::from("up"), &Arc::from(model))
}

#[test]
fn a_late_first_byte_counts_as_an_error_whether_somebody_waits_for_it_or_not() {
    let (clock, healths) = healths();
    let health = target(&healths, "m");
    for waits in [true, false] {
        let mut pass = health.enter(&POLICY).unwrap();
        pass.awaits_stream();
        clock.advance(Duration::from_secs(5));
        if waits {
            pass.spoke();
        }
    }
    assert_eq!(health.state().breaker, BreakerState::Open);
    assert_eq!(health.state().running, 0);
    assert!(health.enter(&POLICY).is_err());
}

#[test]
fn a_whole_answer_may_take_the_time_that_generating_it_takes() {
    let (clock, healths) = healths();
    let health = target(&healths, "m");
    for _ in 0..4 {
        let mut pass = health.enter(&POLICY).unwrap();
        clock.advance(Duration::from_secs(20));
        pass.answered(Duration::from_secs(16));
    }
    assert_eq!(health.state().breaker, BreakerState::Closed);
}

#[test]
fn a_pass_that_tells_nothing_gives_the_probe_back() {
    let (clock, healths) = healths();
    let health = target(&healths, "m");
    for _ in 0..2 {
        health.enter(&POLICY).unwrap().failed();
    }
    clock.advance(Duration::from_secs(15));
    drop(health.enter(&POLICY).unwrap());
    let mut probe = health.enter(&POLICY).unwrap();
    assert!(health.enter(&POLICY).is_err());
    probe.spoke();
    assert_eq!(health.state().breaker, BreakerState::Closed);
    probe.failed();
    drop(probe);
    assert_eq!(health.state().breaker, BreakerState::Closed, "one of one, of at least two");
    health.enter(&POLICY).unwrap().failed();
    assert_eq!(health.state().breaker, BreakerState::Open);
}

#[test]
fn retries_are_a_fifth_of_the_calls_and_never_fewer_than_a_few() {
    let (clock, healths) = healths();
    let health = target(&healths, "m");
    assert_eq!((0..100).filter(|_| health.may_retry()).count(), 10);
    (0..200).for_each(|_| health.called());
    assert_eq!((0..100).filter(|_| target(&healths, "n").may_retry()).count(), 30);
    clock.advance(budget::WINDOW);
    assert_eq!((0..100).filter(|_| health.may_retry()).count(), 10);
}

#[test]
fn the_peak_of_latency_rises_at_once_and_falls_slowly() {
    let mut latency = Latency::default();
    let at = Duration::from_secs;
    latency.see(Duration::from_millis(100), at(100));
    latency.see(Duration::from_secs(4), at(101));
    assert!(latency.peak(at(101)) > 3.99);
    latency.see(Duration::from_millis(100), at(102));
    assert!(latency.peak(at(102)) > 3.0, "{latency:?}");
    assert!(latency.peak(at(160)) < 0.1, "{latency:?}");
}

#[test]
fn names_beyond_the_bound_share_an_entry() {
    let (_, healths) = healths();
    for n in 0..MOST + 10 {
        drop(target(&healths, &n.to_string()));
    }
    assert_eq!(healths.states().len(), MOST + 1);
}
