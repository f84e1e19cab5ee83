//! The API over a control plane of canned answers: who may, what a request may hold, how refusals
//! look. What changes do is tested where they are done.

mod desk;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;
use tollgate_admission::control::Actor;
use tower::ServiceExt as _;

use super::{Api, Authenticate, Denied, ROOT, openapi, router};
use desk::{CALL, Desk};

fn api(desk: &Arc<Desk>) -> Router {
    let authenticate = Authenticate::new(|credential, _| match credential {
        b"admin" => Ok(Actor("ops".to_owned())),
        b"user" | b"service" => Err(Denied::NotAdmin),
        _ => Err(Denied::Unknown),
    });
    let desk: Arc<Desk> = Arc::clone(desk);
    router(Api::new(desk, authenticate))
}

struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    credential: Option<&'a str>,
    body: Option<(&'a str, &'a str)>,
}

async fn ask(router: &Router, ask: Ask<'_>) -> (StatusCode, Value) {
    let mut request = Request::builder()
        .method(ask.method.parse::<Method>().unwrap())
        .uri(format!("{ROOT}{}", ask.path));
    if let Some(credential) = ask.credential {
        request = request.header("authorization", format!("Bearer {credential}"));
    }
    if let Some((kind, _)) = ask.body {
        request = request.header("content-type", kind);
    }
    let body = ask.body.map(|(_, text)| text.to_owned()).unwrap_or_default();
    let answer = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = answer.status();
    assert_eq!(answer.headers()["cache-control"], "no-store", "{}", ask.path);
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

const JSON: &str = "application/json";

/// Every operation: method, path, path with names, body, and what an admin gets. Nobody else gets
/// anything: no credential and an unknown one 401, the keys of users and services 403.
const MATRIX: &[(&str, &str, &str, Option<&str>, u16)] = &[
    ("get", "/status", "/status", None, 200),
    ("get", "/users", "/users", None, 200),
    ("post", "/users", "/users", Some("{\"name\":\"bob\"}"), 201),
    ("get", "/users/{name}", "/users/alice", None, 200),
    ("patch", "/users/{name}", "/users/alice", Some("{\"plan\":\"premium\"}"), 200),
    ("delete", "/users/{name}", "/users/alice", None, 204),
    (
        "post",
        "/users/{name}/overrides",
        "/users/alice/overrides",
        Some("{\"limit\":\"daily\",\"max\":0,\"until\":\"2026-12-01T00:00:00Z\"}"),
        201,
    ),
    ("delete", "/users/{name}/overrides/{limit}", "/users/alice/overrides/daily", None, 200),
    (
        "post",
        "/users/{name}/top-ups",
        "/users/alice/top-ups",
        Some("{\"limit\":\"wallet\",\"amount\":\"5.00\"}"),
        201,
    ),
    ("get", "/keys", "/keys", None, 200),
    ("post", "/keys", "/keys", Some("{\"name\":\"backend\",\"role\":\"service\"}"), 201),
    ("patch", "/keys/{name}", "/keys/backend", Some("{\"limits\":[]}"), 200),
    ("delete", "/keys/{name}", "/keys/backend", None, 204),
    ("post", "/keys/{name}/rotate", "/keys/backend/rotate", None, 201),
    ("get", "/plans", "/plans", None, 200),
    ("get", "/limits", "/limits", None, 200),
    ("get", "/providers", "/providers", None, 200),
    ("get", "/calls", "/calls?user=alice&limit=10", None, 200),
    ("get", "/calls/{id}", "/calls/CALL", None, 200),
    ("get", "/calls/{id}/bodies", "/calls/CALL/bodies", None, 200),
    ("get", "/calls/{id}/explain", "/calls/CALL/explain", None, 200),
    ("get", "/usage", "/usage?group_by=model", None, 200),
    ("get", "/estimate", "/estimate?models=gpt-4o&input_tokens=10", None, 200),
    ("get", "/kill-switch", "/kill-switch", None, 200),
    ("put", "/kill-switch", "/kill-switch", Some("{\"on\":true,\"reason\":\"leak\"}"), 200),
    ("get", "/storms", "/storms", None, 200),
    ("delete", "/storms/{id}/block", "/storms/7/block", None, 200),
    ("get", "/alerts", "/alerts", None, 200),
    ("get", "/alerts/history", "/alerts/history?rule=daily-spend", None, 200),
    ("get", "/alerts/rules", "/alerts/rules", None, 200),
    ("get", "/alerts/silences", "/alerts/silences", None, 200),
    (
        "post",
        "/alerts/silences",
        "/alerts/silences",
        Some("{\"matchers\":{\"rule\":\"daily-spend\"},\"until\":\"2026-12-01T00:00:00Z\"}"),
        201,
    ),
    ("delete", "/alerts/silences/{id}", "/alerts/silences/1", None, 204),
    ("post", "/alerts/test", "/alerts/test", None, 200),
    ("get", "/jobs", "/jobs", None, 200),
    ("post", "/jobs/{name}/run", "/jobs/purge/run", None, 202),
    ("get", "/audit", "/audit", None, 200),
];

/// Operations of the document, as method and path.
fn documented() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let path = path.strip_prefix(ROOT).unwrap().to_owned();
        item.as_object().unwrap().keys().map(move |method| (method.clone(), path.clone()))
    });
    operations.collect()
}

