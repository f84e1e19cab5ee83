//! Overrides, payments, switches and the audit: what operators decide survives, and who decided it
//! stays known.

use tempfile::TempDir;
use tollgate_store::{
    AuditEntry, AuditFilter, OverrideRecord, Registry, StoreError, SwitchRecord, TopUpRecord,
    UserRecord, Watch,
};

use crate::given::{call, ledger, time};

fn registry() -> (TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    (dir, registry)
}

fn entry(action: &'static str) -> AuditEntry<'static> {
    AuditEntry {
        time: time("2026-11-21T00:00:00Z"),
        who: "admin",
        action,
        subject: "alice",
        before: None,
        after: Some("{\"plan\":\"pro\"}".to_owned()),
    }
}

#[test]
fn an_override_takes_the_place_of_an_earlier_one_and_can_be_taken_back() {
    let (_dir, registry) = registry();
    let first = OverrideRecord {
        user: "alice".to_owned(),
        limit: "daily".to_owned(),
        max: Some(20),
        until: Some(time("2026-12-01T00:00:00Z")),
        created_at: time("2026-11-21T00:00:00Z"),
        created_by: "admin".to_owned(),
    };
    let second = OverrideRecord { max: None, until: None, ..first.clone() };
    let other = OverrideRecord { user: "bob".to_owned(), ..first.clone() };
    for each in [&first, &second, &other] {
        registry.change(|change| change.set_override(each)).unwrap();
    }
    assert_eq!(registry.overrides_of("alice").unwrap(), std::slice::from_ref(&second));
    assert_eq!(registry.overrides().unwrap(), [second, other]);
    registry.change(|change| change.remove_override("alice", "daily")).unwrap();
    let again = registry.change(|change| change.remove_override("alice", "daily"));
    assert!(matches!(again, Err(StoreError::Unknown { .. })));
    assert!(registry.overrides_of("alice").unwrap().is_empty());
}

#[test]
fn payments_add_up_and_a_repeated_one_pays_nothing() {
    let (_dir, registry) = registry();
    let payment = TopUpRecord {
        user: "alice".to_owned(),
        limit: "wallet".to_owned(),
        amount: 5_000_000_000,
        reference: Some("order-1".to_owned()),
        time: time("2026-11-21T00:00:00Z"),
        by: "admin".to_owned(),
    };
    let pay = |payment: &TopUpRecord| registry.change(|change| change.top_up(payment));
    assert!(pay(&payment).unwrap());
    assert!(!pay(&payment).unwrap());
    assert!(pay(&TopUpRecord { reference: None, amount: 1, ..payment.clone() }).unwrap());
    assert!(pay(&TopUpRecord { reference: None, amount: 1, ..payment.clone() }).unwrap());
    let other = pay(&TopUpRecord { amount: 7, ..payment });
    assert!(matches!(other, Err(StoreError::Exists { .. })));
    let balances = registry.balances().unwrap();
    assert_eq!(balances.len(), 1);
    assert_eq!(balances[0].paid_in, 5_000_000_002);
    assert_eq!(registry.balances_of("alice").unwrap(), balances);
    assert!(registry.balances_of("bob").unwrap().is_empty());
}

#[test]
fn switches_are_kept_by_reach() {
    let (_dir, registry) = registry();
    let switch = SwitchRecord {
        reach: "provider:openai".to_owned(),
        reason: "leak".to_owned(),
        by: "admin".to_owned(),
        since: time("2026-11-21T00:00:00Z"),
    };
    registry.change(|change| change.set_switch(&switch)).unwrap();
    let again = SwitchRecord { reason: "bill".to_owned(), ..switch.clone() };
    registry.change(|change| change.set_switch(&again)).unwrap();
    assert_eq!(registry.switches().unwrap(), [again]);
    let off = || registry.change(|change| change.remove_switch(&switch.reach)).unwrap();
    assert!(off());
    assert!(!off());
    assert!(registry.switches().unwrap().is_empty());
}

#[test]
fn a_change_and_its_entry_are_written_together_or_not_at_all() {
    let (dir, registry) = registry();
    let path = dir.path().join("t.db");
    let mut watch = Watch::open(&path).unwrap();
    let switch = SwitchRecord {
        reach: "global".to_owned(),
        reason: String::new(),
        by: "admin".to_owned(),
        since: time("2026-11-21T00:00:00Z"),
    };
    let failed: Result<(), StoreError> = registry.change(|change| {
        change.set_switch(&switch)?;
        change.audit(&entry("kill_switch.on"))?;
        Err(StoreError::Unknown { what: "user", name: "nobody".to_owned() })
    });
    assert!(failed.is_err());
    assert!(registry.switches().unwrap().is_empty());
    assert!(registry.audit(&AuditFilter::default(), 10).unwrap().is_empty());
    assert!(!watch.changed().unwrap());
    registry
        .change(|change| {
            change.set_switch(&switch)?;
            change.audit(&entry("kill_switch.on"))
        })
        .unwrap();
    assert!(watch.changed().unwrap());
    assert_eq!(registry.audit(&AuditFilter::default(), 10).unwrap().len(), 1);
}

#[test]
fn entries_are_found_by_page_and_by_filter_and_cannot_be_removed() {
    let (dir, registry) = registry();
    for action in ["user.change", "user.delete", "user.change"] {
        registry.change(|change| change.audit(&entry(action))).unwrap();
    }
    let all = registry.audit(&AuditFilter::default(), 2).unwrap();
    assert_eq!(all.iter().map(|entry| entry.id).collect::<Vec<_>>(), [3, 2]);
    let next = AuditFilter { before: Some(2), ..AuditFilter::default() };
    assert_eq!(registry.audit(&next, 2).unwrap().len(), 1);
    for (filter, count) in [
        (AuditFilter { action: Some("user.delete".to_owned()), ..AuditFilter::default() }, 1),
        (AuditFilter { who: Some("nobody".to_owned()), ..AuditFilter::default() }, 0),
        (AuditFilter { subject: Some("alice".to_owned()), ..AuditFilter::default() }, 3),
    ] {
        assert_eq!(registry.audit(&filter, 10).unwrap().len(), count, "{filter:?}");
    }
    let raw = rusqlite::Connection::open(dir.path().join("t.db")).unwrap();
    for sql in ["DELETE FROM audit", "UPDATE audit SET who = 'nobody'"] {
        assert!(raw.execute(sql, []).is_err(), "{sql}");
    }
}

#[test]
fn users_are_listed_who_are_registered_have_called_or_have_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let at = "2026-11-21T00:00:00Z";
    ledger(&path, "UTC", [call(at, "bob", 1), call(at, "bob", 2), call(at, "anna", 3)]);
    let registry = Registry::open(&path).unwrap();
    let dora = UserRecord {
        name: "dora".to_owned(),
        plan: None,
        team: None,
        blocked: false,
        blocked_reason: None,
        quota_zero_until: None,
        created_at: time(at),
    };
    registry.change(|change| change.insert_user(&dora)).unwrap();
    let names = |prefix, after, limit| registry.user_names(prefix, after, limit).unwrap();
    assert_eq!(names("", None, 10), ["anna", "bob", "dora"]);
    assert_eq!(names("", Some("anna"), 1), ["bob"]);
    assert_eq!(names("d", None, 10), ["dora"]);
    assert!(names("x", None, 10).is_empty());
    assert!(registry.user_is_seen("bob").unwrap());
    assert!(!registry.user_is_seen("dora").unwrap());
}
