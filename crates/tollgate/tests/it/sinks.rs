//! Log sinks of the whole program: every call reaches every sink once, an outage is survived within
//! its bounds, and calls do not notice.

mod canary;
mod services;
mod traces;

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tollgate_testkit::client::Http;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::{SOON, oracle_config, start};
use services::{
    Away, Elastic, Logstash, QUICK, bodies, collected, json_lines, pushed, request_ids,
};

const CHAT: &str = "/v1/chat/completions";

/// Makes calls `from..to`, several at a time, each with the request id of its number.
async fn call(client: &Http, numbers: std::ops::Range<u64>) {
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..4 {
        let (client, numbers) = (client.clone(), numbers.clone());
        tasks.spawn(async move {
            for number in numbers.filter(|number| number % 4 == lane) {
                let client = client.with("x-request-id", &name(number));
                let answer = client.post(CHAT, &oracle::request(number, number % 2 == 0)).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

fn name(number: u64) -> String {
    format!("call-{number:06}")
}

fn names(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(name).collect()
}

/// Waits until a service has these calls, each once.
async fn has(what: &str, wanted: &[String], look: impl Fn() -> Vec<String>) {
    eventually(what, SOON, || async {
        let found = look();
        if found == wanted { Ok(()) } else { Err(format!("{} of {}", found.len(), wanted.len())) }
    })
    .await;
}

async fn oracle_upstream() -> Upstream {
    Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await
}

/// The value of a metric of a sink.
async fn metric(program: &Program, name: &str, sink: &str) -> u64 {
    let text = program.admin().get("/metrics").await.text();
    let begin = format!("{name}{{sink=\"{sink}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&begin));
    line.unwrap_or_else(|| panic!("no {begin} in {text}")).parse().unwrap()
}

/// One service of each kind, and a program that sends to all of them.
struct Everywhere {
    elastic: Elastic,
    loki: Away,
    collector: Away,
    logstash: Logstash,
    program: Program,
    _upstream: Upstream,
}

const RECORDS: [&str; 3] = ["resourceLogs", "scopeLogs", "logRecords"];
const SPANS: [&str; 3] = ["resourceSpans", "scopeSpans", "spans"];

impl Everywhere {
    async fn start() -> Self {
        let upstream = oracle_upstream().await;
        let elastic = Elastic::start().await;
        let loki = Away::start(204).await;
        let collector = Away::start(200).await;
        let logstash = Logstash::start().await;
        let sink = |kind: &str, url: &str, lines: &str| {
            format!("[[logs.sinks]]\nkind = \"{kind}\"\nurl = \"{url}\"\n{QUICK}{lines}\n")
        };
        let plain = "gzip = false\n";
        let otlp = format!("{plain}encoding = \"json\"\nconventions = \"both\"");
        let config = oracle_config(&upstream)
            .section(&elastic.sink(""))
            .section(&sink("loki", &loki.upstream.url(""), plain))
            .section(&sink("otlp", &collector.upstream.url(""), &otlp))
            .section(&sink("logstash", &format!("tcp://{}", logstash.address), ""))
            .section(&sink("file", "file://lines/calls.jsonl", ""));
        let program = start(config).await;
        Self { elastic, loki, collector, logstash, program, _upstream: upstream }
    }

    /// Waits until each of them has the calls up to `count`, each once.
    async fn have(&self, count: u64) {
        let wanted = names(0..count);
        has("elasticsearch", &wanted, || self.elastic.request_ids()).await;
        has("loki", &wanted, || request_ids(&pushed(&self.loki.taken()))).await;
        has("logstash", &wanted, || request_ids(&json_lines(&self.logstash.text()))).await;
        let file = self.program.folder().join("lines/calls.jsonl");
        has("file", &wanted, || {
            request_ids(&json_lines(&std::fs::read(&file).unwrap_or_default()))
        })
        .await;
        has("collector", &wanted, || {
            let records = collected(&self.collector.taken(), "/v1/logs", RECORDS);
            let body = |record: &Value| record["body"]["stringValue"].as_str().unwrap().to_owned();
            let lines = records.iter().map(|record| serde_json::from_str(&body(record)).unwrap());
            request_ids(&lines.collect::<Vec<Value>>())
        })
        .await;
        let spans = collected(&self.collector.taken(), "/v1/traces", SPANS);
        assert_eq!(u64::try_from(spans.len()).unwrap(), count);
    }

    async fn assert_counted(&self, count: u64) {
        for sink in ["elasticsearch", "loki", "otlp", "logstash", "file"] {
            let counted = |name| metric(&self.program, name, sink);
            assert_eq!(counted("tollgate_sink_sent_total").await, count, "{sink}");
            assert_eq!(counted("tollgate_sink_dropped_total").await, 0, "{sink}");
            assert_eq!(counted("tollgate_sink_rejected_total").await, 0, "{sink}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sink_gets_every_call_once_and_over_an_outage_too() {
    let services = Everywhere::start().await;
    let client = services.program.client();
    call(&client, 0..200).await;
    services.have(200).await;
    services.elastic.go_down(true);
    services.loki.go_down(true);
    services.collector.go_down(true);
    services.logstash.go_away();
    call(&client, 200..600).await;
    services.elastic.go_down(false);
    services.loki.go_down(false);
    services.collector.go_down(false);
    services.logstash.come_back().await;
    call(&client, 600..700).await;
    services.have(700).await;
    services.assert_counted(700).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_under_load_loses_nothing_and_a_restart_in_it_neither() {
    let upstream = oracle_upstream().await;
    let elastic = Elastic::start().await;
    let mut program = start(oracle_config(&upstream).section(&elastic.sink("queue = 100"))).await;
    call(&program.client(), 0..100).await;
    has("the first are there", &names(0..100), || elastic.request_ids()).await;
    elastic.go_down(true);
    call(&program.client(), 100..700).await;
    assert!(metric(&program, "tollgate_sink_retried_total", "elasticsearch").await > 0);
    eventually("calls wait on disk", SOON, || async {
        let bytes = metric(&program, "tollgate_sink_spool_bytes", "elasticsearch").await;
        if bytes > 0 { Ok(()) } else { Err("nothing".to_owned()) }
    })
    .await;
    // It ends while the service is away, and begins again.
    program.sigterm();
    assert!(program.exited(SOON).await.unwrap().success());
    program.launch().await.unwrap();
    call(&program.client(), 700..800).await;
    elastic.go_down(false);
    call(&program.client(), 800..900).await;
    has("all are there, each once", &names(0..900), || elastic.request_ids()).await;
    eventually("the spool is empty", SOON, || async {
        let bytes = metric(&program, "tollgate_sink_spool_bytes", "elasticsearch").await;
        if bytes == 0 { Ok(()) } else { Err(bytes.to_string()) }
    })
    .await;
    assert_eq!(metric(&program, "tollgate_sink_dropped_total", "elasticsearch").await, 0);
    assert!(program.log().contains("sink `elasticsearch` is reached again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_on_disk_survives_a_killed_program() {
    let upstream = oracle_upstream().await;
    let elastic = Elastic::start().await;
    elastic.go_down(true);
    let mut program = start(oracle_config(&upstream).section(&elastic.sink(""))).await;
    call(&program.client(), 0..200).await;
    eventually("all wait on disk", SOON, || async {
        let spools: Vec<_> =
            std::fs::read_dir(program.folder().join("tollgate.db.sinks/elasticsearch"))
                .unwrap()
                .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
                .collect();
        let text = String::from_utf8_lossy(&spools.concat()).into_owned();
        let missing = names(0..200).into_iter().filter(|name| !text.contains(name)).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} are not")) }
    })
    .await;
    program.kill9();
    elastic.go_down(false);
    program.launch().await.unwrap();
    has("all are there, each once", &names(0..200), || elastic.request_ids()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_its_bounds_a_sink_drops_and_counts_and_calls_go_on() {
    let upstream = oracle_upstream().await;
    let elastic = Elastic::start().await;
    elastic.go_down(true);
    let sink = elastic.sink("queue = 50\nspool = { max = \"64KiB\" }");
    let program = start(oracle_config(&upstream).section(&sink)).await;
    call(&program.client(), 0..600).await;
    eventually("it drops and counts", SOON, || async {
        let dropped = metric(&program, "tollgate_sink_dropped_total", "elasticsearch").await;
        if dropped > 0 { Ok(()) } else { Err("nothing was dropped".to_owned()) }
    })
    .await;
    let spooled = metric(&program, "tollgate_sink_spool_bytes", "elasticsearch").await;
    assert!(spooled <= 65_536, "{spooled}");
    elastic.go_down(false);
    eventually("what was kept arrives", SOON, || async {
        let dropped = metric(&program, "tollgate_sink_dropped_total", "elasticsearch").await;
        let sent = metric(&program, "tollgate_sink_sent_total", "elasticsearch").await;
        let ids = u64::try_from(elastic.request_ids().len()).unwrap();
        let whole = sent + dropped == 600 && ids == sent;
        if whole { Ok(()) } else { Err(format!("{sent} sent, {dropped} dropped, {ids} there")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_starts_changes_and_ends_sinks_and_loses_nothing() {
    let upstream = oracle_upstream().await;
    let (first, second) = (Elastic::start().await, Elastic::start().await);
    let base = oracle_config(&upstream);
    let mut program = start(base.clone()).await;
    assert!(!program.admin().get("/metrics").await.text().contains("tollgate_sink_"));
    reload(&mut program, base.clone().section(&first.sink("")), 1).await;
    first.go_down(true);
    call(&program.client(), 0..50).await;
    // The same sink, elsewhere: what waits goes there.
    reload(&mut program, base.clone().section(&second.sink("")), 2).await;
    call(&program.client(), 50..60).await;
    has("the second has all", &names(0..60), || second.request_ids()).await;
    assert_eq!(metric(&program, "tollgate_sink_sent_total", "elasticsearch").await, 60);
    reload(&mut program, base.section("[[logs.sinks]]\nkind = \"loki\"\nurl = \"nowhere\""), 0)
        .await;
    call(&program.client(), 60..70).await;
    has("a bad reload changes nothing", &names(0..70), || second.request_ids()).await;
}

/// Loads a configuration again; `times` it was taken so far, or 0 where it is refused.
async fn reload(program: &mut Program, config: Config, times: usize) {
    program.write_config(config);
    program.reload();
    let said = if times == 0 { "was not loaded" } else { "was loaded again" };
    eventually("the configuration is loaded", SOON, || async {
        let count = program.log().matches(said).count();
        if count >= times.max(1) { Ok(()) } else { Err(program.log()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_as_quick_with_a_sink_that_is_down() {
    let upstream = oracle_upstream().await;
    let elastic = Elastic::start().await;
    let sink = elastic.sink("queue = 200\nspool = { max = \"128KiB\" }");
    let program = start(oracle_config(&upstream).section(&sink)).await;
    let client = program.client();
    call(&client, 0..100).await;
    let (mut up, mut down) = (Duration::MAX, Duration::MAX);
    // Taken in turns, and the best of each: what else the machine does hits both alike.
    for round in 0..8 {
        elastic.go_down(round % 2 == 1);
        let median = median_of_calls(&client, 100).await;
        let best = if round % 2 == 1 { &mut down } else { &mut up };
        *best = median.min(*best);
    }
    let ratio = down.as_secs_f64() / up.as_secs_f64();
    println!("a call takes {up:?} with the sink up, {down:?} with it down: {ratio:.3}");
    let most = std::env::var("TOLLGATE_LATENCY_RATIO").map_or(1.5, |most| most.parse().unwrap());
    assert!(ratio <= most, "{ratio}");
}

async fn median_of_calls(client: &Http, count: u64) -> Duration {
    let mut times = Vec::new();
    for number in 0..count {
        let began = Instant::now();
        let answer = client.post(CHAT, &oracle::request(number, false)).await;
        times.push(began.elapsed());
        assert_eq!(answer.status, 200);
    }
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_reported_to_sentry_and_its_own_fault_is_the_callers() {
    let upstream = Upstream::start(|request| {
        if oracle::nonce(&request.body) == Some(1) {
            Reply::status(500)
        } else {
            Reply::status(400)
        }
    })
    .await;
    let sentry = Upstream::always(Reply::status(200)).await;
    let dsn = sentry.url("/7").replace("http://", "http://abc@");
    let config = oracle_config(&upstream).section(&format!(
        "[sentry]\ndsn = \"{dsn}\"\nenvironment = \"test\"\ntraces_sample_rate = 0"
    ));
    let program = start(config).await;
    for number in [0, 1] {
        program
            .client()
            .with("x-request-id", &name(number))
            .post(CHAT, &oracle::request(number, false))
            .await;
    }
    eventually("a report comes", SOON, || async {
        if sentry.count() > 0 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
    assert_eq!(sentry.count(), 1);
    assert_eq!(sentry.last().path, "/api/7/envelope/");
    let text = String::from_utf8(bodies(&sentry)).unwrap();
    assert!(text.contains("call-000001") && text.contains("\"environment\":\"test\""), "{text}");
}
