//! What clients make of limits that refuse them, with the retries that they come with: a quota must
//! not be asked again, a rate must be waited for.

use serde_json::{Value, json};
use tollgate_testkit::config::Config;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;

use super::fixture::Fixture;
use super::matrix::runner;
use super::received::Form;
use crate::cases::RATES;
use crate::start;

const MODEL: &str = "claude-sonnet-4-5";

/// Clients that come with retries, and obey `x-should-retry` and `retry-after`, or are told not to
/// try again where they do not.
const CLIENTS: [(&str, &[&str]); 2] = [
    (
        "python",
        &[
            "openai",
            "anthropic",
            "anthropic-token",
            "google",
            "langchain-openai",
            "langchain-anthropic",
        ],
    ),
    ("node", &["openai", "anthropic", "ai-anthropic"]),
];

fn key(limit: &str, language: &str, client: &str) -> String {
    format!("tg_{limit}_{language}_{client}_0123456789abcdef")
}

/// A program that allows each key one call in a window, in front of a provider that always answers.
async fn limited(limit: &str, rule: &str) -> (Upstream, Program) {
    let upstream = Upstream::always(Fixture::load(Form::Messages, "plain").reply()).await;
    let mut config = Config::new()
        .provider("claude", "anthropic", &upstream.url(""))
        .model(MODEL, "claude", MODEL)
        .price("claude", MODEL, &RATES)
        .price("claude", "claude-opus-4-6", &RATES)
        .plan("limited", &[rule])
        .default_plan("limited");
    for (language, clients) in CLIENTS {
        for client in clients {
            let name = format!("{language}-{client}");
            config = config.key(&name, &key(limit, language, client), "service");
        }
    }
    (upstream, start(config).await)
}

/// Runs all clients, which call twice each, and gives the outcomes that each key has in the ledger.
fn outcomes(program: &Program, limit: &str) -> Vec<(String, Vec<String>)> {
    for (language, clients) in CLIENTS {
        let runs: Vec<Value> = clients
            .iter()
            .map(|client| json!({"client": client, "key": key(limit, language, client)}))
            .collect();
        let plan = json!({"base": program.base(), "model": MODEL, "limit": limit, "runs": runs});
        let path = program.folder().join(format!("refusals-{language}.json"));
        std::fs::write(&path, serde_json::to_vec(&plan).unwrap()).unwrap();
        let output =
            runner(language, "refusals").arg(&path).output().expect("run scripts/setup-sdk");
        println!("{}", String::from_utf8_lossy(&output.stdout));
        println!("{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "clients for {language} saw something else: see above");
    }
    let rows = program.calls();
    let of = |name: &str| -> Vec<String> {
        let mine = rows.iter().filter(|row| row["key"] == name);
        mine.map(|row| row["outcome"].as_str().unwrap().to_owned()).collect()
    };
    CLIENTS
        .iter()
        .flat_map(|(language, clients)| {
            clients.iter().map(move |each| format!("{language}-{each}"))
        })
        .map(|name| (name.clone(), of(&name)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs scripts/setup-sdk; run by scripts/test-sdk"]
async fn clients_do_not_ask_again_where_a_quota_refused_them() {
    let daily =
        r#"{ name = "daily", scope = "key", metric = "successes", window = "day", max = 1 }"#;
    let (upstream, program) = limited("quota", daily).await;
    let outcomes = outcomes(&program, "quota");
    for (client, outcomes) in &outcomes {
        assert_eq!(outcomes, &["success", "refused"], "{client}");
    }
    assert_eq!(upstream.count(), outcomes.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs scripts/setup-sdk; run by scripts/test-sdk"]
async fn clients_wait_where_a_rate_refused_them_and_then_have_their_answer() {
    let burst =
        r#"{ name = "burst", scope = "key", metric = "requests", window = "sliding 2s", max = 1 }"#;
    let (upstream, program) = limited("rate", burst).await;
    let outcomes = outcomes(&program, "rate");
    for (client, outcomes) in &outcomes {
        let refused = outcomes.iter().filter(|outcome| *outcome == "refused").count();
        let passed = outcomes.iter().filter(|outcome| *outcome == "success").count();
        assert_eq!((passed, outcomes.last().map(String::as_str)), (2, Some("success")), "{client}");
        assert!((1..=2).contains(&refused), "{client}: {outcomes:?}");
    }
    assert_eq!(upstream.count(), 2 * outcomes.len());
}
