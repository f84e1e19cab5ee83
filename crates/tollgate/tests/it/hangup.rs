//! Clients that leave in the middle of a stream: never free, and never the whole reservation.

use std::time::Duration;

use serde_json::Value;
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::Http;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::raw::Raw;
use tollgate_testkit::upstream::{Answered, Gate, Piece, Reply, Upstream};

use crate::{SOON, assert_charged_as_foretold, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";

/// The key of the clients that leave.
const LEAVER: &str = "tg_leaver_for_tests_0123456789abcdef";

/// The key says what happens to the calls of clients that leave.
fn by_key(upstream: &Upstream, on_disconnect: &str) -> Config {
    oracle_config(upstream).section(&format!(
        "[[auth.keys]]\nname = \"leaver\"\nkey = \"{LEAVER}\"\nrole = \"service\"\n\
         on_disconnect = \"{on_disconnect}\""
    ))
}

/// The plan says it.
fn by_plan(upstream: &Upstream, on_disconnect: &str) -> Config {
    oracle_config(upstream)
        .key("leaver", LEAVER, "service")
        .default_plan("hangup")
        .section(&format!("[plans.hangup]\non_disconnect = \"{on_disconnect}\"\nlimits = []"))
}

/// Reads one event of a stream, then closes the connection.
async fn read_one_event_and_leave(program: &Program, nonce: u64, request_id: &str) {
    let body = oracle::request(nonce, true).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {LEAVER}\r\n\
         x-request-id: {request_id}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut raw = Raw::connect(&program.address()).await;
    assert!(raw.send(request).await);
    assert!(raw.read_until(b"\n\n", SOON).await, "no event came");
}

fn cost(row: &Value) -> NanoUsd {
    row["cost_usd"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_reads_the_rest_and_charges_the_providers_own_figure() {
    let gate = Gate::new();
    let reply = Reply::events(oracle::events(41, true)).after(2, Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let program = start(by_key(&upstream, "drain")).await;
    read_one_event_and_leave(&program, 41, "drained").await;
    // The client is gone for a while before the provider goes on.
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    assert_eq!(upstream.answered(0, SOON).await, Answered::Whole);
    let row = program.settled_call("drained").await;
    assert_charged_as_foretold(&row, 41);
    assert_eq!(row["outcome"], "cancelled", "{row:#}");
    assert_eq!(row["status"], 499, "{row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abort_stops_the_provider_and_charges_what_was_counted_marked_estimated() {
    assert_aborts(by_key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_may_say_that_calls_are_aborted() {
    assert_aborts(by_plan).await;
}

async fn assert_aborts(config: fn(&Upstream, &str) -> Config) {
    let reply = Reply::events(oracle::events(42, true)).after(4, Piece::Hang);
    let upstream = Upstream::always(reply).await;
    let program = start(config(&upstream, "abort")).await;
    read_one_event_and_leave(&program, 42, "aborted").await;
    let answered = upstream.answered(0, SOON).await;
    assert!(matches!(answered, Answered::Abandoned { .. }), "{answered:?}");
    let row = program.settled_call("aborted").await;
    assert_eq!(row["outcome"], "cancelled", "{row:#}");
    assert_eq!(row["status"], 499, "{row:#}");
    assert_eq!(row["estimated"], true, "{row:#}");
    // Input is counted from the prompt: about fifteen words of ASCII, digits included.
    let input = row["input_tokens"].as_u64().unwrap();
    assert!((10..=80).contains(&input), "{row:#}");
    assert!(row["output_tokens"].as_u64().unwrap() <= 8, "{row:#}");
    // The whole reservation would have been 64 output tokens at 10 USD a million.
    assert!(cost(&row) > NanoUsd::ZERO, "a hang-up is not free: {row:#}");
    assert!(cost(&row) < NanoUsd::from_nanos(640_000), "not the reservation: {row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_starts_is_settled_too() {
    for way in ["drain", "abort"] {
        let gate = Gate::new();
        let reply = Reply::events(oracle::events(43, true)).first(Piece::Gate(gate.clone()));
        let upstream = Upstream::always(reply).await;
        let program = start(by_key(&upstream, way)).await;
        let client = Http::new(&program.base(), LEAVER).with("x-request-id", way);
        let asked = tokio::spawn(async move {
            client.stream(CHAT, &oracle::request(43, true)).await;
        });
        tokio::time::timeout(SOON, gate.reached()).await.expect("the provider was not asked");
        asked.abort();
        let _cancelled = asked.await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.open();
        let row = program.settled_call(way).await;
        assert_eq!(row["outcome"], "cancelled", "{way}: {row:#}");
        assert_eq!(row["status"], 499, "{way}: {row:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_charged_though_nobody_listens_any_more() {
    let gate = Gate::new();
    let body = oracle::answer(44).to_string();
    let half = body.get(..body.len() / 2).unwrap().to_owned();
    let reply = Reply::status(200)
        .header("content-type", "application/json")
        .pieces([Piece::Send(half.into()), Piece::Gate(gate.clone()), Piece::Reset])
        .stated_length(body.len());
    let upstream = Upstream::always(reply).await;
    let program = start(by_key(&upstream, "drain")).await;
    let client = Http::new(&program.base(), LEAVER).with("x-request-id", "broken");
    let asked = tokio::spawn(async move {
        client.post(CHAT, &oracle::request(44, false)).await;
    });
    tokio::time::timeout(SOON, gate.reached()).await.expect("the provider was not asked");
    asked.abort();
    let _cancelled = asked.await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let row = program.settled_call("broken").await;
    assert_eq!(
        (&row["outcome"], &row["estimated"]),
        (&"cancelled".into(), &true.into()),
        "{row:#}"
    );
    assert!(cost(&row) > NanoUsd::ZERO, "{row:#}");
    assert!(cost(&row) < NanoUsd::from_nanos(640_000), "not the reservation: {row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_that_leave_at_random_leave_no_call_open() {
    let upstream =
        Upstream::start(|request| oracle::reply(request, Duration::from_millis(3))).await;
    let program = start(by_key(&upstream, "drain")).await;
    let mut clients = tokio::task::JoinSet::new();
    for nonce in 1_000..1_060_u64 {
        let client =
            Http::new(&program.base(), LEAVER).with("x-request-id", &format!("leaver-{nonce}"));
        clients.spawn(async move {
            let mut stream = client.stream(CHAT, &oracle::request(nonce, true)).await;
            for _chunk in 0..oracle::mix(nonce) % 5 {
                stream.next().await.unwrap();
            }
        });
    }
    while let Some(left) = clients.join_next().await {
        left.unwrap();
    }
    let rows = program.settled(60).await;
    for row in &rows {
        let nonce = row["request_id"].as_str().unwrap().trim_start_matches("leaver-");
        assert_charged_as_foretold(row, nonce.parse().unwrap());
    }
    program.cli(&["ledger", "verify"]);
}

/// An event of Claude in a frame of Bedrock.
fn framed(event: &Value) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in event.to_string().as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[usize::try_from(bits >> (18 - 6 * place) & 63).unwrap()];
            text.push(if place > three.len() { '=' } else { char::from(letter) });
        }
    }
    let mut frame = Vec::new();
    let payload = serde_json::json!({ "bytes": text }).to_string();
    tollgate_wire::bedrock::frame::push_event(&mut frame, "chunk", payload.as_bytes());
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_at_bedrock_is_charged_as_stated_though_its_client_left_before_it_spoke() {
    const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
    let events = [
        serde_json::json!({"type": "message_start", "message": {"id": "m", "type": "message",
            "role": "assistant", "model": "claude-3-haiku-20240307", "content": [],
            "usage": {"input_tokens": 70, "output_tokens": 1}}}),
        serde_json::json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 90}}),
        serde_json::json!({"type": "message_stop"}),
    ];
    let gate = Gate::new();
    let reply = Reply::status(200)
        .header("content-type", "application/vnd.amazon.eventstream")
        .pieces(events.iter().map(|event| Piece::Send(framed(event).into())))
        .first(Piece::Gate(gate.clone()));
    let upstream = Upstream::always(reply).await;
    let config = Config::new()
        .provider_with("aws", "bedrock", &upstream.url(""), "region = \"us-east-1\"")
        .price("aws", CLAUDE, &oracle::PRICES)
        .section(&format!(
            "[[auth.keys]]\nname = \"leaver\"\nkey = \"{LEAVER}\"\nrole = \"service\"\n\
             on_disconnect = \"drain\""
        ));
    let program = start(config).await;
    let client = Http::new(&program.base(), LEAVER).with("x-request-id", "aws");
    let body = serde_json::json!({"model": CLAUDE, "max_tokens": 99, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let asked = tokio::spawn(async move {
        client.stream("/v1/messages", &body).await;
    });
    tokio::time::timeout(SOON, gate.reached()).await.expect("the provider was not asked");
    asked.abort();
    let _cancelled = asked.await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let row = program.settled_call("aws").await;
    assert_eq!((&row["input_tokens"], &row["output_tokens"]), (&70.into(), &90.into()), "{row:#}");
    assert_eq!(row["estimated"], false, "{row:#}");
}
