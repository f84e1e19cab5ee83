//! Two weeks of traffic with the rhythm of days and weeks: nobody is alarmed without need, and a
//! user who runs away is reported within a minute of crossing.

use std::collections::HashMap;

use tollgate_domain::money::NanoUsd;

use super::*;
use crate::measure::By;
use crate::rule::SHIPPED;

/// Chance that can be repeated (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// The sums of users by quarter of an hour, as the ledger's rollups have them.
#[derive(Default)]
struct Books(HashMap<(String, i64), Sums>);

const QUARTER: i64 = 900;

impl Books {
    fn add(&mut self, by: &str, subject: &str, call: &CallRecord) {
        let quarter = call.time.as_second().div_euclid(QUARTER) * QUARTER;
        self.0.entry((format!("{by}={subject}"), quarter)).or_default().add(&Sums::of(call));
    }

    fn note(&mut self, call: &CallRecord) {
        self.add("user", &call.user, call);
        self.add("key", call.key.as_deref().unwrap(), call);
        self.add("ip", call.ip.as_deref().unwrap(), call);
        self.add("model", &call.model, call);
        self.add("", "", call);
    }

    fn between(&self, name: &str, from: i64, to: i64) -> Sums {
        let mut sums = Sums::default();
        let mut quarter = from.div_euclid(QUARTER) * QUARTER;
        while quarter < to {
            if let Some(found) = self.0.get(&(name.to_owned(), quarter)) {
                sums.add(found);
            }
            quarter += QUARTER;
        }
        sums
    }

    fn answer(&self, ask: &Ask) -> History {
        let name = format!("{}={}", ask.by.map_or("", By::as_str), ask.subject);
        let day = 24 * 3_600;
        let mut first = None;
        let mut at = ask.seen.from.as_second();
        while at < ask.seen.to.as_second() && first.is_none() {
            if !self.between(&name, at, at + day).is_nothing() {
                first = Timestamp::from_second(at).ok();
            }
            at += day;
        }
        let sums = ask.spans.iter();
        let sums = sums.map(|span| self.between(&name, span.from.as_second(), span.to.as_second()));
        History { first, sums: sums.collect() }
    }
}

/// How busy an hour of a day is, in percent; nights and weekends are quiet.
fn rhythm(local: &jiff::Zoned) -> u64 {
    let hour = match local.hour() {
        0..7 => 4,
        7..9 => 40,
        9..12 => 100,
        12..13 => 60,
        13..18 => 90,
        18..22 => 50,
        _ => 15,
    };
    match local.weekday() {
        jiff::civil::Weekday::Saturday => hour / 3,
        jiff::civil::Weekday::Sunday => hour / 4 + 1,
        _ => hour,
    }
}

/// A user: calls in a busy hour, and what one costs in hundredths of a cent.
struct User {
    name: String,
    calls: u64,
    cost: u64,
}

fn users() -> Vec<User> {
    let mut dice = Dice(7);
    let user = |at: u64| User {
        name: format!("user-{at:02}"),
        // Most are small, a few are not: up to three dollars in a busy hour.
        calls: if at.is_multiple_of(8) { 60 } else { 4 + dice.next(20) },
        cost: if at.is_multiple_of(8) { 500 } else { 10 + dice.next(60) },
    };
    (0..32).map(user).collect()
}

fn shipped() -> Vec<Rule> {
    SHIPPED
        .iter()
        .map(|shipped| {
            let Some(when) = shipped.when else { return steps() };
            let mut rule = rule(shipped.name, when);
            // A day of these users costs more than the shipped figure.
            if shipped.name == "daily-spend" {
                rule = super::rule(shipped.name, "cost_usd{window=day} > 1000");
            }
            let unit = rule.condition().unwrap().measure.metric.unit();
            rule.floor = shipped
                .floor
                .map_or(0, |floor| crate::condition::read_amount(floor, unit).unwrap());
            if shipped.name == "runaway-user" {
                rule.action =
                    Some(Action { deed: Deed::QuotaZero, lasting: Some(Duration::from_hours(1)) });
            }
            rule
        })
        .collect()
}

fn a_call(user: &str, now: Timestamp, hundredths: u64) -> CallRecord {
    let cost = NanoUsd::from_nanos(i64::try_from(hundredths).unwrap() * 100_000);
    let team = user.bytes().map(u64::from).sum::<u64>() % 5;
    CallRecord {
        ip: Some(format!("10.0.0.{team}").into()),
        key: Some(format!("key-{team}").into()),
        latency_us: 800_000,
        ..call(user, now, cost)
    }
}

