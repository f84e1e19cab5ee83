//! Alerts through the whole program: a runaway user is stopped and somebody is told, budgets are
//! reported once each over restarts, channels that fail are tried again and given up, and operators
//! can silence.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tollgate_domain::money::NanoUsd;
use tollgate_testkit::client::Answer;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::admin::admin;
use crate::{oracle_config, start};

const CHAT: &str = "/v1/chat/completions";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// An alert is told within this, with much room for a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// A webhook that is told of everything.
fn webhook(receiver: &Upstream) -> String {
    format!(
        "[alerts.channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\n\
         allow_private = true\nlanguage = \"en\"\n",
        receiver.url("/hook")
    )
}

fn rule(name: &str, when: &str, more: &str) -> String {
    format!("[[alerts.rules]]\nname = \"{name}\"\nwhen = \"{when}\"\n{more}\n")
}

/// What the receiver was told, as JSON, oldest first. As receivers are asked to, it knows repetitions
/// by their id: a message whose delivery a crash left unwritten is sent again.
fn told(receiver: &Upstream) -> Vec<Value> {
    let mut seen = std::collections::HashSet::new();
    let received = receiver.received().into_iter();
    let fresh = received.filter(|each| seen.insert(each.header("webhook-id").map(str::to_owned)));
    fresh.map(|each| each.json()).collect()
}

/// Rules and subjects of what has fired, as the receiver was told.
fn fired(receiver: &Upstream) -> Vec<String> {
    let told = told(receiver);
    let fired = told.iter().filter(|it| it["type"] == "alert.fired");
    let incidents = fired.flat_map(|it| it["data"]["incidents"].as_array().unwrap().clone());
    incidents.map(|it| it["key"].as_str().unwrap().to_owned()).collect()
}

async fn call(program: &Program, user: &str, nonce: u64) -> Answer {
    let client = program.client().with("x-tollgate-user", user);
    client.post(CHAT, &oracle::request(nonce, false)).await
}

