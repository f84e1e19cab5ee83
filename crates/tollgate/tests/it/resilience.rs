//! Providers that fail: in every way, before and after the first byte, alone and with others to go
//! to. The client sees one whole answer or one clear error, the attempts stay within their budget,
//! and what each of them cost stands in the ledger.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::Answer;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::raw::Raw;
use tollgate_testkit::upstream::{Gate, Piece, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::{SOON, assert_charged_as_foretold, start};

const CHAT: &str = "/v1/chat/completions";
/// Short enough that a test which waits for them is quick.
const QUICK: &str =
    "timeout = { connect = \"1s\", first_byte = \"400ms\", idle = \"400ms\", total = \"10s\" }";
const THRICE: &str = "retry = { attempts = 3, base = \"20ms\", max = \"2s\" }";
/// The prices of the spare target, twice those of the oracle.
const DEAR: [(&str, &str); 3] = [("input", "5.00"), ("cached_input", "2.50"), ("output", "20.00")];

/// What the oracle's answer to a nonce costs at the prices [`DEAR`].
pub(crate) fn dear_cost(nonce: u64) -> NanoUsd {
    oracle::price(&oracle::usage(nonce), 5_000_000_000, 2_500_000_000, 20_000_000_000)
}

/// Two providers that serve one model, `first` before `spare`.
fn two(first: &str, spare: &Upstream, lines: &str) -> Config {
    Config::new()
        .provider_with("first", "openai", first, &format!("{QUICK}\n{lines}"))
        .provider("spare", "openai", &spare.url("/v1"))
        .section(&format!(
            "[models.\"{0}\"]\nroute = \"priority\"\nmax_output_tokens = 100000\n\
             targets = [{{ provider = \"first\" }}, {{ provider = \"spare\" }}]",
            oracle::MODEL
        ))
        .price("first", oracle::MODEL, &oracle::PRICES)
        .price("spare", oracle::MODEL, &DEAR)
}

/// One provider that serves the model.
fn one(upstream: &Upstream, lines: &str) -> Config {
    Config::new()
        .provider_with("first", "openai", &upstream.url("/v1"), &format!("{QUICK}\n{lines}"))
        .model(oracle::MODEL, "first", oracle::MODEL)
        .price("first", oracle::MODEL, &oracle::PRICES)
}

pub(crate) async fn oracle_upstream() -> Upstream {
    Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await
}

async fn send(program: &Program, nonce: u64, stream: bool) -> Answer {
    let client = program.client().with("x-request-id", &format!("call-{nonce}"));
    let body = oracle::request(nonce, stream).to_string();
    client.send(Method::POST, CHAT, Bytes::from(body)).await.unwrap()
}

fn cost(value: &Value) -> NanoUsd {
    value.as_str().unwrap().parse().unwrap()
}

/// The attempts of a row add up to it, and the books are in order.
pub(crate) fn assert_sound(program: &Program, row: &Value) {
    if let Some(tries) = row["tries"].as_array() {
        let sum = tries.iter().fold(NanoUsd::ZERO, |sum, each| sum + cost(&each["cost_usd"]));
        assert_eq!(sum, cost(&row["cost_usd"]), "{row:#}");
        assert_eq!(
            Some(tries.len()),
            usize::try_from(row["attempts"].as_u64().unwrap()).ok(),
            "{row:#}"
        );
    }
    program.cli(&["ledger", "verify"]);
}

/// Nothing is set aside any more.
pub(crate) async fn assert_nothing_held(program: &Program) {
    let admin = program.admin();
    eventually("nothing is held", SOON, || async {
        let status = admin.get("/admin/api/v1/status").await.json();
        if status["counters"]["held"] == 0 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

fn error(status: u16) -> Reply {
    Reply::json(status, &json!({"error": {"message": "no", "type": "server_error", "code": null}}))
}

/// Every way to fail before anything was said: the answer, the status as the ledger keeps it, and
/// whether it was paid for. `None` is an address where nobody listens.
fn failures() -> Vec<(&'static str, Option<Reply>, Value, &'static str)> {
    let inside = json!({"error": {"message": "overloaded", "type": "overloaded_error"}});
    let event = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"overloaded_error\"}}\n\n";
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"},\
                \"finish_reason\":null}]}\n\n";
    vec![
        ("nobody listens", None, Value::Null, "unbilled"),
        ("stalls", Some(Reply::never()), Value::Null, "unknown"),
        ("resets", Some(Reply::status(200).first(Piece::Reset)), Value::Null, "unknown"),
        ("500", Some(error(500)), json!(500), "unbilled"),
        ("502", Some(error(502)), json!(502), "unbilled"),
        ("503", Some(error(503)), json!(503), "unbilled"),
        ("504", Some(error(504)), json!(504), "unbilled"),
        ("529", Some(error(529)), json!(529), "unbilled"),
        ("429", Some(error(429)), json!(429), "unbilled"),
        ("429 for an hour", Some(error(429).header("retry-after", "3600")), json!(429), "unbilled"),
        ("401", Some(error(401)), json!(401), "unbilled"),
        ("404", Some(error(404)), json!(404), "unbilled"),
        ("no HTTP", Some(Reply::garbage("hello\r\n\r\n")), Value::Null, "unknown"),
        (
            "no JSON",
            Some(Reply::status(200).header("content-type", "application/json").whole("<html>")),
            json!(200),
            "unknown",
        ),
        (
            "half of it",
            Some(
                Reply::status(200)
                    .header("content-type", "application/json")
                    .whole("{\"id\":\"x\",\"choi")
                    .stated_length(900),
            ),
            json!(200),
            "unknown",
        ),
        ("an error inside", Some(Reply::json(200, &inside)), json!(200), "unknown"),
        ("an error event", Some(Reply::events([event])), json!(200), "unknown"),
        ("an error event later", Some(Reply::events([role, event])), json!(200), "unknown"),
        ("an empty stream", Some(Reply::events(Vec::<String>::new())), json!(200), "unknown"),
        (
            "a stream that stalls",
            Some(Reply::events([role]).cut(0, Piece::Hang)),
            json!(200),
            "unknown",
        ),
        (
            "a stream that is cut",
            Some(Reply::events([role]).cut(1, Piece::Reset)),
            json!(200),
            "unknown",
        ),
        ("a stream that ends early", Some(Reply::events([role])), json!(200), "unknown"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_target_fails_before_the_first_byte_the_next_one_answers() {
    let (first, spare) = (Upstream::always(error(500)).await, oracle_upstream().await);
    let nowhere = start(two("http://127.0.0.1:9/v1", &spare, "")).await;
    let mut program = start(two(&first.url("/v1"), &spare, THRICE)).await;
    for (nonce, (what, reply, status, billing)) in (100..).step_by(2).zip(failures()) {
        for (nonce, stream) in [(nonce, false), (nonce + 1, true)] {
            first.forget();
            spare.forget();
            if status == 429 || status == 401 {
                // Else it would rest after a 429, and not be asked.
                program.settled_call(&format!("call-{}", nonce - 1)).await;
                program.restart().await;
            }
            let program = if reply.is_some() { &program } else { &nowhere };
            if let Some(reply) = &reply {
                first.answer(reply.clone());
            }
            let answer = send(program, nonce, stream).await;
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            let whole = if stream {
                answer.text() == oracle::events(nonce, false).concat()
            } else {
                answer.json() == oracle::answer(nonce)
            };
            assert!(whole, "{what}: {}", answer.text());
            assert_eq!(answer.header("x-tollgate-provider"), "spare", "{what}");
            assert_eq!(answer.header("x-tollgate-attempts"), "2", "{what}");
            assert_eq!((first.count(), spare.count()), (usize::from(reply.is_some()), 1), "{what}");
            let row = program.settled_call(&format!("call-{nonce}")).await;
            assert_eq!(row["outcome"], "success", "{what}: {row:#}");
            assert_eq!((&row["provider"], &row["attempts"]), (&json!("spare"), &json!(2)));
            assert_eq!(cost(&row["tries"][1]["cost_usd"]), dear_cost(nonce), "{what}: {row:#}");
            let tried = &row["tries"][0];
            // What came of an answer was most likely made whole; whoever said nothing costs nothing.
            let came = matches!(what, "no JSON" | "half of it");
            assert_eq!(cost(&tried["cost_usd"]) > NanoUsd::ZERO, came, "{what}: {row:#}");
            assert_eq!(row["estimated"], came, "{what}: {row:#}");
            assert_eq!(tried["provider"], "first", "{what}: {row:#}");
            assert_eq!(tried["status"], status, "{what}: {row:#}");
            assert_eq!(tried["billing"], billing, "{what}: {row:#}");
            assert!(tried["error_type"].is_string(), "{what}: {row:#}");
            assert_eq!(row["tries"][1]["billing"], "billed", "{what}: {row:#}");
        }
    }
    for program in [&program, &nowhere] {
        program.calls().iter().for_each(|row| assert_sound(program, row));
        assert_nothing_held(program).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_the_only_target_fails_the_client_gets_one_clear_error() {
    let first = Upstream::always(error(500)).await;
    let program = start(one(&first, "")).await;
    for (nonce, (what, reply, ..)) in (300..).step_by(2).zip(failures()) {
        let Some(reply) = reply else { continue };
        for (nonce, stream) in [(nonce, false), (nonce + 1, true)] {
            first.forget();
            first.answer(reply.clone());
            let answer = send(&program, nonce, stream).await;
            assert_eq!(first.count(), 1, "{what}");
            let text = answer.text();
            let errors = text.matches("\"error\"").count();
            assert_eq!(errors, 1, "{what}: {} {text}", answer.status);
            let row = program.settled_call(&format!("call-{nonce}")).await;
            assert_eq!(row["outcome"], "failed", "{what}: {row:#}");
            assert_eq!((&row["provider"], &row["attempts"]), (&json!("first"), &json!(1)));
            assert_eq!(row["tries"].as_array().unwrap().len(), 1, "{what}: {row:#}");
            assert_eq!(row["tries"][0]["error_type"], row["error_type"], "{what}: {row:#}");
        }
    }
    program.calls().iter().for_each(|row| assert_sound(&program, row));
    assert_nothing_held(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_byte_nobody_else_is_asked_and_the_end_is_said_once() {
    let spare = oracle_upstream().await;
    for (nonce, how) in [(500, Piece::Reset), (501, Piece::Hang), (502, Piece::Close)] {
        let events = oracle::events(nonce, true);
        let first = Upstream::always(Reply::events(events.clone()).cut(3, how.clone())).await;
        let program = start(two(&first.url("/v1"), &spare, THRICE)).await;
        let answer = send(&program, nonce, true).await;
        let text = answer.text();
        assert!(text.starts_with(&events[..3].concat()), "{how:?}: {text}");
        assert_eq!(text.matches("\"error\"").count(), 1, "{how:?}: {text}");
        assert_eq!(text.matches("\"id\"").count(), 3, "{how:?}: nothing of another answer: {text}");
        assert_eq!((first.count(), spare.count()), (1, 0), "{how:?}");
        let row = program.settled_call(&format!("call-{nonce}")).await;
        assert_eq!((&row["outcome"], &row["estimated"]), (&json!("failed"), &json!(true)));
        assert_eq!(row["tries"][0]["billing"], "unknown", "{row:#}");
        assert!(cost(&row["cost_usd"]) > NanoUsd::ZERO, "what came is charged: {row:#}");
        assert_sound(&program, &row);
        assert_nothing_held(&program).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_target_is_asked_again_after_a_pause_and_no_more_often_than_it_may() {
    let first = oracle_upstream().await;
    let program = start(one(&first, THRICE)).await;
    for (nonce, fails) in [(600, 1), (601, 2), (602, 3)] {
        first.forget();
        first.answer_with(move |request| match request.seq {
            seq if seq < fails => error(503),
            _ => oracle::reply(request, Duration::ZERO),
        });
        let answer = send(&program, nonce, nonce == 601).await;
        assert_eq!(first.count(), (fails + 1).min(3));
        assert_eq!(answer.header("x-tollgate-attempts"), (fails + 1).min(3).to_string());
        let row = program.settled_call(&format!("call-{nonce}")).await;
        assert_sound(&program, &row);
        if fails < 3 {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_charged_as_foretold(&row, nonce);
        } else {
            assert_eq!(answer.status, 503, "as the provider said it");
            assert_eq!(answer.json()["error"]["message"], "no");
            assert_eq!((&row["status"], &row["outcome"]), (&json!(503), &json!("failed")));
            assert_eq!(cost(&row["cost_usd"]), NanoUsd::ZERO);
        }
    }
    assert_nothing_held(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_asks_to_wait_is_waited_in_full_or_not_at_all() {
    let first = oracle_upstream().await;
    let program = start(one(&first, THRICE)).await;
    for (nonce, name, value, waits) in [
        (610, "retry-after", "1", Some(1_000)),
        (611, "retry-after-ms", "600", Some(600)),
        (612, "retry-after", "3600", None),
        (613, "x-should-retry", "false", None),
    ] {
        first.forget();
        first.answer_with(move |request| match request.seq {
            0 => error(429).header(name, value),
            _ => oracle::reply(request, Duration::ZERO),
        });
        let began = Instant::now();
        let answer = send(&program, nonce, false).await;
        let took = began.elapsed();
        match waits {
            Some(millis) => {
                assert_eq!(answer.status, 200, "{name}: {}", answer.text());
                assert!(took >= Duration::from_millis(millis), "{name}: {took:?}");
                assert!(took < Duration::from_millis(millis * 2 + 500), "{name}: {took:?}");
            }
            None => {
                assert_eq!((answer.status, first.count()), (429, 1), "{name}");
                assert_eq!(answer.header(name), value, "passed on as it was said");
                assert!(took < Duration::from_secs(1), "{name}: {took:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_is_to_blame_for_is_passed_on_at_once() {
    let (first, spare) = (oracle_upstream().await, oracle_upstream().await);
    let program = start(two(&first.url("/v1"), &spare, THRICE)).await;
    for (nonce, status) in [(620, 400), (621, 413), (622, 422)] {
        first.forget();
        first.answer(error(status));
        let answer = send(&program, nonce, false).await;
        assert_eq!((answer.status, first.count(), spare.count()), (status, 1, 0));
        let row = program.settled_call(&format!("call-{nonce}")).await;
        assert_eq!((&row["attempts"], &row["outcome"]), (&json!(1), &json!("failed")));
        assert_eq!(row["tries"][0]["billing"], "unbilled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_makes_no_more_attempts_than_its_model_allows_and_takes_no_more_time() {
    let (first, spare) = (Upstream::always(error(500)).await, Upstream::always(error(500)).await);
    let program = start(two(&first.url("/v1"), &spare, THRICE).section(
        "[models.few]\nattempts = 2\nroute = \"priority\"\n\
                      targets = [{ provider = \"first\", model = \"oracle-1\" }]\n\
                      fallback = [\"oracle-1\"]",
    ))
    .await;
    let mut body = oracle::request(630, false);
    body["model"] = json!("few");
    let answer = program.client().post(CHAT, &body).await;
    assert_eq!((answer.status, answer.header("x-tollgate-attempts")), (500, "2"));
    assert_eq!(first.count() + spare.count(), 2);

    let slow = Upstream::always(Reply::never()).await;
    let lines = "retry = { attempts = 9, base = \"10ms\", max = \"10ms\" }";
    let config = one(&slow, lines);
    let config = config.section("[models.\"slow\"]\nattempts = 100\n\
        targets = [{ provider = \"brief\", model = \"oracle-1\" }]")
        .provider_with("brief", "openai", &slow.url("/v1"), &format!(
            "timeout = {{ connect = \"1s\", first_byte = \"300ms\", idle = \"1s\", total = \"1s\" }}\n{lines}"
        ))
        .price("brief", oracle::MODEL, &oracle::PRICES);
    let program = start(config).await;
    body["model"] = json!("slow");
    let began = Instant::now();
    let answer = program.client().post(CHAT, &body).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (504, "upstream_timeout"));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!((2..=4).contains(&slow.count()), "{}", slow.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_that_no_budget_covers_is_not_asked_and_nothing_is_charged() {
    let (first, spare) = (Upstream::always(error(500)).await, oracle_upstream().await);
    // Enough for the first, too little for the other at twice its price.
    let limit = r#"{ name = "spend", metric = "cost_usd", window = "day", max = 0.0014 }"#;
    let config = two(&first.url("/v1"), &spare, "").plan("tight", &[limit]).default_plan("tight");
    let program = start(config).await;
    let answer = send(&program, 640, false).await;
    assert_eq!((answer.status, first.count(), spare.count()), (500, 1, 0), "{}", answer.text());
    let row = program.settled_call("call-640").await;
    assert_eq!((&row["provider"], &row["attempts"]), (&json!("first"), &json!(1)));
    let quota = program.client().get("/api/quota").await.json();
    assert_eq!(quota["limits"][0]["used"], "0.000000000", "{quota}");
    assert_eq!(quota["limits"][0]["reserved"], "0.000000000", "{quota}");
    assert_nothing_held(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_providers_count_a_call_where_it_was_served() {
    let (first, spare) = (Upstream::always(error(500)).await, oracle_upstream().await);
    let limits = "[limits.at_providers]\nscope = \"provider\"\nmetric = \"successes\"\n\
                  window = \"day\"\nmax = 1\n\
                  [limits.rate]\nscope = \"user\"\nmetric = \"requests\"\n\
                  window = \"sliding 60s\"\nmax = 3\n\
                  [limits.parallel]\nscope = \"user\"\nmetric = \"concurrency\"\nmax = 1\n";
    let program = start(two(&first.url("/v1"), &spare, "").section(limits)).await;
    assert_eq!(send(&program, 650, false).await.status, 200, "one at a time, and counted once");
    // The spare has had its one success: the first target's error is what there is.
    let answer = send(&program, 651, false).await;
    assert_eq!((answer.status, spare.count()), (500, 1), "{}", answer.text());
    first.answer_with(|request| oracle::reply(request, Duration::ZERO));
    assert_eq!(send(&program, 652, false).await.status, 200);
    // Three calls were admitted, however many attempts they made.
    assert_eq!(send(&program, 653, false).await.error_code(), "rate_limited");
    assert_nothing_held(&program).await;
    program.cli(&["ledger", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_between_two_attempts_leaves_one_settled_call() {
    let first = Upstream::always(error(503)).await;
    let lines = "retry = { attempts = 3, base = \"30s\", max = \"30s\" }";
    let patient =
        "timeout = { connect = \"1s\", first_byte = \"5s\", idle = \"5s\", total = \"5m\" }";
    let config = Config::new()
        .provider_with("first", "openai", &first.url("/v1"), &format!("{patient}\n{lines}"))
        .model(oracle::MODEL, "first", oracle::MODEL)
        .price("first", oracle::MODEL, &oracle::PRICES);
    let program = start(config).await;
    let body = oracle::request(660, true).to_string();
    let mut raw = Raw::connect(&program.address()).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\nx-request-id: gone\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        tollgate_testkit::config::KEY,
        body.len()
    );
    assert!(raw.send(head).await);
    first.answered(0, SOON).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(raw);
    let row = program.settled_call("gone").await;
    assert_eq!((&row["outcome"], &row["status"]), (&json!("cancelled"), &json!(499)));
    assert_eq!(row["tries"].as_array().unwrap().len(), 1, "{row:#}");
    assert_eq!(first.count(), 1);
    assert_sound(&program, &row);
    assert_nothing_held(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_a_stream_speaks_leaves_one_settled_call() {
    let first =
        Upstream::always(Reply::events(oracle::events(665, true)).after(1, Piece::Hang)).await;
    let spare = oracle_upstream().await;
    let program = start(two(&first.url("/v1"), &spare, THRICE).server("drain_for = \"1s\"")).await;
    let body = oracle::request(665, true).to_string();
    let mut raw = Raw::connect(&program.address()).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {}\r\nx-request-id: held\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        tollgate_testkit::config::KEY,
        body.len()
    );
    assert!(raw.send(head).await);
    let seen = || async { if first.count() == 1 { Ok(()) } else { Err("not asked".to_owned()) } };
    eventually("the provider is asked", SOON, seen).await;
    drop(raw);
    let row = program.settled_call("held").await;
    assert_eq!((&row["outcome"], &row["attempts"]), (&json!("cancelled"), &json!(1)));
    assert_eq!((first.count(), spare.count()), (1, 0), "nobody waits for another answer");
    assert_sound(&program, &row);
    assert_nothing_held(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_a_fallback_charges_what_was_held_there() {
    let gate = Gate::new();
    let first = Upstream::always(error(500)).await;
    let held = gate.clone();
    let spare = Upstream::start(move |request| {
        oracle::reply(request, Duration::ZERO).first(Piece::Gate(held.clone()))
    })
    .await;
    let limit = r#"{ name = "spend", metric = "cost_usd", window = "day", max = 100 }"#;
    let config = two(&first.url("/v1"), &spare, "").plan("wide", &[limit]).default_plan("wide");
    let mut program = start(config).await;
    let client = program.client();
    let call = tokio::spawn(async move {
        let body = oracle::request(670, false).to_string();
        client.send(Method::POST, CHAT, Bytes::from(body)).await.is_ok()
    });
    gate.reached().await;
    let quota = program.client().get("/api/quota").await.json();
    program.restart().await;
    assert!(!call.await.unwrap());
    let rows = program.calls();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!((&rows[0]["outcome"], &rows[0]["provider"]), (&json!("in_doubt"), &json!("spare")));
    assert_eq!(rows[0]["cost_usd"], quota["limits"][0]["reserved"], "{rows:#?}");
    assert_eq!(rows[0]["tries"][0]["provider"], "first", "{rows:#?}");
    let after = program.client().get("/api/quota").await.json();
    assert_eq!(after["limits"][0]["used"], rows[0]["cost_usd"], "{after}");
    program.cli(&["ledger", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_calls_under_load_none_is_lost_when_a_target_dies() {
    let (first, spare) = (oracle_upstream().await, oracle_upstream().await);
    let breaker = "breaker = { error_rate = 0.5, window = \"10s\", min_calls = 10, open_for = \"2s\", \
                   slow_first_byte = \"5s\" }";
    let config = two(&first.url("/v1"), &spare, breaker).section(
        "[models.both]\ntargets = [{ provider = \"first\", model = \"oracle-1\" }, \
         { provider = \"spare\", model = \"oracle-1\" }]",
    );
    let program = start(config).await;
    let mut sends = tokio::task::JoinSet::new();
    for worker in 0..20_u64 {
        let client = program.client();
        sends.spawn(async move {
            for round in 0..20 {
                let nonce = 10_000 + worker * 100 + round;
                let mut body = oracle::request(nonce, round % 2 == 0);
                body["model"] = json!("both");
                let answer = client.post(CHAT, &body).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(!answer.text().contains("\"error\""), "{}", answer.text());
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(60)).await;
    first.answer(error(500));
    sends.join_all().await;
    let rows = program.settled(400).await;
    assert!(rows.iter().all(|row| row["outcome"] == "success"));
    let failed = rows.iter().filter(|row| row["attempts"] == 2).count();
    // Half of the ten calls without which the breaker does not open.
    assert!(failed >= 5, "{failed} calls met the dead target");
    let asked = first.count() + spare.count();
    assert_eq!(asked, 400 + failed, "an attempt each, and one more for each failure");
    rows.iter().take(20).for_each(|row| assert_sound(&program, row));
    assert_nothing_held(&program).await;
}

/// An answer of Claude, streamed or whole.
fn claude(stream: bool) -> Reply {
    let message = |content: Value, stop: Value, output: u64| {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
            "content": content, "stop_reason": stop, "stop_sequence": null,
            "usage": {"input_tokens": 11, "output_tokens": output},
        })
    };
    if !stream {
        let content = json!([{"type": "text", "text": "hello from claude"}]);
        return Reply::json(200, &message(content, json!("end_turn"), 7));
    }
    let text = json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "text_delta", "text": "hello from claude"}});
    let start = json!({"type": "content_block_start", "index": 0,
        "content_block": {"type": "text", "text": ""}});
    let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn",
        "stop_sequence": null}, "usage": {"output_tokens": 7}});
    Reply::events([
        event(
            "message_start",
            json!({"type": "message_start",
            "message": message(json!([]), Value::Null, 1)}),
        ),
        event("content_block_start", start),
        event("content_block_delta", text),
        event("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        event("message_delta", end),
        event("message_stop", json!({"type": "message_stop"})),
    ])
}

fn event(name: &str, data: impl std::fmt::Display) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// A provider of OpenAI's form and one of Anthropic's, each the fallback of the other's model.
fn crosswise(openai: &Upstream, anthropic: &Upstream) -> Config {
    Config::new()
        .provider_with("first", "openai", &openai.url("/v1"), QUICK)
        .provider_with("claude", "anthropic", &anthropic.url(""), QUICK)
        .section(
            "[models.\"oracle-1\"]\ntargets = [{ provider = \"first\" }]\nfallback = [\"clever\"]\n\
             [models.clever]\ntargets = [{ provider = \"claude\", model = \"claude-x\" }]\n\
             [models.careful]\ntargets = [{ provider = \"claude\", model = \"claude-x\" }]\n\
             fallback = [\"plain\"]\n\
             [models.plain]\ntargets = [{ provider = \"first\", model = \"oracle-1\" }]",
        )
        .price("first", oracle::MODEL, &oracle::PRICES)
        .price("claude", "claude-x", &[("input", "3.00"), ("output", "15.00")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_in_another_form_answers_in_the_clients() {
    let (first, other) =
        (Upstream::always(error(503)).await, Upstream::always(claude(false)).await);
    let program = start(crosswise(&first, &other)).await;
    for (nonce, stream) in [(700, false), (701, true)] {
        other.answer(claude(stream));
        let answer = send(&program, nonce, stream).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.text().matches("hello from claude").count(), 1, "{}", answer.text());
        let kind = if stream { "chat.completion.chunk" } else { "chat.completion" };
        assert!(answer.text().contains(kind), "{}", answer.text());
        assert_eq!(answer.header("x-tollgate-provider"), "claude");
        assert_eq!(answer.header("x-tollgate-attempts"), "2");
        let row = program.settled_call(&format!("call-{nonce}")).await;
        assert_eq!((&row["model_asked"], &row["model"]), (&json!("oracle-1"), &json!("claude-x")));
        // 11 tokens in at 3 USD a million, 7 out at 15.
        assert_eq!(row["cost_usd"], "0.000138000", "{row:#}");
        assert_sound(&program, &row);
    }
    assert_nothing_held(&program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_event_of_another_form_leads_on_and_is_never_mixed_in() {
    let overloaded = event(
        "error",
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    );
    let start_event = event(
        "message_start",
        json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": null, "usage": {"input_tokens": 11, "output_tokens": 1}}}),
    );
    let ping = event("ping", json!({"type": "ping"}));
    let (first, other) = (oracle_upstream().await, oracle_upstream().await);
    let program = start(crosswise(&first, &other)).await;
    for (nonce, events) in [
        (710, vec![overloaded.clone()]),
        (711, vec![start_event.clone(), ping, overloaded]),
        (712, vec![start_event]),
    ] {
        other.answer(Reply::events(events));
        let mut body = oracle::request(nonce, true);
        body["model"] = json!("careful");
        let client = program.client().with("x-request-id", &format!("call-{nonce}"));
        let answer = client.post(CHAT, &body).await;
        assert_eq!(answer.text(), oracle::events(nonce, false).concat());
        let row = program.settled_call(&format!("call-{nonce}")).await;
        assert_eq!(cost(&row["cost_usd"]), oracle::cost(nonce), "it said nothing: {row:#}");
        assert_eq!(row["tries"][0]["billing"], "unknown");
        assert_sound(&program, &row);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_pauses_in_the_middle_is_not_awaited_for_ever() {
    let body = oracle::answer(720).to_string();
    let (half, _) = body.split_at(body.len() / 2);
    let stalls = Reply::status(200)
        .header("content-type", "application/json")
        .pieces([Piece::Send(Bytes::from(half.to_owned())), Piece::Hang]);
    let (first, spare) = (Upstream::always(stalls).await, oracle_upstream().await);
    let program = start(two(&first.url("/v1"), &spare, "")).await;
    let began = Instant::now();
    let answer = send(&program, 720, false).await;
    assert_eq!((answer.status, answer.json()), (200, oracle::answer(720)));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
