//! Amounts that stand for actions which are not calls.

use std::time::Duration;

use tollgate_admission::engine::{
    ActionDemand, Amounts, Demand, Engine, Refusal, Reserved, Source,
};
use tollgate_domain::fault::Code;
use tollgate_domain::limit::{Limit, Metric, Window};

use crate::kit::{Desk, call, limit, plan, user};

fn drafts() -> Desk {
    let mut drafts = limit("drafts", Metric::Units, Window::Total, 10);
    drafts.feature = Some("drafts".into());
    Desk::new(plan("free", [limit("daily", Metric::Successes, Window::Day, 2)])).outside([drafts])
}

fn reserve(desk: &Desk, id: u64, amount: i64, ttl: Option<u64>) -> Result<Reserved, Refusal> {
    let mut subject = user("alice");
    subject.feature = Some("drafts");
    let expires_at = ttl.map(|seconds| desk.now + Duration::from_secs(seconds));
    let demand = ActionDemand { metric: Metric::Units, amount, expires_at };
    desk.engine.reserve_action(call(id), &desk.terms(&subject), &demand, desk.now)
}

#[test]
fn at_most_ten_drafts_stand_at_once() {
    let desk = drafts();
    for id in 0..10 {
        let reserved = reserve(&desk, id, 1, None).unwrap();
        assert_eq!(reserved.remaining, Some(9 - i64::try_from(id).unwrap()));
    }
    let refusal = reserve(&desk, 10, 1, None).unwrap_err();
    assert_eq!((refusal.code, &*refusal.limit.name), (Code::QuotaExhausted, "drafts"));
    assert!(desk.engine.release_action(call(3), desk.now));
    assert!(!desk.engine.release_action(call(3), desk.now));
    reserve(&desk, 11, 1, None).unwrap();
    assert_eq!(desk.standing("alice", "drafts"), (0, 10, Some(0)));
    // Calls use no units, whatever the feature.
    let mut subject = user("alice");
    subject.feature = Some("drafts");
    let grant = desk.admit(&subject, &Demand::default()).unwrap();
    desk.settle(grant, &crate::kit::success(1, 1, 1));
    assert_eq!(desk.standing("alice", "drafts"), (0, 10, Some(0)));
    // An action asks only the limits of its metric.
    assert_eq!(desk.standing("alice", "daily"), (1, 0, Some(1)));
}

#[test]
fn a_commit_enters_the_actual_amount_once() {
    let desk = drafts();
    reserve(&desk, 1, 5, Some(600)).unwrap();
    assert!(desk.engine.commit_action(call(1), 2, desk.now).is_some());
    assert!(desk.engine.commit_action(call(1), 2, desk.now).is_none());
    assert!(!desk.engine.release_action(call(1), desk.now));
    assert_eq!(desk.standing("alice", "drafts"), (2, 0, Some(8)));
    reserve(&desk, 2, 1, None).unwrap();
    assert!(desk.engine.commit_action(call(2), 20, desk.now).is_some());
    assert_eq!(desk.standing("alice", "drafts"), (22, 0, Some(0)));
    assert!(desk.engine.commit_action(call(99), 1, desk.now).is_none());
}

#[test]
fn actions_expire_by_themselves_and_are_reported_once() {
    let mut desk = drafts();
    for id in 0..10 {
        reserve(&desk, id, 1, (id % 2 == 0).then_some(60)).unwrap();
    }
    desk.pass(Duration::from_millis(59_999));
    assert!(reserve(&desk, 20, 1, None).is_err());
    assert!(desk.engine.sweep(desk.now).is_empty());
    assert_eq!(desk.standing("alice", "drafts"), (0, 10, Some(0)));
    desk.pass(Duration::from_millis(1));
    // No sweep is needed for the room to be there.
    assert_eq!(desk.standing("alice", "drafts"), (0, 5, Some(5)));
    reserve(&desk, 21, 5, None).unwrap();
    assert!(desk.engine.commit_action(call(0), 1, desk.now).is_none());
    let expired = desk.engine.sweep(desk.now);
    assert_eq!(expired, [0, 2, 4, 6, 8].map(call));
    assert!(desk.engine.sweep(desk.now).is_empty());
    assert_eq!(desk.standing("alice", "drafts"), (0, 10, Some(0)));
}

#[test]
fn history_can_be_counted_in_some_limits_only() {
    let rolling = limit("rolling", Metric::Successes, Window::Rolling { days: 30 }, 10);
    let daily = limit("daily", Metric::Successes, Window::Day, 10);
    let desk = Desk::new(plan("free", [daily])).outside([rolling]);
    let amounts = Amounts { successes: 3, ..Amounts::default() };
    let subject = user("alice");
    let absorb = |wanted: fn(&Limit, Source<'_>) -> bool| {
        desk.engine.absorb_where(&desk.terms(&subject), desk.now, &amounts, wanted);
    };
    absorb(|limit, _| limit.window == Window::Day);
    absorb(|_, source| source == Source::Outside);
    absorb(|_, source| source == Source::Plan("free"));
    assert_eq!(desk.standing("alice", "daily"), (6, 0, Some(4)));
    assert_eq!(desk.standing("alice", "rolling"), (3, 0, Some(7)));
}

#[test]
fn a_repeated_id_is_answered_as_it_stands() {
    let desk = drafts();
    let first = reserve(&desk, 1, 4, Some(60)).unwrap();
    let second = reserve(&desk, 1, 4, Some(600)).unwrap();
    assert_eq!((first.expires_at, first.remaining), (second.expires_at, second.remaining));
    assert_eq!(desk.standing("alice", "drafts"), (0, 4, Some(6)));
}

#[test]
fn standing_actions_are_entered_again_after_a_restart_even_above_a_lower_maximum() {
    let mut desk = drafts();
    desk.engine = Engine::new();
    let lower = Limit { feature: None, ..limit("drafts", Metric::Units, Window::Total, 3) };
    let desk = desk.outside([lower]);
    let subject = user("alice");
    for id in 0..5 {
        let demand = ActionDemand { metric: Metric::Units, amount: 1, expires_at: None };
        desk.engine.restore_action(call(id), &desk.terms(&subject), &demand, desk.now).unwrap();
    }
    assert_eq!(desk.standing("alice", "drafts"), (0, 5, Some(0)));
    assert!(reserve(&desk, 9, 1, None).is_err());
    for id in 0..3 {
        assert!(desk.engine.release_action(call(id), desk.now));
    }
    reserve(&desk, 9, 1, None).unwrap();
}
