//! The keys of what the program itself is: listeners, storage, who may call, cache.

use super::{Key, Section, key, optional, required, table};

pub(in crate::config) static ROOT: Section = Section {
    header: "",
    about: "Keys that stand before the first section, and the sections.",
    keys: &[
        optional(
            "preset",
            "`diary` \\| `saas` \\| `starter` \\| `monitor`",
            "Shipped plans and limits, taken as if written here. A plan or limit of the same name in this file replaces the preset's.",
        ),
        table("server", "[server]", "Listeners and what holds for every call."),
        table("storage", "[storage]", "The ledger."),
        table("counters", "[counters]", "The fast counts of limits."),
        table("auth", "[auth]", "Who may call."),
        table("providers", "[providers.NAME]", "Where calls go."),
        table("models", "[models.\"NAME\"]", "Public model names."),
        table("prices", "[prices.\"PROVIDER/MODEL\"]", "Prices that override the price book."),
        table("plans", "[plans.NAME]", "Named sets of limits."),
        table("limits", "[limits.NAME]", "Limits outside plans."),
        table("cache", "[cache]", "The prompt cache."),
        table("idempotency", "[idempotency]", "Repeated idempotency keys."),
        table("duplicates", "[duplicates]", "Protection against duplicate storms."),
        table("logs", "[logs]", "Log lines and sinks."),
        table("sentry", "[sentry]", "Error reports."),
        table("alerts", "[alerts]", "Alert channels and rules."),
        table("billing", "[billing]", "Billing services."),
        table("jobs", "[jobs]", "Scheduled work."),
        table("display", "[display]", "How amounts are shown."),
    ],
};

pub(in crate::config) static SERVER: Section = Section {
    header: "[server]",
    about: "Listeners and what holds for every call.",
    keys: SERVER_KEYS,
};

const SERVER_KEYS: &[Key] = &[
    key("listen", "address", "\"0.0.0.0:8080\"", "Where the data plane listens."),
    key(
        "admin_listen",
        "address",
        "\"127.0.0.1:8081\"",
        "Where the admin API, the dashboard and `/metrics` listen.",
    ),
    optional(
        "admin_key",
        "secret",
        "The first admin credential; further ones are keys with the role `admin`. Empty means none.",
    ),
    key(
        "trusted_proxies",
        "list of address ranges",
        "[\"127.0.0.0/8\"]",
        "Proxies whose `Forwarded` and `X-Forwarded-For` are believed.",
    ),
    key(
        "max_body",
        "size",
        "\"20MiB\"",
        "The largest request body; a larger one is refused with 413.",
    ),
    key(
        "max_answer",
        "size",
        "\"64MiB\"",
        "The largest answer of a provider that is not a stream.",
    ),
    key(
        "body_pause",
        "duration",
        "\"30s\"",
        "How long a request body may pause while it is received.",
    ),
    key(
        "header_read_timeout",
        "duration",
        "\"10s\"",
        "How long a client may take to send the head of a request.",
    ),
    key("max_connections", "number", "10000", "Most client connections at a time, per listener."),
    key(
        "max_calls",
        "number",
        "10000",
        "Most calls under way at a time; further ones are refused with `overloaded` (503).",
    ),
    key(
        "shed_after",
        "duration",
        "\"20ms\"",
        "How long work may wait for a core of the machine, for half a second, before calls are refused with `overloaded` (503), so that the others keep their latency. `\"0s\"` refuses none.",
    ),
    key(
        "shutdown_grace",
        "duration",
        "\"30s\"",
        "After SIGTERM, how long calls in flight may take to finish.",
    ),
    key(
        "timezone",
        "time zone",
        "\"Asia/Seoul\"",
        "The zone of `day`, `week` and `month` windows and of reports, where a plan or limit names none.",
    ),
    key(
        "on_disconnect",
        "`drain` \\| `abort`",
        "\"drain\"",
        "What becomes of a call whose client goes away, where neither key nor plan says: `drain` reads the rest and charges the provider's own figure; `abort` cuts the upstream call and charges what was counted, as an estimate.",
    ),
    key("drain_for", "duration", "\"60s\"", "How long `drain` reads on."),
    key(
        "max_output_tokens",
        "number",
        "4096",
        "The output that is set aside for a call where neither caller nor model names a maximum.",
    ),
    key(
        "hash_addresses",
        "true or false",
        "false",
        "Keep callers' addresses in the ledger as digests only.",
    ),
];

