//! Scheduled work through the whole program: what is due runs once, over restarts and crashes; people
//! see it and may run it; and each job does what it says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};
use tollgate_admission::ledger::{Ledger as _, Written};
use tollgate_alerts::notice::Notice;
use tollgate_alerts::rule::Language;
use tollgate_domain::call::CallRecord;
use tollgate_domain::id::CallId;
use tollgate_domain::money::NanoUsd;
use tollgate_store::{
    AlertEventRecord, AlertRecord, AlertWork, JobClaim, Options, Registry, SqliteLedger,
};
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::admin::admin;
use crate::{SOON, binary, oracle_config, start};

/// A name that would break lines and call everybody where it is not disarmed.
const EVIL: &str = "<!channel>\r\nBcc: x";
/// Far from now, so that only what a test asks for runs.
const NEVER: &str = "0 0 29 2 *";
const BOOK: &str = include_str!("../../../tollgate-domain/data/prices.txt");

fn seoul() -> TimeZone {
    TimeZone::get("Asia/Seoul").unwrap()
}

fn ago(hours: i64) -> Timestamp {
    Timestamp::now().checked_sub(SignedDuration::from_hours(hours)).unwrap()
}

fn database(program: &Program) -> PathBuf {
    program.folder().join("tollgate.db")
}

/// A call of the past.
fn call(n: u32, user: &str, at: Timestamp, cost: NanoUsd, outcome: &str) -> CallRecord {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&n.to_be_bytes());
    let call_id = CallId::new(at.as_millisecond().try_into().unwrap(), random);
    let document = json!({
        "call_id": call_id, "request_id": format!("r-{n}"), "time": at,
        "user": user, "key": "backend", "team": null, "ip": null, "session": null,
        "feature": null, "tags": {}, "dialect": "openai", "endpoint": "/v1/chat/completions",
        "provider": "up", "model_asked": "gpt-4o-mini", "model": "gpt-4o-mini",
        "stream": false, "status": 200, "outcome": outcome, "error_type": null, "attempts": 1,
        "cache": "miss", "input_tokens": 100, "cached_input_tokens": 0, "cache_write_tokens": 0,
        "output_tokens": 50, "reasoning_tokens": 0,
        "usage": {"input": 100, "output": 50}, "cost_usd": cost, "estimated": false,
        "latency_ms": 5, "ttft_ms": null,
    });
    serde_json::from_value(document).unwrap()
}

/// Writes calls of the past into the ledger of a program that does not run.
fn seed(program: &Program, calls: impl IntoIterator<Item = CallRecord>) {
    let options = Options { zone: seoul(), ..Options::default() };
    let (ledger, _) = SqliteLedger::open(&database(program), &options).unwrap();
    for call in calls {
        assert!(matches!(ledger.open(&call).unwrap(), Written::Durable));
        assert!(matches!(ledger.close(Arc::new(call)).unwrap(), Written::Durable));
    }
    ledger.shutdown().unwrap();
}

async fn launch(program: &mut Program) {
    program.launch().await.unwrap_or_else(|why| panic!("{why}"));
}

