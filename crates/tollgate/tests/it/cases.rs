//! Recorded exchanges of the `OpenAI` dialect, replayed through the running program: the bytes must
//! pass unchanged, and the ledger must state what the provider stated, however the bytes are cut.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tollgate_domain::money::NanoUsd;
use tollgate_domain::price::{PriceBook, PriceTable, Served};
use tollgate_testkit::case::Case;
use tollgate_testkit::client::Http;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle::{mix, price};
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Reply, Upstream};

use crate::providers::is_promise;
use crate::start;

/// Prices of every model here in USD per million. They lie over the book's, so each part that the
/// book might price by itself is named: then input, cached input and output are all that counts.
pub(crate) const RATES: [(&str, &str); 12] = [
    ("input", "2.00"),
    ("cached_input", "0.50"),
    ("cache_write", "2.00"),
    ("cache_write_5m", "2.00"),
    ("cache_write_1h", "2.00"),
    ("input_audio", "2.00"),
    ("output", "8.00"),
    ("reasoning", "8.00"),
    ("output_audio", "8.00"),
    ("web_search_per_1k", "0"),
    ("file_search_per_1k", "0"),
    ("requests_per_1k", "0"),
];
/// The same in nano-dollars per million: input, cached input, output.
pub(crate) const NANOS: [u64; 3] = [2_000_000_000, 500_000_000, 8_000_000_000];

fn path(case: &Case) -> Option<&'static str> {
    let compact = case.url.ends_with("/compact");
    match case.api.as_str() {
        _ if case.method != "POST" || compact => None,
        "openai-chat" => Some("/v1/chat/completions"),
        "openai-responses" => Some("/v1/responses"),
        "openai-embeddings" => Some("/v1/embeddings"),
        _ => None,
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Case::all();
    cases.retain(|case| path(case).is_some() && !is_promise(case));
    if cases.is_empty() {
        println!("skipped: the recordings are not beside the workspace");
    }
    cases
}

fn asked_model(case: &Case) -> String {
    case.request.as_ref().unwrap()["model"].as_str().unwrap().to_owned()
}

/// The public name under which a case's model is offered. Azure serves a model that another provider
/// here serves too, so it gets a name of its own, which the program must replace upstream.
fn public_name(case: &Case) -> String {
    let model = asked_model(case);
    if case.provider == "azure" { format!("azure-{model}") } else { model }
}

fn config(cases: &[Case], upstream: &Upstream) -> Config {
    let mut config = Config::new();
    let (mut providers, mut models, mut prices) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for case in cases {
        let (provider, model) = (case.provider.as_str(), asked_model(case));
        if providers.insert(provider) {
            config = config.provider(provider, "openai", &upstream.url("/v1"));
        }
        if models.insert(public_name(case)) {
            config = config.model(&public_name(case), provider, &model);
        }
        for name in [Some(&model), case.expected.model.as_ref()].into_iter().flatten() {
            if prices.insert((provider, name.clone())) {
                config = config.price(provider, name, &RATES);
            }
        }
    }
    config
}

/// Ways to cut a body of `length` bytes; the first is not at all.
pub(crate) fn cuttings(length: usize) -> Vec<Vec<usize>> {
    let step = if length > 16_000 { 7 } else { 1 };
    let mut ways = vec![Vec::new(), (0..length).step_by(step).collect()];
    for seed in 0..2_u64 {
        let most = [40, 1_500][usize::try_from(seed).unwrap()];
        let mut cuts = Vec::new();
        let mut at = 0;
        while at < length {
            let dice = mix(seed ^ (u64::try_from(at).unwrap() << 8)) % most;
            at += 1 + usize::try_from(dice).unwrap();
            cuts.push(at);
        }
        ways.push(cuts);
    }
    ways
}

/// What a client that did not ask for usage may see of a stream: all but the chunk that carries
/// nothing else.
pub(crate) fn without_usage_chunk(body: &[u8]) -> Bytes {
    let text = std::str::from_utf8(body).unwrap();
    let kept: String = text
        .split_inclusive("\n\n")
        .filter(|event| {
            let data = event.trim().strip_prefix("data:").unwrap_or_default();
            let data: Value = serde_json::from_str(data).unwrap_or_default();
            !(data["choices"].as_array().is_some_and(Vec::is_empty) && data["usage"].is_object())
        })
        .collect();
    Bytes::from(kept)
}

struct Replay<'a> {
    case: &'a Case,
    upstream: &'a Upstream,
    program: &'a Program,
}

