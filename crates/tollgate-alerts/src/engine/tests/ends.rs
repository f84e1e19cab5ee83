//! Ends: of what nobody was told, of what begins again, and of deeds that others have decided too.

use super::*;

fn gauge(value: i64) -> Vec<Reading> {
    let subject = Arc::default();
    vec![Reading { metric: Metric::StoreDegraded, subject, value, budget: None, note: None }]
}

#[test]
fn a_gauge_that_hovers_is_one_alert() {
    let mut engine = engine(vec![rule("store", "store_degraded > 0")]);
    let mut tellings = 0;
    for second in 0..300 {
        engine.read(gauge(i64::from(second % 20 < 10)));
        tellings += turn(&mut engine, after(second)).tellings.len();
    }
    assert_eq!(tellings, 2, "one message for each channel");
    engine.read(gauge(0));
    assert_eq!(told(&turn(&mut engine, after(400)))[0].1, TellingKind::Resolved);
}

#[test]
fn what_begins_and_ends_within_the_pause_is_told_when_it_is_over() {
    let mut noisy = rule("noisy", "calls{by=user,window=10s} > 0");
    noisy.group = "all".into();
    let mut settings = settings(vec![noisy]);
    settings.pause = Duration::from_mins(10);
    let mut engine = Engine::new(settings, []);
    engine.observe(&call("first", after(0), usd("0")));
    assert_eq!(told(&turn(&mut engine, after(1))).len(), 2);
    engine.observe(&call("second", after(2), usd("0")));
    turn(&mut engine, after(3));
    let ended = turn(&mut engine, after(200));
    let ends = [("ops", TellingKind::Resolved, 1), ("pager", TellingKind::Resolved, 1)];
    assert_eq!((ended.events.len(), &told(&ended)[..]), (2, &ends[..]), "only the first was told");
    assert_eq!(ended.gone, ["noisy/user=first"]);
    let mut engine = Engine::new(engine.settings.clone(), engine.incidents.values().cloned());
    engine.told.insert("all".into(), after(1));
    assert_eq!(told(&turn(&mut engine, after(600))), []);
    let late = turn(&mut engine, after(601));
    let both = |channel| [(channel, TellingKind::Fired, 1), (channel, TellingKind::Resolved, 1)];
    assert_eq!(told(&late), [both("ops"), both("pager")].concat());
    assert!(late.tellings.iter().all(|it| it.incidents[0].subject == "second"));
    assert_eq!(late.gone, ["noisy/user=second"]);
    assert_eq!(turn(&mut engine, after(602)), Turn::default());
}

#[test]
fn what_ended_in_a_silence_untold_is_not_told_later() {
    let mut engine = engine(vec![rule("spend", "cost_usd{by=user,window=1m} > 1")]);
    engine.observe(&call("alice", after(0), usd("2")));
    let silence = Silence {
        id: 1,
        matchers: vec![("user".to_owned(), "alice".to_owned())],
        reason: "known".to_owned(),
        by: "ops".to_owned(),
        from: after(0),
        until: after(3_600),
    };
    for second in [1, 300] {
        engine.look(after(second));
        engine.turn(after(second), std::slice::from_ref(&silence));
    }
    assert_eq!(engine.incidents.len(), 0);
    assert_eq!(turn(&mut engine, after(4_000)), Turn::default());
}

#[test]
fn a_channel_that_mirrors_is_not_shown_the_end_of_what_fires_again() {
    let mut settings = settings(vec![rule("busy", "calls{by=user,window=10s} > 0")]);
    settings.pause = Duration::ZERO;
    let mut engine = Engine::new(settings, []);
    let shown = |engine: &Engine| -> Vec<(String, bool)> {
        let shown = engine.mirrored("ops");
        shown.map(|it| (it.subject.clone(), it.ended_at.is_some())).collect()
    };
    engine.observe(&call("alice", after(0), usd("0")));
    engine.observe(&call("zoe", after(0), usd("0")));
    turn(&mut engine, after(1));
    turn(&mut engine, after(100));
    assert_eq!(shown(&engine), [("alice".to_owned(), true), ("zoe".to_owned(), true)]);
    engine.observe(&call("alice", after(101), usd("0")));
    turn(&mut engine, after(102));
    assert_eq!(shown(&engine), [("zoe".to_owned(), true), ("alice".to_owned(), false)]);
}

#[test]
fn a_deed_says_whom_it_outlasts_and_what_was_left_is_not_undone() {
    let blocking = |name: &str, minutes| {
        let mut rule = rule(name, "cost_usd{by=user,window=10m} > 1");
        let lasting = Some(Duration::from_mins(minutes));
        rule.action = Some(Action { deed: Deed::Block, lasting });
        rule
    };
    let mut engine = engine(vec![blocking("short", 10), blocking("long", 60)]);
    engine.observe(&call("alice", after(0), usd("2")));
    let mut first = turn(&mut engine, after(1));
    let outlasts: Vec<_> = first.act.iter().map(|it| (&*it.rule, it.outlasts.concat())).collect();
    assert_eq!(outlasts, [("long", "short".to_owned()), ("short", String::new())]);
    engine.acted(&mut first, "long/user=alice", Came::Done);
    engine.acted(&mut first, "short/user=alice", Came::Left);
    assert!(turn(&mut engine, after(700)).lift.is_empty(), "what was left is nobody's to undo");
    assert_eq!(turn(&mut engine, after(3_700)).lift.len(), 1);
}

#[test]
fn a_deed_that_a_crash_left_unrecorded_is_undone_at_its_end() {
    let mut blocking = rule("runaway", "cost_usd{by=user,window=10m} > 1");
    blocking.action = Some(Action { deed: Deed::Block, lasting: Some(Duration::from_hours(1)) });
    let mut engine = engine(vec![blocking]);
    engine.observe(&call("alice", after(0), usd("2")));
    assert_eq!(turn(&mut engine, after(1)).act.len(), 1);
    // It was written down as due, and perhaps done; after the crash nobody spends any more.
    let mut engine = again(&engine);
    let over = turn(&mut engine, after(1_800));
    assert_eq!((over.events[0].happened, over.gone.len()), (Happened::Resolved, 0));
    assert_eq!(turn(&mut engine, after(3_601)).lift.len(), 1);
}
