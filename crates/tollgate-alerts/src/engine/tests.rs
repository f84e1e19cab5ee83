//! Turns of the engine: what begins, lasts and ends, who is told, what is done, and what holds it.

use jiff::SignedDuration;

use super::*;
use crate::incident::Progress;
use crate::rule::{Action, Deed, Shipped, Trigger};
use crate::sample::{at, call, usd};
use crate::silence::Silence;

mod ends;
mod traffic;

fn rule(name: &str, when: &str) -> Rule {
    Rule {
        name: name.into(),
        trigger: Trigger::When(when.parse().unwrap()),
        floor: 200_000_000,
        severity: Severity::Critical,
        channels: vec!["ops".into(), "pager".into()],
        action: None,
        repeat: None,
        language: None,
        group: name.into(),
        tells_end: true,
    }
}

fn steps() -> Rule {
    Rule { trigger: Trigger::Steps, tells_end: false, ..rule("budget", "store_degraded > 0") }
}

fn listener(name: &str, follows: bool) -> Listener {
    Listener {
        name: name.into(),
        follows,
        mirrors: false,
        least: Severity::Info,
        language: Language::Ko,
    }
}

fn settings(rules: Vec<Rule>) -> Settings {
    Settings {
        zone: TimeZone::get("Asia/Seoul").unwrap(),
        rules,
        listeners: vec![listener("ops", false), listener("pager", true)],
        pause: Duration::from_mins(1),
    }
}

fn engine(rules: Vec<Rule>) -> Engine {
    Engine::new(settings(rules), [])
}

const START: &str = "2026-11-21T01:00:00Z";

fn after(seconds: i64) -> Timestamp {
    at(START) + SignedDuration::from_secs(seconds)
}

/// A turn without a past.
fn turn(engine: &mut Engine, now: Timestamp) -> Turn {
    for ask in engine.look(now) {
        engine.learn(&ask, History::default(), now);
    }
    engine.turn(now, &[])
}

fn told(turn: &Turn) -> Vec<(&str, TellingKind, usize)> {
    let told = turn.tellings.iter();
    told.map(|it| (&*it.channel, it.kind, it.incidents.len() + it.more)).collect()
}

/// What an engine that starts again on what was written down knows.
fn again(engine: &Engine) -> Engine {
    let open: Vec<Incident> = engine.incidents.values().cloned().collect();
    let kept = serde_json::to_string(&open).unwrap();
    Engine::new(engine.settings.clone(), serde_json::from_str::<Vec<Incident>>(&kept).unwrap())
}

#[test]
fn an_alert_begins_is_told_once_and_ends() {
    let mut engine = engine(vec![rule("daily", "cost_usd{window=day} > 100")]);
    engine.observe(&call("alice", after(0), usd("100")));
    assert_eq!(turn(&mut engine, after(1)), Turn::default(), "100 is not above 100");
    engine.observe(&call("bob", after(2), usd("0.000000001")));
    let fired = turn(&mut engine, after(3));
    assert_eq!(told(&fired), [("ops", TellingKind::Fired, 1), ("pager", TellingKind::Fired, 1)]);
    assert_eq!(fired.changed.len(), 1);
    assert_eq!(fired.events[0].happened, Happened::Fired);
    assert_eq!(fired.changed[0].state, State::Firing);
    for seconds in 4..100 {
        assert_eq!(turn(&mut engine, after(seconds)), Turn::default());
    }
    assert_eq!(engine.firing().into_values().sum::<u64>(), 1);
    let mut engine = again(&engine);
    engine.recall(
        0,
        Arc::default(),
        (after(0), &Sums { cost: usd("101"), calls: 2, ..Sums::default() }),
    );
    assert_eq!(turn(&mut engine, after(200)), Turn::default(), "a restart repeats nothing");
    // The day ends at 15:00 in UTC.
    let over = turn(&mut engine, at("2026-11-21T15:00:01Z"));
    assert_eq!(
        told(&over),
        [("ops", TellingKind::Resolved, 1), ("pager", TellingKind::Resolved, 1)]
    );
    assert_eq!(over.gone, ["daily"]);
    assert_eq!(over.events[0].happened, Happened::Resolved);
    assert_eq!(engine.incidents().count(), 0);
}

