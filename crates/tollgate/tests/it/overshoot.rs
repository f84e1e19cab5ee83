//! A budget that affords exactly so many calls, attacked by many callers at once: never is more
//! served, never is more spent. `scripts/overshoot` prints the table.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate_testkit::config::Config;
use tollgate_testkit::program::Program;
use tollgate_testkit::upstream::{Received, Reply, Upstream};

use crate::binary;

const CHAT: &str = "/v1/chat/completions";
/// How many calls the budget affords.
const AFFORDED: u64 = 20;
/// Output tokens of a call; nothing else costs anything.
const OUTPUT: u64 = 100;
/// Nano-dollars for an output token: 10 USD a million, and a tenth of that for the cheaper model.
const DEAR: u64 = 10_000;
const CHEAP: u64 = 1_000;
const KEYS: usize = 3;

/// One attack.
#[derive(Clone, Copy, Debug)]
struct Attack {
    on_limit: &'static str,
    callers: usize,
    stream: bool,
    /// Percent of the upstream's answers that are errors.
    failures: u64,
    /// Whether the program is killed in the middle and started again.
    kill: bool,
}

/// What came of it, by the upstream's own tally.
#[derive(Clone, Copy, Debug)]
struct Tally {
    served: u64,
    spent: u64,
    refused: u64,
    in_doubt: u64,
}

/// What the provider was asked for and answered, in its own books.
#[derive(Default)]
struct Books {
    served: AtomicU64,
    spent: AtomicU64,
}

fn answer(request: &Received, books: &Books, failures: u64) -> Reply {
    let body = request.json();
    if u64::try_from(request.seq).unwrap() * 37 % 100 < failures {
        return Reply::json(500, &json!({"error": {"message": "no", "type": "server_error"}}));
    }
    let asked = body["max_completion_tokens"].as_u64().or_else(|| body["max_tokens"].as_u64());
    let output = OUTPUT.min(asked.unwrap_or(OUTPUT));
    let rate = if body["model"] == "dear" { DEAR } else { CHEAP };
    books.served.fetch_add(1, Ordering::SeqCst);
    books.spent.fetch_add(output * rate, Ordering::SeqCst);
    let usage =
        json!({"prompt_tokens": 5, "completion_tokens": output, "total_tokens": 5 + output});
    if body["stream"] == true {
        let delta = |delta: Value, end: Value| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": end});
            chunk(&body["model"], &json!([choice]), &Value::Null)
        };
        Reply::events([
            delta(json!({"role": "assistant", "content": "ok"}), Value::Null),
            delta(json!({}), json!("stop")),
            chunk(&body["model"], &json!([]), &usage),
            "data: [DONE]\n\n".to_owned(),
        ])
    } else {
        let choice = json!({"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "ok"}});
        let answer = json!({"id": "c", "object": "chat.completion", "created": 1,
            "model": body["model"], "choices": [choice], "usage": usage});
        Reply::json(200, &answer)
    }
}

fn chunk(model: &Value, choices: &Value, usage: &Value) -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1,
        "model": model, "choices": choices, "usage": usage});
    format!("data: {chunk}\n\n")
}

fn config(upstream: &Upstream, on_limit: &str) -> Config {
    let budget = format!("0.{:09}", AFFORDED * OUTPUT * DEAR);
    let limit = format!(
        "{{ name = \"budget\", metric = \"cost_usd\", window = \"total\", max = {budget}, \
         on_limit = \"{on_limit}\" }}"
    );
    let free = [("input", "0.00"), ("output", "10.00")];
    let mut config = Config::new()
        .provider("up", "openai", &upstream.url("/v1"))
        .model("dear", "up", "dear")
        .model("cheap", "up", "cheap")
        .price("up", "dear", &free)
        .price("up", "cheap", &[("input", "0.00"), ("output", "1.00")])
        .plan("budgeted", &[&limit])
        .default_plan("budgeted");
    for index in 0..KEYS {
        config = config.section(&format!(
            "[[auth.keys]]\nname = \"k{index}\"\nkey = \"{}\"\nuser = \"victim\"",
            key(index)
        ));
    }
    config
}

