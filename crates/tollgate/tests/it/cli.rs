//! The command line beside a running server: what it prints is what the ledger holds, and what it
//! changes is in force at once.

use std::time::Duration;

use serde_json::Value;
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::Http;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;
use tollgate_testkit::wait::eventually;

use crate::{assert_charged_as_foretold, binary, oracle_config, oracle_pair, start};

const CHAT: &str = "/v1/chat/completions";

async fn with_calls(count: u64) -> (Upstream, Program) {
    let (upstream, program) = oracle_pair(Duration::ZERO).await;
    for nonce in 0..count {
        let client = program
            .client()
            .with("x-request-id", &format!("cli-{nonce}"))
            .with("x-tollgate-user", if nonce % 2 == 0 { "alice" } else { "bob" });
        let answer = client.post(CHAT, &oracle::request(nonce, nonce % 3 == 0)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    program.settled(usize::try_from(count).unwrap()).await;
    (upstream, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_prints_each_call_as_a_line_of_json_with_every_documented_field() {
    let (_upstream, program) = with_calls(6).await;
    let rows = program.cli(&["calls", "--format", "json"]).rows();
    assert_eq!(rows.len(), 6);
    for row in &rows {
        let nonce = row["request_id"].as_str().unwrap().trim_start_matches("cli-").parse().unwrap();
        assert_charged_as_foretold(row, nonce);
        for field in [
            "call_id",
            "request_id",
            "time",
            "user",
            "key",
            "team",
            "session",
            "feature",
            "tags",
            "dialect",
            "endpoint",
            "provider",
            "model_asked",
            "model",
            "stream",
            "status",
            "outcome",
            "error_type",
            "attempts",
            "cache",
            "input_tokens",
            "cached_input_tokens",
            "cache_write_tokens",
            "output_tokens",
            "reasoning_tokens",
            "cost_usd",
            "estimated",
            "latency_ms",
            "ttft_ms",
        ] {
            assert!(row.get(field).is_some(), "{field} is missing in {row:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_by_model_and_by_user_sums_the_rows_exactly() {
    let (_upstream, program) = with_calls(7).await;
    let total: NanoUsd = (0..7).map(oracle::cost).sum();
    let rows = program.cli(&["usage", "--by", "model", "--format", "json"]).rows();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0]["model"], oracle::MODEL);
    assert_eq!(rows[0]["calls"], 7);
    assert_eq!(rows[0]["cost_usd"], total.to_string());
    let input: u64 = (0..7).map(|nonce| oracle::usage(nonce).input).sum();
    assert_eq!(rows[0]["input_tokens"], input);
    let rows = program.cli(&["usage", "--by", "user", "--format", "json"]).rows();
    for (user, first) in [("alice", 0), ("bob", 1)] {
        let cost: NanoUsd = (first..7).step_by(2).map(oracle::cost).sum();
        let row = rows.iter().find(|row| row["user"] == user).expect("a row for each user");
        assert_eq!(row["cost_usd"], cost.to_string(), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_printed_as_table_json_or_csv() {
    let (_upstream, program) = with_calls(3).await;
    for verb in [&["calls"][..], &["usage", "--by", "model"], &["keys", "list"]] {
        let with = |format| program.cli(&[verb, &["--format", format]].concat());
        let json = with("json").rows();
        assert!(!json.is_empty(), "{verb:?}");
        let csv = with("csv").stdout;
        let mut lines = csv.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        assert_eq!(lines.count(), json.len(), "{verb:?}: {csv}");
        let first = json[0].as_object().unwrap();
        assert!(header.iter().all(|name| first.contains_key(*name)), "{header:?} {first:?}");
        let table = with("table").stdout;
        assert!(table.lines().count() > json.len(), "{verb:?}: {table}");
    }
}

async fn answered(client: &Http, status: u16) -> Result<(), String> {
    let answer = client.post(CHAT, &oracle::request(1, false)).await;
    if answer.status == status { Ok(()) } else { Err(answer.text()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_works_within_a_second_of_its_making_and_not_after_its_revocation() {
    let (_upstream, program) = oracle_pair(Duration::ZERO).await;
    let made = program
        .cli(&["keys", "create", "ci", "--role", "user", "--user", "carol", "--format", "json"]);
    let key = made.rows()[0]["key"].as_str().expect("the key, once").to_owned();
    assert!(key.starts_with("tg_"), "{key}");
    let client = Http::new(&program.base(), &key).with("x-request-id", "by-ci");
    eventually("the new key works", Duration::from_secs(1), || answered(&client, 200)).await;
    let row = program.settled_call("by-ci").await;
    assert_eq!(row["key"], "ci");
    assert_eq!(row["user"], "carol");

    let listed = program.cli(&["keys", "list", "--format", "json"]);
    assert!(listed.rows().iter().any(|row| row["name"] == "ci"), "{}", listed.stdout);
    assert!(!listed.stdout.contains(&key), "a key is shown once");
    program.cli(&["keys", "revoke", "ci"]);
    eventually("the revoked key is refused", Duration::from_secs(1), || answered(&client, 401))
        .await;
    assert_eq!(program.client().post(CHAT, &oracle::request(2, false)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_and_export_work_beside_the_server_and_after_it() {
    let (_upstream, mut program) = with_calls(5).await;
    program.cli(&["ledger", "verify"]);
    let live = program.calls();
    program.kill9();
    program.cli(&["ledger", "verify"]);
    assert_eq!(program.calls(), live);
    let csv = program.cli(&["ledger", "export", "--format", "csv"]).stdout;
    assert_eq!(csv.lines().count(), 6, "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_says_by_its_exit_code_whether_the_server_is_up() {
    let (_upstream, mut program) = oracle_pair(Duration::ZERO).await;
    program.cli(&["healthcheck"]);
    program.kill9();
    assert_ne!(program.try_cli(&["healthcheck"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_shows_the_book_and_what_the_configuration_overrides() {
    let (_upstream, program) = oracle_pair(Duration::ZERO).await;
    let book = program.cli(&["prices", "--all", "--format", "json"]).rows();
    assert!(book.len() > 500, "only {} prices", book.len());
    let prices = program.cli(&["prices", "--format", "json"]).rows();
    let ours = prices.iter().find(|row| row["model"] == oracle::MODEL).expect("the override");
    assert!(ours.to_string().contains("2.5"), "{ours}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_accepts_the_configuration_and_names_what_is_wrong_with_a_bad_one() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = oracle_config(&upstream);
    let good = Program::prepare(&binary(), config.clone());
    let said = good.cli(&["check"]);
    for secret in [tollgate_testkit::config::KEY, "upstream-secret"] {
        assert!(!said.stdout.contains(secret), "{}", said.stdout);
    }
    for (line, expected) in [
        ("[server2]\nlisten = \"x\"", "server"),
        (
            "[plans.bad]\nlimits = [{ name = \"a\", metric = \"request\", window = \"day\", max = 1 }]",
            "requests",
        ),
        (
            "[plans.bad]\nlimits = [{ name = \"a\", metric = \"requests\", window = \"sliding 60x\", max = 1 }]",
            "sliding 60x",
        ),
        (
            "[limits.bad]\nscope = \"globel\"\nmetric = \"requests\"\nwindow = \"day\"\nmax = 1",
            "global",
        ),
    ] {
        let bad = Program::prepare(&binary(), config.clone().section(line));
        let said = bad.try_cli(&["check"]);
        assert_ne!(said.code, Some(0), "{line}");
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(text.contains(expected), "{line}\n{text}");
        assert!(text.contains("tollgate.toml"), "{line}: no file in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_environment_is_expanded_and_never_printed() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = oracle_config(&upstream).key(
        "from-env",
        "${TOLLGATE_TEST_UNSET:-tg_from_the_default_0123456789}",
        "service",
    );
    let program = start(config).await;
    let client = Http::new(&program.base(), "tg_from_the_default_0123456789");
    let answer = client.post(CHAT, &oracle::request(1, false)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let rows: Vec<Value> = program.cli(&["keys", "list", "--format", "json"]).rows();
    assert!(rows.iter().any(|row| row["name"] == "from-env"), "{rows:#?}");
}