#[test]
fn every_operation_of_the_document_is_in_the_matrix() {
    let listed: BTreeSet<_> = MATRIX
        .iter()
        .map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(listed, documented());
}

#[tokio::test]
async fn every_operation_is_for_admins_only() {
    let desk = Arc::new(Desk::default());
    let router = api(&desk);
    for (method, _, path, body, for_admin) in MATRIX {
        let (method, path) = (method.to_uppercase(), path.replace("CALL", CALL));
        for (credential, status) in [
            (None, 401),
            (Some("guess"), 401),
            (Some("user"), 403),
            (Some("service"), 403),
            (Some("admin"), *for_admin),
        ] {
            let body = body.map(|text| (JSON, text));
            let asked = Ask { method: &method, path: &path, credential, body };
            let (got, answer) = ask(&router, asked).await;
            assert_eq!(got.as_u16(), status, "{method} {path} as {credential:?}: {answer}");
            let code = answer["error"]["code"].as_str();
            let expected = match status {
                401 => Some("unauthenticated"),
                403 => Some("forbidden"),
                _ => None,
            };
            assert_eq!(code, expected, "{method} {path}");
        }
    }
    // Reading what was said is audited like a change.
    let audited = |path: &str| path == "/calls/{id}/bodies";
    let reads = MATRIX.iter().filter(|(method, path, ..)| *method == "get" && !audited(path));
    let reads = reads.count();
    assert_eq!(desk.changes().len(), MATRIX.len() - reads);
    assert!(desk.changes().iter().all(|who| who == "ops"));
}