fn key(index: usize) -> String {
    format!("tg_overshoot_key_of_the_victim_{index}")
}

async fn run(attack: Attack) -> Tally {
    let books = Arc::new(Books::default());
    let (theirs, failures) = (Arc::clone(&books), attack.failures);
    let upstream = Upstream::start(move |request| answer(request, &theirs, failures)).await;
    let mut program = Program::start(&binary(), config(&upstream, attack.on_limit)).await;
    let refused = Arc::new(AtomicU64::new(0));
    if attack.kill {
        let first = send_all(&program, attack, &refused);
        tokio::time::sleep(Duration::from_millis(40)).await;
        program.kill9();
        first.await;
        program.restart().await;
    }
    send_all(&program, attack, &refused).await;
    let in_doubt = program.calls().iter().filter(|row| row["outcome"] == "in_doubt").count();
    Tally {
        served: books.served.load(Ordering::SeqCst),
        spent: books.spent.load(Ordering::SeqCst),
        refused: refused.load(Ordering::SeqCst),
        in_doubt: u64::try_from(in_doubt).unwrap(),
    }
}

/// All callers send until three times the affordable number has been sent, or once each.
fn send_all(
    program: &Program,
    attack: Attack,
    refused: &Arc<AtomicU64>,
) -> impl Future<Output = ()> + use<> {
    let total = attack.callers.max(usize::try_from(AFFORDED).unwrap() * 3);
    let sent = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..attack.callers {
        let client =
            program.client().with("authorization", &format!("Bearer {}", key(caller % KEYS)));
        let (sent, refused) = (Arc::clone(&sent), Arc::clone(refused));
        callers.spawn(async move {
            let body = json!({"model": "dear", "stream": attack.stream, "max_tokens": OUTPUT,
                "messages": [{"role": "user", "content": "x"}]});
            let body = serde_json::to_vec(&body).unwrap();
            while sent.fetch_add(1, Ordering::SeqCst) < total {
                let answer = client.send(http::Method::POST, CHAT, body.clone().into()).await;
                if answer.is_ok_and(|answer| answer.status == 429) {
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    async move { while callers.join_next().await.is_some() {} }
}

/// Asserts that nothing beyond the budget was served or spent.
fn assert_within(attack: Attack, tally: Tally) {
    let budget = AFFORDED * OUTPUT * DEAR;
    assert!(tally.spent <= budget, "{attack:?}: {tally:?}, the budget is {budget}");
    if attack.on_limit == "deny" {
        assert!(tally.served <= AFFORDED, "{attack:?}: {tally:?}");
    }
    // Where nothing was lost on the way, everything that the budget affords was served.
    if attack.on_limit == "deny" && attack.failures == 0 && !attack.kill {
        assert_eq!(tally.served, AFFORDED, "{attack:?}: {tally:?}");
    }
    assert!(tally.refused > 0, "{attack:?}: {tally:?}");
}

fn attacks() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for on_limit in ["deny", "clamp", "downgrade:cheap"] {
        for callers in [1, 10, 100, 1_000] {
            for stream in [false, true] {
                attacks.push(Attack { on_limit, callers, stream, failures: 0, kill: false });
            }
        }
        attacks.push(Attack { on_limit, callers: 100, stream: true, failures: 0, kill: true });
        attacks.push(Attack { on_limit, callers: 100, stream: false, failures: 30, kill: false });
    }
    attacks
}

#[tokio::test(flavor = "multi_thread")]
async fn no_budget_is_overshot_by_any_number_of_callers() {
    println!(
        "| at the limit | callers | stream | failing | killed | afforded | served | overshoot | refused | in doubt |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for attack in attacks() {
        let tally = run(attack).await;
        let over = tally.spent.saturating_sub(AFFORDED * OUTPUT * DEAR);
        let Attack { on_limit, callers, stream, failures, kill } = attack;
        println!(
            "| {on_limit} | {callers} | {stream} | {failures} % | {kill} | {AFFORDED} | {} | {over} | {} | {} |",
            tally.served, tally.refused, tally.in_doubt
        );
        assert_within(attack, tally);
    }
}
