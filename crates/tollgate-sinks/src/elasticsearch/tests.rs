//! The sink against a receiver that behaves as the bulk API does: ids are created once, items fail
//! one by one, requests fail as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tollgate_testkit::upstream::{Received, Reply, Upstream};

use super::*;
use crate::event::Call;
use crate::sample::{PATIENCE, body, call, http, json_lines, line, no_tls, number, record};
use crate::settings::{Secret, Setup};
use crate::worker::{Delivery, Sink as _};

/// What the receiver has, by index and id, and how it fails.
#[derive(Default)]
struct Store {
    documents: BTreeMap<(String, String), Value>,
    /// The status of a document's item, by the number of its call, until it is taken.
    items: BTreeMap<u64, Vec<u16>>,
    /// Statuses of the next whole requests.
    requests: Vec<u16>,
}

type Shared = Arc<Mutex<Store>>;

fn bulk(store: &Shared, request: &Received) -> Reply {
    let mut store = store.lock();
    if let Some(status) = store.requests.pop() {
        return Reply::status(status).header("retry-after", "7");
    }
    assert_eq!(request.path, "/base/_bulk?filter_path=errors,items.*.status,items.*.error.type");
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    let lines = json_lines(&body(request));
    let mut errors = false;
    let items: Vec<Value> = lines
        .chunks(2)
        .map(|pair| {
            let [action, document] = pair else { panic!("an action without a document") };
            let status = create(&mut store, action, document);
            errors |= status >= 300;
            let mut item = json!({"status": status});
            if status >= 300 {
                item["error"] = json!({"type": "some_exception"});
            }
            json!({"create": item})
        })
        .collect();
    Reply::json(200, &json!({"errors": errors, "items": items}))
}

fn create(store: &mut Store, action: &Value, document: &Value) -> u16 {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let id = (text(&action["create"]["_index"]), text(&action["create"]["_id"]));
    if let Some(status) = store.items.get_mut(&number(document)).and_then(Vec::pop) {
        return status;
    }
    if store.documents.contains_key(&id) {
        return 409;
    }
    store.documents.insert(id, document.clone());
    201
}

async fn receiver() -> (Upstream, Shared) {
    let store = Shared::default();
    let for_handler = Arc::clone(&store);
    (Upstream::start(move |request| bulk(&for_handler, request)).await, store)
}

fn sink(upstream: &Upstream, setup: Setup) -> Elasticsearch {
    let mut http = http(&upstream.url("/base"));
    http.headers = vec![("authorization".to_owned(), Secret::new("ApiKey aWQ6a2V5"))];
    let config = ElasticsearchConfig { http, index: "tollgate-logs-%Y.%m.%d".into(), setup };
    Elasticsearch::new(&config, line, no_tls(), PATIENCE)
}

#[tokio::test]
async fn calls_become_documents_of_their_day_under_their_own_id() {
    let (upstream, store) = receiver().await;
    let mut tomorrow = record(2);
    tomorrow.time = "2026-11-22T00:00:00Z".parse().unwrap();
    let batch: Vec<Call> = vec![call(1), Arc::new(tomorrow)];
    assert_eq!(sink(&upstream, Setup::Off).send(&batch).await, Delivery::taken());
    let store = store.lock();
    let found: Vec<_> = store.documents.iter().collect();
    let [((index, id), document), ((later, _), _)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (index.as_str(), later.as_str()),
        ("tollgate-logs-2026.11.21", "tollgate-logs-2026.11.22")
    );
    assert_eq!(*id, batch[0].call_id.to_string());
    assert_eq!(document["@timestamp"], "2026-11-21T12:22:23.001Z");
    assert_eq!(document["cost_usd"], "0.000018000");
    assert_eq!(upstream.last().header("authorization"), Some("ApiKey aWQ6a2V5"));
}

