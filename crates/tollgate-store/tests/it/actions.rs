//! Actions that are not calls, and usage that happened elsewhere.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tollgate_admission::books::{Action, ActionEnd, ActionState, UsageEvent};
use tollgate_domain::id::CallId;
use tollgate_domain::limit::Metric;
use tollgate_store::Registry;

use crate::given::{call, time};

const NOON: &str = "2026-11-21T12:00:00Z";

fn id(number: u8) -> CallId {
    CallId::from_bytes([number; 16])
}

fn action(number: u8, minutes: Option<i64>) -> Action {
    let created_at = time(NOON) + SignedDuration::from_secs(number.into());
    Action {
        id: id(number),
        user: "alice".into(),
        key: "backend".into(),
        team: None,
        ip: Some("10.0.0.1".into()),
        feature: Some("drafts".into()),
        plan: "free".into(),
        metric: Metric::Units,
        amount: 5,
        created_at,
        expires_at: minutes.map(|minutes| time(NOON) + SignedDuration::from_mins(minutes)),
        state: ActionState::Standing,
        used: 0,
    }
}

fn given(actions: &[Action]) -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    for action in actions {
        registry.put_action(action).unwrap();
    }
    (dir, registry)
}

#[test]
fn an_action_ends_once_and_tells_later_how() {
    let actions = [action(3, Some(10)), action(1, None), action(2, Some(1)), action(4, None)];
    let (_dir, registry) = given(&actions);
    assert_eq!(registry.action(id(3)).unwrap(), Some(actions[0].clone()));
    assert_eq!(registry.action(id(9)).unwrap(), None);
    let standing: Vec<_> = registry.standing_actions().unwrap().iter().map(|a| a.id).collect();
    assert_eq!(standing, [id(1), id(2), id(3), id(4)]);

    let now = time("2026-11-21T12:05:00Z");
    // Which, how, and what comes of it.
    type Expected = Option<(ActionState, i64, bool)>;
    let table: [(u8, ActionEnd, Expected); 8] = [
        (1, ActionEnd::Commit(Some(7)), Some((ActionState::Committed, 7, true))),
        (1, ActionEnd::Commit(Some(7)), Some((ActionState::Committed, 7, false))),
        (1, ActionEnd::Release, Some((ActionState::Committed, 7, false))),
        (2, ActionEnd::Commit(None), Some((ActionState::Expired, 0, false))),
        (3, ActionEnd::Commit(None), Some((ActionState::Committed, 5, true))),
        (4, ActionEnd::Release, Some((ActionState::Released, 0, true))),
        (4, ActionEnd::Release, Some((ActionState::Released, 0, false))),
        (9, ActionEnd::Release, None),
    ];
    for (which, how, expected) in table {
        let ended = registry.end_action(id(which), how, now).unwrap();
        let seen = ended.map(|ended| (ended.action.state, ended.action.used, ended.now));
        assert_eq!(seen, expected, "{which} {how:?}");
    }
    assert_eq!(registry.standing_actions().unwrap(), []);
    let used: i64 = registry.ended_actions(time(NOON)).unwrap().iter().map(|a| a.used).sum();
    assert_eq!(used, 12);
    // What used nothing may be forgotten, what used something is counted for ever.
    registry.forget_actions(now + SignedDuration::from_secs(1)).unwrap();
    let kept: Vec<_> =
        registry.ended_actions(Timestamp::MIN).unwrap().iter().map(|a| a.id).collect();
    assert_eq!(kept, [id(1), id(3)]);
}

#[test]
fn an_expiry_that_comes_late_changes_no_other_end() {
    let (_dir, registry) = given(&[action(1, Some(1)), action(2, Some(1))]);
    registry.end_action(id(1), ActionEnd::Commit(None), time(NOON)).unwrap();
    registry.expire_actions(&[id(1), id(2)], time("2026-11-21T12:02:00Z")).unwrap();
    let states = [1, 2].map(|number| registry.action(id(number)).unwrap().unwrap().state);
    assert_eq!(states, [ActionState::Committed, ActionState::Expired]);
}

fn event(source: &str, name: &str, number: u32, units: i64) -> UsageEvent {
    UsageEvent {
        source: source.into(),
        id: name.into(),
        record: Arc::new(call(NOON, "alice", number)),
        plan: "free".into(),
        units,
    }
}

#[test]
fn an_event_is_taken_up_once_per_sender_and_source() {
    let (_dir, registry) = given(&[]);
    let now = time(NOON);
    let events = [
        event("", "a", 1, 0),
        event("", "b", 2, 3),
        event("", "a", 3, 0),
        event("other", "a", 4, 0),
    ];
    assert_eq!(registry.take_events(&events, now).unwrap(), [true, true, false, true]);
    assert_eq!(registry.take_events(&events, now).unwrap(), [false; 4]);
    // Units are kept as an action that was committed.
    let units = registry.ended_actions(Timestamp::MIN).unwrap();
    assert_eq!(units.len(), 1);
    assert_eq!((units[0].id, units[0].used), (events[1].record.call_id, 3));

    let later = now + SignedDuration::from_secs(1);
    assert!(registry.pending_events(now).unwrap().is_empty(), "taken up just now");
    let pending = registry.pending_events(later).unwrap();
    assert_eq!(pending.len(), 3);
    let first = pending.iter().find(|p| p.id == "a" && p.source.is_empty()).unwrap();
    assert_eq!(first.record, *events[0].record);
    registry.events_recorded([("backend", "", "a"), ("backend", "", "b")]).unwrap();
    assert_eq!(registry.pending_events(later).unwrap().len(), 1);
    // What the ledger has yet to get is not forgotten.
    registry.forget_events(later).unwrap();
    assert_eq!(registry.take_events(&events, later).unwrap(), [true, true, false, false]);
}
