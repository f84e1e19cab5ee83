//! Who calls, beyond keys: tokens (JWT), guests, and what guests must prove.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::Ed25519KeyPair;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use tollgate_testkit::client::{Answer, Http};
use tollgate_testkit::config::Config;
use tollgate_testkit::oracle;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Gate, Piece, Reply, Upstream};
use tollgate_testkit::wait::eventually;

use crate::{SOON, oracle_config, start};

const CHAT: &str = "/v1/chat/completions";
const SECRET: &str = "a-shared-secret-for-tests-0123456789";

async fn upstream() -> Upstream {
    Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await
}

fn in_seconds(seconds: u64) -> u64 {
    get_current_timestamp() + seconds
}

/// A token of the shared secret with these claims, and others that are good.
fn shared(change: &Value) -> String {
    let mut claims = json!({"sub": "alice", "iss": "https://id.example", "aud": "tollgate",
                            "exp": in_seconds(600)});
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

/// The key pair of an issuer, under an id.
struct Issuer {
    id: &'static str,
    key: EncodingKey,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
        Self { id, key: EncodingKey::from_ed_der(der.as_ref()) }
    }

    fn token(&self, user: &str) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let claims = json!({"sub": user, "exp": in_seconds(600)});
        encode(&header, &claims, &self.key).unwrap()
    }

    fn published(&self) -> Reply {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::EdDSA).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        Reply::json(200, &json!({"keys": [jwk]}))
    }
}

fn bearer(program: &Program, credential: &str) -> Http {
    Http::new(&program.base(), credential)
}

async fn call(client: &Http) -> Answer {
    client.post(CHAT, &oracle::request(1, false)).await
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.error_code().as_str()), (status, code), "{}", answer.text());
}

