//! What alerts decide next to operators, and to other alerts: what stands under another mark stays.

use super::*;

const SHORT: Mark<'_> = Mark { rule: "short", outlasts: &[] };

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn reason(controls: &Controls) -> Option<String> {
    let user = controls.user("carol").unwrap();
    user.blocked.then(|| user.blocked_reason.unwrap_or_default())
}

#[test]
fn the_end_of_an_alert_leaves_a_block_of_an_operator() {
    let (_dir, controls) = controls();
    let operators = patch(json!({"blocked": true, "blocked_reason": "fraud"}));
    controls.change_user(&ops(), "carol", operators).unwrap();
    assert!(!controls.block_for(&SHORT, "carol").unwrap(), "it is not the alert's");
    assert_eq!(reason(&controls).as_deref(), Some("fraud"));
    controls.unblock_for(&SHORT, "carol").unwrap();
    assert_eq!(reason(&controls).as_deref(), Some("fraud"));
    assert_eq!(entries(&controls).len(), 1, "what changes nothing is no entry");
}

#[test]
fn a_block_of_an_alert_is_done_once_and_undone_by_it_alone() {
    let (_dir, controls) = controls();
    for _ in 0..2 {
        assert!(
            controls.block_for(&SHORT, "carol").unwrap(),
            "again after a crash it is still ours"
        );
    }
    assert_eq!(reason(&controls).as_deref(), Some("alert short"));
    assert_eq!(entries(&controls).len(), 1);
    let other = Mark { rule: "other", outlasts: &[] };
    assert!(!controls.block_for(&other, "carol").unwrap());
    // One that lasts longer takes its place, and the earlier end is none.
    let outlasted = ["short".to_owned()];
    let long = Mark { rule: "long", outlasts: &outlasted };
    assert!(controls.block_for(&long, "carol").unwrap());
    controls.unblock_for(&SHORT, "carol").unwrap();
    assert_eq!(reason(&controls).as_deref(), Some("alert long"));
    controls.unblock_for(&long, "carol").unwrap();
    assert_eq!(reason(&controls), None);
    controls.unblock_for(&SHORT, "nobody").unwrap();
}

#[test]
fn the_end_of_an_alert_leaves_a_switch_of_an_operator() {
    let (_dir, controls) = controls();
    let scope = || "provider:sim".to_owned();
    let by = || controls.kill_switch().unwrap().switches.first().map(|it| it.by.clone());
    let on = SwitchChange { on: true, scope: Some(scope()), reason: Some("drill".to_owned()) };
    controls.switch(&ops(), on).unwrap();
    assert!(!controls.stop_for(&SHORT, scope()).unwrap());
    controls.resume_for(&SHORT, scope()).unwrap();
    assert_eq!(by().as_deref(), Some("ops"));
    let off = SwitchChange { on: false, scope: Some(scope()), reason: None };
    controls.switch(&ops(), off).unwrap();
    assert!(controls.stop_for(&SHORT, scope()).unwrap());
    assert_eq!(by().as_deref(), Some("alert:short"));
    controls.resume_for(&SHORT, scope()).unwrap();
    assert_eq!(by(), None);
}

#[test]
fn of_two_ends_of_a_quota_at_zero_the_later_one_holds() {
    let (_dir, controls) = controls();
    let (soon, late) = (at("2098-01-01T00:00:00Z"), at("2099-01-01T00:00:00Z"));
    controls.zero_for(&SHORT, "carol", soon).unwrap();
    let until = || controls.user("carol").unwrap().quota_zero_until;
    assert_eq!(until(), Some(soon));
    controls.change_user(&ops(), "carol", patch(json!({"quota_zero_until": late}))).unwrap();
    controls.zero_for(&SHORT, "carol", soon).unwrap();
    assert_eq!(until(), Some(late));
}

#[test]
fn a_throttled_user_keeps_what_an_operator_has_decided() {
    let (_dir, controls) = controls_with(|text| {
        format!(
            "{text}[[alerts.rules]]\nname = \"busy\"\nwhen = \"calls{{by=user,window=1h}} > 3\"\n\
             action = \"throttle for 10m\"\n"
        )
    });
    let (soon, late) = (at("2098-01-01T00:00:00Z"), at("2099-01-01T00:00:00Z"));
    let rows = || {
        let rows = controls.user("carol").unwrap().overrides.into_iter();
        rows.map(|it| (it.by, it.until)).collect::<Vec<_>>()
    };
    for until in [soon, late, soon] {
        assert!(controls.throttle_for(&SHORT, "carol", (5, Some(until))).unwrap());
    }
    assert_eq!(rows(), [("alert:short".to_owned(), Some(late))]);
    controls.set_override(&ops(), "carol", new_override("throttle", "100")).unwrap();
    assert!(!controls.throttle_for(&SHORT, "carol", (5, Some(late))).unwrap());
    assert_eq!(rows(), [("ops".to_owned(), None)]);
}