impl Replay<'_> {
    fn adds_include_usage(&self) -> bool {
        let body = self.case.request.as_ref().unwrap();
        self.case.api == "openai-chat"
            && self.case.stream
            && body["stream_options"]["include_usage"] != true
    }

    fn expected_body(&self) -> Bytes {
        if self.adds_include_usage() && self.case.status == 200 {
            without_usage_chunk(&self.case.body)
        } else {
            self.case.body.clone()
        }
    }

    async fn run(&self, cuts: &[usize], request_id: &str) {
        let case = self.case;
        let name = &case.name;
        self.upstream.forget();
        self.upstream.answer(case.reply(cuts));
        let mut body = case.request.clone().unwrap();
        body["model"] = public_name(case).into();
        let sent = serde_json::to_vec(&body).unwrap();
        let client = self.program.client().with("x-request-id", request_id);
        let answer = client.post_bytes(path(case).unwrap(), sent.clone()).await;
        assert_eq!(answer.status, case.status, "{name}: {}", answer.text());
        assert!(
            answer.body == self.expected_body(),
            "{name}: the body was changed\n--- expected\n{}\n--- got\n{}",
            String::from_utf8_lossy(&self.expected_body()),
            answer.text()
        );
        let content_type = case.headers.iter().find(|(name, _)| name == "content-type");
        assert_eq!(answer.header("content-type"), content_type.unwrap().1, "{name}");
        assert_eq!(answer.header("x-request-id"), request_id, "{name}");
        self.assert_forwarded(&body, &sent);
    }

    /// The provider must have got the client's own bytes, but for the fields that the SPEC names.
    fn assert_forwarded(&self, body: &Value, sent: &[u8]) {
        let name = &self.case.name;
        assert_eq!(self.upstream.count(), 1, "{name}: attempts");
        let received = self.upstream.last();
        assert_eq!(received.path, path(self.case).unwrap(), "{name}");
        assert_eq!(received.header("authorization"), Some("Bearer upstream-secret"), "{name}");
        assert!(!received.headers.iter().any(|(_, value)| value.contains("tg_backend")), "{name}");
        let mut expected = body.clone();
        expected["model"] = asked_model(self.case).into();
        if self.adds_include_usage() {
            expected["stream_options"]["include_usage"] = true.into();
        }
        assert_eq!(received.json(), expected, "{name}");
        if !self.adds_include_usage() && expected == *body {
            assert!(received.body == sent, "{name}: the request was changed");
        }
    }

    fn assert_row(&self, row: &Value) {
        let (case, expected) = (self.case, &self.case.expected);
        let name = &case.name;
        assert_eq!(row["dialect"], "openai", "{name}");
        assert_eq!(row["endpoint"], path(case).unwrap(), "{name}");
        assert_eq!(row["provider"], case.provider, "{name}");
        assert_eq!(row["model_asked"], public_name(case), "{name}");
        assert_eq!(row["status"], case.status, "{name}");
        assert_eq!(row["attempts"], 1, "{name}");
        assert_eq!(
            row["stream"],
            case.request.as_ref().unwrap()["stream"].as_bool().unwrap_or_default(),
            "{name}"
        );
        let outcome = match expected.outcome.as_str() {
            "http_error" | "inband_error" => "failed",
            _ => "success",
        };
        if let Some(model) = &expected.model {
            assert_eq!(row["model"], *model, "{name}");
        }
        assert_eq!(row["outcome"], outcome, "{name}: {row:#}");
        assert_eq!(row["error_type"].is_null(), outcome == "success", "{name}: {row:#}");
        let Some(usage) = expected.usage else {
            if expected.outcome == "http_error" {
                assert_eq!(row["cost_usd"], NanoUsd::ZERO.to_string(), "{name}: {row:#}");
            } else {
                assert_eq!(row["estimated"], true, "{name}: {row:#}");
            }
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

#[tokio::test(flavor = "multi_thread")]
async fn recorded_exchanges_pass_unchanged_and_are_charged_as_stated_however_they_are_cut() {
    let cases = cases();
    let upstream = Upstream::always(Reply::status(500)).await;
    let program = start(config(&cases, &upstream)).await;
    let mut runs = Vec::new();
    for case in &cases {
        let replay = Replay { case, upstream: &upstream, program: &program };
        for (way, cuts) in cuttings(case.body.len()).iter().enumerate() {
            let request_id = format!("{}-{way}", case.name);
            replay.run(cuts, &request_id).await;
            runs.push((case, request_id));
        }
    }
    let rows = program.settled(runs.len()).await;
    for (case, request_id) in runs {
        let of_run: Vec<_> = rows.iter().filter(|row| row["request_id"] == request_id).collect();
        assert_eq!(of_run.len(), 1, "{request_id} is in the ledger {} times", of_run.len());
        Replay { case, upstream: &upstream, program: &program }.assert_row(of_run[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usage_chunk_reaches_only_a_client_that_asked_for_it() {
    let Some(mut case) = Case::load("openai-chat-stream") else {
        println!("skipped: the recordings are not beside the workspace");
        return;
    };
    let asked = case.body.clone();
    let upstream = Upstream::always(case.reply(&[])).await;
    let program = start(config(std::slice::from_ref(&case), &upstream)).await;
    case.request.as_mut().unwrap().as_object_mut().unwrap().remove("stream_options");
    let replay = Replay { case: &case, upstream: &upstream, program: &program };
    assert!(replay.expected_body().len() < asked.len(), "the recording has a usage chunk");
    for (way, cuts) in cuttings(case.body.len()).iter().enumerate() {
        let request_id = format!("hidden-{way}");
        replay.run(cuts, &request_id).await;
        replay.assert_row(&program.settled_call(&request_id).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_offer_of_the_client_does_not_hide_the_usage() {
    let Some(case) = Case::load("openai-chat-plain") else {
        println!("skipped: the recordings are not beside the workspace");
        return;
    };
    let upstream = Upstream::always(case.reply(&[])).await;
    let program = start(config(std::slice::from_ref(&case), &upstream)).await;
    let client: Http = program.client().with("accept-encoding", "gzip, br");
    let body = serde_json::to_vec(case.request.as_ref().unwrap()).unwrap();
    let answer = client.send(Method::POST, "/v1/chat/completions", body.into()).await.unwrap();
    assert_eq!(answer.status, 200);
    let offered = upstream.last().header("accept-encoding").unwrap_or("identity").to_owned();
    assert_eq!(offered, "identity", "the program reads answers, so it must not ask for coded ones");
}

/// Searches that the provider made by itself, counted in the final document of the answer.
fn hosted_searches(case: &Case) -> u64 {
    let text = std::str::from_utf8(&case.body).unwrap();
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    let document: Value = serde_json::from_str(last.unwrap_or(text)).unwrap_or_default();
    let answer = document.get("response").unwrap_or(&document);
    let items = answer["output"].as_array().cloned().unwrap_or_default();
    let searches = items.iter().filter(|item| item["type"] == "web_search_call");
    searches.filter(|item| item["action"]["type"] == "search").count().try_into().unwrap()
}

/// Without a price or a model in the configuration: the book routes and prices.
#[tokio::test(flavor = "multi_thread")]
async fn models_of_the_book_need_no_entry_and_are_charged_at_its_prices() {
    let table = PriceTable::builder(Arc::new(PriceBook::bundled().unwrap())).build().unwrap();
    let mut cases = cases();
    cases.retain(|case| {
        case.provider == "openai"
            && case.expected.outcome == "ok"
            && table.resolve("openai", &asked_model(case)).is_some()
    });
    assert!(cases.len() > 8 || Case::all().is_empty(), "the book prices hardly a recorded model");
    let upstream = Upstream::always(Reply::status(500)).await;
    let program = start(Config::new().provider("openai", "openai", &upstream.url("/v1"))).await;
    for case in &cases {
        let replay = Replay { case, upstream: &upstream, program: &program };
        replay.run(&[], &case.name).await;
    }
    let rows = program.settled(cases.len()).await;
    for case in &cases {
        let row = rows.iter().find(|row| row["request_id"] == case.name).expect("a row");
        let mut usage = case.expected.usage.unwrap();
        // Hosted searches are paid for and stand in no usage object: each is an item of the output.
        usage.web_searches += hosted_searches(case);
        let at = row["time"].as_str().unwrap().parse().unwrap();
        let served =
            Served { service_tier: case.expected.service_tier.as_deref(), ..Served::at(at) };
        let model = case.expected.model.as_deref().unwrap();
        let price = table.resolve("openai", model).expect("the served model has a price");
        let cost = price.charge(&usage, &served).total.charge();
        assert!(cost > NanoUsd::ZERO);
        assert_eq!(row["cost_usd"], cost.to_string(), "{}: {row:#}", case.name);
        assert!(!row["price_version"].as_str().unwrap_or_default().is_empty(), "{row:#}");
    }
}