#[test]
fn a_condition_that_must_hold_for_a_while_is_pending_until_then() {
    let mut engine = engine(vec![rule("errors", "error_rate{window=5m,min_calls=1} > 5% for 2m")]);
    let failed = CallRecord {
        status: 502,
        outcome: tollgate_domain::call::Outcome::Failed,
        ..call("a", after(0), usd("0"))
    };
    engine.observe(&failed);
    let first = turn(&mut engine, after(1));
    assert_eq!((first.changed[0].state, told(&first).len()), (State::Pending, 0));
    assert_eq!(told(&turn(&mut engine, after(60))), []);
    assert_eq!(told(&turn(&mut engine, after(121))).len(), 2);
    // A pending one that does not hold any more was nothing.
    let mut other =
        self::engine(vec![rule("errors", "error_rate{window=1m,min_calls=1} > 5% for 2m")]);
    other.observe(&failed);
    turn(&mut other, after(1));
    let gone = turn(&mut other, after(70));
    assert_eq!((gone.gone.len(), gone.events.len(), told(&gone).len()), (1, 0, 0));
}

#[test]
fn what_hovers_around_its_bound_is_one_alert() {
    let mut engine = engine(vec![rule("rate", "calls{by=user,window=10s} >= 10")]);
    let mut tellings = 0;
    for second in 0..600 {
        // Ten calls in eleven seconds, and now and then a gap of half a minute.
        if second % 11 != 0 && second % 120 > 30 {
            engine.observe(&call("alice", after(second), usd("0")));
        }
        tellings += turn(&mut engine, after(second)).tellings.len();
    }
    assert_eq!(tellings, 2, "one message for each channel");
    let over = turn(&mut engine, after(700));
    assert_eq!(told(&over)[0].1, TellingKind::Resolved);
}

#[test]
fn what_goes_on_is_told_again_and_many_together_are_one_message() {
    let mut noisy = rule("noisy", "calls{by=user,window=1h} > 0");
    noisy.repeat = Some(Duration::from_hours(4));
    let mut engine = engine(vec![noisy]);
    engine.observe(&call("first", after(0), usd("0")));
    assert_eq!(told(&turn(&mut engine, after(1))).len(), 2);
    for user in 0..50 {
        engine.observe(&call(&format!("u{user}"), after(2), usd("0")));
    }
    assert_eq!(told(&turn(&mut engine, after(3))), [], "the next message of a group waits");
    let together = turn(&mut engine, after(61));
    assert_eq!(told(&together)[0], ("ops", TellingKind::Fired, 50));
    assert_eq!((together.tellings[0].incidents.len(), together.tellings[0].more), (20, 30));
    assert_eq!(together.tellings.iter().filter(|it| &*it.channel == "pager").count(), 50);
    let mut repeated = 0;
    for minute in 2..500 {
        engine.observe(&call("first", after(minute * 60), usd("0")));
        let told = turn(&mut engine, after(minute * 60));
        repeated += told.tellings.iter().filter(|it| it.kind == TellingKind::Repeated).count();
    }
    assert_eq!(repeated, 2, "after four and eight hours, on channels that do not follow");
}

#[test]
fn a_silence_holds_messages_and_deeds_and_its_end_brings_them() {
    let mut acting = rule("runaway", "cost_usd{by=user,window=1h} > 1");
    acting.action = Some(Action { deed: Deed::QuotaZero, lasting: Some(Duration::from_hours(1)) });
    let mut engine = engine(vec![acting]);
    engine.observe(&call("alice", after(0), usd("2")));
    engine.observe(&call("bob", after(0), usd("2")));
    let silence = Silence {
        id: 1,
        matchers: vec![
            ("user".to_owned(), "al*".to_owned()),
            ("rule".to_owned(), "runaway".to_owned()),
        ],
        reason: "load test".to_owned(),
        by: "ops".to_owned(),
        from: after(0),
        until: after(600),
    };
    engine.look(after(1));
    let quiet = engine.turn(after(1), std::slice::from_ref(&silence));
    assert_eq!(quiet.act.iter().map(|it| &*it.subject).collect::<Vec<_>>(), ["bob"]);
    assert!(quiet.tellings.iter().all(|it| it.incidents.iter().all(|it| it.subject == "bob")));
    engine.look(after(601));
    let after_it = engine.turn(after(601), &[silence]);
    assert!(after_it.act.iter().any(|it| it.subject == "alice"));
    assert!(after_it.tellings.iter().any(|it| it.incidents[0].subject == "alice"));
}

