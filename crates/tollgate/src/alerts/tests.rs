//! The past as the ledger tells it: what was usual, what today held before a restart, which models
//! took most.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tollgate_admission::ledger::Ledger as _;
use tollgate_alerts::engine::{Came, Engine, Listener, Settings};
use tollgate_alerts::rule::{Action, Deed, Language, Rule, Severity, Trigger};
use tollgate_domain::call::CallRecord;
use tollgate_domain::id::CallId;
use tollgate_store::{AlertEventFilter, Options, Registry, SqliteLedger};

use super::book;
use super::past::Past;

const NOW: &str = "2026-11-20T05:30:00Z";

struct Books {
    _dir: TempDir,
    path: std::path::PathBuf,
    ledger: SqliteLedger,
    calls: u8,
}

fn zone() -> TimeZone {
    TimeZone::get("Asia/Seoul").unwrap()
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

impl Books {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let options = Options { zone: zone(), ..Options::default() };
        let (ledger, _) = SqliteLedger::open(&path, &options).unwrap();
        Self { _dir: dir, path, ledger, calls: 0 }
    }

    fn call(&mut self, user: &str, model: &str, at: Timestamp, usd: &str) -> CallRecord {
        self.calls += 1;
        let millis = u64::try_from(at.as_millisecond()).unwrap();
        let document = serde_json::json!({
            "call_id": CallId::new(millis, [self.calls; 10]), "request_id": "r", "time": at,
            "user": user, "key": "backend", "team": null, "ip": "10.0.0.1", "session": null,
            "feature": null, "tags": {}, "dialect": "openai", "endpoint": "/v1/chat/completions",
            "provider": "openai", "model_asked": model, "model": model, "stream": false,
            "status": 200, "outcome": "success", "error_type": null, "attempts": 1,
            "cache": "miss", "input_tokens": 10, "cached_input_tokens": 0,
            "cache_write_tokens": 0, "output_tokens": 5, "reasoning_tokens": 0,
            "cost_usd": format!("{usd}.000000000"), "estimated": false, "latency_ms": 5,
            "ttft_ms": null,
        });
        let call: CallRecord = serde_json::from_value(document).unwrap();
        drop(self.ledger.open(&call).unwrap());
        drop(self.ledger.close(Arc::new(call.clone())).unwrap());
        call
    }

    fn past(&self) -> Past {
        Past::open(&self.path, zone()).unwrap()
    }
}

fn engine(when: &str) -> Engine {
    Engine::new(settings_of(when), [])
}

fn settings_of(when: &str) -> Settings {
    let rule = Rule {
        name: "r".into(),
        trigger: Trigger::When(when.parse().unwrap()),
        floor: 200_000_000,
        severity: Severity::Warning,
        channels: Vec::new(),
        action: None,
        repeat: None,
        language: None,
        group: "r".into(),
        tells_end: true,
    };
    let pause = std::time::Duration::ZERO;
    Settings { zone: zone(), rules: vec![rule], listeners: Vec::new(), pause }
}

fn weeks_ago(weeks: i64) -> Timestamp {
    now() - SignedDuration::from_hours(24 * 7 * weeks)
}

#[test]
fn usual_is_what_the_rollups_of_previous_weeks_say() {
    let mut books = Books::new();
    for week in 1..=5 {
        // Ten dollars in that hour of every week, and much more at other times.
        books.call("heavy", "gpt-4o", weeks_ago(week) - SignedDuration::from_mins(20), "10");
        books.call("heavy", "gpt-4o", weeks_ago(week) - SignedDuration::from_hours(5), "500");
        books.call("light", "gpt-4o", weeks_ago(week) - SignedDuration::from_mins(20), "1");
    }
    let mut engine = engine("cost_usd{by=user,window=1h} > 15 * baseline");
    for user in ["heavy", "light"] {
        engine.observe(&books.call(user, "gpt-4o", now() - SignedDuration::from_mins(5), "100"));
    }
    let (past, registry) = (books.past(), Registry::open(&books.path).unwrap());
    books.ledger.hurry();
    // Waits for the fold, as a start does.
    past.recall(&mut self::engine("calls{window=1h} > 1"), &books.ledger, (now(), now())).unwrap();
    let asks = engine.look(now());
    assert_eq!(asks.len(), 2);
    for ask in &asks {
        let history = past.answer(&registry, ask).unwrap();
        assert!(history.first.unwrap() <= weeks_ago(5), "{history:?}");
        engine.learn(ask, history, now());
    }
    let turn = engine.turn(now(), &[]);
    let fired: Vec<_> = turn.changed.iter().map(|it| (&*it.subject, it.usual)).collect();
    assert_eq!(fired, [("light", Some(1_000_000_000))]);
}

