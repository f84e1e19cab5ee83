//! More than the program can serve: who is refused, how, and how soon all is well again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tollgate_testkit::client::Answer;
use tollgate_testkit::oracle;
use tollgate_testkit::upstream::{Gate, Piece, Received, Upstream};

use crate::{oracle_config, start};

const CHAT: &str = "/v1/chat/completions";

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_most_calls_at_a_time_a_call_is_refused_at_once_and_leaves_no_trace() {
    let gate = Gate::new();
    let held = gate.clone();
    let hold = move |request: &Received| {
        oracle::reply(request, Duration::ZERO).first(Piece::Gate(held.clone()))
    };
    let upstream = Upstream::start(hold).await;
    let program = start(oracle_config(&upstream).server("max_calls = 2")).await;
    let mut slow = tokio::task::JoinSet::new();
    for nonce in 0..2 {
        let client = program.client();
        slow.spawn(async move { client.post(CHAT, &oracle::request(nonce, false)).await });
    }
    while upstream.count() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let client = program.client();
    for nonce in 10..15 {
        let refused = client.post(CHAT, &oracle::request(nonce, false)).await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.error_code(), "overloaded");
        assert_eq!(refused.header("retry-after"), "1");
        assert!(!refused.header("x-request-id").is_empty());
        assert_eq!(refused.header("connection"), "", "its connection can serve another call");
    }
    assert_eq!(client.get("/health").await.status, 200);
    gate.open();
    assert!(slow.join_all().await.iter().all(|answer| answer.status == 200));
    assert_eq!(client.post(CHAT, &oracle::request(20, false)).await.status, 200);
    assert_eq!(program.settled(3).await.len(), 3, "what was refused has no row");
}

#[derive(Default)]
struct Tally {
    served: AtomicUsize,
    refused: AtomicUsize,
}

impl Tally {
    fn count(&self, answer: &Answer) {
        let counter = if answer.status == 200 {
            &self.served
        } else {
            assert_eq!((answer.status, &*answer.error_code()), (503, "overloaded"));
            &self.refused
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_load_that_never_ends_a_share_is_refused_and_afterwards_nobody() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(oracle_config(&upstream).server("shed_after = \"2ms\"")).await;
    let tally = Arc::new(Tally::default());
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..300_u64 {
        let (client, tally) = (program.client(), Arc::clone(&tally));
        callers.spawn(async move {
            let mut nonce = caller * 1_000_000;
            while tally.refused.load(Ordering::Relaxed) < 200 && Instant::now() < deadline {
                nonce += 1;
                tally.count(&client.post(CHAT, &oracle::request(nonce, false)).await);
            }
        });
    }
    callers.join_all().await;
    assert!(tally.refused.load(Ordering::Relaxed) >= 200, "nobody was refused");
    assert!(tally.served.load(Ordering::Relaxed) > 0, "nobody was served");
    // The load is gone; soon every call is served again.
    let recovered = Instant::now() + Duration::from_secs(3);
    let mut in_a_row = 0;
    while in_a_row < 20 {
        let answer = program.client().post(CHAT, &oracle::request(1, false)).await;
        in_a_row = if answer.status == 200 { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < recovered, "calls are still refused");
    }
}
