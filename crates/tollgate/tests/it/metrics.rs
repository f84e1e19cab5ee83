//! `/metrics` of a running program: exactly what the catalogue says, within its bounds, in the format
//! that is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tollgate_domain::catalogue::{FAMILIES, Kind};
use tollgate_testkit::client::Http;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::{SOON, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

/// The value of one sample, by its name and labels as the exposition writes them.
fn sample(text: &str, series: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// A sample's name and its labels.
fn read_sample(line: &str) -> (String, Vec<(String, String)>) {
    let (series, _value) = line.rsplit_once(' ').unwrap();
    let Some((name, labels)) = series.split_once('{') else {
        return (series.to_owned(), Vec::new());
    };
    let labels = labels.strip_suffix('}').unwrap();
    let each = labels.split("\",").filter(|label| !label.is_empty());
    let pair = |label: &str| {
        let (name, value) = label.split_once("=\"").unwrap();
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    };
    (name.to_owned(), each.map(pair).collect())
}

async fn scrape(program: &Program, accept: &str) -> (String, String) {
    let answer = program.admin().with("accept", accept).get("/metrics").await;
    assert_eq!(answer.status, 200);
    (answer.header("content-type").to_owned(), answer.text())
}

async fn busy() -> (Upstream, Program) {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let daily = r#"{ name = "daily", metric = "successes", window = "day", max = 4 }"#;
    let shy = r#"{ name = "shy", metric = "requests", window = "day", max = 1, mode = "shadow" }"#;
    let config = oracle_config(&upstream)
        .plan("free", &[daily, shy])
        .default_plan("free")
        .section("[limits.company]\nscope = \"global\"\nmetric = \"cost_usd\"\nwindow = \"day\"\nmax = 100.00\n")
        .section("[alerts.channels.chat]\nkind = \"slack\"\nurl = \"http://127.0.0.1:9/\"\n")
        .section("[[logs.sinks]]\nkind = \"file\"\nurl = \"file://calls.jsonl\"\n")
        .section(
            "[jobs]\nprobe = { schedule = \"0 0 29 2 *\" }\n\
             price_refresh = { schedule = \"0 0 29 2 *\", url = \"missing.txt\" }\n",
        );
    let program = start(config).await;
    let client = program.client().with("x-tollgate-user", "alice");
    for nonce in 0..3 {
        assert_eq!(client.post(CHAT, &oracle::request(nonce, false)).await.status, 200);
    }
    drop(client.stream(CHAT, &oracle::request(3, true)).await.rest().await);
    assert_eq!(client.post(CHAT, &oracle::request(4, false)).await.error_code(), "quota_exhausted");
    assert_eq!(
        program.try_cli(&["jobs", "run", "price_refresh"]).code,
        Some(1),
        "there is no file"
    );
    program.cli(&["jobs", "run", "probe"]);
    eventually("the end of both jobs is counted", SOON, || async {
        let text = program.admin().get("/metrics").await.text();
        let has =
            |last: &str| text.contains(&format!("\ntollgate_job_last_{last}_timestamp_seconds{{"));
        if has("failure") && has("success") { Ok(()) } else { Err(text) }
    })
    .await;
    (upstream, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_family_is_there_as_the_catalogue_says_and_no_other() {
    let (_upstream, program) = busy().await;
    let (_, text) = scrape(&program, "text/plain").await;
    let types: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let kind = |kind: Kind| if kind == Kind::Info { "gauge".to_owned() } else { kind.to_string() };
    let wanted: BTreeMap<&str, String> =
        FAMILIES.iter().map(|family| (family.name, kind(family.kind))).collect();
    let wanted: BTreeMap<&str, &str> =
        wanted.iter().map(|(name, kind)| (*name, kind.as_str())).collect();
    assert_eq!(types, wanted);
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = read_sample(line);
        let is_of = |family: &&tollgate_domain::catalogue::Family| {
            let rest = name.strip_prefix(family.name);
            let parts = ["_bucket", "_sum", "_count"];
            rest.is_some_and(|rest| {
                rest.is_empty() || (family.kind == Kind::Histogram && parts.contains(&rest))
            })
        };
        let family = FAMILIES.iter().find(is_of).unwrap_or_else(|| panic!("{line}"));
        let own: Vec<&str> =
            labels.iter().map(|(label, _)| label.as_str()).filter(|label| *label != "le").collect();
        assert_eq!(own, family.labels, "{line}");
        seen.insert(family.name);
    }
    let all: BTreeSet<_> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(seen, all, "each family has a sample after some calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_the_one_that_is_asked_for() {
    let (_upstream, program) = busy().await;
    let (kind, text) = scrape(&program, OPENMETRICS).await;
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(text.contains("# TYPE tollgate_requests counter\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    let (kind, text) = scrape(&program, "*/*").await;
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(text.contains("# TYPE tollgate_requests_total counter\n"), "{text}");
    assert!(!text.contains("# EOF"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_happened() {
    let (_upstream, program) = busy().await;
    let (_, text) = scrape(&program, "text/plain").await;
    let model = oracle::MODEL;
    let served = format!("model=\"{model}\",provider=\"up\",endpoint=\"{CHAT}\"");
    let count = |series: String| sample(&text, &series);
    assert_eq!(
        count(format!("tollgate_requests_total{{{served},status_code=\"200\"}}")),
        Some(4.0)
    );
    let refused =
        format!("model=\"{model}\",provider=\"\",endpoint=\"{CHAT}\",status_code=\"429\"");
    assert_eq!(count(format!("tollgate_requests_total{{{refused}}}")), Some(1.0));
    assert_eq!(count(format!("tollgate_request_duration_seconds_count{{{served}}}")), Some(4.0));
    let bucket = format!("tollgate_request_duration_seconds_bucket{{le=\"0.1\",{served}}}");
    assert!(count(bucket).is_some(), "{text}");
    let usages: Vec<_> = (0..4).map(oracle::usage).collect();
    let input: u64 = usages.iter().map(|usage| usage.input).sum();
    let tokens =
        format!("tollgate_tokens_total{{model=\"{model}\",provider=\"up\",kind=\"input\"}}");
    assert_eq!(count(tokens).map(|tokens| tokens.to_string()), Some(input.to_string()));
    let cost: i64 = (0..4).map(|nonce| oracle::cost(nonce).nanos()).sum();
    let shown =
        count(format!("tollgate_cost_usd_total{{model=\"{model}\",provider=\"up\"}}")).unwrap();
    assert_eq!(format!("{:.0}", shown * 1e9), cost.to_string());
    let decided = |decision: &str, limit: &str| {
        count(format!("tollgate_admission_total{{decision=\"{decision}\",limit=\"{limit}\"}}"))
    };
    assert_eq!(decided("admitted", ""), Some(4.0));
    assert_eq!(decided("refused", "daily"), Some(1.0));
    assert_eq!(decided("shadow", "shy"), Some(3.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_shown_for_everybody_and_for_top_users_by_rank_and_nobody_is_named() {
    let (_upstream, program) = busy().await;
    let (_, text) = scrape(&program, "text/plain").await;
    let company =
        "scope=\"global\",rank=\"\",plan=\"\",limit=\"company\",metric=\"cost_usd\",window=\"day\"";
    let cost: i64 = (0..4).map(|nonce| oracle::cost(nonce).nanos()).sum();
    let left = sample(&text, &format!("tollgate_limit_remaining{{{company}}}")).unwrap();
    assert_eq!(format!("{:.0}", (100.0 - left) * 1e9), cost.to_string());
    assert!(sample(&text, &format!("tollgate_limit_used_ratio{{{company}}}")).unwrap() > 0.0);
    let daily = "scope=\"user\",rank=\"1\",plan=\"free\",limit=\"daily\",metric=\"successes\",window=\"day\"";
    assert_eq!(sample(&text, &format!("tollgate_limit_used_ratio{{{daily}}}")), Some(1.0));
    assert_eq!(sample(&text, &format!("tollgate_limit_remaining{{{daily}}}")), Some(0.0));
    assert!(!text.contains("alice"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_clients_make_up_do_not_become_labels() {
    let upstream = Upstream::always(Reply::json(200, &json!({"data": []}))).await;
    let config = tollgate_testkit::config::Config::new().provider_with(
        "up",
        "openai",
        &upstream.url("/v1"),
        "price_book = \"openai\"\n",
    );
    let program = start(config).await;
    let client = program.client();
    for nonce in 0..40 {
        // The price book knows names that begin like this, whatever follows.
        for model in [format!("gpt-4o-mini-{nonce}"), format!("nobody-{nonce}")] {
            let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
            client.post(CHAT, &body).await;
        }
    }
    drop(Http::new(&program.base(), "tg_wrong").post("/v1/made-up", &json!({})).await);
    let (_, text) = scrape(&program, "text/plain").await;
    let models: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| read_sample(line).1)
        .filter_map(|(label, value)| (label == "model").then_some(value))
        .collect();
    assert!(models.contains("other") && models.len() <= 3, "{models:?}");
    assert!(!text.contains("made-up") && !text.contains("nobody"), "{text}");
}
