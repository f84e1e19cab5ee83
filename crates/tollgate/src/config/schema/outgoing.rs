//! The keys of what leaves the program by itself: logs, billing, reports.

use super::{Section, key, optional, required, table};

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
            "bodies",
            "`off` \\| `redacted` \\| `full`",
            "\"off\"",
            "Whether prompts and answers are kept.",
        ),
        table("sinks", "[[logs.sinks]]", "Services that get the log lines."),
    ],
};

pub(in crate::config) static SINK: Section = Section {
    header: "[[logs.sinks]]",
    about: "A service that gets the log lines.",
    keys: &[
        required(
            "kind",
            "`elasticsearch` \\| `logstash` \\| `loki` \\| `otlp` \\| `file`",
            "What it is.",
        ),
        required("url", "URL", "Where it is: `http://…`, `tcp://HOST:PORT`, or `file://PATH`."),
        optional("index", "text", "The index of Elasticsearch, with the date as `%Y.%m.%d`."),
        key("enabled", "true or false", "true", "Whether it is used."),
    ],
};

pub(in crate::config) static SENTRY: Section = Section {
    header: "[sentry]",
    about: "Reports of panics and 5xx.",
    keys: &[
        optional("dsn", "secret", "Where reports go. Empty means nowhere."),
        key("environment", "text", "\"production\"", "The environment that reports name."),
        key("traces_sample_rate", "share", "0.1", "The share of calls that are traced."),
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
    about: "Scheduled work. A job that is left out does not run.",
    keys: &[
        table("purge", "[jobs.purge]", "Deletes what is older than its retention."),
        table("rollup_check", "[jobs.JOB]", "Proves that rollups equal rows."),
        table("daily_report", "[jobs.daily_report]", "Sends the report of the day before."),
        table("weekly_report", "[jobs.daily_report]", "Sends the report of the week before."),
        table("price_refresh", "[jobs.price_refresh]", "Renews the price book."),
        table("stripe_upload", "[jobs.JOB]", "Sends usage to Stripe."),
        table("statement", "[jobs.JOB]", "Makes the monthly statements."),
        table("probe", "[jobs.JOB]", "Asks each provider whether it answers."),
    ],
};

pub(in crate::config) static PURGE: Section = Section {
    header: "[jobs.purge]",
    about: "Deletes what is older than its retention.",
    keys: &[
        key(
            "schedule",
            "cron",
            "\"0 3 * * *\"",
            "When it runs: five fields of cron, in the zone of `[server]`.",
        ),
        key("keep_calls", "duration", "\"90d\"", "How long calls are kept."),
        key(
            "keep_bodies",
            "duration",
            "\"7d\"",
            "How long prompts and answers are kept, where they are kept at all.",
        ),
    ],
};

pub(in crate::config) static REPORT: Section = Section {
    header: "[jobs.daily_report]",
    about: "A report of spend, top users, models, savings and anomalies; `[jobs.weekly_report]` has the same keys.",
    keys: &[
        required("schedule", "cron", "When it runs."),
        optional("channels", "list of channels", "Who gets it."),
    ],
};

pub(in crate::config) static REFRESH: Section = Section {
    header: "[jobs.price_refresh]",
    about: "Renews the price book.",
    keys: &[
        required("schedule", "cron", "When it runs."),
        required("url", "URL or path", "Where the prices are."),
    ],
};

pub(in crate::config) static SCHEDULE: Section = Section {
    header: "[jobs.JOB]",
    about: "`rollup_check`, `stripe_upload`, `statement` and `probe`.",
    keys: &[required("schedule", "cron", "When it runs.")],
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
