//! Each channel against a receiver that answers as its service does, and as services do that fail.

mod mail;

use std::time::Duration;

use serde_json::Value;
use tollgate_testkit::upstream::{Piece, Received, Reply as Answer, Upstream};

use super::*;
use crate::incident::Incident;
use crate::measure::By;
use crate::notice::NoticeKind;
use crate::post::{Place, Reach};
use crate::sample::at;

const NOW: &str = "2026-11-21T01:02:03Z";
/// 24 bytes of zero in base64: the shortest secret there is.
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn poster() -> Poster {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Poster::new(Arc::new(tls))
}

fn display() -> Display {
    Display { currency: "KRW".into(), per_usd: 1_470_000_000, zone: jiff::tz::TimeZone::UTC }
}

fn channel(way: Way) -> Channel {
    Channel { name: "ops".into(), way, language: Language::En, least: Severity::Info }
}

fn place(upstream: &Upstream, path: &str) -> Place {
    Place::read(&upstream.url(path)).unwrap()
}

fn slack(upstream: &Upstream) -> Channel {
    channel(Way::Slack(Slack { place: place(upstream, "/services/T0/B0/secret") }))
}

fn webhook(upstream: &Upstream) -> Channel {
    let keys = vec![SigningKey::read(SECRET).unwrap()];
    channel(Way::Webhook(Webhook { place: place(upstream, "/hook"), keys, reach: Reach::Anywhere }))
}

fn pagerduty(upstream: &Upstream) -> Channel {
    let place = place(upstream, "/v2/enqueue");
    channel(Way::Pagerduty(Pagerduty { place, routing_key: "R0UT1NG".to_owned().into() }))
}

fn alertmanager(upstream: &Upstream) -> Channel {
    let members = vec![place(upstream, "/one"), place(upstream, "/two/")];
    channel(Way::Alertmanager(Alertmanager { members, token: Some("t0ken".to_owned().into()) }))
}

fn fired() -> Notice {
    Notice { kind: NoticeKind::Fired, ..Notice::sample(Language::En, at(NOW)) }
}

fn evil() -> Notice {
    let mut notice = fired();
    let incident = &mut notice.incidents[0];
    incident.subject = "<!channel> <https://evil.example|click> &amp;\r\nX-Evil: 1".to_owned();
    incident.key = format!("runaway/user={}", incident.subject);
    notice
}

async fn send(channel: &Channel, notice: &Notice) -> Verdict {
    let sending = Sending { id: "msg_1", now: at(NOW), display: &display(), poster: &poster() };
    channel.send(notice, &sending).await
}

async fn answering(reply: Answer) -> Upstream {
    Upstream::always(reply).await
}

fn later(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Later { .. })
}

