//! Tests of the whole configuration: the example, every mistake, every key, mutilated files.

mod every_key;
mod mistakes;
mod mutilated;

use std::time::Duration;

use secrecy::ExposeSecret as _;
use tollgate_admission::identity::{OnDisconnect, Role};
use tollgate_domain::limit::{Mode, OnLimit, Scope, Window};

use super::*;

/// The example of the repository, which documents every key by use.
const EXAMPLE: &str = include_str!("../../../../tollgate.example.toml");

/// An environment without variables.
fn nothing(_: &str) -> Option<String> {
    None
}

fn example() -> Config {
    Config::parse("tollgate.example.toml", EXAMPLE, &nothing).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn the_example_loads_as_it_stands() {
    let config = example();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.max_body, 20 << 20);
    assert_eq!(config.server.timezone.iana_name(), Some("Asia/Seoul"));
    assert!(
        matches!(&config.storage.url, StorageUrl::Sqlite(path) if path.ends_with("tollgate.db"))
    );
    assert_eq!(config.storage.commit, Commit::BeforeResponse);
    assert!(matches!(config.counters.url, CountersUrl::Memory));
    assert_eq!(config.auth.guests, None);
    let [backend] = config.auth.keys.as_slice() else { panic!("{:?}", config.auth.keys) };
    assert_eq!(
        (&*backend.name, backend.role, &*backend.user),
        ("backend", Role::Service, "backend")
    );
    assert_eq!(config.providers.len(), 6);
    let openai = &config.providers["openai"];
    assert!(openai.api_key.is_none(), "`unset` is no key");
    assert_eq!(openai.timeout.total, Duration::from_mins(10));
    assert_eq!(openai.breaker.error_rate.per_mille(), Some(500));
    assert_eq!(config.providers["sim"].simulated.unwrap().latency, Duration::from_millis(200));
    assert_eq!(config.models["cheap"].route, Route::Cheapest);
    assert_eq!(config.models["gpt-4o-mini"].max_output_tokens, Some(4096));
    assert_eq!(config.plans.len(), 4);
    assert_eq!(config.display.usd_rate.as_ref(), "1470.0");
    assert_eq!(config.jobs.purge.unwrap().keep_calls, Duration::from_hours(90 * 24));
    assert!(config.kill_switch.is_none());
}

#[test]
fn limits_of_the_example_become_the_domains_integers() {
    let config = example();
    let limit = |plan: &str, name: &str| {
        let limits = &config.plans[plan].limits;
        Arc::clone(limits.iter().find(|limit| &*limit.name == name).unwrap())
    };
    let burst = limit("free", "burst");
    assert_eq!((burst.window, burst.max), (Window::Sliding { millis: 60_000 }, Some(10)));
    assert_eq!((burst.scope.as_slice(), burst.mode), (&[Scope::User][..], Mode::Enforce));
    assert_eq!(limit("free", "parallel").window, Window::Now);
    let spend = limit("premium", "spend");
    assert_eq!((spend.window, spend.max), (Window::Rolling { days: 30 }, Some(5_000_000_000)));
    assert_eq!((spend.on_limit.clone(), spend.warn_at.as_slice()), (OnLimit::Clamp, &[800][..]));
    assert_eq!(spend.zone.iana_name(), Some("Asia/Seoul"));
    assert!(spend.models.is_empty() && spend.providers.is_empty());
    let company = config.limits.iter().find(|limit| &*limit.name == "company").unwrap();
    assert_eq!(
        (company.max, company.warn_at.as_slice()),
        (Some(100_000_000_000), &[500, 800, 1000][..])
    );
}

#[test]
fn prices_keep_the_decimals_that_were_written() {
    let config = example();
    let sim = config.prices.iter().find(|price| &*price.provider == "sim").unwrap();
    assert_eq!(
        (&*sim.model, config.line_of("prices.\"sim/sim-large\"")),
        ("sim-large", Some(sim.line))
    );
    let rates: Vec<_> = sim.rates.iter().map(|(key, rate)| (*key, rate.as_str())).collect();
    assert_eq!(rates, [("input", "1.00"), ("output", "2.00"), ("cached_input", "0.10")]);
}

