//! What changes do, over a database of their own: each leaves exactly one entry in the audit, what
//! cannot be meant leaves none, and the data plane is given what was decided.

use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_admission::control::Written;
use tollgate_admission::ledger::Ledger as _;
use tollgate_domain::attempt::{Attempt, Billing};
use tollgate_domain::bodies::CallBodies;
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;
use tollgate_store::{BodyStore, Options};

use super::*;
use crate::config::{Environment, ProcessEnvironment};
use tollgate_admission::control::PlanFrom;

mod deeds;

const CONFIG: &str = r#"
[storage]
url = "sqlite://DIR/t.db"
[auth]
default_plan = "free"
auto_register = true
[[auth.keys]]
name = "mobile"
key = "tg_0123456789abcdefghij"
user = "carol"
plan = "pro"
[providers.sim]
kind = "simulated"
[prices."sim/m"]
input = 1.00
output = 2.00
[plans.free]
limits = [
  { name = "daily",  metric = "successes", window = "day", max = 10 },
  { name = "spend",  metric = "cost_usd",  window = "rolling 30d", max = 5.00 },
]
[plans.pro]
limits = [
  { name = "daily",  metric = "successes", window = "day", max = 100 },
  { name = "wallet", metric = "cost_usd",  window = "balance" },
]
[limits.company]
scope = "global"
metric = "cost_usd"
window = "day"
max = 100.00
"#;

fn controls_with(change: impl Fn(&str) -> String) -> (TempDir, Controls) {
    let dir = tempfile::tempdir().unwrap();
    let text = change(&CONFIG.replace("DIR", dir.path().to_str().unwrap()));
    let path = dir.path().join("tollgate.toml");
    std::fs::write(&path, text).unwrap();
    let environment: &dyn Environment = &ProcessEnvironment;
    let config = Config::load(&path, environment).unwrap();
    let controls = Controls::offline(&config).unwrap();
    (dir, controls)
}

fn controls() -> (TempDir, Controls) {
    controls_with(str::to_owned)
}

fn ops() -> Actor {
    Actor("ops".to_owned())
}

fn entries(controls: &Controls) -> Vec<AuditRow> {
    controls.audit(&AuditQuery::default()).unwrap().items
}

fn patch(json: Value) -> UserPatch {
    serde_json::from_value(json).unwrap()
}

fn new_override(limit: &str, max: &str) -> NewOverride {
    NewOverride { limit: limit.to_owned(), max: Written::new(max), until: None }
}

fn payment(reference: &str) -> TopUp {
    let reference = Some(reference.to_owned());
    TopUp { limit: "wallet".to_owned(), amount: Written::new("5.00"), reference }
}

fn switch(on: bool, scope: &str) -> SwitchChange {
    SwitchChange { on, scope: Some(scope.to_owned()), reason: Some("test".to_owned()) }
}

fn key(name: &str) -> NewKey {
    NewKey { name: name.to_owned(), ..NewKey::default() }
}

fn silence(name: &str, value: &str) -> NewSilence {
    let matchers = [(name.to_owned(), value.to_owned())].into();
    NewSilence { matchers, until: "2099-01-01T00:00:00Z".parse().unwrap(), reason: None }
}

