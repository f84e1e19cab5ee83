//! The keys of what leaves the program by itself: logs, billing, reports.

use super::{Key, Section, key, optional, required, table};

pub(in crate::config) static LOGS: Section = Section {
    header: "[logs]",
    about: "Log lines and where they are sent.",
    keys: &[
        key(
            "format",
            "`json` \\| `pretty`",
            "\"json\"",
            "How log lines are written to standard output.",
        ),
        key(
            "calls",
            "true or false",
            "true",
            "Whether each call is a line there. Sinks get it in any case.",
        ),
        key(
            "bodies",
            "`off` \\| `redacted` \\| `full`",
            "\"off\"",
            "Whether prompts and answers are kept, in a file of their own beside the database, for `keep_bodies` of `[jobs.purge]`.",
        ),
        table("sinks", "[[logs.sinks]]", "Services that get the log lines."),
    ],
};

pub(in crate::config) static SINK: Section = Section {
    header: "[[logs.sinks]]",
    about: "A service that gets the log lines. `docs/telemetry.md` has an example of each kind.",
    keys: &[
        required(
            "kind",
            "`elasticsearch` \\| `logstash` \\| `loki` \\| `otlp` \\| `file`",
            "What it is.",
        ),
        optional("name", "text", "Its name in metrics and messages; without one, its kind."),
        key("enabled", "true or false", "true", "Whether it is used."),
        required(
            "url",
            "URL",
            "Where it is: `http://…` or `https://…`, `tcp://HOST:PORT` or `tls://HOST:PORT` (Logstash), `file://PATH`.",
        ),
        optional("headers", "table", "Headers of every request (over HTTP)."),
        optional(
            "api_key",
            "secret",
            "Its API key (over HTTP): `ApiKey` or `Bearer`, as the kind has it.",
        ),
        optional("username", "text", "Who asks (over HTTP)."),
        optional("password", "secret", "The password of `username`."),
        key("gzip", "true or false", "true", "Whether bodies are compressed (over HTTP)."),
        table("tls", "[logs.sinks.tls]", "What TLS trusts and shows."),
        key("timeout", "duration", "\"30s\"", "How long it may take to answer."),
        key("queue", "number", "10000", "Most calls that wait in memory."),
        table("batch", "[logs.sinks.batch]", "When what waits is sent."),
        table("retry", "[logs.sinks.retry]", "Waits between attempts."),
        table("spool", "[logs.sinks.spool]", "Where calls wait while it is away."),
        key(
            "index",
            "text",
            "\"tollgate-logs-%Y.%m.%d\"",
            "The index of Elasticsearch, with the day (in UTC) as `%Y.%m.%d`.",
        ),
        key(
            "install",
            "`off` \\| `elasticsearch` \\| `opensearch`",
            "\"off\"",
            "Whose index template and retention policy are installed before the first document (`deploy/elasticsearch`).",
        ),
        optional(
            "labels",
            "table",
            "Labels of every line in Loki; few, each combination is a stream.",
        ),
        key("encoding", "`protobuf` \\| `json`", "\"protobuf\"", "How OTLP messages are written."),
        key(
            "signals",
            "list",
            "[\"traces\", \"metrics\", \"logs\"]",
            "Which signals of OTLP are sent.",
        ),
        key("sample_rate", "share", "1", "The share of calls whose spans are sent (OTLP)."),
        key(
            "conventions",
            "`environment` \\| `old` \\| `latest` \\| `both`",
            "\"environment\"",
            "Names after which conventions for generative AI (OTLP): the latest, or those up to 1.41. `environment` is the latest where `OTEL_SEMCONV_STABILITY_OPT_IN` holds `gen_ai_latest_experimental`.",
        ),
        optional("resource", "table", "Attributes of the resource (OTLP)."),
        table("rotate", "[logs.sinks.rotate]", "When a file is set aside."),
    ],
};