#[test]
fn every_price_key_of_the_domain_is_a_key_of_the_configuration() {
    let mut ours: Vec<_> = schema::PRICE.keys.iter().map(|key| key.name).collect();
    let mut domains: Vec<_> = tollgate_domain::price::Override::keys().collect();
    ours.sort_unstable();
    domains.sort_unstable();
    assert_eq!(ours, domains);
}

#[test]
fn what_the_example_switches_on_and_is_not_served_is_noted_and_nothing_is_refused() {
    let config = example();
    let unserved = config.unserved();
    assert!(unserved.iter().all(|it| it.severity == Severity::Note), "{unserved:?}");
    let silent = [
        "jobs.purge",
        "jobs.daily_report",
        "logs.sinks[0]",
        "sentry.dsn",
        "alerts.channels.ops",
        "billing.stripe",
    ];
    assert!(unserved.iter().all(|it| !silent.contains(&it.key.as_str())), "{unserved:?}");
}

#[test]
fn storage_and_counters_that_are_not_served_refuse() {
    for (text, key) in [
        ("[storage]\nurl = \"postgres://u:hunter2-secret@h/d\"", "storage.url"),
        ("[counters]\nurl = \"redis://:hunter2-secret@h:6379\"", "counters.url"),
        ("[counters]\nurl = \"redis-cluster://h:7000,h:7001\"", "counters.url"),
    ] {
        let config = Config::parse("t", text, &nothing).unwrap();
        let [first, ..] = &config.unserved()[..] else { panic!("{text}") };
        assert_eq!(
            (first.severity, first.key.as_str(), first.line),
            (Severity::Refuse, key, Some(2))
        );
        assert!(!format!("{config:?}").contains("hunter2"), "{text}");
    }
}

#[test]
fn secrets_appear_in_no_debug_output_and_no_message() {
    let set = |name: &str| Some(format!("hunter2-{name}\u{7}"));
    let errors = Config::parse("t", EXAMPLE, &set).unwrap_err();
    assert!(errors.problems().len() >= 8, "control characters in secrets are refused: {errors}");
    assert!(!format!("{errors} {errors:?}").contains("hunter2"));
    let set = |name: &str| match name {
        "SENTRY_DSN" => None,
        "SLACK_WEBHOOK_URL" => Some("https://hooks.slack.com/services/hunter2".to_owned()),
        name => Some(format!("hunter2-{name}")),
    };
    let config = Config::parse("t", EXAMPLE, &set).unwrap();
    assert_eq!(config.auth.keys[0].key.expose_secret(), "hunter2-BACKEND_KEY");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(config.alerts.channels.len(), 1);
    let set = |name: &str| Some(format!("hunter2-{name}"));
    let errors = Config::parse("t", EXAMPLE, &set).unwrap_err();
    assert!(!format!("{errors}").contains("hunter2"), "an address that is none is not repeated");
}