#[test]
fn who_follows_an_alert_is_told_of_its_end_in_a_silence_too() {
    let mut engine = engine(vec![rule("spend", "cost_usd{by=user,window=1m} > 1")]);
    engine.observe(&call("alice", after(0), usd("2")));
    let fired = turn(&mut engine, after(1));
    assert_eq!(told(&fired), [("ops", TellingKind::Fired, 1), ("pager", TellingKind::Fired, 1)]);
    let silence = Silence {
        id: 1,
        matchers: vec![("user".to_owned(), "alice".to_owned())],
        reason: "known".to_owned(),
        by: "ops".to_owned(),
        from: after(2),
        until: after(3_600),
    };
    engine.look(after(300));
    let ended = engine.turn(after(300), &[silence]);
    assert_eq!(told(&ended), [("pager", TellingKind::Resolved, 1)]);
}

#[test]
fn a_deed_is_done_tried_again_given_up_and_undone_in_time() {
    let mut blocking = rule("runaway", "cost_usd{by=user,window=10m} > 1");
    blocking.action = Some(Action { deed: Deed::Block, lasting: Some(Duration::from_hours(1)) });
    let mut engine = engine(vec![blocking]);
    engine.observe(&call("alice", after(0), usd("2")));
    let mut first = turn(&mut engine, after(1));
    assert_eq!(first.act.len(), 1);
    engine.acted(&mut first, "runaway/user=alice", Came::Failed);
    let mut second = turn(&mut engine, after(2));
    assert_eq!((second.act.len(), second.act[0].until), (1, Some(after(3601))));
    engine.acted(&mut second, "runaway/user=alice", Came::Done);
    assert_eq!(second.changed[0].doing.as_ref().unwrap().progress, Progress::Standing);
    assert!(turn(&mut engine, after(3)).act.is_empty());
    // The alert is over before the deed: it is kept, over restarts, until it is undone.
    let over = turn(&mut engine, after(1_800));
    assert_eq!((over.events[0].happened, over.gone.len()), (Happened::Resolved, 0));
    let mut engine = again(&engine);
    assert!(turn(&mut engine, after(3_600)).lift.is_empty());
    let mut undone = turn(&mut engine, after(3_601));
    assert_eq!(undone.lift.len(), 1);
    engine.lifted(&mut undone, "runaway/user=alice");
    let last = turn(&mut engine, after(3_602));
    assert_eq!((last.lift.len(), last.gone.len()), (0, 1));
    // What fails for good is not tried for ever.
    engine.observe(&call("alice", after(4_000), usd("2")));
    let mut tries = 0;
    for second in 4_001..4_050 {
        let mut turn = turn(&mut engine, after(second));
        tries += turn.act.len();
        engine.acted(&mut turn, "runaway/user=alice", Came::Failed);
    }
    assert_eq!(tries, 5);
}

fn reached(step: u16, user: &str) -> Reached {
    let budget = Budget {
        limit: "spend".to_owned(),
        plan: Some("free".to_owned()),
        scope: vec![("user".to_owned(), user.to_owned())],
        metric: tollgate_domain::limit::Metric::CostUsd,
        window: "day".to_owned(),
        used: 4_000_000_000,
        max: 5_000_000_000,
        step: Some(step),
    };
    let until = at("2026-11-21T15:00:00Z");
    Reached { key: format!("budget/{user}/{step}"), budget, until, reported_until: until }
}

#[test]
fn each_step_of_a_budget_is_told_once_and_followed_to_the_end_of_its_window() {
    let mut engine = engine(vec![steps()]);
    for (seconds, step) in [(1, 500), (100, 800), (200, 1_000)] {
        engine.reach([reached(step, "alice"), reached(step, "alice")]);
        let fired = turn(&mut engine, after(seconds));
        assert_eq!(
            told(&fired),
            [("ops", TellingKind::Fired, 1), ("pager", TellingKind::Fired, 1)]
        );
        assert_eq!(fired.steps, [(format!("budget/alice/{step}"), at("2026-11-21T15:00:00Z"))]);
        engine.reach([reached(step, "alice")]);
        assert_eq!(turn(&mut engine, after(seconds + 1)), Turn::default());
    }
    let mut engine = again(&engine);
    engine.reach([reached(500, "alice")]);
    assert_eq!(turn(&mut engine, after(300)), Turn::default());
    let over = turn(&mut engine, at("2026-11-21T15:00:00Z"));
    assert_eq!(told(&over), [("pager", TellingKind::Resolved, 1); 3], "people need not hear of it");
    assert_eq!(over.gone.len(), 3);
}

#[test]
fn many_steps_do_not_stay_open() {
    let mut engine = engine(vec![steps()]);
    for user in 0..3_000 {
        engine.reach([reached(500, &format!("u{user}"))]);
        turn(&mut engine, after(user * 61));
    }
    assert!(engine.incidents().count() <= 1_001, "{}", engine.incidents().count());
}