#[test]
fn a_restart_knows_what_today_and_the_last_hours_held() {
    let mut books = Books::new();
    let this_morning: Timestamp = "2026-11-19T16:10:00Z".parse().unwrap();
    books.call("alice", "gpt-4o", this_morning - SignedDuration::from_hours(2), "1000");
    books.call("alice", "gpt-4o", this_morning, "60");
    // Counted one by one, and long over when the program started: it cannot come again.
    books.call("bob", "gpt-4o", now() - SignedDuration::from_mins(90), "0");
    let last = books.call("bob", "gpt-4o", now() - SignedDuration::from_mins(30), "41");
    for (when, fires) in [
        ("cost_usd{window=day} > 100", true),
        ("cost_usd{window=day} > 101", false),
        ("cost_usd{by=user,window=day} > 59", true),
        ("cost_usd{by=user,window=day,user=bob} > 41", false),
        ("cost_usd{window=6h} > 41", false),
        ("cost_usd{window=2d} > 1100", true),
        ("call_cost_usd{window=1h} > 40", true),
        ("calls{by=ip,window=1h} >= 1", true),
        ("calls{window=1h} > 1", false),
    ] {
        let mut engine = engine(when);
        let started = now() - SignedDuration::from_mins(40);
        let seen = books.past().recall(&mut engine, &books.ledger, (started, now())).unwrap();
        assert!(seen.contains(&last.call_id) && seen.len() == 1, "{when}: {seen:?}");
        engine.look(now());
        assert_eq!(!engine.turn(now(), &[]).changed.is_empty(), fires, "{when}");
    }
}

#[test]
fn the_models_that_took_most_are_named() {
    let mut books = Books::new();
    for (model, usd) in [("a", "5"), ("b", "50"), ("c", "7"), ("d", "1")] {
        books.call("alice", model, now() - SignedDuration::from_mins(10), usd);
        books.call("bob", "z", now() - SignedDuration::from_mins(10), "999");
    }
    let mut engine = engine("cost_usd{by=user,window=1h,user=alice} > 60");
    books.past().recall(&mut engine, &books.ledger, (now(), now())).unwrap();
    engine.look(now());
    let turn = engine.turn(now(), &[]);
    let models = books.past().models(&turn.changed[0], &books.ledger, now()).unwrap();
    let named: Vec<_> = models.iter().map(|(name, cost)| (&**name, cost.to_string())).collect();
    assert_eq!(
        named,
        [
            ("b", "50.000000000".to_owned()),
            ("c", "7.000000000".to_owned()),
            ("a", "5.000000000".to_owned())
        ]
    );
}

#[test]
fn what_is_to_be_done_is_written_before_and_told_after() {
    let mut settings = settings_of("calls{by=user,window=1h} > 0");
    let lasting = Some(std::time::Duration::from_hours(1));
    settings.rules[0].action = Some(Action { deed: Deed::Block, lasting });
    settings.rules[0].channels = vec!["ops".into()];
    settings.listeners.push(Listener {
        name: "ops".into(),
        follows: false,
        mirrors: false,
        least: Severity::Info,
        language: Language::En,
    });
    let mut engine = Engine::new(settings.clone(), []);
    let mut books = Books::new();
    engine.observe(&books.call("alice", "m", now(), "1"));
    engine.look(now());
    let mut turn = engine.turn(now(), &[]);
    let registry = Registry::open(&books.path).unwrap();
    registry.commit_alerts(&book::intent(&turn, now())).unwrap();
    // A crash here: it is due, has its end, and nobody was told.
    let [open] = &book::open(&registry).unwrap()[..] else { panic!() };
    let doing = open.doing.as_ref().unwrap();
    assert_eq!((doing.progress.as_str(), open.told_at), ("due", None));
    assert_eq!(doing.until, Some(now() + SignedDuration::from_hours(1)));
    assert_eq!(registry.due_notice("ops", now()).unwrap(), None);
    let mut again = Engine::new(settings, [open.clone()]);
    again.observe(&books.call("alice", "m", now(), "1"));
    again.look(now());
    let repeated = again.turn(now(), &[]);
    assert_eq!((repeated.act.len(), repeated.tellings.len()), (1, 1), "done again, and told");
    // Without one: it stands, is told as it is, and is in the history once.
    let key = turn.act[0].key.clone();
    engine.acted(&mut turn, &key, Came::Done);
    registry.commit_alerts(&book::work(&turn, now())).unwrap();
    let history = registry.alert_history(&AlertEventFilter::default(), 9).unwrap();
    let told = registry.due_notice("ops", now()).unwrap().unwrap();
    let stands = |json: &str| json.contains("\"progress\":\"standing\"");
    assert_eq!((history.len(), stands(&history[0].alert.alert)), (1, true));
    assert!(stands(&told.notice) && told.thread.as_deref() == Some("r"), "{told:?}");
}