pub(in crate::config) static SINK_TLS: Section = Section {
    header: "[logs.sinks.tls]",
    about: "What TLS trusts and shows.",
    keys: &[
        optional(
            "ca_file",
            "path",
            "Certificates (PEM) that are trusted instead of the machine's.",
        ),
        optional("cert_file", "path", "The certificate that is shown (PEM), with its chain."),
        optional("key_file", "path", "Its key (PEM)."),
    ],
};

pub(in crate::config) static SINK_BATCH: Section = Section {
    header: "[logs.sinks.batch]",
    about: "When what waits is sent: whichever comes first.",
    keys: &[
        key("calls", "number", "500", "So many calls."),
        key("size", "size", "\"1MiB\"", "So many bytes, before compression."),
        key("age", "duration", "\"1s\"", "The first has waited so long."),
    ],
};

pub(in crate::config) static SINK_RETRY: Section = Section {
    header: "[logs.sinks.retry]",
    about: "Waits between attempts. They double, are shortened by chance, and are as long as the service asks at least.",
    keys: &[
        key("base", "duration", "\"1s\"", "The first."),
        key("max", "duration", "\"30s\"", "The longest."),
    ],
};

pub(in crate::config) static SINK_SPOOL: Section = Section {
    header: "[logs.sinks.spool]",
    about: "Where calls wait on disk while the service is away. What does not fit is dropped, newest first, and counted.",
    keys: &[
        key("max", "size", "\"256MiB\"", "Most that it takes; 0 is no spool."),
        optional(
            "dir",
            "path",
            "Its folder; without one, a folder of the sink's name beside the database.",
        ),
    ],
};

pub(in crate::config) static SINK_ROTATE: Section = Section {
    header: "[logs.sinks.rotate]",
    about: "When a file is set aside.",
    keys: &[
        key("size", "size", "\"100MiB\"", "At this size; 0 is never."),
        key("daily", "true or false", "true", "When a day ends, in the zone of `[server]`."),
        key("keep", "number", "7", "So many files that were set aside are kept; 0 is all."),
    ],
};

pub(in crate::config) static SENTRY: Section = Section {
    header: "[sentry]",
    about: "Reports of panics and 5xx.",
    keys: &[
        optional("dsn", "secret", "Where reports go. Empty means nowhere."),
        key("environment", "text", "\"production\"", "The environment that reports name."),
        key("traces_sample_rate", "share", "0.1", "The share of calls that are traced."),
        key(
            "upstream",
            "true or false",
            "true",
            "Whether calls are reported that failed at their provider, beside our own faults.",
        ),
    ],
};

pub(in crate::config) static BILLING: Section = Section {
    header: "[billing]",
    about: "Billing services.",
    keys: &[table("stripe", "[billing.stripe]", "Stripe.")],
};

pub(in crate::config) static STRIPE: Section = Section {
    header: "[billing.stripe]",
    about: "Usage that is sent to Stripe Billing Meters.",
    keys: &[
        optional("api_key", "secret", "The API key. Empty means that nothing is sent."),
        optional("webhook_secret", "secret", "The secret that webhooks are signed with."),
        key("meter", "text", "\"ai_calls\"", "The event name of the meter."),
        key(
            "quantity",
            "text",
            "\"successes beyond plan\"",
            "What is sent: `successes beyond plan`, `tokens`, `cost_usd`, or `cost_usd * FACTOR`.",
        ),
    ],
};

pub(in crate::config) static JOBS: Section = Section {
    header: "[jobs]",
    about: "Scheduled work. A job that is left out does not run, but for the rollup check, which only reads. `tollgate jobs list` shows what runs when.",
    keys: &[
        table("purge", "[jobs.purge]", "Deletes what is older than its retention."),
        table("rollup_check", "[jobs.rollup_check]", "Proves that rollups equal rows."),
        table("daily_report", "[jobs.daily_report]", "Sends the report of the day before."),
        table("weekly_report", "[jobs.daily_report]", "Sends the report of the week before."),
        table("price_refresh", "[jobs.price_refresh]", "Renews the price book."),
        table("probe", "[jobs.probe]", "Asks each provider whether it answers."),
        table("stripe_upload", "[jobs.JOB]", "Sends usage to Stripe."),
        table("statement", "[jobs.JOB]", "Makes the monthly statements."),
    ],
};

