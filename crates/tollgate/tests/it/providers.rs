//! Recorded exchanges of every provider, replayed through the running program: in the dialect of
//! Anthropic and Gemini, and through each provider's own API under `/providers/…`. The bytes must
//! pass unchanged, and the ledger must state what the provider stated, however the bytes are cut.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::usage::Usage;
use tollgate_testkit::case::Case;
use tollgate_testkit::client::Http;
use tollgate_testkit::config::{Config, KEY};
use tollgate_testkit::oracle::price;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Reply, Upstream};

use crate::cases::{NANOS, RATES, cuttings, without_usage_chunk};
use crate::start;

/// The kind under which a provider of the recordings is configured.
fn kind(case: &Case) -> &'static str {
    match case.api.as_str() {
        "anthropic" | "count" => "anthropic",
        api if api.starts_with("gemini") && case.provider == "google-vertex" => "vertex",
        api if api.starts_with("gemini") => "gemini",
        "bedrock" | "bedrock-invoke" => "bedrock",
        _ => "openai",
    }
}

/// Path and query of a recorded URL.
fn path(case: &Case) -> &str {
    let rest = case.url.split_once("://").expect("a URL").1;
    let (_, path) = rest.split_at(rest.find('/').expect("a path"));
    path.split('#').next().unwrap_or(path)
}

/// The model that a request asks for: of its body, else of its path.
fn asked_model(case: &Case) -> Option<String> {
    let body = case.request.as_ref().and_then(|body| body["model"].as_str());
    let path = path(case).split('?').next().unwrap_or_default();
    let of_path = path
        .split_once("/models/")
        .and_then(|(_, rest)| rest.split_once(':'))
        .map(|(model, _)| model)
        .or_else(|| {
            let (_, rest) =
                path.split_once("/model/").or_else(|| path.split_once("/deployments/"))?;
            rest.split('/').next()
        });
    body.or(of_path).map(|model| model.trim_start_matches("models/").replace("%3A", ":"))
}

fn config(cases: &[Case], base: &str) -> Config {
    let mut config = Config::new();
    let mut seen = BTreeSet::new();
    for case in cases {
        let name = provider(case);
        if seen.insert(name.clone()) {
            let lines = match kind(case) {
                "bedrock" => "region = \"us-east-1\"",
                _ => "timeout = { connect = \"3s\" }",
            };
            config = config.provider_with(&name, kind(case), base, lines);
        }
        let served = case.expected.parts.iter().map(|(model, _)| model.clone());
        for model in asked_model(case).into_iter().chain(case.expected.model.clone()).chain(served)
        {
            if seen.insert(format!("{name}/{model}")) {
                config = config.price(&name, &model, &RATES);
            }
        }
    }
    config
}

/// Whether the answer is only promised: it is made in the background.
pub(crate) fn is_promise(case: &Case) -> bool {
    case.name == "openai-responses-background-post"
}

/// One name for each pair of provider and kind. A service of the OpenAI form keeps its own, which
/// tells how it counts.
fn provider(case: &Case) -> String {
    match kind(case) {
        "openai" => case.provider.clone(),
        kind => format!("{}-{kind}", case.provider),
    }
}

/// What a call must be charged for: where several models worked, all of their work.
fn usage(case: &Case) -> Option<Usage> {
    let parts = &case.expected.parts;
    let whole = case.expected.usage?;
    if parts.is_empty() {
        return Some(whole);
    }
    let sum = |of: fn(&Usage) -> u64| parts.iter().map(|(_, part)| of(part)).sum();
    Some(Usage {
        input: sum(|usage| usage.input),
        cache_read: sum(|usage| usage.cache_read),
        cache_write: sum(|usage| usage.cache_write),
        output: sum(|usage| usage.output),
        ..whole
    })
}

/// The same exchange by another way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Dialect,
    Through,
}

struct Replay<'a> {
    case: &'a Case,
    upstream: &'a Upstream,
    program: &'a Program,
    way: Way,
}