async fn jobs(program: &Program) -> Vec<Value> {
    let answer = admin(program, Method::GET, "/jobs", &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_array().unwrap().clone()
}

async fn job(program: &Program, name: &str) -> Value {
    let jobs = jobs(program).await;
    jobs.into_iter().find(|job| job["name"] == name).unwrap()
}

/// Waits until a job has ended, and gives it.
async fn ended(program: &Program, name: &str) -> Value {
    eventually("the job has ended", SOON, || async {
        let job = job(program, name).await;
        let ended = job["running"] == false && job["outcome"].is_string();
        if ended { Ok(job) } else { Err(job.to_string()) }
    })
    .await
}

fn hook(name: &str, language: &str, receiver: &Upstream) -> String {
    format!(
        "[alerts.channels.{name}]\nkind = \"webhook\"\nurl = \"{}\"\n\
         secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\nallow_private = true\n\
         language = \"{language}\"\n",
        receiver.url("/hook")
    )
}

/// A configuration without alerts of its own.
fn quiet() -> Config {
    Config::new()
        .section("[providers.sim]\nkind = \"simulated\"\n")
        .section("[alerts]\nshipped = false\n")
}

fn jobs_section(lines: &str) -> String {
    format!("[jobs]\n{lines}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_removes_what_is_old_and_the_ledger_still_adds_up() {
    let purge =
        format!("purge = {{ schedule = \"{NEVER}\", keep_calls = \"2d\", keep_bodies = \"1d\" }}");
    let mut program = Program::prepare(&binary(), quiet().section(&jobs_section(&purge)));
    let cost = NanoUsd::from_nanos(1_500);
    let old = (0..30).map(|n| call(n, "alice", ago(24 * 10), cost, "success"));
    let young = (30..40).map(|n| call(n, "bob", ago(1), cost, "success"));
    seed(&program, old.chain(young));
    launch(&mut program).await;
    assert_eq!(program.calls().len(), 40);

    let told = program.cli(&["jobs", "run", "purge"]);
    assert_eq!(told.stdout.trim(), "purge: success: 30 calls removed, prompts and answers of 0");
    assert_eq!(program.calls().len(), 10, "rows are gone");
    let usage = program.cli(&["usage", "--since", "30d", "--format", "json"]).rows();
    let calls: u64 = usage.iter().filter_map(|row| row["calls"].as_u64()).sum();
    assert_eq!(calls, 40, "their sums are not: {usage:?}");
    let proof = program.cli(&["ledger", "verify", "--format", "json"]).rows();
    assert_eq!(proof[0]["sound"], true, "{proof:#?}");
    let told = program.cli(&["jobs", "run", "rollup_check"]);
    let expected = "rollup_check: success: 10 rows, 30 purged ones and their sums agree";
    assert_eq!(told.stdout.trim(), expected);

    let rows = program.cli(&["jobs", "list", "--json"]).rows();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(row("purge")["outcome"], "success");
    assert_eq!(
        (&row("purge")["schedule"], &row("purge")["timezone"]),
        (&json!(NEVER), &json!("UTC"))
    );
    assert!(row("purge")["next"].is_string() && row("purge")["last_success"].is_string());
    assert_eq!(row("rollup_check")["enabled"], true, "it runs without being configured");
    assert_eq!(row("probe")["configured"], false);
    let audit = admin(&program, Method::GET, "/audit?action=job.run", &Value::Null).await.json();
    assert_eq!(audit["items"][1]["subject"], "purge", "{audit}");
    assert_eq!(audit["items"][1]["who"], "admin_key");
    let metrics = program.admin().get("/metrics").await.text();
    assert!(metrics.contains("tollgate_job_runs_total{job_name=\"purge\",outcome=\"success\"} 1"));
    assert!(metrics.contains("tollgate_job_last_success_timestamp_seconds{job_name=\"purge\"} 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_refused_with_a_sentence() {
    let mut program = start(quiet()).await;
    for (name, status, part) in
        [("lunch", 404, "lunch"), ("purge", 409, "[jobs.purge]"), ("stripe_upload", 404, "stripe")]
    {
        let path = format!("/jobs/{name}/run");
        let refused = admin(&program, Method::POST, &path, &Value::Null).await;
        assert_eq!(refused.status, status, "{}", refused.text());
        assert!(refused.text().contains(part), "{}", refused.text());
    }
    let refused = program.try_cli(&["jobs", "run", "purge"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("[jobs.purge]"), "{}", refused.stderr);
    program.kill9();
    let nobody = program.try_cli(&["jobs", "run", "rollup_check"]);
    assert!(nobody.stderr.contains("does the server run?"), "{}", nobody.stderr);
    assert_eq!(program.cli(&["jobs", "list", "--format", "json"]).rows().len(), 6);
}

/// What a receiver was told, without repetitions of the same message.
fn told(receiver: &Upstream) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    let received = receiver.received().into_iter();
    let fresh = received.filter(|each| seen.insert(each.header("webhook-id").map(str::to_owned)));
    fresh.map(|each| each.json()).collect()
}

/// Calls and an alert of yesterday, and of the day before.
fn seed_two_days(program: &Program, today: Date) -> Registry {
    let noon = |day: Date| day.at(12, 0, 0, 0).to_zoned(seoul()).unwrap().timestamp();
    let yesterday = noon(today.checked_sub(1.day()).unwrap());
    let before = noon(today.checked_sub(2.days()).unwrap());
    let usd = |text: &str| text.parse::<NanoUsd>().unwrap();
    let calls = [
        call(1, "alice", yesterday, usd("2"), "success"),
        call(2, "alice", yesterday, usd("0.5"), "failed"),
        call(3, EVIL, yesterday, usd("0.5"), "success"),
        call(4, "alice", before, usd("1.5"), "success"),
    ];
    seed(program, calls);
    // One alert began yesterday, one the day before.
    let registry = Registry::open(&database(program)).unwrap();
    let events = [before, yesterday].map(|at| {
        let incident = Notice::sample(Language::En, at).incidents.remove(0);
        let alert = serde_json::to_string(&incident).unwrap();
        let alert = AlertRecord { key: incident.key, rule: incident.rule, alert };
        AlertEventRecord { id: 0, time: at, happened: "fired".to_owned(), alert }
    });
    let work = AlertWork { events: events.to_vec(), ..AlertWork::default() };
    registry.commit_alerts(&work).unwrap();
    registry
}

#[tokio::test(flavor = "multi_thread")]
async fn after_downtime_a_report_is_sent_once_in_the_language_of_each_channel() {
    let korean = Upstream::always(Reply::status(204)).await;
    let english = Upstream::always(Reply::status(204)).await;
    let config = quiet()
        .section("[display]\ncurrency = \"KRW\"\nusd_rate = 1470.0\n")
        .section(&hook("ko", "ko", &korean))
        .section(&hook("en", "en", &english))
        .section(&jobs_section(
            "daily_report = { schedule = \"0 0 * * *\", timezone = \"Asia/Seoul\", channels = [\"ko\", \"en\"] }",
        ));
    let mut program = Program::prepare(&binary(), config);
    let today = Timestamp::now().to_zoned(seoul()).date();
    let registry = seed_two_days(&program, today);
    // The program has been down for some days, so that several reports are missing.
    let down_since = ago(24 * 5);
    let plan = "0 0 * * * Asia/Seoul";
    registry.plan_job("daily_report", plan, down_since).unwrap();
    launch(&mut program).await;
    let report = |receiver: &Upstream| {
        let told = told(receiver);
        if told.is_empty() { Err("nothing yet".to_owned()) } else { Ok(told) }
    };
    let in_korean = eventually("the report", SOON, || async { report(&korean) }).await;
    let in_english = eventually("the report", SOON, || async { report(&english) }).await;
    let data = &in_english[0]["data"];
    assert_eq!(in_english[0]["type"], "report.daily", "{data:#}");
    let day = today.checked_sub(1.day()).unwrap();
    assert_eq!(data["title"], format!("[Daily report] {day}: Spend $3.00 (\u{20a9}4,410)"));
    let title = format!("[일간 보고서] {day}: 지출 $3.00 (\u{20a9}4,410)");
    assert_eq!(in_korean[0]["data"]["title"], title);
    let figures = &data["report"];
    assert_eq!(figures["total"]["cost_usd"], "3.000000000");
    assert_eq!((&figures["total"]["calls"], &figures["total"]["failed"]), (&json!(3), &json!(1)));
    assert_eq!(figures["before"]["cost_usd"], "1.500000000");
    assert_eq!(figures["users"]["shares"][0]["name"], "alice");
    assert_eq!(figures["users"]["shares"][0]["cost_usd"], "2.500000000");
    assert_eq!(figures["models"]["shares"][0]["name"], "gpt-4o-mini");
    let spend = &data["parts"][0]["details"][0][1];
    assert_eq!(spend, "$3.00 (\u{20a9}4,410) (vs. the day before: +100%, $1.50 (\u{20a9}2,205))");
    assert_eq!(figures["alerts"], 1);
    let anomaly = data["parts"][3]["details"][0][1].as_str().unwrap();
    assert!(anomaly.starts_with("test: Spend of user alice"), "{anomaly}");
    let users = data["parts"][1]["details"].as_array().unwrap();
    assert_eq!(users[1][0], "<!channel>  Bcc: x", "one line, nothing that moves text");

    let row = ended(&program, "daily_report").await;
    assert_eq!(row["message"], format!("report from {day}, for 2 channels"));
    let next = row["next"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(next > Timestamp::now(), "{row}");
    // Neither more looks nor another crash send it again.
    program.restart().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((told(&korean).len(), told(&english).len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_program_was_killed_runs_again_when_its_lease_is_over() {
    let config = quiet().section(&jobs_section(
        "rollup_check = { schedule = \"0 0 * * *\", timezone = \"Asia/Seoul\" }",
    ));
    let mut program = Program::prepare(&binary(), config);
    seed(&program, [call(1, "alice", ago(1), NanoUsd::from_nanos(5), "success")]);
    let registry = Registry::open(&database(&program)).unwrap();
    registry.plan_job("rollup_check", "0 0 * * * Asia/Seoul", ago(48)).unwrap();
    let midnight = Timestamp::now().to_zoned(seoul()).start_of_day().unwrap().timestamp();
    let now = Timestamp::now();
    let until = now.checked_add(SignedDuration::from_secs(20)).unwrap();
    let (name, holder) = ("rollup_check", "killed");
    let claim = JobClaim { name, holder, due: Some(midnight), now, until };
    assert!(registry.take_job(&claim).unwrap());
    launch(&mut program).await;
    let held = job(&program, "rollup_check").await;
    assert_eq!(held["running"], true, "nobody knows yet that it does not: {held}");
    let refused = admin(&program, Method::POST, "/jobs/rollup_check/run", &Value::Null).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let row = eventually("it is taken over", Duration::from_mins(1), || async {
        let row = job(&program, "rollup_check").await;
        if row["outcome"] == "success" { Ok(row) } else { Err(row.to_string()) }
    })
    .await;
    let begun = row["last_started"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(begun >= until, "{row}");
    assert_eq!(registry.jobs().unwrap()[0].done, midnight);
    program.restart().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = job(&program, "rollup_check").await;
    assert_eq!(after["last_started"], row["last_started"], "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_not_sound_fails_the_check_and_somebody_is_told() {
    let receiver = Upstream::always(Reply::status(204)).await;
    let mut program = start(quiet().section(&hook("ops", "en", &receiver))).await;
    std::fs::write(program.folder().join("tollgate.db.journal/7.corrupt"), "?").unwrap();
    let failed = program.try_cli(&["jobs", "run", "rollup_check"]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(
        failed.stdout.contains("failed: 1 segments of the journal are damaged"),
        "{}",
        failed.stdout
    );
    let message = eventually("somebody is told", SOON, || async {
        told(&receiver).first().cloned().ok_or_else(|| "nobody".to_owned())
    })
    .await;
    assert_eq!(message["type"], "job.failed");
    assert_eq!(message["data"]["job"]["job"], "rollup_check");
    assert_eq!(message["data"]["severity"], "critical");
    assert!(program.log().contains("error: job rollup_check: 1 segments"), "{}", program.log());
    let failure = "tollgate_job_last_failure_timestamp_seconds{job_name=\"rollup_check\"} 1";
    let failed = "tollgate_job_runs_total{job_name=\"rollup_check\",outcome=\"failed\"} 1";
    shows(&program, &[(failed, true), (failure, true), (SUCCESS, false)]).await;
    // It is known over a restart, and until one succeeds.
    program.restart().await;
    shows(&program, &[(failure, true), (SUCCESS, false)]).await;
    std::fs::remove_file(program.folder().join("tollgate.db.journal/7.corrupt")).unwrap();
    program.cli(&["jobs", "run", "rollup_check"]);
    shows(&program, &[(failure, true), (SUCCESS, true)]).await;
    let metrics = program.admin().get("/metrics").await.text();
    let at = |name: &str| {
        let begin =
            format!("tollgate_job_last_{name}_timestamp_seconds{{job_name=\"rollup_check\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&begin)).unwrap();
        line.parse::<u64>().unwrap()
    };
    assert!(at("success") >= at("failure"));
    // Nobody waits for a job that is switched off.
    let off = quiet().section(&jobs_section("rollup_check = { enabled = false }"));
    program.write_config(off);
    program.reload();
    shows(&program, &[(failure, false), (SUCCESS, false)]).await;
    program.cli(&["jobs", "run", "rollup_check"]);
    shows(&program, &[(failure, false), (SUCCESS, false)]).await;
}

const SUCCESS: &str = "tollgate_job_last_success_timestamp_seconds{job_name=\"rollup_check\"} 1";

/// Waits until `/metrics` has these beginnings of lines, and has not those.
async fn shows(program: &Program, wanted: &[(&str, bool)]) {
    eventually("metrics of jobs", SOON, || async {
        let text = program.admin().get("/metrics").await.text();
        let wrong = wanted.iter().find(|(part, there)| text.contains(part) != *there);
        wrong.map_or(Ok(()), |(part, there)| Err(format!("{part} should be there: {there}")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_which_providers_answer_and_is_nobodys_call() {
    let good = Upstream::always(Reply::json(200, &json!({"data": []}))).await;
    let bad = Upstream::always(Reply::status(503)).await;
    let config = Config::new()
        .provider("good", "openai", &good.url("/v1"))
        .provider("bad", "anthropic", &bad.url(""))
        .section("[providers.sim]\nkind = \"simulated\"\n")
        .section(&jobs_section(&format!("probe = {{ schedule = \"{NEVER}\", timeout = \"2s\" }}")));
    let program = start(config).await;
    let ran = program.cli(&["jobs", "run", "probe"]);
    assert_eq!(ran.stdout.trim(), "probe: success: 1 up, 1 down: bad (it answers 503)");
    let asked = good.last();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", "/v1/models"));
    assert!(asked.header("authorization").is_some_and(|it| it.starts_with("Bearer ")));
    assert_eq!(bad.last().header("anthropic-version"), Some("2023-06-01"));
    let metrics = program.admin().get("/metrics").await.text();
    assert!(metrics.contains("tollgate_provider_up{provider=\"good\"} 1"), "{metrics}");
    assert!(metrics.contains("tollgate_provider_up{provider=\"bad\"} 0"));
    assert!(!metrics.contains("tollgate_provider_up{provider=\"sim\"}"));
    assert!(program.calls().is_empty(), "it is no call");
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_renewed_without_a_restart_and_a_bad_book_changes_nothing() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = Config::new()
        .provider_with("up", "openai", &upstream.url("/v1"), "price_book = \"openai\"\n")
        .section(&jobs_section(&format!(
            "price_refresh = {{ schedule = \"{NEVER}\", url = \"book.txt\" }}"
        )));
    let mut program = start(config).await;
    let price = |program: &Program| {
        let rows = program.cli(&["prices", "gpt-4o-mini", "--format", "json"]).rows();
        let row = rows.iter().find(|row| row["model"] == "gpt-4o-mini").unwrap();
        row["input"].as_str().unwrap().to_owned()
    };
    let estimate = async |program: &Program| {
        let path = "/estimate?models=gpt-4o-mini&input_tokens=1000000&output_tokens=0";
        admin(program, Method::GET, path, &Value::Null).await.json()
    };
    let (before, estimated) = (price(&program), estimate(&program).await);
    let book = program.folder().join("book.txt");
    let dearer = BOOK.replace("version\t0.2.1 2026-10-30", "version\t9.9.9 2099-01-01").replace(
        "input=0.15 output=0.6 cached_input=0.075 web",
        "input=0.45 output=0.6 cached_input=0.075 web",
    );
    assert_ne!(dearer, BOOK);
    std::fs::write(&book, dearer.replace("provider\tanthropic", "provder\tanthropic")).unwrap();
    let refused = program.try_cli(&["jobs", "run", "price_refresh"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.contains("the old prices stay: line 7"), "{}", refused.stdout);
    assert_eq!(estimate(&program).await, estimated);

    std::fs::write(&book, &dearer).unwrap();
    let ran = program.cli(&["jobs", "run", "price_refresh"]);
    assert!(ran.stdout.contains("prices 9.9.9 of 2099-01-01 are in force"), "{}", ran.stdout);
    let renewed = estimate(&program).await;
    assert_ne!(renewed, estimated, "{renewed:#}");
    assert_ne!(price(&program), before, "the command line sees them too");
    let ran = program.cli(&["jobs", "run", "price_refresh"]);
    assert!(ran.stdout.contains("are in force already"), "{}", ran.stdout);
    program.restart().await;
    assert_eq!(estimate(&program).await, renewed, "they hold over a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_schedules_and_catches_up_nothing_of_another_one() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let with = |schedule: &str| {
        let probe = format!("probe = {{ schedule = \"{schedule}\", timezone = \"UTC\" }}");
        oracle_config(&upstream).section(&jobs_section(&probe))
    };
    let mut program = start(with(NEVER)).await;
    assert_eq!(job(&program, "probe").await["schedule"], NEVER);
    program.write_config(with("30 12 * * *"));
    program.reload();
    eventually("the new schedule is planned", SOON, || async {
        let registry = Registry::open(&database(&program)).unwrap();
        let record = registry.jobs().unwrap().into_iter().find(|job| job.name == "probe").unwrap();
        if record.schedule == "30 12 * * * UTC" { Ok(()) } else { Err(record.schedule) }
    })
    .await;
    let row = job(&program, "probe").await;
    let next = row["next"].as_str().unwrap().parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
    assert_eq!((next.hour(), next.minute()), (12, 30));
    assert!(next.timestamp() > Timestamp::now() && row["last_started"].is_null(), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_refresh_that_fails_is_tried_again_before_it_is_due_next() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let refresh = "price_refresh = { schedule = \"0 0 * * *\", timezone = \"Asia/Seoul\", \
                   url = \"book.txt\" }";
    let config = oracle_config(&upstream).section(&jobs_section(refresh));
    let mut program = Program::prepare(&binary(), config);
    let registry = Registry::open(&database(&program)).unwrap();
    registry.plan_job("price_refresh", "0 0 * * * Asia/Seoul", ago(48)).unwrap();
    launch(&mut program).await;
    let failed = ended(&program, "price_refresh").await;
    assert_eq!(failed["outcome"], "failed", "there is no file yet: {failed}");
    std::fs::write(program.folder().join("book.txt"), BOOK).unwrap();
    eventually("it is tried again", Duration::from_mins(1), || async {
        let job = job(&program, "price_refresh").await;
        if job["outcome"] == "success" { Ok(()) } else { Err(job.to_string()) }
    })
    .await;
}
