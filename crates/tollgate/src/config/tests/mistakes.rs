//! Every mistake: what is in the file, and what is said about it.

use super::{EXAMPLE, nothing};
use crate::config::{Config, ConfigErrors};

fn errors(text: &str) -> ConfigErrors {
    match Config::parse("f", text, &nothing) {
        Err(errors) => errors,
        Ok(_) => panic!("this loads:\n{text}"),
    }
}

const SIM: &str = "[providers.sim]\nkind = \"simulated\"\n";
const PLAN: &str =
    "[plans.free]\nlimits = [{ name = \"a\", metric = \"requests\", window = \"day\", max = 1 }]\n";

/// A plan whose only limit has these keys; the limit stands in line 2, column 12.
fn limit(keys: &str) -> String {
    format!("[plans.free]\nlimits = [ {{ name = \"a\", {keys} }} ]")
}

#[track_caller]
fn check(cases: &[(impl AsRef<str>, &str)]) {
    let mut wrong = Vec::new();
    for (text, message) in cases {
        let text = text.as_ref();
        let told = errors(text).to_string();
        // One mistake, one message.
        if told != *message {
            wrong.push(format!("{text}\ntells\n  {told}\nnot\n  {message}\n\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn unknown_keys_are_named_with_their_place_and_the_nearest_name() {
    let case = |text: &str, message: &'static str| (text.to_owned(), message);
    check(&[
        case(
            "[server]\nlisen = \"x\"",
            "f:2:1: unknown key `lisen` in [server]; did you mean `listen`?",
        ),
        case("[sever]\n", "f:1:2: unknown key `sever` at the top level; did you mean `server`?"),
        case(
            "[counters]\nurl = \"memory:\"\nzzz = 1",
            "f:3:1: unknown key `zzz` in [counters]; known here: `url`, `degraded`",
        ),
        case(
            "[providers.sim]\nkind = \"simulated\"\n  timeout = { conect = \"1s\" }",
            "f:3:15: unknown key `conect` in [providers.sim.timeout]; did you mean `connect`?",
        ),
        case(
            "[[auth.keys]]\nname = \"a\"\nkey = \"k\"\nrol = \"user\"",
            "f:4:1: unknown key `rol` in [auth.keys[0]]; did you mean `role`?",
        ),
        case(
            &limit("metric = \"requests\", window = \"day\", max = 1, on_limt = \"deny\""),
            "f:2:72: unknown key `on_limt` in [plans.free.limits[0]]; did you mean `on_limit`?",
        ),
        case(
            &format!("{SIM}[prices.\"sim/x\"]\ninput = 1\ninptu = 1"),
            "f:5:1: unknown key `inptu` in [prices.\"sim/x\"]; did you mean `input`?",
        ),
    ]);
}

/// Values of the wrong form.
const VALUES: &[(&str, &str)] = &[
    (
        "[server]\nshutdown_grace = \"30 sec\"",
        "f:2:18: `server.shutdown_grace`: expected a duration, found \"30 sec\"; write it like \"250ms\", \"30s\", \"10m\", \"1h\" or \"2d\"",
    ),
    (
        "[server]\nshutdown_grace = 30",
        "f:2:18: `server.shutdown_grace`: expected text in quotes, found a number",
    ),
    (
        "[server]\nmax_body = \"20 megs\"",
        "f:2:12: `server.max_body`: expected a size, found \"20 megs\"; write it like \"64KiB\", \"20MiB\" or \"1GB\"",
    ),
    (
        "[server]\nlisten = \"8080\"",
        "f:2:10: `server.listen`: expected an address with a port, found \"8080\"; write it like \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \"[::]:8080\"",
    ),
    (
        "[server]\ntimezone = \"Asia/Seol\"",
        "f:2:12: `server.timezone`: expected the name of a time zone such as \"Asia/Seoul\" or \"UTC\", found \"Asia/Seol\"; did you mean `Asia/Seoul`?",
    ),
    (
        "[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"10.0.0.0/99\"]",
        "f:2:34: `server.trusted_proxies[1]`: expected a range of addresses such as 10.0.0.0/8 or 2001:db8::/32, found \"10.0.0.0/99\"",
    ),
    (
        "[server]\non_disconnect = \"abrot\"",
        "f:2:17: `server.on_disconnect`: expected one of `drain`, `abort`, found \"abrot\"; did you mean `abort`?",
    ),
    (
        "[auth]\nauto_register = \"maybe\"",
        "f:2:17: `auth.auto_register`: expected true or false, found \"maybe\"",
    ),
    (
        "[storage]\nurl = \"mysql://u:hunter2@h\"",
        "f:2:7: `storage.url`: expected sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    (
        "[jobs]\npurge = { schedule = \"0 25 * * *\" }",
        "f:2:22: `jobs.purge.schedule`: expected a schedule whose hour is `*`, a number from 0 to 23, a range, a list or a step such as `*/5`, found \"0 25 * * *\"",
    ),
    (
        "[jobs]\npurge = { schedule = \"0 0 31 2 *\" }",
        "f:2:22: `jobs.purge.schedule`: \"0 0 31 2 *\": it never comes; \"0 3 * * *\" is every day at 03:00",
    ),
    (
        "[jobs]\npurge = { keep_calls = \"1h\" }",
        "f:2:24: `jobs.purge.keep_calls`: expected a day or longer; a start counts limits from the calls of the last hours",
    ),
    (
        "[jobs]\nprobe = { timezone = \"Asia/Soul\" }",
        "f:2:22: `jobs.probe.timezone`: expected the name of a time zone such as \"Asia/Seoul\" or \"UTC\", found \"Asia/Soul\"; did you mean `Asia/Seoul`?",
    ),
    (
        "[jobs]\ndaily_report = { schedule = \"0 9 * * *\", channels = [\"obs\"] }\n[alerts.channels.ops]\nkind = \"slack\"",
        "f:2:54: `jobs.daily_report.channels[0]`: there is no alert channel `obs`; did you mean `ops`?",
    ),
    (
        "[jobs]\nweekly_report = { schedule = \"0 9 * * mon\", channels = [\"p\"] }\n[alerts.channels.p]\nkind = \"pagerduty\"\nrouting_key = \"k\"",
        "f:2:56: `jobs.weekly_report.channels`: a channel of kind pagerduty takes no report; name a channel of another kind",
    ),
    (
        "[jobs]\nprice_refresh = { schedule = \"0 9 * * *\", url = \"ftp://h/p\" }",
        "f:2:49: `jobs.price_refresh.url`: expected a path or an http(s) address",
    ),
    (
        "[jobs]\ndayly_report = {}",
        "f:2:1: unknown key `dayly_report` in [jobs]; did you mean `daily_report`?",
    ),
    ("plans = 3", "f:1:9: `plans`: expected a table, found a number"),
    (
        "[display]\ncurrency = \"KRW\"",
        "f:1:1: `display.usd_rate` is missing for KRW; say how many KRW one USD is",
    ),
    (
        "[[auth.keys]]\nname = \"a\"\nkey = \"k\"\nexpires = \"tomorrow\"",
        "f:4:11: `auth.keys[0].expires`: expected an instant such as \"2027-01-01T00:00:00Z\", offset included, found \"tomorrow\"",
    ),
    (
        "[server]\nadmin_key = \"${ADMIN}\"",
        "f:2:13: `server.admin_key`: the environment variable ADMIN is not set; set it, or give a default: ${ADMIN:-...}",
    ),
    (
        "preset = \"dairy\"",
        "f:1:10: `preset`: expected the name of a preset, found \"dairy\"; did you mean `diary`?",
    ),
    ("[server", "f:1:8: unclosed table, expected `]`"),
    (
        "[cache]\nttl = \"0s\"",
        "f:2:7: `cache.ttl`: expected a duration longer than zero, found \"0s\"",
    ),
    (
        "[duplicates]\nidentical = 1",
        "f:2:13: `duplicates.identical`: a single prompt repeats nothing; use 2 or more",
    ),
];

#[test]
fn values_of_the_wrong_form_say_what_was_expected_and_what_was_found() {
    check(VALUES);
}

/// Keys of a limit that could never work; the limit is the one of [`limit`].
const LIMITS: &[(&str, &str)] = &[
    (
        "metric = \"requests\", max = 1",
        "f:2:12: `plans.free.limits[0]` needs `window`; add one of \"sliding 60s\", \"day\", \"week\", \"month\", \"rolling 30d\", \"total\", \"balance\"",
    ),
    ("window = \"day\", max = 1", "f:2:12: `plans.free.limits[0]` needs `metric`"),
    (
        "metric = \"requests\", window = \"day\"",
        "f:2:12: `plans.free.limits[0]` needs `max`; write a number, or \"unlimited\"",
    ),
    (
        "metric = \"concurrency\", window = \"day\", max = 1",
        "f:2:59: `plans.free.limits[0].window`: concurrency is what runs right now and has no window; remove it",
    ),
    (
        "metric = \"requests\", window = \"day\", max = -1",
        "f:2:69: `plans.free.limits[0].max`: expected a maximum that is not negative, or \"unlimited\", found -1",
    ),
    (
        "metric = \"requests\", window = \"day\", max = \"unlimted\"",
        "f:2:69: `plans.free.limits[0].max`: expected a maximum that is not negative, or \"unlimited\", found \"unlimted\"; did you mean `unlimited`?",
    ),
    (
        "metric = \"requests\", window = \"day\", max = 1.5",
        "f:2:69: `plans.free.limits[0].max`: 1.5 is no maximum of requests; it is counted in whole numbers up to 9223372036854775807",
    ),
    (
        "metric = \"requests\", window = \"day\", max = 1, on_limit = \"clamp\"",
        "f:2:83: `plans.free.limits[0].on_limit`: a shorter answer does not lower requests, so `clamp` cannot help; use \"deny\" or \"alert\"",
    ),
    (
        "metric = \"tokens\", window = \"day\", max = 1, on_limit = \"downgrade:gtp\"",
        "f:2:81: `plans.free.limits[0].on_limit`: there is no model `gtp`; add a section [models.\"NAME\"]",
    ),
    (
        "metric = \"requests\", window = \"day\", max = 1, on_limit = \"reject\"",
        "f:2:83: `plans.free.limits[0].on_limit`: expected one of `deny`, `clamp`, `downgrade:MODEL`, `alert`, found \"reject\"",
    ),
    (
        "metric = \"requests\", window = \"day\", max = 1, warn_at = [1.5]",
        "f:2:83: `plans.free.limits[0].warn_at[0]`: expected a share from 0 to 1 with at most six decimals, found 1.5",
    ),
    (
        "metric = \"requests\", window = \"day\", max = 1, warn_at = [0]",
        "f:2:83: `plans.free.limits[0].warn_at[0]`: 0.0 is no step of use; use shares above 0 with at most three decimals, such as 0.8",
    ),
    (
        "metric = \"requests\", window = \"day\", max = \"unlimited\", warn_at = [0.5]",
        "f:2:92: `plans.free.limits[0].warn_at`: there is no share of an unlimited maximum; set `max`, or remove it",
    ),
    (
        "metric = \"requests\", window = \"total\", max = 1, rollover = 0.5",
        "f:2:85: `plans.free.limits[0].rollover`: only `day`, `week` and `month` end and can carry over; remove it",
    ),
    (
        "metric = \"requests\", window = \"rolling 24h\", max = 1",
        "f:2:56: `plans.free.limits[0].window`: expected 1d to 3660d after `rolling`, found \"rolling 24h\"; a rolling window is whole days; use \"sliding 24h\"",
    ),
    (
        "metric = \"reqests\", window = \"day\", max = 1",
        "f:2:35: `plans.free.limits[0].metric`: expected one of `requests`, `successes`, `input_tokens`, `output_tokens`, `tokens`, `cost_usd`, `concurrency`, `units`, found \"reqests\"; did you mean `requests`?",
    ),
    (
        "scope = [], metric = \"requests\", window = \"day\", max = 1",
        "f:2:34: `plans.free.limits[0].scope` is empty; say whose counter it is, or leave it out in a plan for `user`",
    ),
    (
        "scope = [\"global\", \"ip\"], metric = \"requests\", window = \"day\", max = 1",
        "f:2:34: `plans.free.limits[0].scope`: `global` is everybody together and goes with nothing else; leave `global` out",
    ),
    (
        "providers = [\"opnai\"], metric = \"requests\", window = \"day\", max = 1",
        "f:2:39: `plans.free.limits[0].providers[0]`: there is no provider `opnai`; add a section [providers.NAME]",
    ),
];

/// Limits that lack something.
const INCOMPLETE: &[(&str, &str)] = &[
    (
        "[plans.free]\nlimits = [{ metric = \"requests\", window = \"day\", max = 1 }]",
        "f:2:11: `plans.free.limits[0]` needs `name`",
    ),
    (
        "[limits.x]\nmetric = \"requests\"\nwindow = \"day\"\nmax = 1",
        "f:1:1: [limits.x] needs `scope`; say whose counter it is, such as scope = \"global\" or scope = \"ip\"",
    ),
    (
        "[plans.free]\nlimits = [ { name = \"a\", metric = \"requests\", window = \"day\", max = 1 }, { name = \"a\", metric = \"tokens\", window = \"day\", max = 1 } ]",
        "f:2:83: [plans.free] has two limits with the name `a`",
    ),
    (
        "[plans.free]\n",
        "f:1:1: [plans.free] needs `limits`; write `limits = []` for a plan without limits",
    ),
];

#[test]
fn limits_that_could_never_work_are_refused() {
    let limits: Vec<_> = LIMITS.iter().map(|(keys, message)| (limit(keys), *message)).collect();
    check(&limits);
    check(INCOMPLETE);
}

#[test]
fn names_that_nothing_declares_are_refused() {
    let case = |text: String, message: &'static str| (text, message);
    let key = "[[auth.keys]]\nname = \"a\"\nkey = \"k\"\n";
    check(&[
        case(
            format!("[auth]\ndefault_plan = \"fre\"\n{PLAN}"),
            "f:2:16: `auth.default_plan`: there is no plan `fre`; did you mean `free`?",
        ),
        case(
            "[plans.gold]\nlimits = []".to_owned(),
            "f:1:1: `auth.default_plan` is left out, and there is no plan `free`; set it to one of `gold`",
        ),
        case(
            format!("[auth]\nguests = \"gest\"\n{PLAN}"),
            "f:2:10: `auth.guests`: there is no plan `gest`; known here: `free`; or add a section [plans.NAME]",
        ),
        case(
            format!("{PLAN}{key}plan = \"pro\""),
            "f:6:8: `auth.keys[0].plan`: there is no plan `pro`; known here: `free`; or add a section [plans.NAME]",
        ),
        case(
            format!("{SIM}{key}providers = [\"sin\"]"),
            "f:6:14: `auth.keys[0].providers[0]`: there is no provider `sin`; did you mean `sim`?",
        ),
        case(
            format!("{SIM}[models.m]\ntargets = [{{ provider = \"sum\" }}]"),
            "f:4:25: `models.m.targets[0].provider`: there is no provider `sum`; did you mean `sim`?",
        ),
        case(
            format!("{SIM}[models.m]\ntargets = [{{ provider = \"sim\" }}]\nfallback = [\"n\"]"),
            "f:5:13: `models.m.fallback[0]`: there is no model `n`; known here: `m`; or add a section [models.\"NAME\"]",
        ),
        case(
            format!("{SIM}[prices.\"sin/x\"]\ninput = 1\noutput = 1"),
            "f:3:1: `prices.\"sin/x\"`: there is no provider `sin`; did you mean `sim`?",
        ),
        case(
            "[[alerts.rules]]\nname = \"a\"\nwhen = \"store_degraded > 0\"\nchannels = [\"ops\"]"
                .to_owned(),
            "f:4:13: `alerts.rules[0].channels[0]`: there is no alert channel `ops`; add a section [alerts.channels.NAME]",
        ),
    ]);
}

/// Parts that contradict each other; `@SIM@` stands for a provider.
const CONTRADICTIONS: &[(&str, &str)] = &[
    (
        "[server]\nlisten = \"127.0.0.1:80\"\nadmin_listen = \"127.0.0.1:80\"",
        "f:3:16: `server.listen` and `server.admin_listen` are both 127.0.0.1:80; the admin API needs an address of its own",
    ),
    (
        "[[auth.keys]]\nname = \"a\"\nkey = \"k1\"\n[[auth.keys]]\nname = \"a\"\nkey = \"k2\"\n",
        "f:5:8: there are two keys with the name `a`",
    ),
    (
        "[[auth.keys]]\nname = \"a\"\nkey = \"hunter2\"\n[[auth.keys]]\nname = \"b\"\nkey = \"hunter2\"\n",
        "f:6:7: the keys `a` and `b` are the same secret; give each its own",
    ),
    ("[[auth.keys]]\nname = \"a\"\nkey = \"\"\n", "f:3:7: the key `a` is empty"),
    ("[[auth.keys]]\nname = \"a\"", "f:1:1: [auth.keys[0]] needs `key`"),
    ("[auth.jwt]\nalgorithm = \"HS256\"", "f:1:1: [auth.jwt] with HS256 needs `secret`"),
    (
        "[auth.jwt]\nalgorithm = \"RS256\"\nsecret = \"x\"\njwks_url = \"https://h/k\"",
        "f:3:10: `auth.jwt.secret` does not go with RS256, whose key is public; remove it",
    ),
    (
        "[auth.jwt]\nalgorithm = \"RS256\"",
        "f:1:1: [auth.jwt] with RS256 needs `jwks_url` or `public_key_file`",
    ),
    (
        "[auth.jwt]\nsecret = \"x\"\njwks_url = \"https://h/k\"",
        "f:3:12: `auth.jwt.jwks_url` does not go with HS256, whose key is secret; set `algorithm`, or remove it",
    ),
    (
        "[auth.captcha]\nprovider = \"turnstil\"\nsecret = \"s\"",
        "f:2:12: `auth.captcha.provider`: expected one of `turnstile`, `hcaptcha`, `recaptcha`, found \"turnstil\"; did you mean `turnstile`?",
    ),
    (
        "[auth.captcha]\nprovider = \"turnstile\"\nsecret = \"\"",
        "f:3:10: [auth.captcha] needs `secret`",
    ),
    (
        "[auth.captcha]\nprovider = \"turnstile\"\nsecret = \"s\"\nheader = \"authorization\"",
        "f:4:10: `auth.captcha.header`: expected the name of a header that begins with `x-`, found \"authorization\"",
    ),
    (
        "[auth.jwt]\nalgorithm = \"none\"\nsecret = \"x\"",
        "f:2:13: `auth.jwt.algorithm`: expected one of `HS256`, `RS256`, `ES256`, `EdDSA`, found \"none\"",
    ),
    ("[providers.a]\nkind = \"azure\"", "f:1:1: [providers.a] needs `base_url`"),
    ("[providers.a]\nbase_url = \"https://h\"", "f:1:1: [providers.a] needs `kind`"),
    (
        "[providers.a]\nkind = \"openai\"\nlatency = \"1s\"",
        "f:3:11: `providers.a`: `latency` is for providers of the kind `simulated`; remove it",
    ),
    (
        "[providers.\"a/b\"]\nkind = \"openai\"",
        "f:1:1: `a/b` cannot be the name of a provider; use letters, digits, `-`, `_` and `.`: it stands in paths and price keys",
    ),
    (
        "[providers.a]\nkind = \"openai\"\nbase_url = \"https://u:hunter2@h/v1\"",
        "f:3:12: `providers.a.base_url`: expected a URL without credentials in it; put them into `api_key` or `headers`",
    ),
    ("@SIM@[models.m]\ntargets = []", "f:4:11: `models.m.targets` is empty: nobody could serve it"),
    ("@SIM@[models.m]\nroute = \"weighted\"", "f:3:1: [models.m] needs `targets`"),
    (
        "@SIM@[models.m]\ntargets = [{ provider = \"sim\", weight = 0 }]",
        "f:4:11: `models.m.targets`: every weight is 0; give one a weight of 1 or more",
    ),
    (
        "@SIM@[models.m]\ntargets = [{ provider = \"sim\" }]\nfallback = [\"m\"]",
        "f:5:12: the fallbacks of `m` lead in a circle: m -> m; leave one of them out",
    ),
    (
        "@SIM@[prices.x]\ninput = 1",
        "f:3:1: `x` does not name a price: expected PROVIDER/MODEL; write it like [prices.\"openai/gpt-4o-mini\"]",
    ),
    (
        "@SIM@[prices.\"sim/x\"]\ninput = -1",
        "f:4:9: `prices.\"sim/x\".input`: expected a decimal such as 0.15, not negative, found -1",
    ),
    ("[prices.default]\ninput = 1", "f:1:1: [prices.default] needs `output`"),
    (
        "[[alerts.rules]]\nname = \"a\"\nwhen = \"store_degraded > 0\"\naction = \"explode\"",
        "f:4:10: `alerts.rules[0].action`: expected one of `throttle`, `quota_zero`, `block`, `kill_switch`, found \"explode\"",
    ),
    (
        "[[alerts.rules]]\nname = \"a\"\nwhen = \"cost_usb{window=day} > 1\"",
        "f:3:8: `alerts.rules[0].when`: there is no metric `cost_usb`; did you mean `cost_usd`?",
    ),
    (
        "[[alerts.rules]]\nname = \"a\"\nwhen = \"cost_usd{by=usr,window=1h} > 1\"",
        "f:3:8: `alerts.rules[0].when`: there is no dimension `usr`; did you mean `user`?",
    ),
    (
        "[[alerts.rules]]\nname = \"a\"\nwhen = \"cost_usd > 1\"",
        "f:3:8: `alerts.rules[0].when`: `cost_usd` needs a window; write `cost_usd{window=1h}`, or day, week, month",
    ),
    (
        "[[alerts.rules]]\nname = \"a\"\nwhen = \"billing_lag > 1h\"",
        "f:3:8: `alerts.rules[0].when`: this version uploads no usage to Stripe, so nothing is known of `billing_lag`; leave the rule out",
    ),
    (
        "[[alerts.rules]]\nname = \"runaway-usr\"",
        "f:2:8: `alerts.rules[0]`: the rule `runaway-usr` needs `when`: no shipped rule has this name; did you mean `runaway-user`?",
    ),
    (
        "[[alerts.rules]]\nname = \"a\"\nwhen = \"cost_usd{window=1h} > 1\"\naction = \"block\"",
        "f:4:10: `alerts.rules[0].action`: `block` is done to a user; write the rule `by=user`",
    ),
    (
        "[[alerts.rules]]\nname = \"a\"\nwhen = \"cost_usd{window=1h} > 1\"\nfloor = 1",
        "f:4:9: `alerts.rules[0].floor`: the rule asks for nothing usual; leave it out",
    ),
    (
        "[alerts.channels.c]\nkind = \"slack\"\nurl = \"https://h/\"\nsecret = \"x\"",
        "f:4:10: `alerts.channels.c.secret`: a channel of kind slack has no `secret`",
    ),
    (
        "[alerts.channels.c]\nkind = \"slack\"\nurl = \"hooks.example.com\"",
        "f:3:7: `alerts.channels.c.url`: expected an address such as https://HOST/PATH",
    ),
    (
        "[alerts.channels.c]\nkind = \"email\"\nurl = \"smtp+plain://a:b@h\"\nfrom = \"a@b.c\"\nto = [\"a@b.c\"]",
        "f:3:7: `alerts.channels.c.url`: a password is sent over TLS only",
    ),
    (
        "[alerts.channels.c]\nkind = \"email\"\nurl = \"smtp://h\"\nfrom = \"a@b.c\"",
        "f:1:1: [alerts.channels.c] needs `to`",
    ),
    (
        "[alerts.channels.c]\nkind = \"webhook\"\nurl = \"https://h/\"\nsecret = \"short\"",
        "f:4:10: `alerts.channels.c.secret`: expected whsec_ and 24 to 64 random bytes in base64",
    ),
];

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let cases = CONTRADICTIONS.iter();
    let cases: Vec<_> =
        cases.map(|(text, message)| (text.replace("@SIM@", SIM), *message)).collect();
    check(&cases);
}

#[test]
fn a_circle_of_fallbacks_is_told_with_its_way() {
    let model = |name: &str, fallback: &str| {
        format!(
            "[models.{name}]\ntargets = [{{ provider = \"sim\" }}]\nfallback = [\"{fallback}\"]\n"
        )
    };
    let circle = format!("{SIM}{}{}", model("m", "n"), model("n", "m"));
    assert_eq!(
        errors(&circle).to_string(),
        "f:5:12: the fallbacks of `m` lead in a circle: m -> n -> m; leave one of them out\n\
         f:8:12: the fallbacks of `n` lead in a circle: n -> m -> n; leave one of them out"
    );
}

#[test]
fn all_mistakes_of_a_file_are_told_together_and_in_its_order() {
    let text = EXAMPLE
        .replace("max_body = \"20MiB\"", "max_bdy = \"20MiB\"")
        .replace("commit = \"before_response\"", "commit = \"before_answer\"")
        .replace("metric = \"concurrency\", max = 3", "metric = \"concurrency\", max = -3")
        .replace("max = 100.00", "max = \"lots\"");
    let told: Vec<u32> = errors(&text).problems().iter().map(|problem| problem.line).collect();
    assert_eq!(told.len(), 5);
    assert!(told.is_sorted());
}

#[test]
fn a_file_that_is_not_there_points_to_init() {
    let errors = Config::load(std::path::Path::new("no/such/file.toml"), &nothing).unwrap_err();
    let told = errors.to_string();
    assert!(told.starts_with("no/such/file.toml: cannot be read"), "{told}");
    assert!(told.ends_with("`tollgate init` writes one"), "{told}");
}

#[test]
fn sinks_are_told_what_they_cannot_do() {
    const ES: &str = "[[logs.sinks]]\nkind = \"elasticsearch\"\nurl = \"http://h\"\n";
    let case = |text: &str, message: &'static str| (text.to_owned(), message);
    check(&[
        case(
            "[[logs.sinks]]\nkind = \"loki\"\nurl = \"loki:3100\"",
            "f:3:7: `url` is no URL; write it like http://HOST:PORT or https://HOST:PORT",
        ),
        case(
            "[[logs.sinks]]\nkind = \"logstash\"\nurl = \"http://h:1\"",
            "f:3:7: `url` has a scheme that this kind does not speak; write it like tcp://HOST:PORT or \
             tls://HOST:PORT",
        ),
        case(
            "[[logs.sinks]]\nkind = \"file\"\nurl = \"calls.jsonl\"",
            "f:3:7: `url` names no file; write it like \"file://logs/calls.jsonl\"",
        ),
        case(
            "[[logs.sinks]]\nkind = \"file\"\nurl = \"file://x\"\nlabels = { a = \"b\" }",
            "f:4:10: `labels` has no meaning for the kind `file`",
        ),
        case(
            &format!("{ES}index = \"Logs\""),
            "f:4:9: `index` cannot name an index; write it like \"tollgate-logs-%Y.%m.%d\", in lower case",
        ),
        case(&format!("{ES}username = \"u\""), "f:4:12: `username` and `password` go together"),
        case(
            &format!("{ES}api_key = \"k\"\nusername = \"u\"\npassword = \"p\""),
            "f:4:11: `api_key` and `username` do not go together",
        ),
        case(
            &format!("{ES}tls = {{ cert_file = \"c\", key_file = \"k\" }}"),
            "f:4:7: `tls`: `cert_file` needs `ca_file`",
        ),
        case(
            &format!("{ES}retry = {{ base = \"9s\", max = \"3s\" }}"),
            "f:4:9: `retry`: `max` is shorter than `base`",
        ),
        case(
            &format!("{ES}{ES}"),
            "f:5:8: there are two sinks with the name `elasticsearch`; give one of them a `name`",
        ),
        case(
            &format!("{ES}name = \"sentry\""),
            "f:4:8: `sentry` is the name of the sink of [sentry]",
        ),
        case(
            "[sentry]\ndsn = \"https://h/1\"",
            "f:2:7: `dsn` is no DSN of Sentry; copy it from the project's settings: \
             https://KEY@HOST/PROJECT",
        ),
    ]);
}