/// Waits until the receiver was told of so many alerts, and gives them.
async fn fired_at_least(receiver: &Upstream, count: usize) -> Vec<String> {
    eventually("so many alerts are told", SOON, || async {
        let fired = fired(receiver);
        if fired.len() >= count { Ok(fired) } else { Err(format!("{:#?}", told(receiver))) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_user_is_stopped_and_a_webhook_has_the_alert() {
    let receiver = Upstream::always(Reply::status(204)).await;
    // Every call of the simulated provider costs some cents; nobody spends more than that an hour.
    let config = Config::new()
        .section("[providers.sim]\nkind = \"simulated\"\nlatency = \"1ms\"\nerror_rate = 0.0")
        .model("sim-large", "sim", "sim-large")
        .price("sim", "sim-large", &[("input", "500"), ("output", "1000")])
        .section("[display]\ncurrency = \"KRW\"\nusd_rate = 1470.0")
        .section(&webhook(&receiver))
        .section(&rule(
            "runaway-user",
            "cost_usd{by=user,window=1h} > 15 * baseline",
            "floor = 0.01\naction = \"quota_zero for 1h\"\nseverity = \"critical\"",
        ));
    let program = start(config).await;
    let client = program.client().with("x-tollgate-user", "mallory");
    let body = json!({"model": "sim-large", "max_tokens": 50, "messages": [{"role": "user", "content": "again"}]});
    let refused = eventually("the runaway is stopped", Duration::from_mins(1), || async {
        let answer = client.post(CHAT, &body).await;
        if answer.status == 200 { Err("served".to_owned()) } else { Ok(answer) }
    })
    .await;
    assert_eq!(refused.error_code(), "quota_exhausted", "{}", refused.text());
    assert_eq!(refused.json()["error"]["limit"]["name"], "quota_zero");
    let bystander = program.client().with("x-tollgate-user", "alice").post(CHAT, &body).await;
    assert_eq!(bystander.status, 200, "others go on: {}", bystander.text());

    let keys = fired_at_least(&receiver, 1).await;
    assert!(keys.contains(&"runaway-user/user=mallory".to_owned()), "{keys:?}");
    let received = receiver.received();
    let first =
        received.iter().find(|it| it.json()["data"]["incidents"][0]["rule"] == "runaway-user");
    let first = first.unwrap();
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert!(first.header(header).is_some(), "{header}");
    }
    let data = &first.json()["data"];
    let incident = &data["incidents"][0];
    let value: NanoUsd = incident["value"].as_str().unwrap().parse().unwrap();
    let bound: NanoUsd = incident["bound"].as_str().unwrap().parse().unwrap();
    assert!(value > bound, "{incident}");
    assert_eq!(incident["action"]["deed"], "quota_zero");
    assert_eq!(incident["action"]["progress"], "standing");
    assert_eq!(incident["models"][0]["model"], "sim-large", "{incident}");
    let title = data["title"].as_str().unwrap();
    assert!(title.contains("user mallory") && title.contains('\u{20a9}'), "{title}");

    let user = admin(&program, Method::GET, "/users/mallory", &Value::Null).await.json();
    assert!(user["quota_zero_until"].is_string(), "{user}");
    let audit = admin(&program, Method::GET, "/audit?subject=mallory", &Value::Null).await.json();
    assert_eq!(audit["items"][0]["who"], "alert:runaway-user", "{audit}");
    let rows = program.cli(&["alerts", "list", "--format", "json"]).rows();
    assert!(rows.iter().any(|row| row["key"] == "runaway-user/user=mallory"), "{rows:#?}");
    let metrics = program.admin().get("/metrics").await.text();
    assert!(metrics.contains("tollgate_alerts_firing{rule=\"runaway-user\"} 1"), "{metrics}");
    let sent = "tollgate_alert_notifications_total{channel=\"hook\",outcome=\"delivered\"}";
    assert!(metrics.contains(sent), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_a_budget_is_reported_once_over_restarts() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let receiver = Upstream::always(Reply::status(200)).await;
    let nonce = 7;
    let max = NanoUsd::from_nanos(oracle::cost(nonce).nanos() * 10);
    let config = oracle_config(&upstream)
        .section(&format!(
            "[limits.company]\nscope = \"global\"\nmetric = \"cost_usd\"\nwindow = \"month\"\n\
             max = {max}\nwarn_at = [0.5, 0.8, 1.0]\non_limit = \"alert\""
        ))
        .section(&webhook(&receiver));
    let mut program = start(config).await;
    let steps = |receiver: &Upstream| -> Vec<u64> {
        let told = told(receiver);
        let all = told.iter().flat_map(|it| it["data"]["incidents"].as_array().unwrap().clone());
        all.filter_map(|it| it["limit"]["step"].as_u64()).collect()
    };
    let mut made = 0;
    for (calls, expected) in
        [(4, &[][..]), (5, &[500]), (7, &[500]), (8, &[500, 800]), (11, &[500, 800, 1000])]
    {
        while made < calls {
            assert_eq!(call(&program, "alice", nonce).await.status, 200);
            made += 1;
        }
        eventually("the steps are told", SOON, || async {
            let seen = steps(&receiver);
            if seen == expected { Ok(()) } else { Err(format!("{seen:?} after {calls} calls")) }
        })
        .await;
        // Told is written down; what a crash leaves behind is neither told again nor forgotten.
        program.restart().await;
    }
    assert_eq!(call(&program, "alice", nonce).await.status, 200);
    let quiet = program.cli(&["alerts", "history", "--rule", "budget", "--format", "json"]).rows();
    assert_eq!(quiet.len(), 3, "{quiet:#?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(steps(&receiver), [500, 800, 1000], "nothing is told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_a_crash_left_untold_is_told_by_the_next_start() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let receiver = Upstream::always(Reply::status(200)).await;
    let limit = "[limits.company]\nscope = \"global\"\nmetric = \"successes\"\nwindow = \"month\"\n\
                 max = 10\nwarn_at = [0.5]\non_limit = \"alert\"";
    let config = oracle_config(&upstream).section(limit).section(&webhook(&receiver));
    let mut program = start(config).await;
    for nonce in 0..6 {
        assert_eq!(call(&program, "alice", nonce).await.status, 200);
    }
    // Killed before the alert engine has looked, most of the time.
    program.restart().await;
    let keys = fired_at_least(&receiver, 1).await;
    assert!(keys[0].starts_with("budget//company/"), "{keys:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(fired(&receiver).len(), 1);
}

/// A Slack channel at a path that is a secret.
fn slack(receiver: &Upstream) -> String {
    let url = receiver.url("/services/T0/B0/hunter2");
    format!("[alerts.channels.chat]\nkind = \"slack\"\nurl = \"{url}\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_fails_is_tried_again_given_up_and_others_are_told() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let chat = Upstream::always(Reply::status(429).header("retry-after", "1")).await;
    let receiver = Upstream::always(Reply::status(503)).await;
    let quiet = "[alerts]\nshipped = false\npause = \"1s\"";
    let config = oracle_config(&upstream)
        .section(quiet)
        .section(&slack(&chat))
        .section(&webhook(&receiver))
        .section(&rule("calls", "calls{by=user,window=1h} > 0", ""));
    let program = start(config).await;
    assert_eq!(call(&program, "alice", 1).await.status, 200);
    eventually("both channels are tried", SOON, || async {
        if chat.count() >= 1 && receiver.count() >= 1 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    // They recover, and what waited is delivered, under the same id.
    chat.answer(Reply::status(200).whole("ok"));
    receiver.answer(Reply::status(200));
    eventually("both deliver", SOON, || async {
        let metrics = program.admin().get("/metrics").await.text();
        let delivered = |channel: &str| {
            let line = format!(
                "tollgate_alert_notifications_total{{channel=\"{channel}\",outcome=\"delivered\"}} 1"
            );
            metrics.contains(&line)
        };
        if delivered("chat") && delivered("hook") { Ok(()) } else { Err(metrics.clone()) }
    })
    .await;
    let ids: Vec<Option<String>> =
        receiver.received().iter().map(|it| it.header("webhook-id").map(str::to_owned)).collect();
    assert!(ids.len() >= 2 && ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");

    // For good: nothing is tried again, and the other channel says so.
    chat.answer(Reply::status(404).whole("no_service"));
    assert_eq!(call(&program, "bob", 2).await.status, 200);
    let failure = eventually("the other channel tells of it", SOON, || async {
        let told = told(&receiver);
        let failed = told.iter().find(|it| it["type"] == "alert.channel_failed");
        failed.cloned().ok_or_else(|| format!("{told:#?}"))
    })
    .await;
    assert_eq!(failure["data"]["failure"]["channel"], "chat");
    assert_eq!(failure["data"]["failure"]["is_disabled"], true);
    let asked = chat.count();
    assert_eq!(call(&program, "carol", 3).await.status, 200);
    let keys = eventually("the rest is told by others", SOON, || async {
        let keys = fired(&receiver);
        if keys.iter().any(|key| key.ends_with("carol")) {
            Ok(keys)
        } else {
            Err(format!("{keys:?}"))
        }
    })
    .await;
    assert_eq!(keys.iter().filter(|key| key.ends_with("carol")).count(), 1, "{keys:?}");
    assert_eq!(chat.count(), asked, "a channel that takes nothing is left alone");
    let everything = format!("{}{:?}", program.log(), told(&receiver));
    assert!(!everything.contains("hunter2"), "the address of a channel is a secret");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn operators_silence_list_and_send_samples_beside_the_server() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let receiver = Upstream::always(Reply::status(200)).await;
    let chat = Upstream::always(Reply::status(404).whole("no_team")).await;
    let config = oracle_config(&upstream)
        .section("[alerts]\nshipped = false\npause = \"1s\"")
        .section(&webhook(&receiver))
        .section(&slack(&chat))
        .section(&rule("calls", "calls{by=user,window=1h} > 0", "channels = [\"hook\"]"));
    let program = start(config).await;
    program.cli(&[
        "alerts",
        "silence",
        "rule=calls",
        "user=al*",
        "--for",
        "1h",
        "--reason",
        "load test",
    ]);
    let silences = program.cli(&["alerts", "silences", "--format", "json"]).rows();
    assert_eq!(silences[0]["matchers"], json!({"rule": "calls", "user": "al*"}));
    assert_eq!(call(&program, "alice", 1).await.status, 200);
    assert_eq!(call(&program, "bob", 2).await.status, 200);
    assert_eq!(fired_at_least(&receiver, 1).await, ["calls/user=bob"]);
    let rows = admin(&program, Method::GET, "/alerts", &Value::Null).await.json();
    let silenced: Vec<_> =
        rows.as_array().unwrap().iter().map(|it| (&it["key"], &it["silenced"])).collect();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(silenced, [(&json!("calls/user=alice"), &yes), (&json!("calls/user=bob"), &no)]);
    let id = silences[0]["id"].to_string();
    program.cli(&["alerts", "unsilence", &id]);
    assert_eq!(fired_at_least(&receiver, 2).await[1], "calls/user=alice");
    let by =
        admin(&program, Method::GET, "/audit?action=silence.create", &Value::Null).await.json();
    assert_eq!(by["items"][0]["who"], "cli");
    for bad in [
        json!({"matchers": {"usr": "a"}, "until": "2099-01-01T00:00:00Z"}),
        json!({"matchers": {}, "until": "2099-01-01T00:00:00Z"}),
    ] {
        let refused = admin(&program, Method::POST, "/alerts/silences", &bad).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
    }

    let sample = program.try_cli(&["alerts", "test", "--format", "json"]);
    assert_eq!(sample.code, Some(1), "{}{}", sample.stdout, sample.stderr);
    let outcomes: Vec<_> = sample
        .rows()
        .iter()
        .map(|row| (row["channel"].clone(), row["outcome"].clone(), row["why"].clone()))
        .collect();
    assert_eq!(
        outcomes,
        [
            (json!("hook"), json!("delivered"), Value::Null),
            (json!("chat"), json!("gone"), json!("it answers 404 no_team")),
        ]
    );
    program.cli(&["alerts", "test", "hook"]);
    let rules = program.cli(&["alerts", "rules", "--format", "json"]).rows();
    assert_eq!(rules.len(), 1);
    // A reload puts other rules in force, the shipped ones among them.
    let test = admin(&program, Method::POST, "/alerts/test", &json!({"channel": "nobody"})).await;
    assert_eq!(test.status, 400, "{}", test.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_is_shown_what_fires_again_and_again_and_a_throttled_user_is_slow() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let members = Upstream::always(Reply::status(200)).await;
    let config = oracle_config(&upstream)
        .section("[alerts]\nshipped = false\nthrottle = 2")
        .section(&format!(
            "[alerts.channels.am]\nkind = \"alertmanager\"\nurl = \"{}, {}\"\n",
            members.url("/one"),
            members.url("/two")
        ))
        .section(&rule("busy", "calls{by=user,window=1h} > 3", "action = \"throttle for 10m\""));
    let program = start(config).await;
    for nonce in 0..4 {
        assert_eq!(call(&program, "eve", nonce).await.status, 200);
    }
    let refused = eventually("eve is throttled", SOON, || async {
        let answer = call(&program, "eve", 9).await;
        if answer.status == 429 { Ok(answer) } else { Err(answer.status.to_string()) }
    })
    .await;
    assert_eq!(refused.error_code(), "rate_limited", "{}", refused.text());
    assert_eq!(refused.json()["error"]["limit"]["name"], "throttle");
    assert_eq!(call(&program, "alice", 1).await.status, 200);
    let shown = eventually("both members are shown it", SOON, || async {
        let received = members.received();
        let paths: Vec<_> = received.iter().map(|it| it.path.clone()).collect();
        let both = ["/one/api/v2/alerts", "/two/api/v2/alerts"];
        if both.iter().all(|path| paths.contains(&(*path).to_owned())) {
            Ok(received)
        } else {
            Err(format!("{paths:?}"))
        }
    })
    .await;
    let alerts = shown[0].json();
    assert_eq!(alerts[0]["labels"]["alertname"], "busy");
    assert_eq!(alerts[0]["labels"]["user"], "eve");
}
