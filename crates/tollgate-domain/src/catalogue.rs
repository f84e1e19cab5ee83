//! The catalogue of metrics: every name on `/metrics`, its type, its labels and what it says, in one
//! place. What counts and what documents both read it here, so that they cannot disagree; rules and
//! dashboards in `deploy/` are tested against it.
//!
//! A label's values are bounded, and no label is a user, a key, an address or a request id.

use std::fmt;

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows while the program runs.
    Counter,
    /// It is what it is when it is read.
    Gauge,
    /// Observations in buckets, with their sum and count.
    Histogram,
    /// Always 1; its labels are what it says.
    Info,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        })
    }
}

/// A family of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The name as rules and dashboards write it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in the order of the exposition; `le` of histograms is not named.
    pub labels: &'static [&'static str],
    /// What it says: a sentence without a full stop.
    pub help: &'static str,
}

impl Family {
    /// The name without what the exposition format appends by itself.
    pub fn stem(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }
}

/// A label and what bounds its values.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it says, and which values there are.
    pub meaning: &'static str,
}

const SERVED: &[&str] = &["model", "provider", "endpoint"];
const TARGET: &[&str] = &["model", "provider"];
const LIMIT: &[&str] = &["scope", "rank", "plan", "limit", "metric", "window"];

macro_rules! families {
    ($($constant:ident, $name:literal, $kind:ident, $labels:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Family =
                Family { name: $name, kind: Kind::$kind, labels: $labels, help: $help };
        )*

        /// Every family, in the order of the reference.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    REQUESTS, "tollgate_requests_total", Counter, &["model", "provider", "endpoint", "status_code"],
        "Finished calls, refused ones among them, by the status that the client got";
    REQUEST_DURATION, "tollgate_request_duration_seconds", Histogram, SERVED,
        "From the arrival of a call to the end of its answer";
    TIME_TO_FIRST_TOKEN, "tollgate_time_to_first_token_seconds", Histogram, SERVED,
        "From the arrival of a call to the first byte of its answer";
    OVERHEAD, "tollgate_overhead_seconds", Histogram, &[],
        "Tollgate's own share of a call, before the provider is asked";
    TOKENS, "tollgate_tokens_total", Counter, &["model", "provider", "kind"],
        "Tokens by kind: the cached ones and those written to a cache are among the input, those of reasoning among the output";
    COST, "tollgate_cost_usd_total", Counter, TARGET,
        "What calls cost, in USD; for display, the ledger holds the exact sum";
    SAVINGS, "tollgate_savings_usd_total", Counter, &["reason"],
        "What answers cost that were had again without buying them, in USD";
    CACHE_CALLS, "tollgate_cache_calls_total", Counter, &["state"],
        "Calls by where their answer came from";
    CACHE_ENTRIES, "tollgate_cache_entries", Gauge, &[], "Answers in the prompt cache";
    CACHE_HELD, "tollgate_cache_held_bytes", Gauge, &[], "Size of the prompt cache";
    IDEMPOTENCY_KEYS, "tollgate_idempotency_keys", Gauge, &[],
        "Idempotency keys whose answer is kept";
    IDEMPOTENCY_HELD, "tollgate_idempotency_held_bytes", Gauge, &[], "Size of their answers";
    SHARED_ANSWERS, "tollgate_shared_answers_bytes", Gauge, &[],
        "Size of answers on their way that may be shared or kept";
    DUPLICATE_STORMS, "tollgate_duplicate_storms_total", Counter, &["action"],
        "Duplicate storms, by what happened in them";
    ATTEMPTS, "tollgate_upstream_attempts_total", Counter, &["provider", "model", "outcome"],
        "Requests sent to providers, by how they ended";
    ADMISSION, "tollgate_admission_total", Counter, &["decision", "limit"],
        "Decisions on calls, and the limit that made them where one did";
    INFLIGHT, "tollgate_inflight", Gauge, &[], "Calls in flight";
    OVERLOAD, "tollgate_overload_shed_ratio", Gauge, &[],
        "Share of calls that is refused because work waits too long for a core";
    BREAKER_STATE, "tollgate_breaker_state", Gauge, &["provider", "model"],
        "What the breaker of a target lets through: 0 everything, 1 one probe, 2 nothing";
    LIMIT_USED_RATIO, "tollgate_limit_used_ratio", Gauge, LIMIT,
        "Used and reserved share of a limit, 1 where nothing is left";
    LIMIT_REMAINING, "tollgate_limit_remaining", Gauge, LIMIT,
        "What a limit has left, in the unit of its metric, money in USD";
    LOG_LINES_DROPPED, "tollgate_log_lines_dropped_total", Counter, &[],
        "Log lines dropped because their writer was behind";
    BODIES_DROPPED, "tollgate_bodies_dropped_total", Counter, &[],
        "Prompts and answers that were not kept because too many waited or the disk refused";
    SINK_SENT, "tollgate_sink_sent_total", Counter, &["sink"], "Calls that the service of a sink took";
    SINK_DROPPED, "tollgate_sink_dropped_total", Counter, &["sink"],
        "Calls that were dropped because queue and spool of a sink were full";
    SINK_RETRIED, "tollgate_sink_retried_total", Counter, &["sink"],
        "Calls whose delivery was tried again";
    SINK_REJECTED, "tollgate_sink_rejected_total", Counter, &["sink"],
        "Calls that the service of a sink refused for good";
    SINK_SPOOL, "tollgate_sink_spool_bytes", Gauge, &["sink"],
        "What waits on disk for the service of a sink";
    SINK_LAG, "tollgate_sink_lag_seconds", Gauge, &["sink"],
        "Age of the oldest call that a sink has not delivered";
    ALERTS_FIRING, "tollgate_alerts_firing", Gauge, &["rule"], "Alerts that fire, by rule";
    ALERT_NOTIFICATIONS, "tollgate_alert_notifications_total", Counter, &["channel", "outcome"],
        "Messages of alerts by channel and what came of an attempt";
    ALERT_CALLS_DROPPED, "tollgate_alert_calls_dropped_total", Counter, &[],
        "Finished calls that alerts have not seen because they were behind";
    JOB_RUNS, "tollgate_job_runs_total", Counter, &["job_name", "outcome"],
        "Runs of scheduled jobs, by how they ended";
    JOB_LAST_SUCCESS, "tollgate_job_last_success_timestamp_seconds", Gauge, &["job_name"],
        "When a run of a job that is switched on last ended well, in seconds since 1970";
    JOB_LAST_FAILURE, "tollgate_job_last_failure_timestamp_seconds", Gauge, &["job_name"],
        "When a run of a job that is switched on last failed, in seconds since 1970";
    PROVIDER_UP, "tollgate_provider_up", Gauge, &["provider"],
        "1 where a provider answered the last probe, 0 where it did not";
    PROVIDER_PROBE, "tollgate_provider_probe_duration_seconds", Gauge, &["provider"],
        "How long the last probe of a provider took";
    REFUSALS_UNRECORDED, "tollgate_refusals_unrecorded_total", Counter, &[],
        "Refused calls without a row of the ledger because there were too many";
    LEDGER_WAITING, "tollgate_ledger_waiting", Gauge, &[], "Closed calls not yet in the database";
    LEDGER_OPEN, "tollgate_ledger_open", Gauge, &[], "Calls in flight, as the journal knows them";
    LEDGER_SEGMENTS, "tollgate_ledger_journal_segments", Gauge, &[], "Segments of the journal";
    LEDGER_BYTES, "tollgate_ledger_journal_bytes", Gauge, &[], "Size of the journal";
    LEDGER_HEALTHY, "tollgate_ledger_healthy", Gauge, &[], "1 while calls can be recorded, 0 while they cannot";
    LEDGER_ROWS, "tollgate_ledger_rows_total", Counter, &[], "Calls folded into the database";
    LEDGER_FAILURES, "tollgate_ledger_failures_total", Counter, &[],
        "Transactions that the database refused";
    COUNTERS_ACCOUNTS, "tollgate_counters_accounts", Gauge, &[],
        "Whom limits count for: combinations of scope values that are known";
    COUNTERS_KEPT, "tollgate_counters_kept", Gauge, &[], "Counters of limits that are kept";
    COUNTERS_HELD, "tollgate_counters_held", Gauge, &[],
        "Amounts set aside and not settled, one per call and counter";
    BUILD, "tollgate_build_info", Info, &["version"], "The program that runs";
    PROCESS_CPU, "process_cpu_seconds_total", Counter, &[], "CPU time of the process";
    PROCESS_RESIDENT, "process_resident_memory_bytes", Gauge, &[], "Resident memory";
    PROCESS_VIRTUAL, "process_virtual_memory_bytes", Gauge, &[], "Virtual memory";
    PROCESS_FILES, "process_open_fds", Gauge, &[], "Open file descriptors";
    PROCESS_MOST_FILES, "process_max_fds", Gauge, &[], "The most file descriptors it may open";
    PROCESS_THREADS, "process_threads", Gauge, &[], "Threads";
    PROCESS_START, "process_start_time_seconds", Gauge, &[],
        "When the process started, in seconds since 1970";
}

/// Every label, in the order of the reference.
pub const LABELS: &[Label] = &[
    Label {
        name: "model",
        meaning: "The public name where the configuration names the model, else the price book's name; `other` for anything else that clients send, and beyond 1024 names",
    },
    Label {
        name: "provider",
        meaning: "The name in the configuration; empty for calls refused before one was chosen",
    },
    Label { name: "endpoint", meaning: "The path, where it is one of Tollgate's" },
    Label { name: "status_code", meaning: "The HTTP status that the client got" },
    Label {
        name: "kind",
        meaning: "`input`, `output`, `cached_input`, `cache_write`, `reasoning`",
    },
    Label {
        name: "outcome",
        meaning: "`answered` (a caller's own error among them), `error` (the provider failed), `rate_limited`, `connect` (no connection), `timeout`, `broken` (the connection failed before the answer was whole), `garbage` (not the JSON that it should be), `stopped` (the kill switch); of messages: `sent`, `retried`, `gave_up`; of jobs: `success`, `failed`",
    },
    Label {
        name: "decision",
        meaning: "`admitted`; `refused` and `downgraded` by a limit; `clamped` (less output than asked was admitted); `shadow` and `alert` (a limit would have refused if it decided); `blocked` (the user), `kill_switch`, `degraded` (calls cannot be recorded), `shed` (no room for another call)",
    },
    Label {
        name: "limit",
        meaning: "The name of the limit; empty where none decided; `other` beyond 256 names",
    },
    Label {
        name: "scope",
        meaning: "Whose counter it is: `global`, or `user` for one of the top users",
    },
    Label {
        name: "rank",
        meaning: "`1` to `10` for the users who spent the most lately, empty for global limits. It says who stands there at this moment, never who it is: `tollgate usage --by user` tells that",
    },
    Label { name: "plan", meaning: "The plan that a limit belongs to; empty outside plans" },
    Label { name: "metric", meaning: "What a limit counts" },
    Label { name: "window", meaning: "The time over which a limit counts" },
    Label { name: "reason", meaning: "`cache`, `coalesced`, `idempotency`" },
    Label { name: "state", meaning: "`hit`, `miss`, `coalesced`, `bypass`" },
    Label { name: "action", meaning: "`alert`, `serve_cached`, `throttle`, `block`" },
    Label {
        name: "sink",
        meaning: "The name of a sink, made of its kind and its place in the configuration",
    },
    Label { name: "rule", meaning: "The name of an alert rule" },
    Label { name: "channel", meaning: "The name of an alert channel" },
    Label {
        name: "job_name",
        meaning: "The name of a scheduled job; `job` is what Prometheus calls a target",
    },
    Label { name: "version", meaning: "The version of the program" },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_what_they_are() {
        let mut names = BTreeSet::new();
        for family in FAMILIES {
            assert!(names.insert(family.name), "{} is there twice", family.name);
            let own = ["tollgate_", "process_"].iter().any(|start| family.name.starts_with(start));
            let lower = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(own && family.name.bytes().all(lower), "{}", family.name);
            let is_counter = family.kind == Kind::Counter;
            assert_eq!(family.name.ends_with("_total"), is_counter, "{}", family.name);
            assert_eq!(family.name.ends_with("_info"), family.kind == Kind::Info);
            assert!(!family.help.ends_with('.') && !family.help.contains(['\n', '"', '\\']));
        }
    }

    #[test]
    fn every_label_is_explained_and_none_is_a_person() {
        let explained: BTreeSet<_> = LABELS.iter().map(|label| label.name).collect();
        let used: BTreeSet<_> = FAMILIES.iter().flat_map(|family| family.labels).copied().collect();
        assert_eq!(explained, used);
        for person in ["user", "key", "team", "ip", "session", "request_id", "call_id"] {
            assert!(!used.contains(person), "{person}");
        }
    }
}