struct World {
    engine: Engine,
    books: Books,
    dice: Dice,
    users: Vec<User>,
    stopped: Option<String>,
    alarms: Vec<(Timestamp, String)>,
}

const STEP: i64 = 60;

impl World {
    fn new() -> Self {
        Self {
            engine: engine(shipped()),
            books: Books::default(),
            dice: Dice(1),
            users: users(),
            stopped: None,
            alarms: Vec::new(),
        }
    }

    fn take(&mut self, call: &CallRecord) {
        self.engine.observe(call);
        self.books.note(call);
    }

    /// What everybody does in one step of time.
    fn live(&mut self, now: Timestamp) {
        let busy = rhythm(&now.to_zoned(TimeZone::get("Asia/Seoul").unwrap()));
        let calls: Vec<CallRecord> = self
            .users
            .iter()
            .filter(|user| {
                // Calls of an hour, spread over its steps.
                let share = user.calls * busy * u64::try_from(STEP).unwrap();
                self.dice.next(100 * 3_600) < share
            })
            .map(|user| a_call(&user.name, now, user.cost))
            .collect();
        for call in &calls {
            self.take(call);
        }
    }

    fn turn(&mut self, now: Timestamp) {
        for ask in self.engine.look(now) {
            let history = self.books.answer(&ask);
            self.engine.learn(&ask, history, now);
        }
        let mut turn = self.engine.turn(now, &[]);
        for act in std::mem::take(&mut turn.act) {
            self.stopped = Some(act.subject.clone());
            self.engine.acted(&mut turn, &act.key, Came::Done);
        }
        for event in turn.events.iter().filter(|it| it.happened == Happened::Fired) {
            self.alarms.push((now, event.incident.key.clone()));
        }
    }
}

#[test]
fn two_weeks_raise_no_false_alarm_and_a_runaway_is_reported_within_a_minute_and_stopped() {
    let mut world = World::new();
    let begin = at("2026-11-01T15:00:00Z");
    let fortnight = 14 * 24 * 3_600;
    let mut seconds = 0;
    while seconds < fortnight {
        let now = begin + SignedDuration::from_secs(seconds);
        world.live(now);
        world.turn(now);
        seconds += STEP;
    }
    assert_eq!(world.alarms, [], "nobody has done anything unusual");

    // Then a heavy user, in a busy hour, does in every minute what the hour usually takes: 60 calls
    // of five cents an hour become one every second.
    let name = "user-08";
    let from = begin + SignedDuration::from_secs(seconds) + SignedDuration::from_hours(10);
    let mut crossed = None;
    let mut spent = Vec::new();
    let mut usual = None;
    for second in 0..1_800 {
        let now = from + SignedDuration::from_secs(second);
        if world.stopped.is_none() {
            let call = a_call(name, now, 500);
            world.take(&call);
            spent.push(call.cost);
        }
        if second % 5 == 0 {
            world.turn(now);
        }
        // The bound by the books: 15 times the median of the same hour of the weeks there are.
        let measure: Condition = "cost_usd{by=user,window=1h} > 15 * baseline".parse().unwrap();
        let bound = *usual.get_or_insert_with(|| {
            let who = (0, &measure.measure);
            let zone = TimeZone::get("Asia/Seoul").unwrap();
            let ask = Ask::new(who, name.into(), &zone, now);
            let history = world.books.answer(&ask);
            baseline::usual((&measure.measure, 200_000_000), &history, &zone, now) * 15
        });
        let total: NanoUsd = spent.iter().copied().sum();
        if crossed.is_none() && total.nanos() > bound {
            crossed = Some(now);
        }
    }
    let crossed = crossed.expect("it must cross");
    let alarm = world.alarms.iter().find(|(_, key)| key == "runaway-user/user=user-08");
    let (reported, _) = alarm.expect("it must be reported");
    let late = reported.duration_since(crossed).as_secs();
    assert!((-60..=60).contains(&late), "reported {late} s after crossing");
    assert_eq!(world.stopped.as_deref(), Some(name));
    assert!(spent.len() < 1_800, "the user was stopped");
    let others =
        world.alarms.iter().filter(|(_, key)| key.contains("user=") && !key.contains(name));
    assert_eq!(others.count(), 0, "{:?}", world.alarms);
}