#[tokio::test]
async fn a_batch_that_is_sent_again_makes_no_duplicates() {
    let (upstream, store) = receiver().await;
    let mut sink = sink(&upstream, Setup::Off);
    let batch: Vec<Call> = (0..50).map(call).collect();
    assert_eq!(sink.send(&batch).await, Delivery::taken());
    assert_eq!(sink.send(&batch).await, Delivery::Taken { refused: 0, why: String::new() });
    assert_eq!(store.lock().documents.len(), 50);
    assert_eq!(upstream.last().header("content-encoding"), Some("gzip"));
    assert_eq!(upstream.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn each_item_is_judged_by_itself() {
    let (upstream, store) = receiver().await;
    store.lock().items = BTreeMap::from([(1, vec![429]), (3, vec![400]), (4, vec![503])]);
    let batch: Vec<Call> = (0..6).map(call).collect();
    let delivery = sink(&upstream, Setup::Off).send(&batch).await;
    let why = "a document is answered with 429 (some_exception)".to_owned();
    assert_eq!(delivery, Delivery::Partly { again: vec![1, 4], refused: 1, why });
    assert_eq!(store.lock().documents.len(), 3);
}

#[tokio::test]
async fn a_request_that_fails_as_a_whole_waits_or_is_divided() {
    let (upstream, store) = receiver().await;
    let mut sink = sink(&upstream, Setup::Off);
    let batch = [call(1)];
    for status in [429, 503, 500, 401, 403, 404] {
        store.lock().requests = vec![status];
        let after = Some(Duration::from_secs(7));
        let why = format!("it answers {status}");
        assert_eq!(sink.send(&batch).await, Delivery::Later { why, after });
    }
    for status in [413, 400] {
        store.lock().requests = vec![status];
        let why = format!("it answers {status}");
        assert_eq!(sink.send(&batch).await, Delivery::Divide { why });
    }
    drop(upstream);
    assert!(matches!(sink.send(&batch).await, Delivery::Later { .. }), "nobody is there");
}

#[tokio::test]
async fn template_and_policy_are_in_place_before_the_first_document() {
    for (setup, policy) in [
        (Setup::Elasticsearch, "/base/_ilm/policy/tollgate-logs"),
        (Setup::Opensearch, "/base/_plugins/_ism/policies/tollgate-logs"),
    ] {
        let (upstream, store) = receiver().await;
        let installed = Arc::new(Mutex::new(Vec::<(String, Value)>::new()));
        let (log, shared) = (Arc::clone(&installed), Arc::clone(&store));
        let mut refusals = vec![403];
        let refusals = Mutex::new(std::mem::take(&mut refusals));
        upstream.answer_with(move |request| match request.method.as_str() {
            "GET" => Reply::status(404),
            "PUT" => {
                if let Some(status) = refusals.lock().pop() {
                    return Reply::status(status);
                }
                log.lock()
                    .push((request.path.clone(), serde_json::from_slice(&body(request)).unwrap()));
                Reply::json(200, &json!({"acknowledged": true}))
            }
            _ => bulk(&shared, request),
        });
        let mut sink = sink(&upstream, setup);
        let delivery = sink.send(&[call(1)]).await;
        assert!(matches!(delivery, Delivery::Later { .. }), "{delivery:?}");
        assert!(store.lock().documents.is_empty(), "not before the template is there");
        assert_eq!(sink.send(&[call(1)]).await, Delivery::taken());
        assert_eq!(sink.send(&[call(2)]).await, Delivery::taken());
        let installed = installed.lock();
        let paths: Vec<&str> = installed.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, [policy, "/base/_index_template/tollgate-logs"]);
        assert_eq!(installed[1].1["index_patterns"], json!(["tollgate-logs-*"]));
    }
}

#[tokio::test]
async fn a_policy_that_is_there_is_left_alone() {
    let (upstream, store) = receiver().await;
    upstream.answer_with(move |request| match request.method.as_str() {
        "GET" => Reply::json(200, &json!({})),
        "PUT" => {
            assert!(request.path.ends_with("_index_template/tollgate-logs"), "{}", request.path);
            Reply::json(200, &json!({}))
        }
        _ => bulk(&store, request),
    });
    assert_eq!(sink(&upstream, Setup::Elasticsearch).send(&[call(1)]).await, Delivery::taken());
}

#[test]
fn an_index_is_a_name_that_elasticsearch_takes() {
    for good in ["tollgate-logs-%Y.%m.%d", "logs", "a%Y"] {
        assert!(is_index(good), "{good}");
    }
    for bad in ["", "Logs", "-logs", "a b", "a,b", "logs-%"] {
        assert!(!is_index(bad), "{bad}");
    }
}

#[test]
fn both_templates_say_the_same_but_for_the_policy() {
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let mut ours = read(include_str!("../../../../deploy/elasticsearch/index-template.json"));
    let other =
        read(include_str!("../../../../deploy/elasticsearch/index-template.opensearch.json"));
    let index = ours["template"]["settings"]["index"].as_object_mut().unwrap();
    assert_eq!(index.remove("lifecycle"), Some(json!({"name": "tollgate-logs"})));
    assert_eq!(ours, other);
}