#[test]
fn readings_and_signals_set_rules_off() {
    let mut engine = engine(vec![
        rule("store", "store_degraded > 0"),
        rule("budget-use", "limit_used_ratio{limit=company} >= 80%"),
        rule("storm", "duplicate_storms{by=user,window=5m} > 0"),
    ]);
    let reading = |metric, subject: &str, value| Reading {
        metric,
        subject: subject.into(),
        value,
        budget: None,
        note: Some("disk full".to_owned()),
    };
    engine.read(vec![
        reading(Metric::StoreDegraded, "", 0),
        reading(Metric::LimitUsedRatio, "company", 799_999),
        reading(Metric::LimitUsedRatio, "other", 999_999),
    ]);
    assert_eq!(turn(&mut engine, after(0)), Turn::default());
    engine.read(vec![
        reading(Metric::StoreDegraded, "", 1),
        reading(Metric::LimitUsedRatio, "company", 800_000),
    ]);
    engine.signal(&Signal { metric: Metric::DuplicateStorms, subject: "eve".into(), at: after(1) });
    let fired = turn(&mut engine, after(1));
    let keys: Vec<&str> = fired.changed.iter().map(|it| &*it.key).collect();
    assert_eq!(keys, ["budget-use/limit=company", "store", "storm/user=eve"]);
    assert_eq!(fired.changed[1].note.as_deref(), Some("disk full"));
    engine.read(Vec::new());
    assert_eq!(turn(&mut engine, after(60)).gone.len(), 0, "what hovers is one alert");
    assert_eq!(turn(&mut engine, after(61)).gone.len(), 2, "after a calm minute it is over");
}

#[test]
fn other_rules_keep_what_was_counted_and_end_what_is_gone() {
    let mut engine = engine(vec![rule("daily", "cost_usd{window=day} > 100")]);
    engine.observe(&call("alice", after(0), usd("150")));
    assert_eq!(told(&turn(&mut engine, after(1))).len(), 2);
    engine.change(settings(vec![
        rule("other", "calls{window=1h} > 5"),
        rule("second", "cost_usd{window=day} > 120"),
    ]));
    let changed = turn(&mut engine, after(2));
    assert_eq!(changed.gone, ["daily"]);
    assert_eq!(changed.changed[0].key, "second");
    assert_eq!(engine.firing().len(), 2);
}

#[test]
fn a_subject_is_measured_with_its_own_past() {
    let mut engine = engine(vec![rule("runaway", "cost_usd{by=user,window=1h} > 15 * baseline")]);
    engine.observe(&call("heavy", after(0), usd("20")));
    engine.observe(&call("light", after(0), usd("20")));
    engine.observe(&call("small", after(0), usd("2.9")));
    let asks = engine.look(after(1));
    let asked: BTreeSet<&str> = asks.iter().map(|ask| &*ask.subject).collect();
    assert_eq!(
        asked.into_iter().collect::<Vec<_>>(),
        ["heavy", "light"],
        "below the floor nobody asks"
    );
    for ask in &asks {
        let cost = if &*ask.subject == "heavy" { usd("10") } else { usd("0.5") };
        let sums = vec![Sums { cost, calls: 9, ..Sums::default() }; ask.spans.len()];
        engine.learn(ask, History { first: Some(Timestamp::UNIX_EPOCH), sums }, after(1));
    }
    let fired = engine.turn(after(1), &[]);
    assert_eq!(fired.changed.len(), 1);
    let incident = &fired.changed[0];
    assert_eq!(
        (&*incident.subject, incident.usual, incident.bound),
        ("light", Some(500_000_000), 7_500_000_000)
    );
    assert_eq!(engine.look(after(2)), [], "what is known is not asked again");
    assert!(!engine.look(after(16 * 60)).is_empty());
}

#[test]
fn every_shipped_rule_can_be_in_force_at_once() {
    let rules = crate::rule::SHIPPED.iter().map(|shipped| match shipped.when {
        Some(when) => rule(shipped.name, when),
        None => steps(),
    });
    let mut engine = engine(rules.collect());
    engine.observe(&call("alice", after(0), usd("1")));
    assert_eq!(turn(&mut engine, after(1)).events.len(), 0);
    assert_eq!(engine.firing().len(), crate::rule::SHIPPED.len());
    assert!(Shipped::named("budget").unwrap().when.is_none());
}