#[tokio::test]
async fn every_channel_of_http_is_taken_refused_and_put_off_as_its_service_says() {
    let channels = [slack, webhook, pagerduty, alertmanager];
    for make in channels {
        let upstream = answering(Answer::status(200).whole("ok")).await;
        let channel = make(&upstream);
        let kind = channel.kind();
        assert_eq!(send(&channel, &fired()).await, Verdict::Delivered, "{kind}");

        upstream.answer(Answer::status(429).header("retry-after", "37"));
        let put_off = send(&channel, &fired()).await;
        let Verdict::Later { after, why } = put_off else { panic!("{kind}: {put_off:?}") };
        assert_eq!((after, &*why), (Some(Duration::from_secs(37)), "it answers 429"), "{kind}");

        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (status, rest) in
            [(429, seconds(60)), (500, None), (502, seconds(10)), (503, None), (504, seconds(10))]
        {
            upstream.answer(Answer::status(status));
            let put_off = send(&channel, &fired()).await;
            let Verdict::Later { after, .. } = put_off else { panic!("{kind}: {put_off:?}") };
            assert_eq!(after, rest, "{kind} {status}");
        }
        upstream.answer(Answer::status(200).first(Piece::Reset));
        assert!(later(&send(&channel, &fired()).await), "{kind} resets");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::read(&format!("http://{nobody}/")).unwrap();
    let away = send(&channel(Way::Slack(Slack { place })), &fired()).await;
    assert!(later(&away), "{away:?}");
}

#[test]
fn every_verdict_has_its_word() {
    let why = String::new;
    let all = [
        Verdict::Delivered,
        Verdict::Later { why: why(), after: None },
        Verdict::Refused { why: why() },
        Verdict::Gone { why: why() },
    ];
    assert_eq!(all.each_ref().map(Verdict::as_str), Verdict::WORDS);
}

#[tokio::test]
async fn what_is_refused_for_good_is_told_apart_from_what_passes() {
    let gone = |verdict: &Verdict| matches!(verdict, Verdict::Gone { .. });
    let refused = |verdict: &Verdict| matches!(verdict, Verdict::Refused { .. });
    let upstream = answering(Answer::status(404).whole("no_service")).await;
    assert!(gone(&send(&slack(&upstream), &fired()).await));
    upstream.answer(Answer::status(400).whole("invalid_payload"));
    assert!(refused(&send(&slack(&upstream), &fired()).await));
    upstream.answer(Answer::status(410));
    assert!(gone(&send(&webhook(&upstream), &fired()).await));
    upstream.answer(Answer::status(301).header("location", "http://127.0.0.1:1/"));
    let before = upstream.count();
    assert!(later(&send(&webhook(&upstream), &fired()).await), "a redirect is not followed");
    assert_eq!(upstream.count(), before + 1);
    upstream.answer(Answer::json(
        400,
        &serde_json::json!({"status": "invalid event", "errors": ["'payload.summary' is missing"]}),
    ));
    let verdict = send(&pagerduty(&upstream), &fired()).await;
    assert_eq!(
        verdict,
        Verdict::Refused { why: "it answers 400 'payload.summary' is missing".to_owned() }
    );
    upstream.answer(Answer::json(400, &serde_json::json!({"errors": ["Invalid routing key"]})));
    assert!(gone(&send(&pagerduty(&upstream), &fired()).await));
    upstream.answer(Answer::status(400));
    assert!(refused(&send(&alertmanager(&upstream), &fired()).await));
}

#[tokio::test]
async fn a_service_that_hangs_is_not_waited_for() {
    let upstream = answering(Answer::never()).await;
    let poster = poster().waiting(Duration::from_millis(200));
    let sending = Sending { id: "msg_1", now: at(NOW), display: &display(), poster: &poster };
    for make in [slack, webhook, pagerduty, alertmanager] {
        let verdict = make(&upstream).send(&fired(), &sending).await;
        assert_eq!(verdict.why(), Some("no answer in time"));
    }
    assert!(upstream.count() >= 4, "each was asked, and nobody answered");
}

/// What was received, as JSON.
fn body(received: &Received) -> Value {
    received.json()
}

#[tokio::test]
async fn slack_gets_figures_and_no_name_becomes_a_mention() {
    let upstream = answering(Answer::status(200).whole("ok")).await;
    send(&slack(&upstream), &evil()).await;
    let raw = String::from_utf8(upstream.last().body.to_vec()).unwrap();
    assert!(!raw.contains("<!channel>") && !raw.contains("<https"), "{raw}");
    let sent = body(&upstream.last());
    let text = sent["text"].as_str().unwrap();
    assert!(
        text.contains("$31.20 (\u{20a9}45,864)") && text.contains("&lt;!channel&gt;"),
        "{text}"
    );
    assert!(text.contains("&amp;amp;") && !text.contains('\n'), "{text}");
    assert_eq!(sent["unfurl_links"], false);
    assert_eq!(sent["attachments"][0]["blocks"][0]["text"]["type"], "mrkdwn");
    let mut many = fired();
    many.incidents = vec![many.incidents[0].clone(); 20];
    many.more = 480;
    send(&slack(&upstream), &many).await;
    let sent = body(&upstream.last());
    let blocks = sent["attachments"][0]["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 22, "a title, each of them, and how many more");
    assert!(blocks.iter().all(|it| it["text"]["text"].as_str().unwrap().chars().count() <= 3_000));
}

#[tokio::test]
async fn pagerduty_events_of_one_incident_have_one_key() {
    let upstream = answering(Answer::json(202, &serde_json::json!({"status": "success"}))).await;
    let channel = pagerduty(&upstream);
    send(&channel, &fired()).await;
    let resolved = Notice { kind: NoticeKind::Resolved, ..fired() };
    send(&channel, &resolved).await;
    let [begin, end] = &upstream.received()[..] else { panic!("two events") };
    let (begin, end) = (body(begin), body(end));
    assert_eq!(
        (&begin["event_action"], &end["event_action"]),
        (&"trigger".into(), &"resolve".into())
    );
    assert_eq!(begin["dedup_key"], end["dedup_key"]);
    assert_eq!(begin["routing_key"], "R0UT1NG");
    assert_eq!(begin["payload"]["source"], "tollgate");
    assert!(begin["payload"]["summary"].as_str().unwrap().contains("$31.20"));
    assert!(end.get("payload").is_none());
    // A key is bounded, whatever a user is called.
    let mut long = evil();
    long.incidents[0].key = "k".repeat(5_000);
    send(&channel, &long).await;
    assert!(body(&upstream.last())["dedup_key"].as_str().unwrap().len() <= 255);
    // A sample pages nobody for long.
    upstream.forget();
    send(&channel, &Notice::sample(Language::Ko, at(NOW))).await;
    let actions: Vec<Value> =
        upstream.received().iter().map(|it| body(it)["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
}

#[tokio::test]
async fn webhooks_are_signed_over_id_time_and_body_with_both_secrets() {
    let upstream = answering(Answer::status(204)).await;
    let keys = vec![
        SigningKey::read(SECRET).unwrap(),
        SigningKey::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
    ];
    let way = Webhook { place: place(&upstream, "/hook"), keys, reach: Reach::Anywhere };
    assert_eq!(send(&channel(Way::Webhook(way)), &evil()).await, Verdict::Delivered);
    let received = upstream.last();
    assert_eq!(received.header("webhook-id"), Some("msg_1"));
    assert_eq!(received.header("webhook-timestamp"), Some("1795222923"));
    assert!(received.headers.iter().all(|(name, _)| name != "x-evil"));
    let signatures: Vec<&str> = received.header("webhook-signature").unwrap().split(' ').collect();
    assert_eq!(signatures.len(), 2);
    let signed = [b"msg_1.1795222923.".as_slice(), &received.body].concat();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[0; 24]);
    let tag = aws_lc_rs::hmac::sign(&key, &signed);
    use base64::Engine as _;
    let expected = base64::engine::general_purpose::STANDARD.encode(tag);
    assert_eq!(signatures[0], format!("v1,{expected}"));
    let sent = body(&received);
    assert_eq!((&sent["type"], &sent["timestamp"]), (&"alert.fired".into(), &NOW.into()));
    assert_eq!(sent["data"]["incidents"][0]["value"], "31.200000000");
    let mut many = evil();
    many.incidents[0].subject = "x".repeat(1_000);
    many.incidents = vec![many.incidents[0].clone(); 20];
    send(&webhook(&upstream), &many).await;
    let received = upstream.last();
    assert!(received.body.len() < 20_000, "{}", received.body.len());
    assert!(body(&received)["data"]["more"].as_u64().unwrap() > 0);
    for bad in ["", "whsec_", "whsec_AAAA", "whsec_!!!!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert!(SigningKey::read(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_webhook_reaches_no_private_address_unless_that_is_meant() {
    let upstream = answering(Answer::status(200)).await;
    let keys = || vec![SigningKey::read(SECRET).unwrap()];
    let public = |place| Webhook { place, keys: keys(), reach: Reach::Public };
    let plain = send(&channel(Way::Webhook(public(place(&upstream, "/")))), &fired()).await;
    assert!(matches!(&plain, Verdict::Refused { why } if why.contains("https")), "{plain:?}");
    let port = upstream.url("").rsplit_once(':').unwrap().1.to_owned();
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"] {
        let place = Place::read(&format!("https://{host}:{port}/")).unwrap();
        let inside = send(&channel(Way::Webhook(public(place))), &fired()).await;
        assert!(
            matches!(&inside, Verdict::Refused { why } if why.contains("allow_private")),
            "{host}: {inside:?}"
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn every_member_of_an_alertmanager_cluster_is_shown_what_fires_and_what_ended() {
    let upstream = answering(Answer::status(200)).await;
    let mut notice = fired();
    notice.incidents.push(Incident {
        state: crate::incident::State::Resolved,
        ended_at: Some(at("2026-11-21T01:00:00Z")),
        by: Some(By::Model),
        ..notice.incidents[0].clone()
    });
    send(&alertmanager(&upstream), &notice).await;
    let received = upstream.received();
    let paths: Vec<&str> = received.iter().map(|it| &*it.path).collect();
    assert_eq!(paths, ["/one/api/v2/alerts", "/two/api/v2/alerts"]);
    assert_eq!(received[0].header("authorization"), Some("Bearer t0ken"));
    let sent = body(&received[0]);
    let [firing, ended] = &sent.as_array().unwrap()[..] else { panic!("two alerts") };
    assert_eq!(firing["labels"]["alertname"], "test");
    assert_eq!(firing["labels"]["user"], "alice");
    assert_eq!(firing["endsAt"], "2026-11-21T01:07:03Z");
    assert_eq!(ended["endsAt"], "2026-11-21T01:00:00Z");
    assert!(firing["annotations"]["summary"].as_str().unwrap().contains("$31.20"));
    // One member that is away is enough to try again.
    upstream.answer_with(|request| {
        Answer::status(if request.path.starts_with("/two") { 503 } else { 200 })
    });
    assert!(later(&send(&alertmanager(&upstream), &notice).await));
}

#[tokio::test]
async fn no_verdict_holds_an_address_or_a_key() {
    let upstream = answering(Answer::status(500).whole("<html>https://x/secret</html>")).await;
    for make in [slack, webhook, pagerduty, alertmanager] {
        let channel = make(&upstream);
        let verdict = send(&channel, &fired()).await;
        let told = format!("{verdict:?} {channel:?}");
        for secret in ["secret", "127.0.0.1", "R0UT1NG", "t0ken", "AAAA"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}

#[tokio::test]
async fn a_webhook_has_the_figures_of_a_budget_as_decimals() {
    let upstream = answering(Answer::status(200)).await;
    let mut notice = fired();
    let incident = &mut notice.incidents[0];
    (incident.metric, incident.value, incident.bound) = (None, 4_000_000_001, 5_000_000_000);
    incident.budget = Some(crate::Budget {
        limit: "spend".to_owned(),
        plan: None,
        scope: vec![("user".to_owned(), "alice".to_owned())],
        metric: tollgate_domain::limit::Metric::CostUsd,
        window: "day".to_owned(),
        used: 4_000_000_001,
        max: 5_000_000_000,
        step: Some(800),
    });
    let facts = |upstream: &Upstream| body(&upstream.last())["data"]["incidents"][0].clone();
    assert_eq!(send(&webhook(&upstream), &notice).await, Verdict::Delivered);
    let sent = facts(&upstream);
    let (used, max) = (Value::from("4.000000001"), Value::from("5.000000000"));
    assert_eq!((&sent["value"], &sent["bound"]), (&used, &max));
    assert_eq!((&sent["limit"]["used"], &sent["limit"]["max"]), (&used, &max));
    assert_eq!((&sent["limit"]["limit"], &sent["limit"]["step"]), (&"spend".into(), &800.into()));
    // What is counted stays a number.
    let budget = notice.incidents[0].budget.as_mut().unwrap();
    budget.metric = tollgate_domain::limit::Metric::Successes;
    assert_eq!(send(&webhook(&upstream), &notice).await, Verdict::Delivered);
    assert_eq!(facts(&upstream)["limit"]["max"], 5_000_000_000_i64);
}