#[test]
fn variables_fill_any_form_of_value() {
    let set = |name: &str| {
        let value = match name {
            "PORT" => "9000",
            "MAX" => "12",
            "SPEND" => "0.10",
            "ON" => "false",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let text = r#"
        [server]
        listen = "127.0.0.1:${PORT}"
        admin_listen = "127.0.0.1:${ADMIN_PORT:-9001}"
        [auth]
        auto_register = "${ON}"
        [plans.free]
        limits = [
          { name = "a", metric = "requests", window = "day", max = "${MAX}" },
          { name = "b", metric = "cost_usd", window = "day", max = "${SPEND}" },
          { name = "c", metric = "tokens", window = "day", max = "unlimited" },
        ]
    "#;
    let config = Config::parse("t", text, &set).unwrap();
    assert_eq!((config.server.listen.port(), config.server.admin_listen.port()), (9000, 9001));
    assert!(!config.auth.auto_register);
    let max: Vec<_> = config.plans["free"].limits.iter().map(|limit| limit.max).collect();
    assert_eq!(max, [Some(12), Some(100_000_000), None]);
}

#[test]
fn a_file_lies_over_its_preset() {
    let text = r#"
        preset = "diary"
        [plans.free]
        timezone = "UTC"
        limits = [{ name = "daily", metric = "successes", window = "day", max = 2 }]
        [limits.per_ip]
        scope = "ip"
        metric = "requests"
        window = "sliding 60s"
        max = 7
    "#;
    let config = Config::parse("t", text, &nothing).unwrap();
    assert_eq!(config.preset, Some("diary"));
    assert_eq!((&*config.auth.default_plan, config.plans.len()), ("free", 3));
    assert_eq!(config.plans["free"].limits.len(), 1);
    assert_eq!(config.plans["free"].limits[0].zone.iana_name(), Some("UTC"));
    assert_eq!(config.plans["premium"].limits[2].zone.iana_name(), Some("Asia/Seoul"));
    let [per_ip] = &config.limits[..] else { panic!("{:?}", config.limits) };
    assert_eq!(per_ip.max, Some(7));
}

#[test]
fn an_empty_file_is_a_configuration_whose_default_plan_has_no_limits() {
    let config = Config::parse("t", "", &nothing).unwrap();
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.server.admin_listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.server.on_disconnect, OnDisconnect::Drain);
    assert!(config.plans["free"].limits.is_empty());
    assert!(config.cache.is_none() && config.duplicates.is_none() && config.auth.jwt.is_none());
    let cautions: Vec<_> = config.cautions().into_iter().map(|caution| caution.key).collect();
    assert_eq!(cautions, ["providers", "auth.keys", "plans"]);
}

#[test]
fn sample_secrets_and_doors_that_stand_open_are_told() {
    let config = example();
    let told: Vec<_> = config.cautions().into_iter().map(|caution| caution.key).collect();
    for key in ["server.admin_key", "auth.jwt.secret", "auth.keys[0].key", "providers.openai"] {
        assert!(told.iter().any(|it| it == key), "{key} in {told:?}");
    }
    let text = "[server]\nadmin_listen = \"0.0.0.0:8081\"";
    let config = Config::parse("t", text, &nothing).unwrap();
    let caution = config.cautions().remove(0);
    assert_eq!((caution.key.as_str(), caution.line), ("server.admin_listen", Some(2)));
}

#[test]
fn a_limit_that_reaches_back_further_than_calls_are_kept_is_told() {
    for (scope, window, told) in [
        ("ip", "month", true),
        ("ip", "day", false),
        ("user", "month", false),
        ("session", "total", true),
    ] {
        let text = format!(
            "[jobs]\npurge = {{ keep_calls = \"7d\" }}\n[limits.l]\nscope = \"{scope}\"\n\
             metric = \"requests\"\nwindow = \"{window}\"\nmax = 5"
        );
        let cautions = Config::parse("t", &text, &nothing).unwrap().cautions();
        let found = cautions.iter().find(|caution| caution.key == "jobs.purge.keep_calls");
        assert_eq!(found.is_some(), told, "{scope} {window}: {cautions:?}");
        assert!(found.is_none_or(|caution| caution.line == Some(2)), "{found:?}");
    }
}

#[test]
fn limits_of_keys_and_windows_that_carry_over_are_told_as_well() {
    let told = |text: &str| {
        let text = format!("[jobs]\npurge = {{ keep_calls = \"7d\" }}\n{text}");
        let cautions = Config::parse("t", &text, &nothing).unwrap().cautions();
        cautions.iter().any(|caution| caution.key == "jobs.purge.keep_calls")
    };
    let key = |window: &str| {
        format!(
            "[[auth.keys]]\nname = \"k\"\nkey = \"tg_0123456789abcdefghij\"\nuser = \"u\"\nlimits = \
             [{{ name = \"l\", scope = [\"key\", \"ip\"], metric = \"requests\", window = \"{window}\", max = 5 }}]"
        )
    };
    assert!(told(&key("month")) && !told(&key("day")));
    let carried = |rollover: &str| {
        format!(
            "[limits.l]\nscope = \"ip\"\nmetric = \"requests\"\nwindow = \"day\"\nmax = 5\n{rollover}"
        )
    };
    assert!(told(&carried("rollover = 0.5")) && !told(&carried("")));
}

#[test]
fn a_rule_about_what_is_usual_needs_a_floor_and_a_past_that_is_kept() {
    let wrong = |when: &str, floor: &str| {
        let text = format!("[[alerts.rules]]\nname = \"own\"\nwhen = \"{when}\"\n{floor}");
        Config::parse("t", &text, &nothing).err().map(|error| error.to_string())
    };
    let usual = "cost_usd{by=user,window=1h} > 15 * baseline";
    assert_eq!(wrong(usual, "floor = 0.20"), None);
    for (floor, line) in [("", "3"), ("floor = 0", "4")] {
        let error = wrong(usual, floor).unwrap();
        assert!(error.contains("floor") && error.contains(&format!(":{line}")), "{error}");
    }
    assert_eq!(wrong("cost_usd{by=user,window=1h} > 15", ""), None);
    for only in ["model=gpt-*", "ip=10.0.0.1"] {
        let of = |bound: &str| format!("cost_usd{{by=user,window=1h,{only}}} > {bound}");
        let error = wrong(&of("15 * baseline"), "floor = 0.20").unwrap();
        assert!(error.contains(only) && error.contains(":3"), "{error}");
        assert_eq!(wrong(&of("15"), ""), None, "{only}");
    }
    assert_eq!(wrong("calls{by=user,window=1h,model=m} > 15 * baseline", "floor = 2"), None);
    let address = wrong("calls{by=ip,window=1h,model=m} > 15 * baseline", "floor = 2").unwrap();
    assert!(address.contains("model=m"), "{address}");
}

#[test]
fn guests_may_have_a_plan_with_a_pot_for_all_and_a_captcha() {
    let text = r#"
        [auth]
        default_plan = "free"
        guests = "guest"
        [auth.captcha]
        provider = "hcaptcha"
        secret = "0x0000000000000000000000000000000000000000"
        [plans.free]
        limits = []
        [plans.guest]
        limits = [
          { name = "trial", metric = "successes", window = "total", max = 1 },
          { name = "pot", scope = "global", metric = "cost_usd", window = "day", max = 1.00 },
        ]
    "#;
    let config = Config::parse("t", text, &nothing).unwrap();
    assert!(config.unserved().is_empty());
    assert_eq!(config.auth.guests.as_deref(), Some("guest"));
    let [trial, pot] = &config.plans["guest"].limits[..] else { panic!() };
    assert_eq!((&trial.scope[..], trial.max), (&[Scope::User][..], Some(1)));
    assert_eq!((&pot.scope[..], pot.max), (&[Scope::Global][..], Some(1_000_000_000)));
    let captcha = config.auth.captcha.as_ref().unwrap();
    assert_eq!(captcha.provider, CaptchaProvider::Hcaptcha);
    assert_eq!(captcha.verify_url, "https://api.hcaptcha.com/siteverify");
    assert_eq!(captcha.header.as_str(), "x-captcha-token");
    assert_eq!(captcha.pass_for, Duration::from_mins(10));
    let told = |text: &str| {
        let cautions = Config::parse("t", text, &nothing).unwrap().cautions();
        cautions.into_iter().map(|caution| caution.key).collect::<Vec<_>>()
    };
    assert!(!told(text).contains(&"auth.captcha".to_owned()));
    let open = text.replace("guests = \"guest\"", "").replace(
        "provider = \"hcaptcha\"",
        "provider = \"recaptcha\"\nverify_url = \"http://h/v\"",
    );
    for key in ["auth.captcha", "auth.captcha.verify_url"] {
        assert!(told(&open).contains(&key.to_owned()), "{key}");
    }
}

#[test]
fn limits_take_every_scope_filter_and_response() {
    let text = r#"
        [providers.sim]
        kind = "simulated"
        [models.small]
        targets = [{ provider = "sim" }]
        [plans.free]
        on_disconnect = "abort"
        limits = [
          { name = "a", scope = ["model", "user", "user"], metric = "tokens", window = "rolling 7d", max = 9, on_limit = "downgrade:small", models = ["gpt-*"], providers = ["sim"], mode = "shadow" },
          { name = "b", scope = "session", metric = "cost_usd", window = "total", max = 0 },
          { name = "c", metric = "cost_usd", window = "balance" },
          { name = "d", metric = "successes", window = "week", max = 4, rollover = 0.5, feature = "chat" },
        ]
    "#;
    let config = Config::parse("t", text, &nothing).unwrap();
    let [a, b, c, d] = &config.plans["free"].limits[..] else { panic!() };
    assert_eq!((&a.scope[..], a.mode), (&[Scope::User, Scope::Model][..], Mode::Shadow));
    assert_eq!(a.on_limit, OnLimit::Downgrade("small".into()));
    assert_eq!((a.models.len(), a.providers.len()), (1, 1));
    assert_eq!((b.max, &b.scope[..]), (Some(0), &[Scope::Session][..]));
    assert_eq!((c.max, c.window), (Some(0), Window::Balance));
    assert_eq!((d.rollover, d.feature.as_deref()), (500, Some("chat")));
    assert_eq!(config.plan_disconnects["free"], OnDisconnect::Abort);
    let target = &config.models["small"].targets[0];
    assert_eq!(
        (&*target.model, target.weight),
        ("small", 1),
        "the public name where none is given"
    );
}

#[test]
fn prices_of_the_environment_are_taken_and_bad_ones_refused() {
    struct Fixed(&'static str);
    impl Environment for Fixed {
        fn get(&self, _: &str) -> Option<String> {
            None
        }

        fn all(&self) -> Vec<(String, String)> {
            vec![("OPENAI_GPT4O_INPUT_PER_1K_USD".to_owned(), self.0.to_owned())]
        }
    }
    let config = Config::parse("t", "", &Fixed("0.0025")).unwrap();
    assert!(!config.env_prices.is_empty());
    let errors = Config::parse("t", "", &Fixed("cheap")).unwrap_err().to_string();
    assert!(errors.starts_with("environment: OPENAI_GPT4O_INPUT_PER_1K_USD"), "{errors}");
}

#[test]
fn defaults_of_the_schema_are_what_an_empty_file_has() {
    // Each documented default, written out in a file, must load and change nothing.
    let line = |key: &schema::Key| match key.given {
        schema::Given::Default(default) => format!("{} = {default}\n", key.name),
        _ => String::new(),
    };
    let sections = [&schema::SERVER, &schema::STORAGE, &schema::COUNTERS, &schema::LOGS];
    let text: Vec<String> = sections
        .iter()
        .flat_map(|section| {
            std::iter::once(format!("{}\n", section.header)).chain(section.keys.iter().map(line))
        })
        .collect();
    let text = text.concat();
    let written = Config::parse("t", &text, &nothing).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let empty = Config::parse("t", "", &nothing).unwrap();
    for (a, b) in [
        (format!("{:?}", written.server), format!("{:?}", empty.server)),
        (format!("{:?}", written.storage), format!("{:?}", empty.storage)),
        (format!("{:?}", written.counters), format!("{:?}", empty.counters)),
        (format!("{:?}", written.logs), format!("{:?}", empty.logs)),
    ] {
        assert_eq!(a, b);
    }
}

#[test]
fn the_printed_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/configuration.md");
    if Environment::get(&ProcessEnvironment, "UPDATE_REFERENCE").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    let printed = std::fs::read_to_string(path).unwrap();
    assert!(printed == reference(), "run the test with UPDATE_REFERENCE=1 and commit the file");
    for section in schema::ALL {
        for key in section.keys {
            assert!(printed.contains(&format!("| `{}` |", key.name)), "{}", key.name);
        }
    }
}