const ZONE: Key = optional(
    "timezone",
    "time zone",
    "The zone of its schedule; that of `[server]` where left out.",
);
const ENABLED: Key = key(
    "enabled",
    "true or false",
    "true",
    "Whether it runs by its schedule. Where not it runs when somebody asks: `tollgate jobs run`.",
);

pub(in crate::config) static PURGE: Section = Section {
    header: "[jobs.purge]",
    about: "Deletes what is older than its retention. Sums of what is deleted stay: usage reports and the proof of the ledger hold as before.",
    keys: &[
        key("schedule", "cron", "\"0 3 * * *\"", "When it runs: five fields of cron."),
        ZONE,
        ENABLED,
        key("keep_calls", "duration", "\"90d\"", "How long calls are kept; a day or longer."),
        key(
            "keep_bodies",
            "duration",
            "\"7d\"",
            "How long prompts and answers are kept, where they are kept at all; holds without the job, too.",
        ),
    ],
};

pub(in crate::config) static ROLLUP: Section = Section {
    header: "[jobs.rollup_check]",
    about: "The proof of `tollgate ledger verify`, step by step beside the calls. What it finds wrong is logged, counted and told. Runs without being configured.",
    keys: &[
        key("schedule", "cron", "\"15 4 * * *\"", "When it runs: five fields of cron."),
        ZONE,
        ENABLED,
        optional(
            "channels",
            "list of channels",
            "Who is told what it finds wrong. Every channel but Alertmanager where left out.",
        ),
    ],
};

pub(in crate::config) static REPORT: Section = Section {
    header: "[jobs.daily_report]",
    about: "A report of spend, top users, models, savings and anomalies; `[jobs.weekly_report]` has the same keys.",
    keys: &[
        required(
            "schedule",
            "cron",
            "When it runs: five fields of cron. It reports the day, or the week from Monday on, that was over then.",
        ),
        optional(
            "timezone",
            "time zone",
            "The zone of its schedule and of its days; that of `[server]` where left out.",
        ),
        ENABLED,
        optional(
            "channels",
            "list of channels",
            "Who gets it, in the language of the channel. Every channel but PagerDuty and Alertmanager where left out.",
        ),
    ],
};

pub(in crate::config) static REFRESH: Section = Section {
    header: "[jobs.price_refresh]",
    about: "Renews the price book without a restart. What comes is checked whole; a bad one is refused and the prices stay.",
    keys: &[
        required("schedule", "cron", "When it runs: five fields of cron."),
        ZONE,
        ENABLED,
        required(
            "url",
            "URL or path",
            "Where the price book is, in the form of `crates/tollgate-domain/data/prices.txt`.",
        ),
    ],
};

pub(in crate::config) static PROBE: Section = Section {
    header: "[jobs.probe]",
    about: "Asks each provider for its list of models, or connects to it where it has none. It is nobody's call and costs nothing.",
    keys: &[
        key("schedule", "cron", "\"* * * * *\"", "When it runs: five fields of cron."),
        ZONE,
        ENABLED,
        key("timeout", "duration", "\"10s\"", "How long a provider may take."),
    ],
};

pub(in crate::config) static SCHEDULE: Section = Section {
    header: "[jobs.JOB]",
    about: "`stripe_upload` and `statement`.",
    keys: &[required("schedule", "cron", "When it runs: five fields of cron."), ZONE, ENABLED],
};

pub(in crate::config) static DISPLAY: Section = Section {
    header: "[display]",
    about: "How amounts are shown. The ledger is in USD always.",
    keys: &[
        key("currency", "ISO 4217 code", "\"USD\"", "The currency that is shown beside USD."),
        optional(
            "usd_rate",
            "decimal",
            "Units of that currency for one USD; required unless it is USD.",
        ),
    ],
};
