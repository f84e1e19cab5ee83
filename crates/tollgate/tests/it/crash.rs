//! `kill -9`, again and again, under load: nothing that a client saw may be lost, nothing may be
//! counted twice, and what was in flight must stand in the ledger as `in_doubt`.
//!
//! The provider is an oracle: its tally of nonces says what every call must have cost. The number
//! of rounds comes from `TOLLGATE_CRASH_ROUNDS` (200 without it).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::Http;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;
use tollgate_testkit::wait::eventually;

use crate::{oracle_config, start};

const CLIENTS: usize = 32;

/// How much of an answer a client received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Head,
    Whole,
}

#[derive(Default)]
struct Load {
    next: AtomicU64,
    stop: AtomicBool,
    seen: Mutex<HashMap<u64, Seen>>,
}

impl Load {
    async fn run(&self, client: Http) {
        while !self.stop.load(Ordering::Acquire) {
            let nonce = self.next.fetch_add(1, Ordering::AcqRel);
            let seen = call(&client, nonce).await;
            self.seen.lock().unwrap().insert(nonce, seen);
            if seen != Seen::Whole {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

async fn call(client: &Http, nonce: u64) -> Seen {
    let stream = nonce.is_multiple_of(2);
    let body = Bytes::from(oracle::request(nonce, stream).to_string());
    let client = client.with("x-request-id", &format!("oracle-{nonce}"));
    match client.send(Method::POST, "/v1/chat/completions", body).await {
        Ok(answer) if answer.status == 200 => {
            let text = answer.text();
            let whole = if stream {
                text.ends_with("data: [DONE]\n\n")
            } else {
                answer.json() == oracle::answer(nonce)
            };
            assert!(whole, "ended in good order, but is not whole: {text}");
            Seen::Whole
        }
        // While the program is going down or coming up it may refuse; then nothing was forwarded,
        // or the row says what it cost.
        Ok(answer) => {
            assert!(answer.status >= 500, "{} {}", answer.status, answer.text());
            Seen::Nothing
        }
        Err(broken) if broken.head.is_some() => Seen::Head,
        Err(_) => Seen::Nothing,
    }
}

fn nonce_of(row: &Value) -> u64 {
    row["request_id"].as_str().unwrap().strip_prefix("oracle-").unwrap().parse().unwrap()
}

/// Rows by nonce; panics where a call is in the ledger twice.
fn by_nonce(rows: &[Value]) -> HashMap<u64, &Value> {
    let mut ids = HashSet::new();
    let mut found = HashMap::new();
    for row in rows {
        assert!(ids.insert(row["call_id"].as_str().unwrap()), "twice: {row:#}");
        assert!(found.insert(nonce_of(row), row).is_none(), "twice: {row:#}");
    }
    found
}

fn assert_ledger_tells_the_truth(rows: &[Value], seen: &HashMap<u64, Seen>, sent: &HashSet<u64>) {
    let found = by_nonce(rows);
    for (nonce, seen) in seen {
        let Some(row) = found.get(nonce) else {
            assert_eq!(*seen, Seen::Nothing, "the answer of {nonce} was seen, its row is lost");
            assert!(!sent.contains(nonce), "{nonce} was sent to the provider, its row is lost");
            continue;
        };
        if *seen == Seen::Whole {
            assert_eq!(row["outcome"], "success", "{row:#}");
        }
        let cost: NanoUsd = row["cost_usd"].as_str().unwrap().parse().unwrap();
        match row["outcome"].as_str().unwrap() {
            "success" => {
                assert_eq!(cost, oracle::cost(*nonce), "{row:#}");
                assert!(sent.contains(nonce), "a success that the provider never saw: {row:#}");
            }
            "in_doubt" => assert!(cost >= oracle::cost(*nonce), "less than it can cost: {row:#}"),
            "failed" | "cancelled" | "refused" => {}
            other => panic!("{other}: {row:#}"),
        }
    }
    for nonce in found.keys() {
        assert!(seen.contains_key(nonce), "a row of a call that nobody made: {nonce}");
    }
}

async fn crash_rounds(program: &mut Program, load: &Load, rounds: u64) {
    for round in 0..rounds {
        let before = load.seen.lock().unwrap().len();
        let pause = 40 + oracle::mix(round) % 60;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if round % 20 == 0 {
            // Now and then make sure that calls do go through between two crashes.
            eventually("calls go through", Duration::from_secs(10), || async {
                let now = load.seen.lock().unwrap().len();
                if now > before + CLIENTS { Ok(()) } else { Err(format!("{now} after {before}")) }
            })
            .await;
        }
        program.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_lost_or_counted_twice_when_the_program_is_killed_again_and_again() {
    let rounds = std::env::var("TOLLGATE_CRASH_ROUNDS");
    let rounds: u64 = rounds.ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let pause = Duration::from_millis(1);
    let upstream = Upstream::start(move |request| oracle::reply(request, pause)).await;
    let mut program = start(oracle_config(&upstream)).await;
    let load = Arc::new(Load::default());
    let mut clients = JoinSet::new();
    for _client in 0..CLIENTS {
        let (load, client) = (Arc::clone(&load), program.client());
        clients.spawn(async move { load.run(client).await });
    }
    crash_rounds(&mut program, &load, rounds).await;
    load.stop.store(true, Ordering::Release);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }

    // The last word: what a start finds, asked beside the running server, and once more after it.
    program.restart().await;
    let seen = load.seen.lock().unwrap().clone();
    let sent: HashSet<u64> =
        upstream.received().iter().filter_map(|request| oracle::nonce(&request.body)).collect();
    let rows = program.calls();
    let in_doubt = rows.iter().filter(|row| row["outcome"] == "in_doubt").count();
    let whole = seen.values().filter(|seen| **seen == Seen::Whole).count();
    println!(
        "{rounds} crashes: {} calls made, {whole} answered whole, {} sent upstream, {} rows, \
         {in_doubt} in doubt",
        seen.len(),
        sent.len(),
        rows.len()
    );
    assert_ledger_tells_the_truth(&rows, &seen, &sent);
    assert!(in_doubt > 0, "no crash hit a call in flight: the test did not test");
    assert!(u64::try_from(whole).unwrap() > rounds, "hardly a call went through");
    program.cli(&["ledger", "verify"]);
    program.kill9();
    assert_eq!(program.calls().len(), rows.len());
}
