//! What `check` prints: words, no secrets, refusals first.

use super::*;

const EXAMPLE: &str = include_str!("../../../../../tollgate.example.toml");

fn secrets(name: &str) -> Option<String> {
    match name {
        "SENTRY_DSN" => None,
        "SLACK_WEBHOOK_URL" => Some("https://hooks.slack.com/hunter2/0123456789".to_owned()),
        name => Some(format!("sk-hunter2-{name}-0123456789abcdef-wxyz")),
    }
}

#[test]
fn no_secret_is_printed_and_a_long_one_can_be_told_by_its_end() {
    let config = Config::parse("t", EXAMPLE, &secrets).unwrap();
    for format in [Format::Table, Format::Json] {
        let rows = serde_json::to_string(&rows(&config, format)).unwrap();
        let printed = format!("{rows}{:?}", remarks(&config));
        assert!(!printed.contains("hunter2") && !printed.contains("0123456789"), "{printed}");
        assert!(printed.contains("sk-\u{2026}wxyz"), "{printed}");
    }
}

#[test]
fn what_is_in_force_is_said_in_words() {
    let config = Config::parse("t", EXAMPLE, &|_: &str| None).unwrap();
    let facts: Vec<String> = facts(&config)
        .into_iter()
        .map(|fact| format!("{} | {} | {}", fact.section, fact.name, fact.value))
        .collect();
    for line in [
        "server | listen | 127.0.0.1:8080",
        "server | admin_key | set",
        "storage | url | sqlite://./tollgate.db",
        "keys | backend | service, acts for the user it names; key set",
        "providers | openai | openai at https://api.openai.com/v1, no key; 3 attempts, 10m in all",
        "providers | sim | simulated: 200ms to the first byte, 8 chunks 10ms apart, error rate 0.0",
        "models | gpt-4o-mini | openai/gpt-4o-mini, then deepseek-chat; 4096 output tokens assumed",
        "models | cheap | cheapest of deepseek/deepseek-chat, openai/gpt-4o-mini",
        "plan free | burst | at most 10 calls per user in any 60s, else refused",
        "plan free | parallel | at most 3 calls at a time per user, else refused",
        "plan free | daily | at most 10 successful calls per user a day (Asia/Seoul), else refused",
        "plan premium | spend | at most 5.00 USD per user in the last 30 days, else the answer is shortened; warns at 80 %",
        "plan admin | - | no limits",
        "limits | company | at most 100.00 USD for everybody together a day (Asia/Seoul), else refused; warns at 50, 80, 100 %",
        "sinks | elasticsearch | elasticsearch at 127.0.0.1:9200, not used",
        "sentry | dsn | none: nothing is reported",
        "alerts.rules | runaway-user | cost_usd{by=user,window=1h} > 15 * baseline",
        "alerts.rules | store-degraded | store_degraded > 0",
        "prices | sim/sim-large | input 1.00, output 2.00, cached_input 0.10",
    ] {
        assert!(facts.iter().any(|fact| fact == line), "{line}\nnot in\n{}", facts.join("\n"));
    }
}

#[test]
fn what_would_be_refused_at_a_start_is_told_first() {
    let text = "[storage]\nurl = \"postgres://u:hunter2@h/d\"\n[cache]\n";
    let config = Config::parse("t", text, &|_: &str| None).unwrap();
    assert_eq!(refusals(&config), 1);
    let told = remarks(&config);
    assert!(told[0].starts_with("refused: line 2: storage.url: PostgreSQL"), "{told:?}");
    assert!(!format!("{:?}", rows(&config, Format::Json)).contains("hunter2"));
}
