//! Two weeks of history for the demo, with the rhythm of days and weeks, priced like real calls.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tollgate_admission::ledger::Ledger;
use tollgate_domain::call::{CacheState, CallRecord, Dialect, Outcome};
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::price::Served;
use tollgate_domain::usage::Usage;

use crate::serve::Started;

const HOURS: i64 = 14 * 24;
const USERS: [(&str, &str); 5] = [
    ("alice", "alice"),
    ("bob", "bob"),
    ("minji", "backend"),
    ("jisoo", "backend"),
    ("harin", "backend"),
];
const MODELS: [(&str, &str); 4] = [
    ("gpt-4o-mini", "/v1/chat/completions"),
    ("gpt-4.1-mini", "/v1/responses"),
    ("sim-large", "/v1/chat/completions"),
    ("text-embedding-3-small", "/v1/embeddings"),
];
const FEATURES: [&str; 3] = ["diary_analysis", "translation", "summary"];

/// Writes the history into the ledger.
pub(super) fn seed(started: &Started) -> anyhow::Result<()> {
    let now = started.ground.clock.now();
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    for hour in 1..HOURS {
        let start = now - SignedDuration::from_hours(hour);
        for _ in 0..calls_in_hour(start, &mut draw) {
            let record = call(started, start, &mut draw);
            // Not waited for: the history is not what the demo promises to keep.
            drop(Ledger::close(&*started.ledger, Arc::new(record))?);
        }
    }
    Ok(())
}

/// Few calls at night, most in the afternoon (of Seoul), fewer at weekends.
fn calls_in_hour(at: Timestamp, draw: &mut Draw) -> u64 {
    let seconds = at.as_second() + 9 * 3_600;
    let hour = seconds.rem_euclid(86_400) / 3_600;
    let weekday = (seconds.div_euclid(86_400) + 3).rem_euclid(7);
    let busy = match hour {
        0..7 => 0,
        7..11 => 1,
        11..20 => 3,
        _ => 2,
    };
    if weekday >= 5 { busy.min(1) } else { busy + draw.below(2) }
}

fn call(started: &Started, hour: Timestamp, draw: &mut Draw) -> CallRecord {
    let time = hour + SignedDuration::from_secs(i64::try_from(draw.below(3_600)).unwrap_or(0));
    let (user, key) = draw.one_of(&USERS).unwrap_or(("alice", "alice"));
    let (model, endpoint) = draw.one_of(&MODELS).unwrap_or(("gpt-4o-mini", "/v1/chat/completions"));
    let embedding = model.starts_with("text-embedding");
    let failed = draw.below(50) == 0;
    let usage = if failed {
        Usage::default()
    } else {
        let output = if embedding { 0 } else { 40 + draw.below(400) };
        Usage::tokens(60 + draw.below(1_500), output)
    };
    let price = started.price("sim", model);
    let cost = price
        .as_ref()
        .map_or(NanoUsd::ZERO, |price| price.charge(&usage, &Served::at(time)).total.charge());
    let millis = u64::try_from(time.as_millisecond()).unwrap_or_default();
    let call_id = CallId::new(millis, draw.bytes());
    let latency_us = 150_000 + draw.below(2_500_000);
    CallRecord {
        call_id,
        request_id: call_id.to_string().into(),
        time,
        user: user.into(),
        key: Some(key.into()),
        team: None,
        ip: Some("127.0.0.1".into()),
        session: None,
        feature: (key == "backend").then(|| draw.one_of(&FEATURES).unwrap_or("summary").into()),
        tags: Vec::new(),
        dialect: Dialect::Openai,
        endpoint: endpoint.into(),
        provider: "sim".into(),
        model_asked: model.into(),
        model: model.into(),
        stream: endpoint == "/v1/chat/completions" && draw.below(2) == 0,
        status: if failed { 502 } else { 200 },
        outcome: if failed { Outcome::Failed } else { Outcome::Success },
        error_type: failed.then(|| "upstream_error".into()),
        attempts: 1,
        cache: CacheState::Miss,
        usage,
        cost,
        provider_cost: None,
        saved: NanoUsd::ZERO,
        repetition: None,
        price_version: price.map_or_else(Arc::default, |price| Arc::clone(price.version())),
        estimated: false,
        latency_us,
        ttft_us: Some(latency_us / 2),
        trace: None,
        decision: None,
        tries: Vec::new(),
    }
}

/// Numbers that look random and are the same in every demo (xorshift, Marsaglia 2003).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or_default()
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let index = self.below(u64::try_from(items.len()).unwrap_or(1));
        items.get(usize::try_from(index).unwrap_or_default()).copied()
    }

    fn bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let (first, second) = (self.next().to_le_bytes(), self.next().to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(first.into_iter().chain(second)) {
            *to = from;
        }
        bytes
    }
}
