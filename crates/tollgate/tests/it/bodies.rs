//! Prompts and answers: kept only where that is switched on, without personal data where that is
//! wanted, for as long as configured, and nowhere but in their own file.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::Upstream;
use tollgate_testkit::wait::eventually;

use crate::{SOON, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";
const SAID: &str = "my mail is kim.ann@example.com and my number 010-1234-5678";

async fn upstream() -> Upstream {
    Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await
}

fn config(upstream: &Upstream, bodies: &str) -> Config {
    oracle_config(upstream).section(&format!("[logs]\nbodies = \"{bodies}\""))
}

fn file(program: &Program) -> PathBuf {
    program.folder().join("tollgate.db.bodies")
}

/// Calls with a text of somebody in it, whole or as a stream; gives the id of the call.
async fn call(program: &Program, nonce: u64, stream: bool) -> String {
    let mut request = oracle::request(nonce, stream);
    let words = request["messages"][0]["content"].as_str().unwrap().to_owned();
    request["messages"][0]["content"] = json!(format!("{words} {SAID}"));
    let answer = program.client().post(CHAT, &request).await;
    assert_eq!(answer.status, 200);
    answer.header("x-tollgate-call-id").to_owned()
}

/// The bodies of a call, as the admin API gives them.
async fn bodies(program: &Program, call: &str) -> Value {
    eventually("the bodies are kept", SOON, || async {
        let answer = program.admin().get(&format!("/admin/api/v1/calls/{call}/bodies")).await;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.text()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_they_are_off_there_is_not_even_a_file() {
    let upstream = upstream().await;
    let program = start(oracle_config(&upstream)).await;
    let id = call(&program, 1, false).await;
    program.settled(1).await;
    assert!(!file(&program).exists());
    let answer = program.admin().get(&format!("/admin/api/v1/calls/{id}/bodies")).await;
    assert_eq!(answer.status, 404);
    let rows = program.cli(&["calls", &id, "--bodies", "--format", "json"]).rows();
    assert_eq!((&rows[0]["prompt"], &rows[0]["answer"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_kept_as_they_are_or_without_personal_data() {
    for (mode, redacted) in [("full", false), ("redacted", true)] {
        let upstream = upstream().await;
        let program = start(config(&upstream, mode)).await;
        for stream in [false, true] {
            let id = call(&program, 7, stream).await;
            let found = bodies(&program, &id).await;
            assert_eq!((&found["call_id"], &found["redacted"]), (&json!(id), &json!(redacted)));
            let prompt: Value = serde_json::from_str(found["prompt"].as_str().unwrap()).unwrap();
            let said = prompt["messages"][0]["content"].as_str().unwrap();
            let wanted = if redacted { "my mail is [email] and my number [phone]" } else { SAID };
            assert!(said.ends_with(wanted), "{said}");
            let answer = found["answer"].as_str().unwrap();
            // Of a stream the generated text, else the whole document.
            let text = if stream { " 1 2 3" } else { "answer-00000000000000000007" };
            assert!(answer.contains(text), "{answer}");
            let rows = program.cli(&["calls", &id, "--bodies", "--format", "json"]).rows();
            assert_eq!(rows[0]["prompt"], found["prompt"]);
        }
    }
}

/// Who has read what was said in which call, the first one first.
async fn readers(program: &Program) -> Vec<(String, String)> {
    let path = "/admin/api/v1/audit?action=call.read_bodies";
    let entries = program.admin().get(path).await.json();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let items = entries["items"].as_array().unwrap().iter().rev();
    items.map(|entry| (text(entry, "who"), text(entry, "subject"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_them_stands_in_the_audit() {
    let upstream = upstream().await;
    let program = start(config(&upstream, "full")).await;
    let (first, second) = (call(&program, 1, false).await, call(&program, 2, false).await);
    program.settled(2).await;
    assert_eq!(readers(&program).await, [], "calls themselves are nobody's reading");
    bodies(&program, &first).await;
    let by_admin = vec![("admin_key".to_owned(), first.clone())];
    assert_eq!(readers(&program).await, by_admin);
    // Looking at a call, or at one without bodies, shows nothing that was said.
    program.cli(&["calls", &first, "--format", "json"]);
    program.admin().get(&format!("/admin/api/v1/calls/{first}")).await;
    let other = "019a0000-0000-7000-8000-000000000000";
    let answer = program.admin().get(&format!("/admin/api/v1/calls/{other}/bodies")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(readers(&program).await, by_admin);
    eventually("both are kept", SOON, || async {
        let rows = program.cli(&["calls", &second, "--bodies", "--format", "json"]).rows();
        if rows[0]["prompt"].is_null() { Err("not yet".to_owned()) } else { Ok(()) }
    })
    .await;
    let by_cli = |call: &str| ("cli".to_owned(), call.to_owned());
    assert_eq!(readers(&program).await, [by_admin, vec![by_cli(&second)]].concat());
    let rows = program.cli(&["calls", "--bodies", "--format", "json"]).rows();
    assert!(rows.iter().all(|row| row["prompt"].is_string()), "{rows:?}");
    let newest = readers(&program).await.split_off(2);
    assert_eq!(newest, [by_cli(&second), by_cli(&first)], "one for each call, in their order");
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_in_their_own_file_alone_and_a_reload_switches_them() {
    let upstream = upstream().await;
    let lines = "[[logs.sinks]]\nkind = \"file\"\nurl = \"file://calls.jsonl\"";
    let mut program = start(config(&upstream, "full").section(lines)).await;
    let id = call(&program, 7, false).await;
    bodies(&program, &id).await;
    program.write_config(config(&upstream, "off").section(lines));
    program.reload();
    eventually("the configuration is loaded", SOON, || async {
        let said = program.log().contains("was loaded again");
        if said { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let later = call(&program, 8, false).await;
    program.settled(2).await;
    program.sigterm();
    assert!(program.exited(SOON).await.unwrap().success());
    let rows = program.cli(&["calls", &later, "--bodies", "--format", "json"]).rows();
    assert_eq!(rows[0]["prompt"], Value::Null, "off means off");
    for entry in std::fs::read_dir(program.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.to_string_lossy().contains(".bodies") {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains("kim.ann"), "{}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_its_retention_is_removed_also_when_they_are_off() {
    let upstream = upstream().await;
    let keep = "[jobs]\npurge = { keep_bodies = \"1ms\" }";
    let mut program = start(config(&upstream, "full")).await;
    let id = call(&program, 7, false).await;
    bodies(&program, &id).await;
    program.sigterm();
    assert!(program.exited(SOON).await.unwrap().success());
    program.write_config(oracle_config(&upstream).section(keep));
    program.launch().await.unwrap();
    // The thread looks once when it ends, if not before.
    program.sigterm();
    assert!(program.exited(SOON).await.unwrap().success());
    let rows = program.cli(&["calls", &id, "--bodies", "--format", "json"]).rows();
    assert_eq!(rows[0]["prompt"], Value::Null);
    let bytes = std::fs::read(file(&program)).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("kim.ann"), "gone from the file as well");
}