impl Replay<'_> {
    fn adds_include_usage(&self) -> bool {
        let asked = self.case.request.as_ref().map(|body| &body["stream_options"]["include_usage"]);
        self.case.api == "openai-chat"
            && self.case.stream
            && asked.is_none_or(|asked| asked != true)
    }

    async fn run(&self, cuts: &[usize], request_id: &str) {
        let case = self.case;
        let name = &case.name;
        self.upstream.forget();
        self.upstream.answer(case.reply(cuts));
        let sent = case.request.as_ref().map(|body| serde_json::to_vec(body).unwrap());
        let path = match self.way {
            Way::Dialect => path(case).to_owned(),
            Way::Through => format!("/providers/{}{}", provider(case), path(case)),
        };
        let client = self.program.client().with("x-request-id", request_id);
        let method: Method = case.method.parse().unwrap();
        let body = sent.clone().unwrap_or_default();
        let answer = client.send(method, &path, body.into()).await.unwrap();
        assert_eq!(answer.status, case.status, "{name}: {}", answer.text());
        let expected = if self.adds_include_usage() && case.status == 200 {
            without_usage_chunk(&case.body)
        } else {
            case.body.clone()
        };
        assert!(answer.body == expected, "{name}: the body was changed\n{}", answer.text());
        assert_eq!(self.upstream.count(), 1, "{name}: attempts");
        let received = self.upstream.last();
        assert!(!received.headers.iter().any(|(_, value)| value.contains("tg_backend")), "{name}");
        assert!(!received.path.contains("tg_"), "{name}");
        let model_in_path = matches!(kind(case), "vertex");
        if self.way == Way::Through || !model_in_path {
            assert_eq!(received.path, self::path(case), "{name}");
        }
        if let Some(sent) = sent.filter(|_| !self.adds_include_usage()) {
            assert!(received.body == sent, "{name}: the request was changed");
        }
    }

    fn assert_row(&self, row: &Value) {
        let (case, expected) = (self.case, &self.case.expected);
        let name = &case.name;
        assert_eq!(row["status"], case.status, "{name}");
        let outcome = match expected.outcome.as_str() {
            "http_error" | "inband_error" => "failed",
            _ => "success",
        };
        assert_eq!(row["outcome"], outcome, "{name}: {row:#}");
        if let Some(model) = expected.model.as_ref().filter(|_| case.api != "gemini-cache") {
            assert_eq!(row["model"], *model, "{name}");
        }
        let free = case.api == "count" || case.api == "gemini-cache";
        if expected.outcome == "http_error" || free {
            assert_eq!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{name}: {row:#}");
            return;
        }
        if case.method == "GET" && !row["request_id"].as_str().unwrap().ends_with("-0") {
            assert_eq!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{name} was charged: {row:#}");
            return;
        }
        let Some(usage) = usage(case) else {
            assert_eq!(row["estimated"], true, "{name}: {row:#}");
            assert!(row["input_tokens"].as_u64() > Some(0), "{name}: {row:#}");
            return;
        };
        assert_eq!(row["input_tokens"], usage.input, "{name}: {row:#}");
        assert_eq!(row["cached_input_tokens"], usage.cache_read, "{name}: {row:#}");
        assert_eq!(row["cache_write_tokens"], usage.cache_write, "{name}: {row:#}");
        assert_eq!(row["output_tokens"], usage.output, "{name}: {row:#}");
        assert_eq!(row["reasoning_tokens"], usage.reasoning, "{name}: {row:#}");
        assert_eq!(row["estimated"], false, "{name}: {row:#}");
        let cost = price(&usage, NANOS[0], NANOS[1], NANOS[2]);
        assert_eq!(row["cost_usd"], cost.to_string(), "{name}: {row:#}");
    }
}

/// Replays cases by one way in, each body cut in several ways, and checks every row.
async fn replay(cases: &[Case], way: Way) {
    if cases.is_empty() {
        println!("skipped: the recordings are not beside the workspace");
        return;
    }
    let upstream = Upstream::always(Reply::status(500)).await;
    let program = start(config(cases, &upstream.url(""))).await;
    let mut runs = Vec::new();
    for case in cases {
        let replay = Replay { case, upstream: &upstream, program: &program, way };
        // A kept answer is charged when it is first fetched, and never again.
        let times = if case.name == "openai-responses-background-get" { 1 } else { usize::MAX };
        for (number, cuts) in cuttings(case.body.len()).iter().enumerate().take(times) {
            let request_id = format!("{}-{number}", case.name);
            replay.run(cuts, &request_id).await;
            runs.push((case, request_id));
        }
    }
    let rows = program.settled(runs.len()).await;
    for (case, request_id) in runs {
        let of_run: Vec<_> = rows.iter().filter(|row| row["request_id"] == request_id).collect();
        assert_eq!(of_run.len(), 1, "{request_id} is in the ledger {} times", of_run.len());
        Replay { case, upstream: &upstream, program: &program, way }.assert_row(of_run[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dialects_of_anthropic_and_gemini_pass_unchanged_and_are_charged_as_stated() {
    let mut cases = Case::all();
    cases.retain(|case| matches!(kind(case), "anthropic" | "gemini") && case.api != "gemini-cache");
    replay(&cases, Way::Dialect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_providers_own_api_passes_through_and_is_metered() {
    let mut cases = Case::all();
    cases.retain(|case| !is_promise(case));
    replay(&cases, Way::Through).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_background_is_charged_once_however_often_it_is_fetched() {
    let case = |name| Case::load(&format!("openai-responses-background-{name}"));
    let (Some(post), Some(get)) = (case("post"), case("get")) else {
        println!("skipped: the recordings are not beside the workspace");
        return;
    };
    let upstream = Upstream::always(Reply::status(500)).await;
    let model = get.expected.model.clone().unwrap();
    let config = Config::new()
        .provider("openai", "openai", &upstream.url("/v1"))
        .price("openai", "gpt-4o", &RATES)
        .price("openai", &model, &RATES);
    let program = start(config.key("alice", "tg_alice_0123456789abcdef", "user")).await;
    let (service, alice) =
        (program.client(), Http::new(&program.base(), "tg_alice_0123456789abcdef"));
    upstream.answer(post.reply(&[]));
    let body = serde_json::to_vec(post.request.as_ref().unwrap()).unwrap();
    let promised = service.with("x-request-id", "promise").post_bytes("/v1/responses", body).await;
    assert_eq!(promised.status, 200);
    let id = promised.json()["id"].as_str().unwrap().to_owned();
    upstream.answer(get.reply(&[]));
    let path = format!("/v1/responses/{id}");
    let fetch = |client: Http, request_id: &'static str| {
        let path = path.clone();
        async move {
            client
                .with("x-request-id", request_id)
                .send(Method::GET, &path, Bytes::new())
                .await
                .unwrap()
        }
    };
    for request_id in ["first", "second"] {
        assert_eq!(fetch(program.client(), request_id).await.body, get.body);
    }
    assert_eq!(fetch(alice, "stranger").await.status, 404, "it is not hers");
    let usage = get.expected.usage.unwrap();
    let cost = price(&usage, NANOS[0], NANOS[1], NANOS[2]).to_string();
    let row = program.settled_call("promise").await;
    assert_eq!((&row["outcome"], &row["cost_usd"]), (&"success".into(), &cost.into()), "{row:#}");
    for request_id in ["first", "second"] {
        let row = program.settled_call(request_id).await;
        assert_eq!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{row:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_query_is_taken_out_of_it_and_the_providers_own_put_in_a_header() {
    const MODEL: &str = "gemini-2.5-flash";
    let answer = serde_json::json!({
        "candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4},
        "modelVersion": MODEL,
    });
    let upstream = Upstream::always(Reply::events([format!("data: {answer}\r\n\r\n")])).await;
    let config = Config::new()
        .provider("google", "gemini", &upstream.url(""))
        .model(MODEL, "google", MODEL)
        .price("google", MODEL, &RATES);
    let program = start(config).await;
    let client = Http::without_key(&program.base());
    let body = serde_json::json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]});
    let place = format!("/v1beta/models/{MODEL}:streamGenerateContent");
    for query in [format!("key={KEY}&alt=sse"), format!("alt=sse&key={KEY}")] {
        let answer = client.post(&format!("{place}?{query}"), &body).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let received = upstream.last();
        assert_eq!(received.path, format!("{place}?alt=sse"));
        assert_eq!(received.header("x-goog-api-key"), Some("upstream-secret"));
        assert!(received.headers.iter().all(|(_, value)| !value.contains("tg_")));
    }
    let refused = client.post(&format!("{place}?alt=sse&key=tg_wrong"), &body).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert_eq!(refused.json()["error"]["status"], "UNAUTHENTICATED");
}
