//! Limits that a key brings along: from the configuration, the admin API and the command line,
//! weighed beside those of the plan, shown, and still there after a crash.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tollgate_testkit::client::{Answer, Http};
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;
use tollgate_testkit::wait::eventually;

use crate::admin::admin;
use crate::{oracle_config, start};

const CHAT: &str = "/v1/chat/completions";
const PARTNER: &str = "tg_partner_for_tests_0123456789abcdef";

async fn send(program: &Program, key: &str) -> Answer {
    Http::new(&program.base(), key).post(CHAT, &oracle::request(1, false)).await
}

/// Name, use and what is left of a key's own limit, as its holder sees it.
async fn own(program: &Program, key: &str) -> (Value, Value, Value) {
    let quota = Http::new(&program.base(), key).get("/api/quota").await.json();
    let limits = quota["limits"].as_array().unwrap().clone();
    let own = limits.into_iter().find(|limit| limit["scope"] == "key").unwrap();
    (own["name"].clone(), own["used"].clone(), own["remaining"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_configuration_has_limits_beside_those_of_its_plan() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let plan = r#"{ name = "daily", metric = "successes", window = "day", max = 5 }"#;
    let key = format!(
        "[[auth.keys]]\nname = \"partner\"\nkey = \"{PARTNER}\"\nuser = \"alice\"\n\
         limits = [{{ name = \"daily\", metric = \"successes\", window = \"day\", max = 2 }}]"
    );
    let other = "tg_other_for_tests_0123456789abcdef00";
    let second = format!("[[auth.keys]]\nname = \"other\"\nkey = \"{other}\"\nuser = \"alice\"");
    let config = oracle_config(&upstream).plan("free", &[plan]).default_plan("free");
    let mut program = start(config.section(&key).section(&second)).await;
    for _ in 0..2 {
        assert_eq!(send(&program, PARTNER).await.status, 200);
    }
    for after_crash in [false, true] {
        if after_crash {
            program.kill9();
            program.restart().await;
        }
        let refused = send(&program, PARTNER).await;
        assert_eq!(refused.error_code(), "quota_exhausted", "{}", refused.text());
        let limit = &refused.json()["error"]["limit"];
        assert_eq!((&limit["scope"], &limit["used"]), (&json!("key"), &json!(2)));
        assert_eq!(own(&program, PARTNER).await, (json!("daily"), json!(2), json!(0)));
        // The same user is served with another key, as far as the plan goes.
        assert_eq!(send(&program, other).await.status, 200);
    }
    assert_eq!(send(&program, other).await.status, 200);
    let refused = send(&program, other).await;
    assert_eq!(refused.json()["error"]["limit"]["scope"], "user", "{}", refused.text());
    assert_eq!(upstream.count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_a_key_are_made_and_changed_by_api_and_command_line() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let program = start(oracle_config(&upstream)).await;
    let limit =
        |max: u32| json!([{"name": "few", "metric": "requests", "window": "day", "max": max}]);
    let new = json!({"name": "phone", "user": "alice", "limits": limit(1)});
    let made = admin(&program, Method::POST, "/keys", &new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(send(&program, &key).await.status, 200);
    assert_eq!(send(&program, &key).await.error_code(), "quota_exhausted");
    let changed = admin(&program, Method::PATCH, "/keys/phone", &json!({"limits": limit(2)})).await;
    assert_eq!(changed.json()["limits"][0]["max"], 2, "{}", changed.text());
    assert_eq!(send(&program, &key).await.status, 200);
    assert_eq!(send(&program, &key).await.error_code(), "quota_exhausted");
    // A key that takes its place goes on where it stood.
    let fresh = admin(&program, Method::POST, "/keys/phone/rotate", &Value::Null).await.json();
    let fresh = fresh["key"].as_str().unwrap().to_owned();
    assert_eq!(send(&program, &fresh).await.error_code(), "quota_exhausted");
    let wrong = json!({"limits": [{"name": "few", "metric": "requests", "window": "day", "scope": "user", "max": 1}]});
    let refused = admin(&program, Method::PATCH, "/keys/phone", &wrong).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("counts by `key`"), "{}", refused.text());
    program.cli(&[
        "keys",
        "limits",
        "phone",
        "--limit",
        "name=few,metric=requests,window=day,max=3",
    ]);
    eventually("the limit is higher", Duration::from_secs(3), || async {
        let status = send(&program, &fresh).await.status == 200;
        status.then_some(()).ok_or_else(String::new)
    })
    .await;
    program.cli(&["keys", "limits", "phone", "--none"]);
    eventually("the limit is gone", Duration::from_secs(3), || async {
        let status = send(&program, &fresh).await.status == 200;
        status.then_some(()).ok_or_else(String::new)
    })
    .await;
    let audit =
        admin(&program, Method::GET, "/audit?subject=phone&action=key.change", &Value::Null);
    assert_eq!(audit.await.json()["items"].as_array().unwrap().len(), 3);
}