type Step = (&'static str, fn(&Controls) -> Result<(), ControlError>);

/// Every changing operation of the port.
const CHANGES: &[Step] = &[
    ("user.create", |c| {
        let user = NewUser { name: "alice".to_owned(), plan: None, team: None };
        c.create_user(&ops(), user).map(drop)
    }),
    ("user.change", |c| c.change_user(&ops(), "alice", patch(json!({"plan": "pro"}))).map(drop)),
    ("override.set", |c| c.set_override(&ops(), "alice", new_override("daily", "0")).map(drop)),
    ("override.remove", |c| c.remove_override(&ops(), "alice", "daily").map(drop)),
    ("balance.top_up", |c| c.top_up(&ops(), "alice", payment("order-1")).map(drop)),
    ("user.delete", |c| c.delete_user(&ops(), "alice")),
    ("key.create", |c| c.create_key(&ops(), key("backend")).map(drop)),
    ("key.rotate", |c| c.rotate_key(&ops(), "backend", KeyRotation::default()).map(drop)),
    ("key.revoke", |c| c.revoke_key(&ops(), "backend")),
    ("kill_switch.on", |c| c.switch(&ops(), switch(true, "plan:free")).map(drop)),
    ("kill_switch.off", |c| c.switch(&ops(), switch(false, "plan:free")).map(drop)),
    ("silence.create", |c| c.silence(&ops(), silence("rule", "daily-spend")).map(drop)),
    ("silence.end", |c| c.unsilence(&ops(), 1)),
    ("alert.test", |c| c.test_alerts(&ops(), AlertTest::default()).map(drop)),
];

#[test]
fn every_change_leaves_exactly_one_entry_that_names_who_and_what() {
    let (_dir, controls) = controls();
    for (count, (action, change)) in CHANGES.iter().enumerate() {
        change(&controls).unwrap_or_else(|error| panic!("{action}: {error}"));
        let entries = entries(&controls);
        assert_eq!(entries.len(), count + 1, "{action}");
        let newest = &entries[0];
        assert_eq!((newest.action.as_str(), newest.who.as_str()), (*action, "ops"));
        assert!(newest.before != newest.after, "{action}: {newest:?}");
        let text = format!("{newest:?}");
        assert!(!text.contains("tg_0") && !text.contains("hash"), "{text}");
    }
}

#[test]
fn whoever_reads_what_was_said_stands_in_the_audit_once_for_each_call() {
    let (_dir, controls) = controls();
    let calls = [60, 50, 40].map(|ago| call(&controls, ago).call_id);
    let said = |call_id: CallId| CallBodies {
        call_id,
        time: controls.clock.now(),
        redacted: false,
        prompt: Some("a secret".to_owned()),
        answer: None,
        prompt_bytes: 8,
        answer_bytes: 0,
    };
    // Where nothing is kept, nobody has read anything.
    assert!(controls.bodies(&ops(), calls[0]).is_err());
    assert!(entries(&controls).is_empty());
    let path = BodyStore::path_of(&controls.database);
    BodyStore::open(&path).unwrap().put(&[said(calls[0]), said(calls[2])]).unwrap();
    assert_eq!(controls.bodies(&ops(), calls[0]).unwrap().prompt.as_deref(), Some("a secret"));
    assert!(controls.bodies(&ops(), calls[1]).is_err());
    let found = controls.read_bodies(&Actor("cli".to_owned()), &calls).unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    let entries = entries(&controls);
    let facts: Vec<_> = entries.iter().rev().map(|it| (&*it.who, &*it.subject)).collect();
    let [first, _, third] = calls.map(|id| id.to_string());
    assert_eq!(facts, [("ops", &*first), ("cli", &*first), ("cli", &*third)]);
    assert!(entries.iter().all(|it| it.action == "call.read_bodies"));
    assert!(!format!("{entries:?}").contains("a secret"));
}

#[test]
fn what_cannot_be_meant_changes_nothing_and_says_why() {
    let (_dir, controls) = controls();
    let by = ops();
    let failures: Vec<(Result<(), ControlError>, &str)> = vec![
        (controls.change_user(&by, "alice", patch(json!({"plan": "gold"}))).map(drop), "free, pro"),
        (controls.change_user(&by, " alice", patch(json!({}))).map(drop), "spaces"),
        (controls.change_user(&by, &"x".repeat(129), patch(json!({}))).map(drop), "128"),
        (controls.set_override(&by, "alice", new_override("dayly", "1")).map(drop), "daily"),
        (controls.set_override(&by, "alice", new_override("daily", "1.5")).map(drop), "whole"),
        (controls.set_override(&by, "alice", new_override("company", "1")).map(drop), "by user"),
        (controls.remove_override(&by, "alice", "daily").map(drop), "no override"),
        (controls.delete_user(&by, "alice"), "no user"),
        (controls.switch(&by, switch(true, "plan:gold")).map(drop), "free, pro"),
        (controls.switch(&by, switch(true, "everything")).map(drop), "scope"),
        (controls.create_key(&by, key("mobile")).map(drop), "configuration"),
        (
            controls
                .create_key(&by, NewKey { role: Some("root".to_owned()), ..key("k") })
                .map(drop),
            "root",
        ),
        (
            controls
                .create_key(&by, NewKey { networks: vec!["x".to_owned()], ..key("k") })
                .map(drop),
            "range",
        ),
        (controls.rotate_key(&by, "k", KeyRotation::default()).map(drop), "no key"),
        (controls.revoke_key(&by, "mobile"), "configuration"),
        (controls.silence(&by, silence("usr", "a")).map(drop), "user, key"),
        (controls.silence(&by, silence("user", "a\nb")).map(drop), "one line"),
        (controls.unsilence(&by, 7), "no silence"),
        (
            controls.test_alerts(&by, AlertTest { channel: Some("ops".to_owned()) }).map(drop),
            "no alert channel",
        ),
    ];
    for (failure, part) in failures {
        let message = failure.unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let top_up = TopUp { limit: "daily".to_owned(), ..payment("order-1") };
    let error = controls.top_up(&by, "carol", top_up).unwrap_err().to_string();
    assert!(error.contains("no prepaid balance"), "{error}");
    assert!(entries(&controls).is_empty());
}

#[test]
fn a_user_is_shown_with_the_plan_in_force_and_how_its_limits_stand() {
    let (_dir, controls) = controls();
    let by = ops();
    let carol = controls.user("carol").unwrap();
    assert_eq!(
        (carol.plan.as_str(), carol.plan_from, carol.registered),
        ("pro", PlanFrom::Key, false)
    );
    controls.change_user(&by, "carol", patch(json!({"plan": "free", "team": "red"}))).unwrap();
    let carol = controls.set_override(&by, "carol", new_override("daily", "20")).unwrap();
    let limits = serde_json::to_value(carol.limits.unwrap()).unwrap();
    let daily = json!({"name": "daily", "plan": "free", "scope": "user", "metric": "successes",
        "window": "day", "max": 20, "used": 0, "reserved": 0, "remaining": 20});
    for (field, value) in daily.as_object().unwrap() {
        assert_eq!(&limits[0][field], value, "{field}");
    }
    assert_eq!(limits[1]["max"], "5.000000000");
    assert_eq!(limits[2]["name"], "company");
    let carol = controls.change_user(&by, "carol", patch(json!({"plan": null}))).unwrap();
    assert_eq!((carol.plan.as_str(), carol.plan_from), ("pro", PlanFrom::Key));
    assert!(matches!(controls.user("nobody"), Err(ControlError::NotFound { .. })));
}

#[test]
fn a_repeated_payment_pays_nothing_and_leaves_no_entry() {
    let (_dir, controls) = controls();
    for _ in 0..2 {
        let carol = controls.top_up(&ops(), "carol", payment("order-1")).unwrap();
        assert_eq!(serde_json::to_value(&carol.balances).unwrap()[0]["paid_in"], "5.000000000");
    }
    assert_eq!(entries(&controls).len(), 1);
    let other = TopUp { amount: Written::new("6"), ..payment("order-1") };
    let error = controls.top_up(&ops(), "carol", other).unwrap_err();
    assert!(matches!(error, ControlError::Conflict(_)), "{error}");
}

#[test]
fn where_users_must_be_registered_a_change_makes_none() {
    let (_dir, controls) =
        controls_with(|text| text.replace("auto_register = true", "auto_register = false"));
    let block = || controls.change_user(&ops(), "alice", patch(json!({"blocked": true})));
    assert!(matches!(block(), Err(ControlError::NotFound { .. })));
    let alice = NewUser { name: "alice".to_owned(), plan: None, team: None };
    controls.create_user(&ops(), alice.clone()).unwrap();
    assert!(block().unwrap().blocked);
    let again = controls.create_user(&ops(), alice).unwrap_err();
    assert!(matches!(again, ControlError::Conflict(_)), "{again}");
}

#[test]
fn the_data_plane_is_given_what_is_stored() {
    let (_dir, controls) = controls();
    let by = ops();
    let change = json!({"plan": "pro", "blocked": true, "blocked_reason": "spam",
        "quota_zero_until": "2026-12-01T00:00:00Z"});
    controls.change_user(&by, "alice", patch(change)).unwrap();
    controls.set_override(&by, "alice", new_override("daily", "unlimited")).unwrap();
    controls.top_up(&by, "alice", payment("order-1")).unwrap();
    let registry = controls.registry.lock();
    let states = facts::all_states(&registry).unwrap();
    let [(name, state)] = states.as_slice() else { panic!("{states:?}") };
    assert_eq!(&**name, "alice");
    assert_eq!((state.plan.as_deref(), state.blocked.as_deref()), (Some("pro"), Some("spam")));
    assert!(state.overlay.zero_until.is_some());
    assert_eq!(state.overlay.overrides[0].max, None);
    assert_eq!(state.overlay.balances, [("wallet".into(), 5_000_000_000)]);
}

#[test]
fn users_and_keys_are_listed_by_page() {
    let (_dir, controls) = controls();
    for name in ["alice", "bob", "dora"] {
        controls.create_key(&ops(), key(name)).unwrap();
    }
    let mut names = Vec::new();
    let mut query = UserQuery { limit: Some(2), ..UserQuery::default() };
    loop {
        let page = controls.users(&query).unwrap();
        names.extend(page.items.into_iter().map(|user| user.name));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, ["alice", "bob", "carol", "dora"]);
    let page = controls.keys(&KeyQuery { limit: Some(3), ..KeyQuery::default() }).unwrap();
    assert_eq!(page.items.len(), 3);
    let cursor = page.next_cursor;
    let page = controls.keys(&KeyQuery { limit: Some(3), cursor, user: None }).unwrap();
    assert_eq!((page.items[0].name.as_str(), page.next_cursor), ("mobile", None));
}

/// A call of alice that was answered `ago` seconds before now and cost 26 000 nano-dollars.
fn call(controls: &Controls, ago: i64) -> CallRecord {
    let time = controls.clock.now() - SignedDuration::from_secs(ago);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&ago.to_be_bytes());
    CallRecord {
        call_id: CallId::new(time.as_millisecond().try_into().unwrap(), random),
        request_id: "r".into(),
        time,
        user: "alice".into(),
        key: None,
        team: None,
        ip: None,
        session: None,
        feature: None,
        tags: Vec::new(),
        dialect: Dialect::Openai,
        endpoint: "/v1/chat/completions".into(),
        provider: "sim".into(),
        model_asked: "m".into(),
        model: "m".into(),
        stream: false,
        status: 200,
        outcome: Outcome::Success,
        error_type: None,
        attempts: 1,
        cache: CacheState::Miss,
        usage: Usage::tokens(8, 9),
        cost: NanoUsd::from_nanos(26_000),
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: None,
        price_version: "an older price".into(),
        estimated: false,
        latency_us: 1_000,
        ttft_us: None,
        trace: None,
        decision: None,
        tries: Vec::new(),
    }
}

fn write(controls: &Controls, calls: &[CallRecord]) {
    let (ledger, _) = SqliteLedger::open(&controls.database, &Options::default()).unwrap();
    for call in calls {
        drop(ledger.open(call).unwrap());
        drop(ledger.close(Arc::new(call.clone())).unwrap());
    }
    ledger.shutdown().unwrap();
}

#[test]
fn without_a_server_limits_stand_as_the_ledger_says() {
    let (_dir, controls) = controls();
    let ages = [60, 3 * 3_600, 3 * 86_400, 40 * 86_400];
    write(&controls, &ages.map(|ago| call(&controls, ago)));
    let alice = controls.user("alice").unwrap();
    assert_eq!((alice.plan.as_str(), alice.registered), ("free", false));
    let limits = serde_json::to_value(alice.limits.unwrap()).unwrap();
    assert_eq!(limits[1]["name"], "spend");
    assert_eq!(limits[1]["used"], "0.000078000", "three calls in thirty days: {limits:#}");
    assert_eq!(limits[1]["remaining"], "4.999922000");
}

#[test]
fn an_explanation_adds_up_or_says_why_not() {
    let (_dir, controls) = controls();
    let old = call(&controls, 60);
    let refused = CallRecord {
        outcome: Outcome::Refused,
        status: 429,
        error_type: Some("quota_exhausted".into()),
        usage: Usage::default(),
        cost: NanoUsd::ZERO,
        ..call(&controls, 50)
    };
    write(&controls, &[old.clone(), refused.clone()]);
    let price = controls.explain(old.call_id).unwrap().price.unwrap();
    assert_eq!((price.sum_usd, price.note), (old.cost, None));
    let amounts: Vec<_> =
        price.lines.iter().map(|line| (&*line.unit, line.count, &*line.amount_usd)).collect();
    assert_eq!(amounts, [("input", 8, "0.000008000000000"), ("output", 9, "0.000018000000000")]);
    let dearer = CallRecord { cost: NanoUsd::from_nanos(30_000), ..call(&controls, 40) };
    let now = CallRecord { price_version: price.lines_version.into(), ..dearer.clone() };
    let attempt = |billing, nanos| Attempt {
        provider: "up".into(),
        model: "m".into(),
        status: None,
        error_type: None,
        billing,
        cost: NanoUsd::from_nanos(nanos),
        latency_us: 1,
    };
    let tries = vec![attempt(Billing::Unknown, 4_000), attempt(Billing::Billed, 26_000)];
    let call_id = call(&controls, 30).call_id;
    let now = CallRecord { call_id, attempts: 2, tries, ..now };
    write(&controls, &[dearer.clone(), now.clone()]);
    for (call, part) in [(dearer, "has changed"), (now, "attempts")] {
        let note = controls.explain(call.call_id).unwrap().price.unwrap().note.unwrap();
        assert!(note.contains(part), "{note}");
    }
    let told = controls.explain(refused.call_id).unwrap();
    assert_eq!((told.decision.as_str(), told.price.is_none()), ("refused", true));
    assert!(told.why.contains("used up until its window turns"), "{}", told.why);
    assert!(matches!(
        controls.explain(CallId::new(0, [0; 10])),
        Err(ControlError::NotFound { .. })
    ));
}

#[test]
fn usage_is_summed_by_day_and_total_and_nonsense_is_refused() {
    let (_dir, controls) = controls();
    write(&controls, &[call(&controls, 60), call(&controls, 120)]);
    let ask = |group_by: &str, from: Option<&str>, to: Option<&str>| {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let group_by = Some(group_by.to_owned());
        controls.usage(&UsageAsk { group_by, from: own(from), to: own(to), ..UsageAsk::default() })
    };
    let report = ask("user,model", Some("2020-01-01"), None).unwrap();
    assert_eq!((report.calls, report.total_cost_usd.nanos()), (2, 52_000));
    assert_eq!(report.rows[0]["user"], "alice");
    assert_eq!(report.rows[0]["cost_usd"], "0.000052000");
    for (group_by, from, to, part) in [
        ("colour", None, None, "colour"),
        ("day", Some("soon"), None, "soon"),
        ("day", Some("2026-11-02"), Some("2026-11-01"), "behind"),
    ] {
        let error = ask(group_by, from, to).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
