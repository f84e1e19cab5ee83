//! What alerts leave behind: written together, found again, each message once.

use tollgate_store::{
    AddressRecord, AlertEventFilter, AlertEventRecord, AlertRecord, AlertWork, NoticeRecord,
    NoticeState, Registry, SilenceRecord, StoreError,
};

use crate::given::time;

fn alert(key: &str) -> AlertRecord {
    AlertRecord { key: key.to_owned(), rule: "daily".to_owned(), alert: format!("{{\"{key}\":1}}") }
}

fn notice(channel: &str, at: &str) -> NoticeRecord {
    NoticeRecord {
        id: 0,
        channel: channel.to_owned(),
        notice: "{}".to_owned(),
        thread: None,
        created_at: time(at),
        attempts: 0,
    }
}

const NOW: &str = "2026-11-21T00:00:00Z";

#[test]
fn a_turn_is_written_whole_and_read_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let registry = Registry::open(&path).unwrap();
    let event = |key: &str, happened: &str| AlertEventRecord {
        id: 0,
        time: time(NOW),
        happened: happened.to_owned(),
        alert: alert(key),
    };
    let work = AlertWork {
        put: vec![alert("a"), alert("b")],
        steps: vec![("budget/50".to_owned(), time("2026-11-22T00:00:00Z"))],
        events: vec![event("a", "fired"), event("b", "fired")],
        notices: vec![notice("ops", NOW)],
        ..AlertWork::default()
    };
    registry.commit_alerts(&work).unwrap();
    let work = AlertWork {
        put: vec![AlertRecord { alert: "{}".to_owned(), ..alert("b") }],
        remove: vec!["a".to_owned()],
        events: vec![event("a", "resolved")],
        ..AlertWork::default()
    };
    registry.commit_alerts(&work).unwrap();
    drop(registry);

    let registry = Registry::open(&path).unwrap();
    assert_eq!(registry.alerts().unwrap(), [AlertRecord { alert: "{}".to_owned(), ..alert("b") }]);
    let is_reported = |key: &str, at: &str| registry.is_step_reported(key, time(at)).unwrap();
    assert!(is_reported("budget/50", "2026-11-21T23:59:59Z"));
    assert!(!is_reported("budget/50", "2026-11-22T00:00:00Z"), "its window is over");
    assert!(!is_reported("budget/80", NOW));
    let history = registry.alert_history(&AlertEventFilter::default(), 10).unwrap();
    let told: Vec<_> = history.iter().map(|it| (&*it.alert.key, &*it.happened)).collect();
    assert_eq!(told, [("a", "resolved"), ("b", "fired"), ("a", "fired")]);
    let filter = AlertEventFilter {
        key: Some("a".to_owned()),
        before: Some(history[0].id),
        ..AlertEventFilter::default()
    };
    assert_eq!(registry.alert_history(&filter, 10).unwrap(), [history[2].clone()]);
    registry.forget_alerts(time("2027-11-21T00:00:00Z")).unwrap();
    assert!(registry.alert_history(&AlertEventFilter::default(), 10).unwrap().is_empty());
    assert_eq!(registry.alerts().unwrap().len(), 1, "what is open is never forgotten");
    assert_eq!(registry.waiting_notices("ops").unwrap().len(), 1, "nor what waits");
}