#[tokio::test]
async fn without_a_credential_nobody_learns_whether_a_request_is_well_formed() {
    let router = api(&Arc::default());
    for (method, _, path, _, _) in MATRIX {
        let method = method.to_uppercase();
        for body in [Some((JSON, "{\"nonsense\":")), Some(("text/plain", "x")), None] {
            let path = format!("{path}{}nonsense=1", if path.contains('?') { "&" } else { "?" });
            let asked = Ask { method: &method, path: &path, credential: None, body };
            assert_eq!(ask(&router, asked).await.0, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_a_sentence() {
    let desk = Arc::new(Desk::default());
    let router = api(&desk);
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    let long = format!("/users/{}", "x".repeat(2_000));
    for (method, path, body, status, part) in [
        ("PATCH", "/users/alice", Some((JSON, "{\"plam\":\"pro\"}")), 400, "plam"),
        ("PATCH", "/users/alice", Some((JSON, "{\"plan\":7}")), 400, "string"),
        ("PATCH", "/users/alice", Some((JSON, "{\"blocked\":\"yes\"}")), 400, "boolean"),
        ("PATCH", "/users/alice", Some((JSON, "{")), 400, "EOF"),
        ("PATCH", "/users/alice", Some(("text/plain", "{}")), 415, "application/json"),
        ("PATCH", "/users/alice", None, 415, "application/json"),
        ("POST", "/users", Some((JSON, "{}")), 400, "name"),
        ("POST", "/users", Some((JSON, "{\"name\":\"a\",\"name\":\"b\"}")), 400, "duplicate"),
        ("POST", "/users", Some((JSON, &large)), 413, "too large"),
        ("POST", "/keys/k/rotate", Some((JSON, "{\"overlap\":24}")), 400, "string"),
        ("POST", "/keys/k/rotate", Some(("text/plain", "x")), 415, "application/json"),
        ("PUT", "/kill-switch", Some((JSON, "{\"on\":1}")), 400, "boolean"),
        ("PUT", "/kill-switch", Some((JSON, "{\"scope\":\"global\"}")), 400, "`on`"),
        ("GET", "/users?limit=0", None, 400, "1 to 500"),
        ("GET", "/users?limit=many", None, 400, "limit"),
        ("GET", "/users?offset=1", None, 400, "offset"),
        ("GET", "/calls/nonsense", None, 400, "UUID"),
        ("GET", "/calls?status=70000", None, 400, "status"),
        ("GET", "/users/nobody", None, 404, "nobody"),
        ("GET", "/users/%ff", None, 400, "UTF-8"),
        ("GET", &long, None, 400, "256"),
        ("POST", "/alerts/silences", Some((JSON, "{\"matchers\":{}}")), 400, "until"),
        ("DELETE", "/alerts/silences/all", None, 400, "i64"),
        ("POST", "/alerts/test", Some((JSON, "{\"chanel\":\"ops\"}")), 400, "chanel"),
        ("POST", "/jobs/lunch/run", None, 404, "lunch"),
        ("GET", "/nothing", None, 404, "/nothing"),
        ("POST", "/audit", None, 405, "POST"),
    ] {
        let (got, answer) =
            ask(&router, Ask { method, path, credential: Some("admin"), body }).await;
        assert_eq!(got.as_u16(), status, "{method} {path}: {answer}");
        let error = &answer["error"];
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(part), "{method} {path}: {message}");
        assert!(error["type"].is_string() && error["code"].is_string(), "{answer}");
    }
    assert!(desk.changes().is_empty());
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_names_every_schema_it_uses() {
    let router = api(&Arc::default());
    let asked = Ask { method: "GET", path: "/openapi.json", credential: None, body: None };
    let (status, document) = ask(&router, asked).await;
    assert_eq!(status, StatusCode::OK);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["components"]["securitySchemes"]["admin_key"]["scheme"], "bearer");
    let text = document.to_string();
    let used = text.split("#/components/schemas/").skip(1);
    let names: BTreeSet<&str> = used.filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let ids: Vec<_> = text.match_indices("operationId").collect();
    assert_eq!(ids.len(), MATRIX.len());
}

#[tokio::test]
async fn a_call_has_the_fields_that_the_document_names() {
    let router = api(&Arc::default());
    let path = format!("/calls/{CALL}");
    let asked = Ask { method: "GET", path: &path, credential: Some("admin"), body: None };
    let (_, call) = ask(&router, asked).await;
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let fields = document["components"]["schemas"]["Call"]["properties"].as_object().unwrap();
    let named: BTreeSet<_> = fields.keys().collect();
    assert_eq!(named, call.as_object().unwrap().keys().collect());
}

/// `UPDATE_REFERENCE=1 cargo test -p tollgate-admin reference` writes the document anew.
#[test]
fn the_reference_in_the_documentation_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let current = openapi() + "\n";
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(path, &current).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == current, "run UPDATE_REFERENCE=1 cargo test -p tollgate-admin reference");
}
