//! Hostile callers and hostile providers. A bad request is refused in the caller's dialect before a
//! provider sees anything and before anything is charged; a bad provider never takes the program
//! down, never makes a call free, and never makes half an answer look whole.

use std::fmt::Write as _;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::{Answer, Http};
use tollgate_testkit::config::KEY;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::raw::{Raw, RawAnswer};
use tollgate_testkit::upstream::{Piece, Reply, Upstream};

use crate::{SOON, oracle_config, oracle_pair, start};

const CHAT: &str = "/v1/chat/completions";

/// Nothing was forwarded, nothing charged, and the program still serves a good call.
async fn assert_unharmed(upstream: &Upstream, program: &mut Program, what: &str) {
    assert_eq!(upstream.count(), 0, "{what}: forwarded {:#?}", upstream.received());
    for row in program.calls() {
        assert_eq!(row["outcome"], "refused", "{what}: {row:#}");
        assert_eq!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{what}: {row:#}");
    }
    assert_serves(program, what).await;
}

async fn assert_serves(program: &mut Program, what: &str) {
    assert!(program.alive(), "{what}: the program has ended: {}", program.log());
    let answer = program.client().post(CHAT, &oracle::request(1, false)).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    assert!(!program.log().contains("panicked"), "{what}: {}", program.log());
}

fn assert_refused(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(answer.error_code(), code, "{what}: {}", answer.text());
    assert!(answer.header("content-type").starts_with("application/json"), "{what}");
    assert!(!answer.header("x-request-id").is_empty(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_requests_are_refused_and_never_forwarded() {
    let (upstream, mut program) = oracle_pair(Duration::ZERO).await;
    let client = program.client();
    let deep = format!("{{\"model\":\"oracle-1\",\"messages\":{}", "[".repeat(200_000));
    let bodies: [(&str, &[u8]); 17] = [
        ("nothing", b""),
        ("half an object", b"{"),
        ("half a string", b"{\"model\":\"oracle-1"),
        ("null", b"null"),
        ("an array", b"[]"),
        ("a string", b"\"oracle-1\""),
        ("a number", b"12"),
        ("two documents", b"{\"model\":\"oracle-1\",\"messages\":[]}{}"),
        ("not UTF-8", b"{\"model\":\"oracle-1\",\"messages\":[\"\xff\xfe\"]}"),
        ("a NUL", b"{\"model\":\"oracle-1\",\0\"messages\":[]}"),
        ("no model", b"{\"messages\":[]}"),
        ("a model that is null", b"{\"model\":null,\"messages\":[]}"),
        ("a model that is a list", b"{\"model\":[\"oracle-1\"],\"messages\":[]}"),
        ("an empty model", b"{\"model\":\"\",\"messages\":[]}"),
        ("single quotes", b"{'model':'oracle-1'}"),
        ("a form", b"model=oracle-1&messages=x"),
        ("nesting without end", deep.as_bytes()),
    ];
    for path in [CHAT, "/v1/responses", "/v1/embeddings", "/v1/completions"] {
        for (what, body) in bodies {
            let answer = client.post_bytes(path, body.to_vec()).await;
            if what == "an empty model" && answer.status == 404 {
                assert_refused(&answer, 404, "unknown_model", what);
            } else {
                assert_refused(&answer, 400, "invalid_request", &format!("{path}: {what}"));
            }
        }
    }
    assert_unharmed(&upstream, &mut program, "broken bodies").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_wrong_type_that_decide_cost_are_refused() {
    let (upstream, mut program) = oracle_pair(Duration::ZERO).await;
    let client = program.client();
    for (field, value) in [
        ("stream", "\"yes\""),
        ("stream", "1"),
        ("stream", "{}"),
        ("max_tokens", "-1"),
        ("max_tokens", "\"64\""),
        ("max_tokens", "1.5"),
        ("max_tokens", "1e400"),
        ("max_tokens", "99999999999999999999999999"),
        ("max_tokens", "[]"),
        ("max_completion_tokens", "-1"),
        ("max_completion_tokens", "{}"),
        ("n", "-1"),
        ("n", "\"3\""),
        ("n", "99999999999999999999999999"),
        ("stream_options", "\"include_usage\""),
        ("stream_options", "7"),
    ] {
        let stream = if field == "stream" { "" } else { "\"stream\":true," };
        let body = format!(
            "{{\"model\":\"oracle-1\",{stream}\"{field}\":{value},\
             \"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}"
        );
        let answer = client.post_bytes(CHAT, body).await;
        assert_refused(&answer, 400, "invalid_request", &format!("{field} = {value}"));
    }
    assert_unharmed(&upstream, &mut program, "wrong types").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_stated_twice_cannot_smuggle_another_model_or_maximum_past_the_price() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = oracle_config(&upstream).model("dear-1", "up", "dear-1").price(
        "up",
        "dear-1",
        &[("input", "1000"), ("output", "9000")],
    );
    let mut program = start(config).await;
    for twice in [
        "\"model\":\"oracle-1\",\"model\":\"dear-1\"",
        "\"model\":\"dear-1\",\"model\":\"oracle-1\"",
        "\"model\":\"oracle-1\",\"mod\\u0065l\":\"dear-1\"",
        "\"model\":\"oracle-1\",\"max_tokens\":1,\"max_tokens\":4096",
        "\"model\":\"oracle-1\",\"stream\":false,\"stream\":true",
        "\"model\":\"oracle-1\",\"n\":1,\"n\":100",
    ] {
        let body =
            format!("{{{twice},\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}");
        let answer = program.client().post_bytes(CHAT, body).await;
        assert_refused(&answer, 400, "invalid_request", twice);
    }
    assert_unharmed(&upstream, &mut program, "repeated fields").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_models_and_paths_that_are_not_known_are_refused_by_their_own_code() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let mut program = start(oracle_config(&upstream).model("mystery", "up", "mystery")).await;
    let good = oracle::request(1, false);
    let client = program.client();

    for wrong in ["tg_wrong", "", "tg_backend_for_tests_0123456789abcdeg", &"k".repeat(6_000)] {
        let answer = Http::new(&program.base(), wrong).post(CHAT, &good).await;
        assert_refused(&answer, 401, "unauthenticated", &format!("key {wrong:.20}"));
    }
    let guest = Http::without_key(&program.base()).post(CHAT, &good).await;
    let code = guest.error_code();
    assert!(
        (guest.status, code.as_str()) == (401, "unauthenticated")
            || (guest.status, code.as_str()) == (403, "guest_forbidden"),
        "{} {code}",
        guest.status
    );
    let mut unknown = good.clone();
    unknown["model"] = json!("gpt-nonsense-999");
    assert_refused(&client.post(CHAT, &unknown).await, 404, "unknown_model", "unknown model");
    unknown["model"] = json!("mystery");
    assert_refused(&client.post(CHAT, &unknown).await, 400, "unpriced_model", "no price");
    assert_refused(&client.post("/v1/nothing", &good).await, 404, "not_found", "path");
    let get = client.get(CHAT).await;
    assert_refused(&get, 405, "method_not_allowed", "method");
    assert_unharmed(&upstream, &mut program, "refusals").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_taken_from_each_header_that_an_sdk_uses() {
    let (_upstream, program) = oracle_pair(Duration::ZERO).await;
    let anonymous = Http::without_key(&program.base());
    for (at, (name, value)) in [
        ("authorization", format!("Bearer {KEY}")),
        ("authorization", format!("bearer {KEY}")),
        ("x-api-key", KEY.to_owned()),
        ("x-goog-api-key", KEY.to_owned()),
    ]
    .iter()
    .enumerate()
    {
        let nonce = u64::try_from(at).unwrap();
        let answer = anonymous.with(name, value).post(CHAT, &oracle::request(nonce, false)).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    let path = format!("{CHAT}?key={KEY}");
    let answer = anonymous.post(&path, &oracle::request(9, false)).await;
    assert_eq!(answer.status, 200, "?key=: {}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_maximum_are_refused_whether_their_length_is_stated_or_not() {
    let (upstream, mut program) = oracle_pair(Duration::ZERO).await;
    let filler = "x".repeat(25 * 1024 * 1024);
    let body = format!("{{\"model\":\"oracle-1\",\"messages\":[\"{filler}\"]}}");
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\n"
    );
    let stated = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    for chunk in body.as_bytes().chunks(64 * 1024) {
        let text = std::str::from_utf8(chunk).unwrap();
        write!(chunked, "{:x}\r\n{text}\r\n", chunk.len()).unwrap();
    }
    chunked.push_str("0\r\n\r\n");
    for (what, request) in [("stated", stated), ("chunked", chunked)] {
        let mut raw = Raw::connect(&program.address()).await;
        let answer = raw.exchange(request.as_bytes(), SOON).await;
        assert_eq!(answer.status, 413, "{what}: {} {}", answer.head, answer.text());
        assert_eq!(answer.error_code(), "body_too_large", "{what}: {}", answer.text());
    }
    assert_unharmed(&upstream, &mut program, "large bodies").await;
}

/// Sends raw bytes on a connection of their own and takes up to two answers.
async fn raw_answers(program: &Program, request: &[u8]) -> Vec<RawAnswer> {
    let mut raw = Raw::connect(&program.address()).await;
    let first = raw.exchange(request, Duration::from_secs(3)).await;
    let second = raw.answer(Duration::from_millis(300)).await;
    vec![first, second]
}

/// Framings of which two readers may think differently. `LENGTH` stands for the true length.
const AMBIGUOUS: [(&str, &str); 17] = [
    ("length before coding", "content-length: LENGTH\r\ntransfer-encoding: chunked"),
    ("coding before length", "transfer-encoding: chunked\r\ncontent-length: LENGTH"),
    ("a space before the colon", "transfer-encoding : chunked\r\ncontent-length: LENGTH"),
    ("an unknown coding", "transfer-encoding: xchunked\r\ncontent-length: LENGTH"),
    (
        "chunked twice",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\ncontent-length: LENGTH",
    ),
    ("chunked not last", "transfer-encoding: chunked, identity\r\ncontent-length: LENGTH"),
    ("a tab", "transfer-encoding:\tchunked\r\ncontent-length: LENGTH"),
    ("a vertical tab", "transfer-encoding: \x0bchunked\r\ncontent-length: LENGTH"),
    ("a folded line", "transfer-encoding:\r\n chunked\r\ncontent-length: LENGTH"),
    ("two lengths", "content-length: 5\r\ncontent-length: LENGTH"),
    ("a list of lengths", "content-length: 5, LENGTH"),
    ("a signed length", "content-length: +LENGTH"),
    ("a negative length", "content-length: -1"),
    ("a hexadecimal length", "content-length: 0xHEX"),
    ("a length beyond all", "content-length: 99999999999999999999999"),
    ("a bare CR", "x: y\rtransfer-encoding: chunked\r\ncontent-length: LENGTH"),
    ("a NUL in a name", "transfer\0-encoding: chunked\r\ncontent-length: LENGTH"),
];

/// Heads of a chunked body that are none.
const BAD_CHUNKS: [(&str, &str); 5] = [
    ("a size that overflows", "fffffffffffffffff0\r\n"),
    ("a negative size", "-1\r\n"),
    ("a size that is no number", "zz\r\n"),
    ("no size", "\r\n"),
    ("a chunk longer than its size", "2\r\nabcdef\r\n"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_length_is_ambiguous_never_smuggles_a_second_one() {
    let (upstream, mut program) = oracle_pair(Duration::ZERO).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\n"
    );
    let body = oracle::request(666, false).to_string();
    let hidden = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let after_end = format!("0\r\n\r\n{hidden}");
    let length = after_end.len();
    let framed = AMBIGUOUS.iter().map(|(what, framing)| {
        let framing = framing.replace("HEX", &format!("{length:x}"));
        let framing = framing.replace("LENGTH", &length.to_string());
        (what, format!("{head}{framing}\r\n\r\n{after_end}"))
    });
    let chunked = BAD_CHUNKS.iter().map(|(what, chunk)| {
        (what, format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{hidden}"))
    });
    for (what, request) in framed.chain(chunked) {
        let answers = raw_answers(&program, request.as_bytes()).await;
        assert!(answers.iter().all(|answer| answer.status != 200), "{what}: {answers:#?}");
        assert_eq!(upstream.count(), 0, "{what}: {:#?}", upstream.received());
    }
    assert_unharmed(&upstream, &mut program, "smuggling").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_do_not_harm_the_program() {
    let (upstream, mut program) = oracle_pair(Duration::ZERO).await;
    let long_header = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n", "h".repeat(2 << 20));
    let many = "x-again: 1\r\n".repeat(5_000);
    let many = format!("GET /health HTTP/1.1\r\nhost: t\r\n{many}\r\n");
    let long_target = format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(2 << 20));
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x01\x00\x00",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions\r\n\r\n",
        b"GET /v1/../admin/api/v1/keys HTTP/1.1\r\nhost: t\r\n\r\n",
        b"GET /%00%ff%2e%2e/ HTTP/1.1\r\nhost: t\r\n\r\n",
        long_header.as_bytes(),
        many.as_bytes(),
        long_target.as_bytes(),
    ] {
        for answer in raw_answers(&program, bytes).await {
            assert_ne!(answer.status, 200, "{}", answer.head);
        }
    }
    assert_unharmed(&upstream, &mut program, "noise").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_callers_hold_up_nobody_else() {
    let (_upstream, mut program) = oracle_pair(Duration::ZERO).await;
    let mut slow = Vec::new();
    for at in 0..300 {
        let mut raw = Raw::connect(&program.address()).await;
        let part = if at % 2 == 0 {
            "POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nx-slow".to_owned()
        } else {
            format!(
                "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {KEY}\r\n\
                 content-length: 5000\r\n\r\n{{\"model\":"
            )
        };
        assert!(raw.send(part).await);
        slow.push(raw);
    }
    for nonce in 0..20 {
        let asked = program.client();
        let body = oracle::request(nonce, nonce % 2 == 0);
        let answer = tokio::time::timeout(Duration::from_secs(3), asked.post(CHAT, &body)).await;
        assert_eq!(answer.expect("held up by slow callers").status, 200);
    }
    for raw in slow {
        raw.reset();
    }
    assert_serves(&mut program, "slow callers").await;
    let rows = program.settled(21).await;
    assert!(rows.iter().all(|row| row["outcome"] == "success"), "{rows:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_arrives_whole_is_given_up() {
    let (upstream, program) = oracle_pair(Duration::ZERO).await;
    let mut head = Raw::connect(&program.address()).await;
    assert!(head.send("POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nx-slow").await);
    let mut body = Raw::connect(&program.address()).await;
    let part = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {KEY}\r\n\
         content-length: 5000\r\n\r\n{{\"model\":"
    );
    assert!(body.send(part).await);
    let patience = Duration::from_secs(75);
    let (head, body) = tokio::join!(head.closed(patience), body.closed(patience));
    assert!(head, "a head that does not end is kept open for longer than {patience:?}");
    assert!(body, "a body that does not end is kept open for longer than {patience:?}");
    assert_eq!(upstream.count(), 0);
}

// ---- providers ----

/// A program before a provider that answers `reply`, with short time-outs; and the answer.
async fn against(reply: Reply, body: &Value) -> (Upstream, Program, Result<Answer, String>) {
    let upstream = Upstream::always(reply).await;
    let config = tollgate_testkit::config::Config::new()
        .provider_with(
            "up",
            "openai",
            &upstream.url("/v1"),
            "timeout = { connect = \"1s\", first_byte = \"700ms\", idle = \"700ms\", total = \"20s\" }",
        )
        .model(oracle::MODEL, "up", oracle::MODEL)
        .price("up", oracle::MODEL, &oracle::PRICES);
    let program = start(config).await;
    let body = serde_json::to_vec(body).unwrap();
    let client = program.client().with("x-request-id", "victim");
    let answer = client.send(Method::POST, CHAT, body.into()).await;
    let answer = answer.map_err(|broken| format!("{broken:?}"));
    (upstream, program, answer)
}

async fn assert_still_serves(upstream: &Upstream, program: &mut Program, what: &str) {
    upstream.answer_with(|request| oracle::reply(request, Duration::ZERO));
    assert_serves(program, what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_answers_no_http_gives_a_502_and_costs_nothing_for_sure() {
    let huge_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(4 << 20));
    for (what, reply, status, code) in [
        ("garbage", Reply::garbage("\x7fELF\0\0garbage\r\n\r\n"), 502, "upstream_error"),
        ("nothing, then the end", Reply::status(200).first(Piece::Close), 502, "upstream_error"),
        ("nothing, then a reset", Reply::status(200).first(Piece::Reset), 502, "upstream_error"),
        ("half a head", Reply::garbage("HTTP/1.1 200 OK\r\ncontent-"), 502, "upstream_error"),
        ("a head without end", Reply::garbage(huge_head), 502, "upstream_error"),
        ("silence", Reply::never(), 504, "upstream_timeout"),
    ] {
        for stream in [false, true] {
            let (upstream, mut program, answer) =
                against(reply.clone(), &oracle::request(5, stream)).await;
            let answer = answer.unwrap_or_else(|broken| panic!("{what}: {broken}"));
            assert_refused(&answer, status, code, what);
            let row = program.settled_call("victim").await;
            assert_eq!(row["outcome"], "failed", "{what}: {row:#}");
            assert_eq!(row["status"], status, "{what}: {row:#}");
            assert_eq!(row["error_type"], code, "{what}: {row:#}");
            assert_still_serves(&upstream, &mut program, what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_is_broken_for_the_client_too_and_is_charged_by_estimate() {
    let whole = Reply::events(oracle::events(6, true));
    let mut bad_chunk = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                         transfer-encoding: chunked\r\n\r\n"
        .to_owned();
    for event in &oracle::events(6, true)[..4] {
        write!(bad_chunk, "{:x}\r\n{event}\r\n", event.len()).unwrap();
    }
    bad_chunk.push_str("no size\r\n");
    for (what, reply) in [
        ("a reset", whole.clone().cut(4, Piece::Reset)),
        ("an end", whole.clone().cut(4, Piece::Close)),
        ("silence", whole.clone().cut(4, Piece::Hang)),
        ("a bad chunk", Reply::garbage(bad_chunk)),
    ] {
        let (upstream, mut program, answer) = against(reply, &oracle::request(6, true)).await;
        let text = match &answer {
            Ok(answer) => answer.text(),
            Err(broken) => broken.clone(),
        };
        assert!(!text.contains("[DONE]"), "{what}: half an answer looks whole: {text}");
        if let Ok(answer) = &answer {
            // Ended in good order is fine only where an error event says that it is not whole.
            assert!(answer.text().contains("\"error\""), "{what}: {}", answer.text());
        }
        let row = program.settled_call("victim").await;
        assert_eq!(row["outcome"], "failed", "{what}: {row:#}");
        assert_eq!(row["estimated"], true, "{what}: {row:#}");
        let cost: NanoUsd = row["cost_usd"].as_str().unwrap().parse().unwrap();
        assert!(cost > NanoUsd::ZERO, "{what}: {row:#}");
        assert!(cost < NanoUsd::from_nanos(640_000), "{what}: the whole reservation: {row:#}");
        assert_still_serves(&upstream, &mut program, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_answer_that_breaks_off_is_not_passed_on_as_whole() {
    let body = oracle::answer(6).to_string();
    let half = body.get(..body.len() / 2).unwrap().to_owned();
    for (what, how) in
        [("a reset", Piece::Reset), ("an end", Piece::Close), ("silence", Piece::Hang)]
    {
        let reply = Reply::status(200)
            .header("content-type", "application/json")
            .pieces([Piece::Send(half.clone().into()), how])
            .stated_length(body.len());
        let (upstream, mut program, answer) = against(reply, &oracle::request(6, false)).await;
        if let Ok(answer) = &answer {
            assert!(answer.status >= 500, "{what}: {} {}", answer.status, answer.text());
            answer.error_code();
            assert_eq!(answer.header("x-should-retry"), "false", "{what}");
        }
        let row = program.settled_call("victim").await;
        assert_eq!(row["outcome"], "failed", "{what}: {row:#}");
        assert_charged_by_estimate(&row, what);
        assert_still_serves(&upstream, &mut program, what).await;
    }
}

/// The provider has most likely made all of the answer: its prompt and what came of it are charged.
fn assert_charged_by_estimate(row: &Value, what: &str) {
    assert_eq!(row["estimated"], true, "{what}: {row:#}");
    let input = row["input_tokens"].as_u64().unwrap();
    assert!((10..=80).contains(&input), "{what}: {row:#}");
    let cost: NanoUsd = row["cost_usd"].as_str().unwrap().parse().unwrap();
    assert!(cost > NanoUsd::ZERO, "{what}: {row:#}");
    assert!(cost < NanoUsd::from_nanos(640_000), "{what}: the whole reservation: {row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_charged_by_what_of_it_came_and_never_more() {
    let mut answer = oracle::answer(6);
    answer["choices"][0]["message"]["content"] = json!("alpha beta gamma delta epsilon");
    let body = answer.to_string();
    let (text, usage) = (body.find("gamma").unwrap(), body.find("\"usage\"").unwrap());
    let cut = |status: u16, end: usize| {
        Reply::status(status)
            .header("content-type", "application/json")
            .pieces([Piece::Send(body.get(..end).unwrap().to_owned().into()), Piece::Close])
            .stated_length(body.len())
    };
    // In the middle of the text: the prompt and two words.
    let (_upstream, program, _) = against(cut(200, text), &oracle::request(6, false)).await;
    let row = program.settled_call("victim").await;
    assert_charged_by_estimate(&row, "half a text");
    assert!((2..=4).contains(&row["output_tokens"].as_u64().unwrap()), "{row:#}");
    // In the middle of the usage, of which nobody knows whether a figure is whole.
    let (_upstream, program, _) = against(cut(200, usage + 30), &oracle::request(6, false)).await;
    let row = program.settled_call("victim").await;
    assert_charged_by_estimate(&row, "half a usage");
    // All but the last brace: what the provider states is charged, and it is no success.
    let (_upstream, program, _) =
        against(cut(200, body.len() - 1), &oracle::request(6, false)).await;
    let row = program.settled_call("victim").await;
    assert_eq!(row["outcome"], "failed", "{row:#}");
    crate::assert_charged_as_foretold(&row, 6);
    // What is no success of the provider's is not charged, whole or broken off.
    let (_upstream, program, answer) = against(cut(500, text), &oracle::request(6, false)).await;
    assert_ne!(answer.unwrap().header("x-should-retry"), "false");
    let row = program.settled_call("victim").await;
    assert_eq!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{row:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_a_200_fails_the_call_and_reaches_the_client_as_it_is() {
    let events = oracle::events(6, true);
    let error = "data: {\"error\":{\"message\":\"out of cards\",\"type\":\"server_error\",\"code\":500}}\n\n";
    let stream = Reply::events([events[0].clone(), events[1].clone(), error.to_owned()]);
    let (upstream, mut program, answer) = against(stream, &oracle::request(6, true)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.text(), format!("{}{}{error}", events[0], events[1]));
    let row = program.settled_call("victim").await;
    assert_eq!(row["outcome"], "failed", "{row:#}");
    assert_eq!(row["estimated"], true, "{row:#}");
    assert_still_serves(&upstream, &mut program, "an error event").await;

    let body = json!({"error": {"message": "out of cards", "type": "server_error", "code": 500}});
    let (upstream, mut program, answer) =
        against(Reply::json(200, &body), &oracle::request(6, false)).await;
    assert_eq!(answer.unwrap().json(), body);
    let row = program.settled_call("victim").await;
    assert_eq!(row["outcome"], "failed", "{row:#}");
    assert_still_serves(&upstream, &mut program, "an error body").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_wrong_kind_is_never_a_free_success() {
    let html = "<html><body>502 Bad Gateway</body></html>";
    let usage = |usage: Value| {
        let mut answer = oracle::answer(6);
        answer["usage"] = usage;
        Reply::json(200, &answer)
    };
    let html = Reply::status(200).header("content-type", "text/html").whole(html);
    for (what, reply) in [
        ("HTML", html),
        ("an empty body", Reply::status(200).header("content-type", "application/json")),
        ("204", Reply::status(204)),
        ("a list", Reply::json(200, &json!([]))),
        ("no usage", usage(Value::Null)),
        ("usage that is text", usage(json!("lots"))),
        ("negative usage", usage(json!({"prompt_tokens": -5, "completion_tokens": -7}))),
        ("usage of text", usage(json!({"prompt_tokens": "5", "completion_tokens": "x"}))),
    ] {
        let (upstream, mut program, _answer) = against(reply, &oracle::request(6, false)).await;
        let row = program.settled_call("victim").await;
        if row["outcome"] == "success" {
            assert_eq!(row["estimated"], true, "{what}: {row:#}");
            assert_ne!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{what}: {row:#}");
        } else {
            assert_eq!(row["outcome"], "failed", "{what}: {row:#}");
            assert_charged_by_estimate(&row, what);
        }
        assert_still_serves(&upstream, &mut program, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_beyond_all_measure_does_not_overflow() {
    let mut answer = oracle::answer(6);
    for huge in [json!(u64::MAX), json!(1_u64 << 62), json!(9_999_999_999_999_u64)] {
        answer["usage"] = json!({"prompt_tokens": huge, "completion_tokens": huge});
        let (upstream, mut program, _answer) =
            against(Reply::json(200, &answer), &oracle::request(6, false)).await;
        let row = program.settled_call("victim").await;
        let cost: NanoUsd = row["cost_usd"].as_str().unwrap().parse().unwrap();
        assert!(cost > NanoUsd::ZERO, "{row:#}");
        assert_still_serves(&upstream, &mut program, "usage beyond measure").await;
        program.cli(&["ledger", "verify"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_is_relayed_and_one_without_end_is_not_kept() {
    for (mib, may_end) in [(2, false), (24, true)] {
        let mut pieces = vec!["data: {\"choices\":[{\"delta\":{\"content\":\"".to_owned()];
        pieces.extend(std::iter::repeat_n("x".repeat(64 * 1024), mib * 16));
        pieces.push("\"}}]}\n\n".to_owned());
        pieces.extend(oracle::events(6, true));
        let expected: usize = pieces.iter().map(String::len).sum();
        let mut body = oracle::request(6, true);
        body["max_tokens"] = json!(30_000_000);
        body["stream_options"] = json!({"include_usage": true});
        let (upstream, mut program, answer) = against(Reply::events(pieces), &body).await;
        let answer = answer.unwrap_or_else(|broken| panic!("{broken:.200}"));
        let row = program.settled_call("victim").await;
        assert_ne!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{row:#}");
        let relayed = answer.body.len() == expected;
        assert!(relayed || may_end, "{mib} MiB: {:.300}", answer.text());
        if !relayed {
            // What is not passed on whole says so, to the client and in the ledger.
            assert!(answer.text().contains("\"error\""), "{mib} MiB: {:.300}", answer.text());
            assert_eq!(row["outcome"], "failed", "{row:#}");
        }
        assert_still_serves(&upstream, &mut program, "a large event").await;
    }
}