#[test]
fn a_message_is_due_until_it_is_delivered_or_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    let notices = vec![notice("ops", NOW), notice("pager", NOW), notice("ops", NOW)];
    registry.commit_alerts(&AlertWork { notices, ..AlertWork::default() }).unwrap();
    assert_eq!(registry.awaited_channels().unwrap(), ["ops", "pager"]);
    assert_eq!(registry.due_notice("ops", time("2026-11-20T23:59:59Z")).unwrap(), None);
    let first = registry.due_notice("ops", time(NOW)).unwrap().unwrap();
    let later = time("2026-11-21T00:05:00Z");
    registry.notice_attempted(first.id, (NoticeState::Waits(later), Some("503")), &[]).unwrap();
    let second = registry.due_notice("ops", time(NOW)).unwrap().unwrap();
    assert_ne!(first.id, second.id);
    let more = [notice("pager", "2026-11-21T00:00:01Z")];
    registry.notice_attempted(second.id, (NoticeState::GivenUp, Some("404")), &more).unwrap();
    assert_eq!(registry.due_notice("ops", time(NOW)).unwrap(), None);
    let again = registry.due_notice("ops", later).unwrap().unwrap();
    assert_eq!((again.id, again.attempts), (first.id, 1));
    registry.notice_attempted(first.id, (NoticeState::Delivered, None), &[]).unwrap();
    // What is over stays over.
    registry.notice_attempted(first.id, (NoticeState::Waits(later), None), &[]).unwrap();
    assert_eq!(registry.awaited_channels().unwrap(), ["pager"]);
    assert_eq!(registry.waiting_notices("pager").unwrap().len(), 2);
    assert!(registry.is_noticed(&more[0]).unwrap());
    assert!(!registry.is_noticed(&notice("ops", "2026-11-21T00:00:01Z")).unwrap());
}

#[test]
fn silences_end_and_hours_of_addresses_add_up() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    let silence = SilenceRecord {
        id: 0,
        matchers: "[[\"rule\",\"daily\"]]".to_owned(),
        reason: "known".to_owned(),
        by: "ops".to_owned(),
        from: time(NOW),
        until: time("2026-11-22T00:00:00Z"),
    };
    let id = registry.change(|change| change.insert_silence(&silence)).unwrap();
    let in_force = |at: &str| registry.silences(time(at)).unwrap();
    assert_eq!(in_force(NOW), [SilenceRecord { id, ..silence.clone() }]);
    assert!(in_force("2026-11-22T00:00:00Z").is_empty());
    let noon = time("2026-11-21T12:00:00Z");
    let ended = registry.change(|change| change.end_silence(id, noon)).unwrap();
    assert_eq!(ended.until, silence.until);
    assert!(in_force("2026-11-21T12:00:00Z").is_empty());
    let again = registry.change(|change| change.end_silence(id, noon));
    assert!(matches!(again, Err(StoreError::Unknown { what: "silence", .. })), "{again:?}");

    let hour = |at: &str, calls| AddressRecord {
        hour: time(at),
        address: "10.0.0.1".to_owned(),
        figures: [calls, 0, 0, 10, 20, 5_000],
    };
    registry.put_addresses(&[hour("2026-11-21T00:00:00Z", 3)]).unwrap();
    registry
        .put_addresses(&[hour("2026-11-21T00:00:00Z", 4), hour("2026-11-21T01:00:00Z", 1)])
        .unwrap();
    let span = (time(NOW), time("2026-11-21T01:00:00Z"));
    let found = registry.address_hours("10.0.0.1", span).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].figures, [7, 0, 0, 20, 40, 10_000]);
    assert!(registry.address_hours("10.0.0.2", span).unwrap().is_empty());
}

#[test]
fn an_end_does_not_overtake_its_begin() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    let (begin, later) = (time(NOW), time("2026-11-21T01:00:00Z"));
    let of = |thread: Option<&str>, at: &str| NoticeRecord {
        thread: thread.map(str::to_owned),
        ..notice("pager", at)
    };
    let tell = |notices| {
        registry.commit_alerts(&AlertWork { notices, ..AlertWork::default() }).unwrap();
    };
    tell(vec![of(Some("a"), NOW)]);
    registry.notice_attempted(1, (NoticeState::Waits(later), Some("it answers 503")), &[]).unwrap();
    tell(vec![of(Some("a"), NOW), of(Some("b"), NOW), of(None, NOW)]);
    let next = |now| registry.due_notice("pager", now).unwrap().map(|it| it.id);
    assert_eq!(next(begin), Some(3), "other threads go on");
    for id in [3, 4] {
        registry.notice_attempted(id, (NoticeState::Delivered, None), &[]).unwrap();
    }
    assert_eq!(next(begin), None, "the end waits for its begin");
    assert_eq!(next(later), Some(1));
    registry.notice_attempted(1, (NoticeState::GivenUp, None), &[]).unwrap();
    assert_eq!(next(begin), Some(2));
}
