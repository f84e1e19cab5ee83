//! Other limits while calls are served: what was used before counts in them, and no call counts
//! twice or not at all, whatever happens meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tollgate_testkit::client::Answer;
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;
use tollgate_testkit::wait::eventually;

use crate::admin::admin;
use crate::{SOON, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";

fn daily(max: u32) -> String {
    format!("{{ name = \"daily\", metric = \"successes\", window = \"day\", max = {max} }}")
}

async fn call(program: &Program, user: &str) -> Answer {
    let client = program.client().with("x-tollgate-user", user);
    client.post(CHAT, &oracle::request(1, false)).await
}

async fn on_plan(program: &Program, user: &str, plan: &str) {
    let path = format!("/users/{user}");
    let changed = admin(program, Method::PATCH, &path, &json!({"plan": plan})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
}

/// Use of each limit of a user, by name.
async fn used(program: &Program, user: &str) -> Vec<(String, Value)> {
    let user = admin(program, Method::GET, &format!("/users/{user}"), &Value::Null).await.json();
    let limits = user["limits"].as_array().unwrap();
    let used = |limit: &Value| (limit["name"].as_str().unwrap().to_owned(), limit["used"].clone());
    limits.iter().map(used).collect()
}

async fn reloaded(program: &Program, line: &str, times: usize) {
    eventually("the configuration is loaded again", SOON, || async {
        let seen = program.log().matches(line).count();
        (seen >= times).then_some(()).ok_or_else(|| program.log())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_another_plan_a_user_goes_on_with_what_was_used() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let config = oracle_config(&upstream)
        .plan("free", &[&daily(3)])
        .plan("pro", &[&daily(5)])
        .default_plan("free");
    let mut program = start(config).await;
    for _ in 0..3 {
        assert_eq!(call(&program, "alice").await.status, 200);
    }
    assert_eq!(call(&program, "alice").await.error_code(), "quota_exhausted");
    on_plan(&program, "alice", "pro").await;
    assert_eq!(used(&program, "alice").await, [("daily".to_owned(), json!(3))]);
    assert_eq!(call(&program, "alice").await.status, 200);
    // Back, where the count stood still, and forth again; beside the server as well.
    on_plan(&program, "alice", "free").await;
    assert_eq!(used(&program, "alice").await, [("daily".to_owned(), json!(4))]);
    program.cli(&["users", "set", "alice", "--plan", "pro"]);
    eventually("the plan is in force", SOON, || async {
        let status = call(&program, "alice").await.status == 200;
        status.then_some(()).ok_or_else(String::new)
    })
    .await;
    for _ in 0..2 {
        assert_eq!(call(&program, "alice").await.error_code(), "quota_exhausted");
        assert_eq!(used(&program, "alice").await, [("daily".to_owned(), json!(5))]);
        program.kill9();
        program.restart().await;
    }
    assert_eq!(call(&program, "bob").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_a_reload_adds_counts_what_was_used_before_it() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let before = |upstream: &Upstream| oracle_config(upstream).default_plan("free");
    let mut program = start(before(&upstream).plan("free", &[&daily(100)])).await;
    for user in ["alice", "alice", "bob"] {
        assert_eq!(call(&program, user).await.status, 200);
    }
    let weekly = r#"{ name = "monthly", metric = "successes", window = "month", max = 3 }"#;
    let total =
        "[limits.all]\nscope = \"global\"\nmetric = \"successes\"\nwindow = \"day\"\nmax = 5";
    let after: Config = before(&upstream).plan("free", &[&daily(100), weekly]).section(total);
    program.write_config(after);
    program.reload();
    reloaded(&program, "the configuration was loaded again", 1).await;
    assert_eq!(call(&program, "alice").await.status, 200);
    let refused = call(&program, "alice").await;
    assert_eq!(refused.json()["error"]["limit"]["name"], "monthly", "{}", refused.text());
    assert_eq!(call(&program, "bob").await.status, 200);
    let refused = call(&program, "carol").await;
    assert_eq!(refused.json()["error"]["limit"]["name"], "all", "{}", refused.text());
    // The same again changes nothing.
    program.reload();
    reloaded(&program, "the configuration was loaded again", 2).await;
    let alice = used(&program, "alice").await;
    let counts: Vec<_> = alice.iter().map(|(_, used)| used.clone()).collect();
    assert_eq!(counts, [json!(3), json!(3), json!(5)], "{alice:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_while_limits_change_count_once() {
    let upstream =
        Upstream::start(|request| oracle::reply(request, Duration::from_millis(20))).await;
    let config = oracle_config(&upstream)
        .plan("free", &[&daily(100_000)])
        .plan("pro", &[&daily(100_000)])
        .default_plan("free");
    let program = Arc::new(start(config).await);
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (program, over) = (Arc::clone(&program), Arc::clone(&over));
        callers.spawn(async move {
            let mut passed: u64 = 0;
            while !over.load(Ordering::Acquire) {
                assert_eq!(call(&program, "alice").await.status, 200);
                passed += 1;
            }
            passed
        });
    }
    for round in 0..12 {
        on_plan(&program, "alice", if round % 2 == 0 { "pro" } else { "free" }).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    over.store(true, Ordering::Release);
    let passed: u64 = callers.join_all().await.iter().sum();
    assert!(passed > 20, "{passed}");
    assert_eq!(used(&program, "alice").await, [("daily".to_owned(), json!(passed))]);
    on_plan(&program, "alice", "pro").await;
    assert_eq!(used(&program, "alice").await, [("daily".to_owned(), json!(passed))]);
}