pub(in crate::config) static STORAGE: Section = Section {
    header: "[storage]",
    about: "The ledger: the durable record of calls.",
    keys: &[
        key(
            "url",
            "URL",
            "\"sqlite://./tollgate.db\"",
            "`sqlite://PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE`.",
        ),
        key(
            "commit",
            "`before_response` \\| `async`",
            "\"before_response\"",
            "Whether a call is on disk before the first byte of its answer leaves.",
        ),
        key(
            "durability",
            "`process` \\| `power`",
            "\"process\"",
            "What a written call survives: the death of the process, or also loss of power.",
        ),
        key(
            "in_doubt",
            "`charge` \\| `release`",
            "\"charge\"",
            "What becomes of the reservations of calls that a crash left in flight.",
        ),
    ],
};

pub(in crate::config) static COUNTERS: Section = Section {
    header: "[counters]",
    about: "The fast counts that admission reads.",
    keys: &[
        key(
            "url",
            "URL",
            "\"memory:\"",
            "`memory:`, `redis://HOST:PORT` or `redis-cluster://HOST:PORT,HOST:PORT`.",
        ),
        key(
            "degraded",
            "`allow` \\| `restrict` \\| `deny`",
            "\"restrict\"",
            "What holds while neither counters nor storage answer.",
        ),
    ],
};

pub(in crate::config) static AUTH: Section = Section {
    header: "[auth]",
    about: "Who may call.",
    keys: &[
        key(
            "default_plan",
            "plan",
            "\"free\"",
            "The plan of a user that has none. A preset brings its own. In a configuration without any plan it is a plan without limits.",
        ),
        key(
            "auto_register",
            "true or false",
            "true",
            "Whether a user is made on first sight, or must be registered.",
        ),
        key(
            "guests",
            "`deny` or plan",
            "\"deny\"",
            "What holds for callers without credentials: they are refused, or served on this plan, each address (IPv6 by /64) as a user of its own. A limit of that plan with `scope = \"global\"` is one pot for all of them.",
        ),
        table("captcha", "[auth.captcha]", "What guests must prove first."),
        table("jwt", "[auth.jwt]", "Tokens that are accepted as credentials."),
        table("keys", "[[auth.keys]]", "Keys that exist from the start."),
    ],
};

pub(in crate::config) static JWT: Section = Section {
    header: "[auth.jwt]",
    about: "Tokens (JWT) that are accepted as credentials. `HS256` takes `secret`; the others take `jwks_url` or `public_key_file`.",
    keys: &[
        key(
            "algorithm",
            "`HS256` \\| `RS256` \\| `ES256` \\| `EdDSA`",
            "\"HS256\"",
            "The only algorithm that is accepted.",
        ),
        optional("secret", "secret", "The shared secret of `HS256`."),
        optional("jwks_url", "URL", "Where the public keys are fetched (JWKS)."),
        key(
            "jwks_refresh",
            "duration",
            "\"10m\"",
            "How often they are fetched again. A token with an unknown `kid` has them fetched at once, though not more often than every 5 seconds. While they cannot be fetched the old ones hold.",
        ),
        optional("public_key_file", "path", "A file with the public key (PEM)."),
        key("user_claim", "text", "\"sub\"", "The claim that holds the user."),
        key(
            "plan_claim",
            "text",
            "\"plan\"",
            "The claim that holds the plan. A token without it, or with a plan that is not known here, is on the default one.",
        ),
        optional("issuer", "text", "What `iss` must be."),
        optional("audience", "text", "What `aud` must hold."),
    ],
};

