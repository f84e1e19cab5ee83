//! Keys, users, values, and noticing their changes.

use tollgate_store::{KeyRecord, Registry, Rotation, StoreError, UserRecord, Watch};

use crate::given::{call, ledger, time};

fn key(name: &str) -> KeyRecord {
    KeyRecord {
        id: format!("id-{name}"),
        name: name.to_owned(),
        hash: name.as_bytes().to_vec(),
        prefix: "tg_ab".to_owned(),
        role: "service".to_owned(),
        user: None,
        team: Some("core".to_owned()),
        plan: None,
        created_at: time("2026-11-21T00:00:00Z"),
        expires_at: None,
        revoked_at: None,
        allowed_models: Some(vec!["gpt-4o-mini".to_owned(), "\"quoted\"".to_owned()]),
        allowed_providers: None,
        allowed_ips: Some(Vec::new()),
        limits: None,
        on_disconnect: Some("drain".to_owned()),
        rotated_from: None,
        replaced: false,
    }
}

#[test]
fn keys_are_kept_rotated_with_overlap_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    registry.change(|change| change.insert_key(&key("backend"))).unwrap();
    assert_eq!(registry.key("backend").unwrap(), Some(key("backend")));
    let other = KeyRecord { id: "other".to_owned(), ..key("backend") };
    let again = registry.change(|change| change.insert_key(&other));
    assert!(matches!(again, Err(StoreError::Exists { what: "key", .. })), "{again:?}");

    let rotation = Rotation {
        id: "id-2".to_owned(),
        hash: vec![2],
        prefix: "tg_cd".to_owned(),
        now: time("2026-11-22T00:00:00Z"),
        old_until: time("2026-11-23T00:00:00Z"),
    };
    let new = registry.change(|change| change.rotate_key("backend", rotation.clone())).unwrap();
    assert_eq!(new.rotated_from.as_deref(), Some("id-backend"));
    assert_eq!(new.allowed_models, key("backend").allowed_models);
    assert_eq!(registry.key("backend").unwrap(), Some(new.clone()));
    let old = KeyRecord { replaced: true, expires_at: Some(rotation.old_until), ..key("backend") };
    assert_eq!(registry.keys().unwrap(), [old, new]);

    let now = time("2026-11-22T12:00:00Z");
    registry.change(|change| change.revoke_key("backend", now)).unwrap();
    assert!(registry.keys().unwrap().iter().all(|key| key.revoked_at == Some(now)));
    assert!(matches!(
        registry.change(|change| change.revoke_key("nobody", now)),
        Err(StoreError::Unknown { .. })
    ));
    assert!(matches!(
        registry.change(|change| change.rotate_key("nobody", rotation)),
        Err(StoreError::Unknown { .. })
    ));
}

#[test]
fn users_are_kept_changed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    let alice = UserRecord {
        name: "alice".to_owned(),
        plan: Some("free".to_owned()),
        team: None,
        blocked: false,
        blocked_reason: None,
        quota_zero_until: None,
        created_at: time("2026-11-21T00:00:00Z"),
    };
    registry.change(|change| change.insert_user(&alice)).unwrap();
    assert!(matches!(
        registry.change(|change| change.insert_user(&alice)),
        Err(StoreError::Exists { .. })
    ));
    let changed = UserRecord {
        blocked: true,
        blocked_reason: Some("spam".to_owned()),
        plan: None,
        quota_zero_until: Some(time("2026-12-01T00:00:00Z")),
        ..alice
    };
    registry.change(|change| change.update_user(&changed)).unwrap();
    assert_eq!(registry.user("alice").unwrap(), Some(changed.clone()));
    assert_eq!(registry.users().unwrap(), std::slice::from_ref(&changed));
    registry.change(|change| change.delete_user("alice")).unwrap();
    assert_eq!(registry.user("alice").unwrap(), None);
    assert!(matches!(
        registry.change(|change| change.delete_user("alice")),
        Err(StoreError::Unknown { .. })
    ));
    assert!(matches!(
        registry.change(|change| change.update_user(&changed)),
        Err(StoreError::Unknown { .. })
    ));
}

#[test]
fn a_value_is_made_once_even_by_several_programs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let values: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u8)
            .map(|n| {
                let path = &path;
                scope.spawn(move || {
                    Registry::open(path).unwrap().value_or_insert("pepper", || vec![n]).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(values.iter().all(|value| *value == values[0]));
    let registry = Registry::open(&path).unwrap();
    registry.set_value("zone", b"mine").unwrap();
    assert_eq!(registry.value("zone").unwrap().as_deref(), Some(b"mine".as_slice()));
    assert_eq!(registry.value("absent").unwrap(), None);
}

#[test]
fn a_watcher_notices_changes_of_others_and_is_not_woken_by_calls() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let registry = Registry::open(&path).unwrap();
    let mut watch = Watch::open(&path).unwrap();
    assert!(!watch.changed().unwrap());
    registry.change(|change| change.insert_key(&key("backend"))).unwrap();
    assert!(watch.changed().unwrap());
    assert!(!watch.changed().unwrap());
    ledger(&path, "UTC", [call("2026-11-21T10:00:00Z", "alice", 1)]);
    assert!(!watch.changed().unwrap());
    registry.change(|change| change.revoke_key("backend", time("2026-11-22T00:00:00Z"))).unwrap();
    assert!(watch.changed().unwrap());
}
