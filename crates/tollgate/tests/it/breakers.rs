//! Breakers, rests and routes through the whole program: who is asked, who is left alone and for how
//! long, and where that is seen.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::client::Answer;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Gate, Piece, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::resilience::{assert_nothing_held, oracle_upstream};
use crate::{SOON, start};

const CHAT: &str = "/v1/chat/completions";
const BREAKER: &str = "breaker = { error_rate = 0.5, window = \"20s\", min_calls = 4, \
                       open_for = \"1s\", slow_first_byte = \"300ms\" }";

fn guarded(upstream: &Upstream) -> Config {
    Config::new()
        .provider_with("up", "openai", &upstream.url("/v1"), BREAKER)
        .model(oracle::MODEL, "up", oracle::MODEL)
        .price("up", oracle::MODEL, &oracle::PRICES)
}

async fn send(program: &Program, nonce: u64) -> Answer {
    program.client().post(CHAT, &oracle::request(nonce, false)).await
}

fn error(status: u16) -> Reply {
    Reply::json(status, &json!({"error": {"message": "no", "type": "server_error"}}))
}

async fn breaker_state(program: &Program) -> (String, Value) {
    let metrics = program.admin().get("/metrics").await.text();
    let line = metrics.lines().find(|line| line.starts_with("tollgate_breaker_state{"));
    let number = line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned();
    let providers = program.admin().get("/admin/api/v1/providers").await.json();
    (number, providers[0]["targets"][0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_opens_sheds_probes_once_and_closes() {
    let upstream = oracle_upstream().await;
    let daily = r#"{ name = "daily", metric = "requests", window = "day", max = 100 }"#;
    let program = start(guarded(&upstream).plan("p", &[daily]).default_plan("p")).await;
    for nonce in 0..2 {
        assert_eq!(send(&program, nonce).await.status, 200);
    }
    assert_eq!(breaker_state(&program).await.0, "0");
    upstream.answer(error(500));
    for nonce in 2..4 {
        assert_eq!(send(&program, nonce).await.status, 500);
    }
    let (number, target) = breaker_state(&program).await;
    assert_eq!((number.as_str(), &target["breaker"]), ("2", &json!("open")), "{target}");
    upstream.forget();
    for nonce in 4..8 {
        let shed = send(&program, nonce).await;
        assert_eq!((shed.status, shed.error_code().as_str()), (503, "circuit_open"));
        assert!(!shed.header("retry-after").is_empty(), "{:?}", shed.headers);
        assert_eq!(shed.header("x-should-retry"), "");
    }
    assert_eq!(upstream.count(), 0, "the upstream was touched");
    let quota = program.client().get("/api/quota").await.json();
    assert_eq!(quota["limits"][0]["used"], 2, "what was shed uses no quota: {quota}");

    // Half open: one probe, everybody else is shed.
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    let gate = Gate::new();
    let held = gate.clone();
    upstream.answer_with(move |request| {
        oracle::reply(request, Duration::ZERO).first(Piece::Gate(held.clone()))
    });
    let client = program.client();
    let probe =
        tokio::spawn(async move { client.post(CHAT, &oracle::request(8, true)).await.status });
    gate.reached().await;
    assert_eq!(breaker_state(&program).await.0, "1");
    for nonce in 9..12 {
        assert_eq!(send(&program, nonce).await.error_code(), "circuit_open");
    }
    assert_eq!(upstream.count(), 1, "one probe");
    gate.open();
    assert_eq!(probe.await.unwrap(), 200);
    assert_eq!(send(&program, 12).await.status, 200);
    assert_eq!(breaker_state(&program).await.1["breaker"], "closed");
    assert_nothing_held(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_probe_opens_it_again_and_a_reload_does_not_close_it() {
    let upstream = Upstream::always(error(500)).await;
    let mut program = start(guarded(&upstream)).await;
    for nonce in 0..4 {
        send(&program, nonce).await;
    }
    assert_eq!(breaker_state(&program).await.0, "2");
    let config = guarded(&upstream).section("[plans.other]\nlimits = []");
    program.write_config(config);
    program.reload();
    eventually("the reload is in force", SOON, || async {
        let plans = program.admin().get("/admin/api/v1/plans").await.text();
        if plans.contains("other") { Ok(()) } else { Err(plans) }
    })
    .await;
    assert_eq!(breaker_state(&program).await.0, "2", "what was learned outlives a reload");
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(send(&program, 5).await.status, 500, "the probe");
    assert_eq!(breaker_state(&program).await.0, "2");
    assert_eq!(upstream.count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_are_to_blame_for_and_429_do_not_move_it() {
    let upstream = oracle_upstream().await;
    let program = start(guarded(&upstream)).await;
    for (nonce, status) in [400, 403, 404, 413, 422, 429].into_iter().cycle().take(30).enumerate() {
        upstream.answer(error(status));
        assert_eq!(send(&program, u64::try_from(nonce).unwrap()).await.status, status);
    }
    assert_eq!(breaker_state(&program).await.0, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_first_byte_counts_as_an_error() {
    let upstream = Upstream::start(|request| {
        oracle::reply(request, Duration::ZERO).first(Piece::Wait(Duration::from_millis(1_200)))
    })
    .await;
    // An answer that is not streamed may take 50 ms more for each token: here a few.
    let program = start(guarded(&upstream)).await;
    for nonce in 0..4 {
        let answer = program.client().post(CHAT, &oracle::request(nonce, true)).await;
        assert_eq!(answer.status, 200, "late is not lost");
    }
    assert_eq!(breaker_state(&program).await.0, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_in_the_middle_open_it() {
    let upstream =
        Upstream::always(Reply::events(oracle::events(1, true)).cut(3, Piece::Reset)).await;
    let program = start(guarded(&upstream)).await;
    for nonce in 0..6 {
        program.client().post(CHAT, &oracle::request(nonce, true)).await;
    }
    assert_eq!(breaker_state(&program).await.0, "2");
}

/// Two targets under a route of this kind.
fn routed(kind: &str, one: &Upstream, other: &Upstream, targets: &str) -> Config {
    Config::new()
        .provider("one", "openai", &one.url("/v1"))
        .provider("other", "openai", &other.url("/v1"))
        .section(&format!(
            "[models.\"{}\"]\nroute = \"{kind}\"\ntargets = [{targets}]",
            oracle::MODEL
        ))
        .price("one", oracle::MODEL, &[("input", "5.00"), ("output", "9.00")])
        .price("other", oracle::MODEL, &[("input", "4.00"), ("output", "9.00")])
}

const BOTH: &str = "{ provider = \"one\" }, { provider = \"other\" }";

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_route_asks_its_targets_in_its_order() {
    let (one, other) = (oracle_upstream().await, oracle_upstream().await);
    let weighted = "{ provider = \"one\", weight = 3 }, { provider = \"other\", weight = 1 }";
    for (kind, targets, fits) in [
        ("priority", BOTH, (40, 40)),
        ("cheapest", BOTH, (0, 0)),
        ("weighted", weighted, (18, 39)),
        ("least_latency", BOTH, (1, 39)),
    ] {
        one.forget();
        other.forget();
        let program = start(routed(kind, &one, &other, targets)).await;
        for nonce in 0..40 {
            assert_eq!(send(&program, nonce).await.status, 200);
        }
        assert_eq!(one.count() + other.count(), 40);
        assert!((fits.0..=fits.1).contains(&one.count()), "{kind}: {}", one.count());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn least_latency_leaves_a_slow_target_alone() {
    let (one, other) = (oracle_upstream().await, oracle_upstream().await);
    one.answer_with(|request| {
        oracle::reply(request, Duration::ZERO).first(Piece::Wait(Duration::from_millis(150)))
    });
    let program = start(routed("least_latency", &one, &other, BOTH)).await;
    for nonce in 0..40 {
        assert_eq!(send(&program, nonce).await.status, 200);
    }
    assert!(one.count() <= 2, "{} calls went to the slow one", one.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_out_of_quota_rests_until_its_provider_says() {
    let (one, other) = (oracle_upstream().await, oracle_upstream().await);
    let program = start(routed("priority", &one, &other, BOTH)).await;
    one.answer_with(|request| {
        oracle::reply(request, Duration::ZERO)
            .header("x-ratelimit-remaining-requests", "0")
            .header("x-ratelimit-reset-requests", "1.2s")
    });
    for nonce in 0..4 {
        assert_eq!(send(&program, nonce).await.status, 200);
    }
    assert_eq!((one.count(), other.count()), (1, 3));
    let providers = program.admin().get("/admin/api/v1/providers").await.json();
    assert!(providers[0]["targets"][0]["rests_for_ms"].is_u64(), "{providers}");
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    send(&program, 5).await;
    assert_eq!((one.count(), other.count()), (2, 3));

    // A 429 lets it rest as well, and the call itself goes on to the other at once.
    one.answer(error(429).header("retry-after", "60"));
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    for nonce in 6..9 {
        assert_eq!(send(&program, nonce).await.status, 200);
    }
    assert_eq!((one.count(), other.count()), (3, 6));
    // Where all rest, the one that rests no longer than others is asked all the same.
    other.answer(error(429).header("retry-after", "30"));
    assert_eq!(send(&program, 10).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_and_the_admin_api_show_what_happened() {
    let (one, other) = (Upstream::always(error(503)).await, oracle_upstream().await);
    let config = routed("priority", &one, &other, BOTH).section(
        "[models.front]\ntargets = [{ provider = \"one\", model = \"oracle-1\" }]\n\
                  fallback = [\"oracle-1\"]",
    );
    let program = start(config).await;
    let mut body = oracle::request(1, false);
    body["model"] = json!("front");
    let answer = program.client().with("x-request-id", "x").post(CHAT, &body).await;
    assert_eq!((answer.status, answer.header("x-tollgate-attempts")), (200, "2"));
    let row = program.settled_call("x").await;
    assert_eq!((&row["model_asked"], &row["model"]), (&json!("front"), &json!(oracle::MODEL)));
    let id = row["call_id"].as_str().unwrap();
    let text = program.cli(&["explain", id]).stdout;
    for part in ["attempts", "one", "503", "unbilled", "fallback", "`oracle-1`"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let explained = program.admin().get(&format!("/admin/api/v1/calls/{id}/explain")).await.json();
    assert_eq!(explained["call"]["tries"][0]["status"], 503, "{explained}");
    assert_eq!(explained["decided"]["downgrades"][0]["to"], oracle::MODEL, "{explained}");
    let metrics = program.admin().get("/metrics").await.text();
    for outcome in ["error", "answered"] {
        let found = metrics.lines().any(|line| {
            line.starts_with("tollgate_upstream_attempts_total{")
                && line.contains(&format!("outcome=\"{outcome}\""))
        });
        assert!(found, "{outcome} is not in\n{metrics}");
    }
}
