//! The breaker against a naive model: the list of all that happened, read anew for each question.

use proptest::prelude::*;

use super::*;
use crate::ring::{PARTS, part_of};

const POLICY: BreakerPolicy = BreakerPolicy {
    errors_per_million: 500_000,
    window: Duration::from_secs(30),
    min_calls: 4,
    open_for: Duration::from_secs(15),
    slow_first_byte: Duration::from_secs(5),
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fail(breaker: &mut Breaker, now: Duration) {
    let token = breaker.enter(now).unwrap();
    breaker.report(&POLICY, token, now, false);
}

#[test]
fn it_opens_at_its_share_of_errors_and_not_before_its_least_number_of_calls() {
    let mut breaker = Breaker::default();
    for _ in 0..3 {
        fail(&mut breaker, seconds(1));
    }
    assert_eq!(breaker.state(seconds(1)), BreakerState::Closed);
    let token = breaker.enter(seconds(2)).unwrap();
    breaker.report(&POLICY, token, seconds(2), true);
    assert_eq!(breaker.state(seconds(2)), BreakerState::Closed, "a success opens nothing");
    fail(&mut breaker, seconds(3));
    assert_eq!((breaker.state(seconds(3)), breaker.openings()), (BreakerState::Open, 1));
    assert_eq!(breaker.enter(seconds(4)), Err(seconds(14)));
}

#[test]
fn after_its_time_one_probe_decides() {
    let mut breaker = Breaker::default();
    (0..4).for_each(|_| fail(&mut breaker, seconds(1)));
    let probe = breaker.enter(seconds(16)).unwrap();
    assert!(probe.is_probe());
    assert_eq!(breaker.enter(seconds(16)), Err(PROBE_WAIT), "one probe at a time");
    breaker.take_back(probe);
    let probe = breaker.enter(seconds(17)).unwrap();
    breaker.report(&POLICY, probe, seconds(18), false);
    assert_eq!(breaker.enter(seconds(32)), Err(seconds(1)));
    let probe = breaker.enter(seconds(33)).unwrap();
    breaker.report(&POLICY, probe, seconds(33), true);
    assert_eq!(breaker.state(seconds(33)), BreakerState::Closed);
    assert_eq!(breaker.openings(), 2, "a probe that fails opens it again");
    assert_eq!(breaker.counts(&POLICY, seconds(33)), [0, 0], "it starts anew");
}

#[test]
fn errors_leave_the_window() {
    let mut breaker = Breaker::default();
    (0..3).for_each(|_| fail(&mut breaker, seconds(1)));
    fail(&mut breaker, seconds(40));
    assert_eq!(breaker.state(seconds(40)), BreakerState::Closed);
}

#[test]
fn what_was_begun_before_a_change_tells_nothing() {
    let mut breaker = Breaker::default();
    let early: Vec<Token> = (0..6).map(|_| breaker.enter(seconds(1)).unwrap()).collect();
    for token in &early[..4] {
        breaker.report(&POLICY, *token, seconds(2), false);
    }
    let probe = breaker.enter(seconds(20)).unwrap();
    breaker.report(&POLICY, early[4], seconds(20), true);
    breaker.take_back(early[5]);
    assert_eq!(breaker.enter(seconds(20)), Err(PROBE_WAIT));
    breaker.report(&POLICY, probe, seconds(21), true);
    breaker.report(&POLICY, early[4], seconds(21), false);
    assert_eq!(breaker.counts(&POLICY, seconds(21)), [0, 0]);
}

/// What may happen: time passes, a call enters, one of those under way ends.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    Enter,
    End(usize, End),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Success,
    Error,
    Nothing,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end =
        prop_oneof![Just(End::Success), Just(End::Error), Just(End::Error), Just(End::Nothing)];
    let step = prop_oneof![
        (0..9_000_u64).prop_map(Step::Pass),
        Just(Step::Enter),
        Just(Step::Enter),
        (any::<usize>(), end).prop_map(|(which, end)| Step::End(which, end)),
    ];
    prop::collection::vec(step, 1..120)
}

/// The naive model.
#[derive(Default)]
struct Model {
    /// Ends of calls that began after the last change while closed: when, and whether well.
    ends: Vec<(Duration, bool)>,
    /// When it last opened, where it has not closed since.
    opened: Option<Duration>,
    /// The number of the call that is the probe.
    probe: Option<usize>,
    /// How often the state has changed.
    changes: u64,
}

impl Model {
    fn admits(&self, now: Duration) -> bool {
        self.opened.is_none_or(|at| now >= at + POLICY.open_for && self.probe.is_none())
    }

    fn end(&mut self, (call, began): (usize, u64), now: Duration, end: End) {
        if self.probe == Some(call) {
            self.probe = None;
            match end {
                End::Nothing => {}
                End::Success => (self.opened, self.changes) = (None, self.changes + 1),
                End::Error => (self.opened, self.changes) = (Some(now), self.changes + 1),
            }
            return;
        }
        if began != self.changes || self.opened.is_some() || matches!(end, End::Nothing) {
            return;
        }
        self.ends.push((now, matches!(end, End::Success)));
        let newest = part_of(POLICY.window, now);
        let recent =
            self.ends.iter().filter(|(at, _)| part_of(POLICY.window, *at) + PARTS > newest);
        let (calls, errors) =
            recent.fold((0, 0), |(calls, errors), (_, ok)| (calls + 1, errors + u32::from(!ok)));
        if matches!(end, End::Error) && calls >= POLICY.min_calls && 2 * errors >= calls {
            (self.opened, self.changes) = (Some(now), self.changes + 1);
            self.ends.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_decides_as_the_list_of_all_that_happened_would(steps in steps()) {
        let (mut breaker, mut model) = (Breaker::default(), Model::default());
        let mut now = Duration::from_secs(1);
        let mut under_way: Vec<(Token, usize, u64)> = Vec::new();
        let mut calls = 0;
        for step in steps {
            match step {
                Step::Pass(millis) => now += Duration::from_millis(millis),
                Step::Enter => {
                    let entered = breaker.enter(now);
                    prop_assert_eq!(entered.is_ok(), model.admits(now));
                    if let Ok(token) = entered {
                        prop_assert_eq!(token.is_probe(), model.opened.is_some());
                        calls += 1;
                        if token.is_probe() {
                            model.probe = Some(calls);
                        }
                        under_way.push((token, calls, model.changes));
                    }
                }
                Step::End(which, end) if !under_way.is_empty() => {
                    let (token, call, began) = under_way.swap_remove(which % under_way.len());
                    match end {
                        End::Nothing => breaker.take_back(token),
                        _ => breaker.report(&POLICY, token, now, matches!(end, End::Success)),
                    }
                    model.end((call, began), now, end);
                }
                Step::End(..) => {}
            }
            let open = model.opened.is_some_and(|at| now < at + POLICY.open_for);
            prop_assert_eq!(breaker.state(now) == BreakerState::Open, open);
            prop_assert_eq!(breaker.state(now) == BreakerState::Closed, model.opened.is_none());
        }
    }
}
