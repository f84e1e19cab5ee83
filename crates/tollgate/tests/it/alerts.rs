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

/// Spend of a user at this hour of each of the last weeks.
async fn spent_weekly(program: &Program, user: &str, usd: &str) {
    let now = jiff::Timestamp::now();
    let events: Vec<Value> = (1..=5)
        .map(|week| {
            let time = now - jiff::SignedDuration::from_hours(7 * 24 * week);
            json!({"id": format!("{user}-{week}"), "time": time, "user": user, "provider": "sim",
                   "model": "sim-large", "input_tokens": 1, "cost_usd": usd})
        })
        .collect();
    let taken = program.client().post("/api/usage", &json!(events)).await;
    assert_eq!(taken.json()["accepted"], 5, "{}", taken.text());
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn a_runaway_user_is_stopped_and_a_webhook_has_the_alert() {
    let receiver = Upstream::always(Reply::status(204)).await;
    // Every call of the simulated provider costs some cents.
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
    spent_weekly(&program, "mallory", "0.10").await;
    spent_weekly(&program, "trudy", "100").await;
    // Both are in the ledger, and nothing of it is spend of this hour.
    program.settled(10).await;
    let client = program.client().with("x-tollgate-user", "mallory");
    let body = json!({"model": "sim-large", "max_tokens": 50, "messages": [{"role": "user", "content": "again"}]});
    let twin = program.client().with("x-tollgate-user", "trudy");
    let refused = eventually("the runaway is stopped", Duration::from_mins(1), || async {
        let answer = client.post(CHAT, &body).await;
        assert_eq!(twin.post(CHAT, &body).await.status, 200, "who spends much always goes on");
        if answer.status == 200 { Err("served".to_owned()) } else { Ok(answer) }
    })
    .await;
    assert_eq!(refused.error_code(), "quota_exhausted", "{}", refused.text());
    assert_eq!(refused.json()["error"]["limit"]["name"], "quota_zero");
    let bystander = program.client().with("x-tollgate-user", "alice").post(CHAT, &body).await;
    assert_eq!(bystander.status, 200, "others go on: {}", bystander.text());

    // One prompt again and again is a duplicate storm too, and that may be told before.
    eventually("the alert is told", SOON, || async {
        let keys = fired(&receiver);
        let told = keys.iter().any(|key| key == "runaway-user/user=mallory");
        if told { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
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
    assert_eq!(
        (&incident["usual"], &incident["bound"]),
        (&json!("0.100000000"), &json!("1.500000000"))
    );
    let keys = fired(&receiver);
    assert!(!keys.contains(&"runaway-user/user=trudy".to_owned()), "{keys:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_hangs_delays_no_call_and_no_other_channel_and_is_asked_again() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let hanging = Upstream::always(Reply::never()).await;
    let receiver = Upstream::always(Reply::status(200)).await;
    let config = oracle_config(&upstream)
        .section("[alerts]\nshipped = false\npause = \"1s\"")
        .section(&slack(&hanging))
        .section(&webhook(&receiver))
        .section(&rule("calls", "calls{by=user,window=1h} > 0", ""));
    let program = start(config).await;
    assert_eq!(call(&program, "alice", 0).await.status, 200);
    eventually("the channel is asked and hangs", SOON, || async {
        if hanging.count() > 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let mut slowest = Duration::ZERO;
    for nonce in 1..=50 {
        let begun = std::time::Instant::now();
        assert_eq!(call(&program, &format!("user-{nonce}"), nonce).await.status, 200);
        slowest = slowest.max(begun.elapsed());
    }
    // A channel has 15 seconds: a call that waited for it would be slower than this.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let told = fired_at_least(&receiver, 1).await;
    assert_eq!(told[0], "calls/user=alice");
    assert_eq!(hanging.count(), 1, "one message at a time");

    hanging.answer(Reply::status(200).whole("ok"));
    eventually("it is asked again", Duration::from_mins(1), || async {
        let metrics = program.admin().get("/metrics").await.text();
        let outcome = |outcome: &str| {
            let labels = format!("{{channel=\"chat\",outcome=\"{outcome}\"}} ");
            metrics.contains(&format!("tollgate_alert_notifications_total{labels}"))
        };
        if outcome("failed") && outcome("delivered") { Ok(()) } else { Err(metrics.clone()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_throttles_is_left_alone_for_as_long_as_it_asks() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let busy = Reply::status(429).header("retry-after", "12");
    let receiver = Upstream::always(busy).await;
    let config = oracle_config(&upstream)
        .section("[alerts]\nshipped = false\npause = \"1s\"")
        .section(&webhook(&receiver))
        .section(&rule("calls", "calls{by=user,window=1h} > 0", ""));
    let program = start(config).await;
    assert_eq!(call(&program, "alice", 1).await.status, 200);
    eventually("the channel is asked", SOON, || async {
        if receiver.count() > 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let asked = std::time::Instant::now();
    receiver.answer(Reply::status(200));
    // What happens meanwhile waits too, though it was never refused.
    assert_eq!(call(&program, "bob", 2).await.status, 200);
    let again = eventually("the channel is asked again", SOON, || async {
        if receiver.count() > 1 { Ok(asked.elapsed()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert!(again >= Duration::from_secs(11), "without being asked to, it is after 5 s: {again:?}");
    let keys = fired_at_least(&receiver, 2).await;
    assert_eq!(keys, ["calls/user=alice", "calls/user=bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_is_given_up_and_the_next_one_is_sent() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let chat = Upstream::always(Reply::status(400).whole("invalid_payload")).await;
    let receiver = Upstream::always(Reply::status(200)).await;
    let config = oracle_config(&upstream)
        .section("[alerts]\nshipped = false\npause = \"1s\"")
        .section(&slack(&chat))
        .section(&webhook(&receiver))
        .section(&rule("calls", "calls{by=user,window=1h} > 0", "channels = [\"chat\"]"));
    let program = start(config).await;
    assert_eq!(call(&program, "alice", 1).await.status, 200);
    let failure = eventually("another channel tells of it", SOON, || async {
        let told = told(&receiver);
        told.first().cloned().ok_or_else(|| chat.count().to_string())
    })
    .await;
    let failure = &failure["data"]["failure"];
    assert_eq!(failure["is_disabled"], false, "{failure}");
    assert_eq!(failure["why"], "it answers 400 invalid_payload");
    assert!(failure["lost"].as_str().unwrap().contains("alice"), "{failure}");
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(chat.count(), 1, "what is refused is not sent again");
    chat.answer(Reply::status(200).whole("ok"));
    assert_eq!(call(&program, "bob", 2).await.status, 200);
    eventually("the next one is sent", SOON, || async {
        let text = chat.last().json()["text"].to_string();
        if text.contains("bob") { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_left_alone_and_others_tell_what_it_would_have() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let receiver = Upstream::always(Reply::status(410)).await;
    let chat = Upstream::always(Reply::status(200).whole("ok")).await;
    let config = oracle_config(&upstream)
        .section("[alerts]\nshipped = false\npause = \"1s\"")
        .section(&webhook(&receiver))
        .section(&slack(&chat))
        .section(&rule("calls", "calls{by=user,window=1h} > 0", "channels = [\"hook\"]"));
    let program = start(config).await;
    for (nonce, user) in ["alice", "bob"].into_iter().enumerate() {
        assert_eq!(call(&program, user, u64::try_from(nonce).unwrap()).await.status, 200);
        eventually("the other channel tells of it", SOON, || async {
            let texts: Vec<_> = chat.received().iter().map(|it| it.json().to_string()).collect();
            if texts.iter().any(|text| text.contains(user)) { Ok(()) } else { Err(texts.concat()) }
        })
        .await;
    }
    assert_eq!(receiver.count(), 1, "it said that it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_of_a_user_becomes_a_mention_or_a_link() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let chat = Upstream::always(Reply::status(200).whole("ok")).await;
    let config = oracle_config(&upstream)
        .section("[alerts]\nshipped = false")
        .section(&slack(&chat))
        .section(&rule("calls", "calls{by=user,window=1h} > 0", ""));
    let program = start(config).await;
    let name = "<!channel> <@U024BE7LH> <https://evil.example|click> &lt;";
    assert_eq!(call(&program, name, 1).await.status, 200);
    let sent = eventually("the alert is told", SOON, || async {
        chat.received().first().cloned().ok_or_else(|| "nothing".to_owned())
    })
    .await;
    let raw = String::from_utf8(sent.body.to_vec()).unwrap();
    assert!(!raw.contains('<') && !raw.contains('>'), "{raw}");
    let text = sent.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("&lt;!channel&gt; &lt;@U024BE7LH&gt;"), "{text}");
    assert!(text.contains("&amp;lt;"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openings_of_breakers_are_counted_by_provider() {
    let upstream = Upstream::always(Reply::json(500, &json!({"error": {"message": "no"}}))).await;
    let receiver = Upstream::always(Reply::status(200)).await;
    let breaker = "breaker = { error_rate = 0.5, window = \"20s\", min_calls = 2, \
                   open_for = \"500ms\" }";
    let config = Config::new()
        .provider_with("up", "openai", &upstream.url("/v1"), breaker)
        .model(oracle::MODEL, "up", oracle::MODEL)
        .price("up", oracle::MODEL, &oracle::PRICES)
        .section("[alerts]\nshipped = false")
        .section(&webhook(&receiver))
        .section(&rule("flapping", "breaker_openings{by=provider,window=5m} > 1", ""));
    let program = start(config).await;
    // It opens; when its time is over a probe fails and opens it again.
    let keys = eventually("the breaker has opened twice", SOON, || async {
        call(&program, "alice", 1).await;
        let keys = fired(&receiver);
        if keys.is_empty() { Err("not told yet".to_owned()) } else { Ok(keys) }
    })
    .await;
    assert_eq!(keys, ["flapping/provider=up"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_an_action_of_the_application_reaches_is_told() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let receiver = Upstream::always(Reply::status(200)).await;
    let config = oracle_config(&upstream)
        .section(
            "[limits.drafts]\nscope = \"user\"\nmetric = \"units\"\nwindow = \"month\"\nmax = 10\n\
             warn_at = [0.5, 0.8]\non_limit = \"deny\"",
        )
        .section("[alerts]\npause = \"1s\"")
        .section(&webhook(&receiver));
    let program = start(config).await;
    for (amount, expected) in [(6, 1), (2, 2)] {
        let wanted = json!({"user": "alice", "metric": "units", "amount": amount, "ttl": "10m"});
        let held = program.client().post("/api/reservations", &wanted).await;
        assert_eq!(held.status, 201, "{}", held.text());
        let path = format!("/api/reservations/{}/commit", held.json()["id"].as_str().unwrap());
        let committed = program.client().post(&path, &json!({})).await;
        assert_eq!(committed.status, 200, "{}", committed.text());
        let keys = fired_at_least(&receiver, expected).await;
        assert_eq!(keys.len(), expected, "{keys:?}");
        assert!(keys.iter().all(|key| key.starts_with("budget//drafts/user=alice/")), "{keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_usage_from_elsewhere_reaches_is_told_without_a_call() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let receiver = Upstream::always(Reply::status(200)).await;
    let config = oracle_config(&upstream)
        .section(
            "[limits.company]\nscope = \"global\"\nmetric = \"cost_usd\"\nwindow = \"month\"\n\
             max = 10\nwarn_at = [0.5, 0.8]\non_limit = \"alert\"",
        )
        .section("[alerts]\npause = \"1s\"")
        .section(&webhook(&receiver));
    let program = start(config).await;
    // The first look at the limit has passed when this is reported.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (id, expected) in [("a", 1), ("b", 2)] {
        let event = json!({"id": id, "user": "alice", "provider": "up", "model": oracle::MODEL,
                           "input_tokens": 1, "cost_usd": if id == "a" { "6" } else { "3" }});
        let taken = program.client().post("/api/usage", &event).await;
        assert_eq!(taken.json()["accepted"], 1, "{}", taken.text());
        let keys = fired_at_least(&receiver, expected).await;
        let budget: Vec<_> =
            keys.iter().filter(|key| key.starts_with("budget//company/")).collect();
        assert_eq!(budget.len(), expected, "{keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_was_removed_while_it_hung_sends_again_when_it_is_back() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let receiver = Upstream::always(Reply::never()).await;
    let with = oracle_config(&upstream)
        .section("[alerts]\nshipped = false\npause = \"1s\"")
        .section(&rule("calls", "calls{by=user,window=1h} > 0", ""));
    let without = with.clone();
    let with = with.section(&slack(&receiver));
    let mut program = start(with.clone()).await;
    assert_eq!(call(&program, "alice", 1).await.status, 200);
    eventually("the channel is asked and hangs", SOON, || async {
        if receiver.count() > 0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    program.write_config(without);
    program.reload();
    // A channel has 15 seconds; after them the message has come back to a channel that is not there.
    tokio::time::sleep(Duration::from_secs(18)).await;
    receiver.answer(Reply::status(200).whole("ok"));
    program.write_config(with);
    program.reload();
    // The channel is known again before there is anything to tell.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(call(&program, "bob", 2).await.status, 200);
    eventually("the channel is told of what is new", SOON, || async {
        let texts: Vec<_> = receiver.received().iter().map(|it| it.json().to_string()).collect();
        if texts.iter().any(|text| text.contains("bob")) { Ok(()) } else { Err(texts.concat()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_alert_leaves_a_user_blocked_whom_an_operator_has_blocked() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = oracle_config(&upstream).section("[alerts]\nshipped = false").section(&rule(
        "busy",
        "calls{by=user,window=10s} > 0",
        "action = \"block for 3s\"",
    ));
    let program = start(config).await;
    let blocked = async |user: &str| {
        let path = format!("/users/{user}");
        let user = admin(&program, Method::GET, &path, &Value::Null).await.json();
        (user["blocked"] == true, user["blocked_reason"].clone())
    };
    assert_eq!(call(&program, "mallory", 1).await.status, 200);
    assert_eq!(call(&program, "alice", 2).await.status, 200);
    let fraud = json!({"blocked": true, "blocked_reason": "fraud"});
    let done = admin(&program, Method::PATCH, "/users/mallory", &fraud).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let lifted = || async {
        let audit = admin(&program, Method::GET, "/audit?subject=alice", &Value::Null).await.json();
        let deeds = audit["items"].as_array().unwrap().len();
        if deeds >= 2 && !blocked("alice").await.0 { Ok(()) } else { Err(audit.to_string()) }
    };
    eventually("the alert's own block is lifted", SOON, lifted).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(blocked("mallory").await, (true, json!("fraud")));
}