/// A program that takes tokens of the shared secret, with a plan `pro` of one call.
async fn start_shared(upstream: &Upstream) -> Program {
    let few = "{ name = \"few\", metric = \"successes\", window = \"total\", max = 1 }";
    let jwt = format!(
        "[auth.jwt]\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n\
         issuer = \"https://id.example\"\naudience = \"tollgate\""
    );
    start(oracle_config(upstream).plan("pro", &[few]).section(&jwt)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_who_calls_and_on_which_plan_and_keys_go_on_working() {
    let upstream = upstream().await;
    let program = start_shared(&upstream).await;
    let token = shared(&json!({}));
    for (place, value) in [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("bearer {token}")),
        ("x-api-key", token.clone()),
        ("x-goog-api-key", token.clone()),
    ] {
        let client = Http::without_key(&program.base()).with(place, &value);
        assert_eq!(call(&client).await.status, 200, "{place}");
        assert!(
            upstream.last().headers.iter().all(|(_, value)| !value.contains(&token)),
            "{place}"
        );
    }
    assert_eq!(call(&program.client()).await.status, 200, "keys are still read");

    let pro = bearer(&program, &shared(&json!({"sub": "bob", "plan": "pro"})));
    let first = call(&pro.with("x-request-id", "bob-1")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_refused(&call(&pro).await, 429, "quota_exhausted");
    let again = bearer(&program, &shared(&json!({"sub": "bob", "plan": "pro", "jti": "2"})));
    assert_refused(&call(&again).await, 429, "quota_exhausted");
    let row = program.settled_call("bob-1").await;
    assert_eq!((&row["user"], &row["key"]), (&json!("bob"), &json!("jwt")), "{row:#}");
    for _ in 0..3 {
        let free = bearer(&program, &shared(&json!({"sub": "carol", "plan": "no-such-plan"})));
        assert_eq!(call(&free).await.status, 200, "a plan that is not known is the default one");
    }
    assert_eq!(bearer(&program, &token).get("/v1/models").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_good_is_refused_and_says_why() {
    let upstream = upstream().await;
    let program = start_shared(&upstream).await;
    let token = shared(&json!({}));
    for (change, named) in [
        (json!({"exp": in_seconds(0) - 3_600}), "expired"),
        (json!({"nbf": in_seconds(3_600)}), "not valid yet"),
        (json!({"iss": "https://evil.example"}), "issuer"),
        (json!({"aud": "another"}), "audience"),
        (json!({"sub": 7}), "user claim"),
        (json!({"sub": "guest:1.2.3.4"}), "user claim"),
    ] {
        let refused = call(&bearer(&program, &shared(&change))).await;
        assert_refused(&refused, 401, "unauthenticated");
        assert!(refused.text().contains(named), "{change}: {}", refused.text());
        assert_eq!(refused.header("x-should-retry"), "false");
    }
    let (head, rest) = token.split_once('.').unwrap();
    for bad in [
        format!("{head}.{rest}x"),
        format!("{head}."),
        format!("eyJhbGciOiJub25lIn0.{}.", rest.split_once('.').unwrap().0),
        format!("{token}.{token}"),
        "eyJ..".to_owned(),
        format!("eyJ{}..", "a".repeat(20_000)),
    ] {
        assert_refused(&call(&bearer(&program, &bad)).await, 401, "unauthenticated");
    }
    let posing = bearer(&program, &token).with("x-tollgate-user", "bob");
    assert_refused(&call(&posing).await, 403, "forbidden");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_keys_rotate_and_an_outage_of_their_issuer_locks_nobody_out() {
    let upstream = upstream().await;
    let (old, new, forger) = (Issuer::new("old"), Issuer::new("new"), Issuer::new("forged"));
    let issuer = Upstream::always(old.published()).await;
    let config = oracle_config(&upstream).section(&format!(
        "[auth.jwt]\nalgorithm = \"EdDSA\"\njwks_url = \"{}\"",
        issuer.url("/.well-known/jwks.json")
    ));
    let mut program = start(config.clone()).await;
    assert_eq!(issuer.last().path, "/.well-known/jwks.json");
    // The keys are there before the first call is.
    let alice = bearer(&program, &old.token("alice"));
    let answer = call(&alice.with("x-request-id", "alice-1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(program.settled_call("alice-1").await["user"], "alice");

    issuer.answer(new.published());
    let bob = bearer(&program, &new.token("bob"));
    assert_refused(&call(&bob).await, 401, "unauthenticated");
    eventually("the new key is fetched", Duration::from_secs(15), || async {
        let answer = call(&bob).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    assert_refused(&call(&alice).await, 401, "unauthenticated");

    issuer.answer(Reply::status(500));
    issuer.forget();
    let forged = bearer(&program, &forger.token("alice"));
    let begun = std::time::Instant::now();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        assert_refused(&call(&forged).await, 401, "unauthenticated");
        asked += 1;
    }
    assert!(asked > 20, "only {asked} calls");
    assert!((1..=3).contains(&issuer.count()), "{} fetches", issuer.count());
    assert_eq!(call(&bob).await.status, 200, "the keys that were fetched still hold");
    program.write_config(config);
    program.reload();
    eventually("the configuration is loaded again", SOON, || async {
        program.log().contains("loaded again").then_some(()).ok_or_else(|| program.log())
    })
    .await;
    assert_eq!(call(&bob).await.status, 200, "and so they do after a reload");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_could_not_be_fetched_yet_are_our_fault_and_keys_work() {
    let upstream = upstream().await;
    let issuer = Upstream::always(Reply::status(500)).await;
    let config = oracle_config(&upstream).section(&format!(
        "[auth.jwt]\nalgorithm = \"EdDSA\"\njwks_url = \"{}\"",
        issuer.url("/keys")
    ));
    let program = start(config).await;
    let key = Issuer::new("a");
    let refused = call(&bearer(&program, &key.token("alice"))).await;
    assert_refused(&refused, 503, "degraded");
    assert_eq!(call(&program.client()).await.status, 200);
    issuer.answer(key.published());
    eventually("the keys are fetched", Duration::from_secs(15), || async {
        let answer = call(&bearer(&program, &key.token("alice"))).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
}

const TRIAL: &str = "{ name = \"trial\", metric = \"successes\", window = \"total\", max = 1 }";

fn guests(upstream: &Upstream, more: &[&str]) -> Config {
    let limits: Vec<&str> = [TRIAL].into_iter().chain(more.iter().copied()).collect();
    oracle_config(upstream).auth("guests = \"guest\"").plan("guest", &limits)
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_credentials_are_refused_unless_guests_are_served() {
    let upstream = upstream().await;
    let program = start(oracle_config(&upstream)).await;
    let nobody = Http::without_key(&program.base());
    assert_refused(&call(&nobody).await, 401, "unauthenticated");
    assert_refused(&nobody.get("/v1/models").await, 401, "unauthenticated");
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_an_address_with_limits_of_its_own_beside_a_pot_for_all() {
    let upstream = upstream().await;
    let pot = "{ name = \"pot\", scope = \"global\", metric = \"requests\", window = \"total\", \
               max = 2 }";
    let program = start(guests(&upstream, &[pot])).await;
    let nobody = Http::without_key(&program.base());
    let at = |address: &str| nobody.with("x-forwarded-for", address);
    let first = call(&at("1.2.3.4").with("x-request-id", "guest-1")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let row = program.settled_call("guest-1").await;
    assert_eq!((&row["user"], &row["key"]), (&json!("guest:1.2.3.4"), &json!("guest")), "{row:#}");
    let limit = |answer: &Answer| {
        assert_refused(answer, 429, "quota_exhausted");
        answer.json()["error"]["limit"]["name"].clone()
    };
    assert_eq!(limit(&call(&at("1.2.3.4")).await), "trial");
    // One subscriber holds a whole /64.
    assert_eq!(call(&at("2001:db8::1")).await.status, 200);
    assert_eq!(limit(&call(&at("2001:db8::ffff:9")).await), "trial");
    assert_eq!(limit(&call(&at("5.6.7.8")).await), "pot");
    assert_eq!(call(&program.client()).await.status, 200, "the pot is that of guests alone");
    assert_eq!(at("9.9.9.9").get("/v1/models").await.status, 200);

    // A credential that is not good makes nobody a guest.
    for (name, value) in [
        ("authorization", "Basic dXNlcjpwYXNz"),
        ("authorization", "Bearer "),
        ("authorization", ""),
        ("authorization", "Bearer tg_wrong"),
        ("x-api-key", ""),
    ] {
        let answer = call(&at("6.6.6.6").with(name, value)).await;
        assert_refused(&answer, 401, "unauthenticated");
    }
    assert_refused(&call(&at("6.6.6.6").with("x-tollgate-user", "alice")).await, 403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_address_from_an_untrusted_peer_changes_nothing() {
    let upstream = upstream().await;
    let config = guests(&upstream, &[])
        .server("trusted_proxies = [\"10.0.0.0/8\"]")
        .server("hash_addresses = true");
    let program = start(config).await;
    let nobody = Http::without_key(&program.base());
    let first = call(&nobody.with("x-forwarded-for", "1.1.1.1").with("x-request-id", "g")).await;
    assert_eq!(first.status, 200, "{}", first.text());
    for (name, value) in
        [("x-forwarded-for", "2.2.2.2"), ("forwarded", "for=3.3.3.3"), ("x-real-ip", "4.4.4.4")]
    {
        assert_refused(&call(&nobody.with(name, value)).await, 429, "quota_exhausted");
    }
    // Where addresses are kept as digests, the name of a guest does not give them away.
    let row = program.settled_call("g").await;
    let user = row["user"].as_str().unwrap();
    assert!(user.starts_with("guest:") && user.len() == "guest:".len() + 16, "{user}");
    assert!(!row.to_string().contains("127.0.0.1"), "{row:#}");
}

/// Guests who must prove something, to a verifier at `verifier`.
fn proving(upstream: &Upstream, verifier: &Upstream) -> Config {
    oracle_config(upstream).auth("guests = \"guest\"").plan("guest", &[]).section(&format!(
        "[auth.captcha]\nprovider = \"turnstile\"\nsecret = \"shh & more\"\nverify_url = \"{}\"",
        verifier.url("/siteverify")
    ))
}

/// A verifier that takes each token that begins with `good` once, as the services do.
async fn verifier() -> Upstream {
    let used = std::sync::Mutex::new(std::collections::HashSet::new());
    Upstream::start(move |request| {
        let form = String::from_utf8(request.body.to_vec()).unwrap();
        let token = form.rsplit_once("response=").unwrap().1;
        let good = token.starts_with("good") && used.lock().unwrap().insert(token.to_owned());
        let errors = if good { vec![] } else { vec!["timeout-or-duplicate"] };
        Reply::json(200, &json!({"success": good, "error-codes": errors}))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_who_must_prove_something_is_asked_once_and_passes_from_its_own_address_only() {
    let (upstream, verifier) = (upstream().await, verifier().await);
    let config = proving(&upstream, &verifier);
    let mut program = start(config.clone()).await;
    let nobody = Http::without_key(&program.base()).with("x-forwarded-for", "1.2.3.4");
    let with = |token: &str| nobody.with("x-captcha-token", token);
    let refused = call(&nobody).await;
    assert_refused(&refused, 403, "guest_forbidden");
    assert!(refused.text().contains("x-captcha-token"), "{}", refused.text());
    assert_eq!((upstream.count(), verifier.count()), (0, 0));
    for path in ["/v1/models", "/v1/models/oracle-1", "/api/quota", "/api/billing"] {
        assert_refused(&nobody.get(path).await, 403, "guest_forbidden");
    }
    for path in ["/api/reservations", "/api/usage"] {
        assert_refused(&nobody.post(path, &json!({})).await, 403, "guest_forbidden");
    }

    assert_eq!(call(&with("good+1")).await.status, 200);
    assert_eq!(with("good+1").get("/v1/models").await.status, 200);
    let event = with("good+1").post("/api/usage", &json!({})).await;
    assert_refused(&event, 403, "forbidden");
    let asked = verifier.last();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/siteverify"));
    assert_eq!(asked.body, "secret=shh%20%26%20more&response=good%2B1");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(upstream.last().header("x-captcha-token"), None, "the token is ours, not theirs");
    assert_eq!(call(&with("good+1")).await.status, 200);
    assert_eq!(verifier.count(), 1, "a token is verified once and is then a pass");
    let elsewhere = with("good+1").with("x-forwarded-for", "5.6.7.8");
    assert_refused(&call(&elsewhere).await, 403, "guest_forbidden");

    for _ in 0..2 {
        assert_refused(&call(&with("bad")).await, 403, "guest_forbidden");
    }
    assert_eq!(verifier.count(), 2, "nor is a bad token asked about again");
    assert_refused(&call(&with(&"x".repeat(5_000))).await, 403, "guest_forbidden");
    assert_eq!(call(&program.client()).await.status, 200, "who has a key proves nothing more");
    assert_eq!(verifier.count(), 2);

    program.write_config(config.plan("new", &[]));
    program.reload();
    eventually("the configuration is loaded again", SOON, || async {
        program.log().contains("loaded again").then_some(()).ok_or_else(|| program.log())
    })
    .await;
    assert_eq!(call(&with("good+1")).await.status, 200, "a reload takes no pass away");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_one_token_at_the_same_time_ask_about_it_once() {
    let upstream = upstream().await;
    let gate = Gate::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let (held, count) = (gate.clone(), Arc::clone(&asked));
    let verifier = Upstream::start(move |_| {
        let first = count.fetch_add(1, Ordering::AcqRel) == 0;
        Reply::json(200, &json!({"success": first})).first(Piece::Gate(held.clone()))
    })
    .await;
    let program = start(proving(&upstream, &verifier)).await;
    let client = Http::without_key(&program.base()).with("x-captcha-token", "one");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        calls.spawn(async move { call(&client).await.status });
    }
    tokio::time::timeout(SOON, gate.reached()).await.expect("the verifier was not asked");
    tokio::time::sleep(Duration::from_millis(200)).await;
    gate.open();
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(asked.load(Ordering::Acquire), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_verifier_is_out_no_guest_is_served_and_everybody_else_is() {
    let upstream = upstream().await;
    let wrong_secret = json!({"success": false, "error-codes": ["invalid-input-secret"]});
    let verifier = Upstream::always(Reply::status(500)).await;
    let program = start(proving(&upstream, &verifier)).await;
    let guest = Http::without_key(&program.base()).with("x-captcha-token", "good");
    for outage in [
        Reply::status(500),
        Reply::json(200, &json!({"success": "yes"})),
        Reply::status(200).whole("<html>"),
        Reply::garbage("nonsense\r\n\r\n"),
        Reply::json(200, &wrong_secret),
    ] {
        verifier.answer(outage);
        assert_refused(&call(&guest).await, 503, "degraded");
        assert_eq!(call(&program.client()).await.status, 200);
    }
    assert_eq!(upstream.count(), 5, "no guest has cost anything");
    verifier.answer(Reply::json(200, &json!({"success": true})));
    assert_eq!(call(&guest).await.status, 200, "an outage is held against nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_that_is_stated_must_be_high_enough() {
    let upstream = upstream().await;
    for (score, status) in
        [(json!(0.3), 403), (json!(0.49), 403), (json!(0.5), 200), (json!(1), 200)]
    {
        let answer = json!({"success": true, "score": score, "hostname": "h"});
        let verifier = Upstream::always(Reply::json(200, &answer)).await;
        let program = start(proving(&upstream, &verifier)).await;
        let guest = Http::without_key(&program.base()).with("x-captcha-token", "t");
        assert_eq!(call(&guest).await.status, status, "{score}");
    }
}