pub(in crate::config) static CAPTCHA: Section = Section {
    header: "[auth.captcha]",
    about: "What guests must prove first: a CAPTCHA token, verified by the service that made it. Without this section they prove nothing.",
    keys: &[
        required(
            "provider",
            "`turnstile` \\| `hcaptcha` \\| `recaptcha`",
            "Which service made the token.",
        ),
        required("secret", "secret", "The secret key of the site, from the service."),
        optional(
            "verify_url",
            "URL",
            "Where tokens are verified, where not at the service's own address.",
        ),
        key(
            "header",
            "text",
            "\"x-captcha-token\"",
            "The header in which a guest sends the token.",
        ),
        key(
            "pass_for",
            "duration",
            "\"10m\"",
            "How long a verified token stands as a pass of the address that showed it. A token is verified once.",
        ),
        key(
            "min_score",
            "share",
            "0.5",
            "The least score that passes, where the service states one (reCAPTCHA v3).",
        ),
    ],
};

pub(in crate::config) static KEY: Section = Section {
    header: "[[auth.keys]]",
    about: "A key that exists from the start. Further ones are made by CLI or admin API.",
    keys: &[
        required("name", "text", "Its name, in the ledger and in reports."),
        required("key", "secret", "The key itself."),
        key(
            "role",
            "`user` \\| `service` \\| `admin`",
            "\"user\"",
            "`service` may name its end user in `x-tollgate-user`; `admin` may also use the admin API.",
        ),
        optional("user", "text", "The user it acts for; without one, its name."),
        optional("team", "text", "The team of its user."),
        optional("plan", "plan", "The plan of its user."),
        optional("expires", "instant", "When it stops being accepted."),
        optional(
            "models",
            "list of text",
            "Models it may use; a `*` at the end matches a prefix. All where left out.",
        ),
        optional("providers", "list of text", "Providers it may use. All where left out."),
        optional(
            "ips",
            "list of address ranges",
            "Addresses it may come from. All where left out.",
        ),
        optional(
            "on_disconnect",
            "`drain` \\| `abort`",
            "What becomes of its calls whose client goes away.",
        ),
        optional(
            "cache",
            "true or false",
            "Whether its calls may use the prompt cache; `true` where left out.",
        ),
        optional(
            "limits",
            "list of tables",
            "Its own limits, beside those of its user's plan; see `[limits.NAME]`. Their scope is `key` where left out.",
        ),
    ],
};

pub(in crate::config) static CACHE: Section = Section {
    header: "[cache]",
    about: "The prompt cache. Without this section there is none.",
    keys: &[
        key("enabled", "true or false", "true", "Whether answers are kept."),
        key("ttl", "duration", "\"1h\"", "How long an answer is kept."),
        key(
            "max_bytes",
            "size",
            "\"256MiB\"",
            "How much memory it may take: three quarters for kept answers, one for those on their way.",
        ),
        key("scope", "`user` \\| `shared`", "\"user\"", "Who may get an answer that is kept."),
        key(
            "coalesce",
            "true or false",
            "true",
            "Whether identical calls in flight share one upstream call.",
        ),
    ],
};

pub(in crate::config) static IDEMPOTENCY: Section = Section {
    header: "[idempotency]",
    about: "What becomes of a call that repeats the `idempotency-key` of an earlier one: it gets the same answer and is charged once.",
    keys: &[
        key(
            "enabled",
            "true or false",
            "true",
            "Whether the header is heeded. It is never passed on to a provider.",
        ),
        key("ttl", "duration", "\"24h\"", "How long a key is known."),
        key(
            "max_bytes",
            "size",
            "\"64MiB\"",
            "How much memory kept answers may take. A repetition whose answer is lost is refused with 409, never charged again.",
        ),
    ],
};

pub(in crate::config) static DUPLICATES: Section = Section {
    header: "[duplicates]",
    about: "Protection against a client that repeats one prompt. Without this section there is none.",
    keys: &[
        key(
            "identical",
            "number",
            "20",
            "How many identical prompts of one session, or else one user, make a storm; at least 2. More than a million is never.",
        ),
        key("window", "duration", "\"60s\"", "Within which time."),
        key(
            "action",
            "`alert` \\| `serve_cached` \\| `throttle` \\| `block`",
            "\"block\"",
            "What happens then: it is told; its calls get a kept answer; they are slowed down to a rate that is no storm; session or user is refused for a time.",
        ),
        key("block_for", "duration", "\"10m\"", "How long `block` lasts."),
    ],
};
