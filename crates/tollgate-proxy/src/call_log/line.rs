//! The line of a call: the fields of the ledger row that operators filter by, and derived ones.

use jiff::Timestamp;
use tollgate_domain::call::{CallRecord, Dialect, Outcome};
use tollgate_domain::money::NanoUsd;

use super::object::Object;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For eyes.
    Pretty,
}

/// From here on a call is slow, in milliseconds.
const SLOW_MS: u64 = 3_000;
/// From here on it is far too slow.
const CRITICAL_MS: u64 = 10_000;
/// From here on a call is expensive.
const EXPENSIVE: NanoUsd = NanoUsd::from_nanos(1_000_000_000);

struct Line<'a> {
    time: Timestamp,
    level: &'static str,
    message: &'static str,
    request_id: &'a str,
    call_id: tollgate_domain::id::CallId,
    user: &'a str,
    key: Option<&'a str>,
    team: Option<&'a str>,
    session: Option<&'a str>,
    feature: Option<&'a str>,
    dialect: Dialect,
    endpoint: &'a str,
    provider: &'a str,
    model: &'a str,
    model_asked: &'a str,
    stream: bool,
    status: u16,
    outcome: Outcome,
    error_type: Option<&'a str>,
    error_code: Option<&'a str>,
    attempts: u16,
    cache: tollgate_domain::call::CacheState,
    input_tokens: u64,
    cached_input_tokens: u64,
    cache_write_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    total_tokens: u64,
    cost_usd: NanoUsd,
    saved_usd: NanoUsd,
    estimated: bool,
    latency_ms: u64,
    ttft_ms: Option<u64>,
    latency_category: &'static str,
    tags: &'a [&'static str],
    /// Output tokens per input token, in thousandths.
    compression_ratio: Option<u64>,
}

/// Appends the line of a call, with its newline.
pub fn write_line(call: &CallRecord, format: Format, out: &mut Vec<u8>) {
    let tags = Tags::of(call);
    let line = line_of(call, tags.as_slice());
    match format {
        Format::Json => json(&line, out),
        Format::Pretty => pretty(&line, out),
    }
    out.push(b'\n');
}

/// Appends the JSON line of a call, with its newline, whatever standard output is written in.
pub fn write_json(call: &CallRecord, out: &mut Vec<u8>) {
    write_line(call, Format::Json, out);
}

fn line_of<'a>(call: &'a CallRecord, tags: &'a [&'static str]) -> Line<'a> {
    let latency_ms = call.latency_us / 1_000;
    Line {
        time: call.time,
        level: level(call),
        message: "call",
        request_id: &call.request_id,
        call_id: call.call_id,
        user: &call.user,
        key: call.key.as_deref(),
        team: call.team.as_deref(),
        session: call.session.as_deref(),
        feature: call.feature.as_deref(),
        dialect: call.dialect,
        endpoint: &call.endpoint,
        provider: &call.provider,
        model: &call.model,
        model_asked: &call.model_asked,
        stream: call.stream,
        status: call.status,
        outcome: call.outcome,
        error_type: error_class(call),
        error_code: call.error_type.as_deref(),
        attempts: call.attempts,
        cache: call.cache,
        input_tokens: call.usage.input,
        cached_input_tokens: call.usage.cache_read,
        cache_write_tokens: call.usage.cache_write,
        output_tokens: call.usage.output,
        reasoning_tokens: call.usage.reasoning,
        total_tokens: call.usage.total(),
        cost_usd: call.cost,
        saved_usd: call.saved,
        estimated: call.estimated,
        latency_ms,
        ttft_ms: call.ttft_us.map(|us| us / 1_000),
        latency_category: latency_category(latency_ms),
        tags,
        compression_ratio: ratio(call.usage.output, call.usage.input),
    }
}

fn level(call: &CallRecord) -> &'static str {
    match call.status {
        500.. => "error",
        400..500 => "warn",
        _ if call.outcome != Outcome::Success => "warn",
        _ => "info",
    }
}

fn latency_category(ms: u64) -> &'static str {
    if ms > CRITICAL_MS {
        "critical"
    } else if ms > SLOW_MS {
        "warning"
    } else {
        "normal"
    }
}

/// The class of an error, few enough to group by.
fn error_class(call: &CallRecord) -> Option<&'static str> {
    let code = call.error_type.as_deref();
    let class = match (code, call.status) {
        (None, 200..300) => return None,
        (Some("upstream_timeout" | "request_timeout"), _) | (_, 408 | 504) => "timeout",
        (Some("client_closed"), _) | (_, 499) => "client_closed",
        (_, 401 | 403) => "authentication",
        (_, 429) => "rate_limit",
        (Some("upstream_error" | "circuit_open"), _) => "upstream",
        (Some("internal" | "degraded" | "overloaded" | "kill_switch"), _) => "gateway",
        (_, 400..500) => "invalid_request",
        _ => "upstream",
    };
    Some(class)
}

/// Tags of a call; there are few, so they live on the stack.
struct Tags {
    tags: [&'static str; 4],
    len: usize,
}

impl Tags {
    fn of(call: &CallRecord) -> Self {
        let mut tags = Self { tags: [""; 4], len: 0 };
        let wanted = [
            ("high_latency", call.latency_us / 1_000 > SLOW_MS),
            ("high_cost", call.cost > EXPENSIVE),
            ("failed_request", call.status >= 400 || call.outcome == Outcome::Failed),
            ("estimated", call.estimated),
        ];
        for (tag, _) in wanted.into_iter().filter(|(_, holds)| *holds) {
            if let Some(slot) = tags.tags.get_mut(tags.len) {
                *slot = tag;
                tags.len += 1;
            }
        }
        tags
    }

    fn as_slice(&self) -> &[&'static str] {
        self.tags.get(..self.len).unwrap_or_default()
    }
}

/// Output tokens per input token, in thousandths.
fn ratio(output: u64, input: u64) -> Option<u64> {
    output.saturating_mul(1_000).checked_div(input)
}

fn json(line: &Line<'_>, out: &mut Vec<u8>) {
    let time = line.time.to_string();
    // In UTC the beginning of the text names the minute and the hour.
    let bucket = |length: usize, rest: &str| {
        time.get(..length).map_or_else(|| time.clone(), |start| format!("{start}{rest}"))
    };
    let mut object = Object::begin(out);
    object.text("time", &time);
    object.text("level", line.level);
    object.text("message", line.message);
    object.text("request_id", line.request_id);
    object.text("call_id", line.call_id.encode(&mut [0; 36]));
    object.text("user", line.user);
    object.text_if("key", line.key);
    object.text_if("team", line.team);
    object.text_if("session", line.session);
    object.text_if("feature", line.feature);
    object.text("dialect", line.dialect.as_str());
    object.text("endpoint", line.endpoint);
    object.text("provider", line.provider);
    object.text("model", line.model);
    object.text("model_asked", line.model_asked);
    object.truth("stream", line.stream);
    object.number("status", line.status.into());
    object.text("outcome", line.outcome.as_str());
    object.text_or_null("error_type", line.error_type);
    object.text_or_null("error_code", line.error_code);
    object.number("attempts", line.attempts.into());
    object.text("cache", line.cache.as_str());
    object.number("input_tokens", line.input_tokens);
    object.number("cached_input_tokens", line.cached_input_tokens);
    object.number("cache_write_tokens", line.cache_write_tokens);
    object.number("output_tokens", line.output_tokens);
    object.number("reasoning_tokens", line.reasoning_tokens);
    object.number("total_tokens", line.total_tokens);
    object.text("cost_usd", &line.cost_usd.to_string());
    object.text("saved_usd", &line.saved_usd.to_string());
    object.truth("estimated", line.estimated);
    object.number("latency_ms", line.latency_ms);
    object.number_or_null("ttft_ms", line.ttft_ms);
    object.text("latency_category", line.latency_category);
    object.words("tags", line.tags);
    object.text("minute_bucket", &bucket("2026-11-21T12:22".len(), ":00Z"));
    object.text("hour_bucket", &bucket("2026-11-21T12".len(), ":00:00Z"));
    object.thousandths_or_null("compression_ratio", line.compression_ratio);
    object.end();
}

fn pretty(line: &Line<'_>, out: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to memory does not fail.
    drop(write!(
        out,
        "{} {} {:>6} ms  {}  {}  {} in / {} out  ${}  {}{}",
        line.time.strftime("%H:%M:%S"),
        line.status,
        line.latency_ms,
        line.user,
        line.model,
        line.input_tokens,
        line.output_tokens,
        line.cost_usd,
        line.outcome.as_str(),
        line.error_code.map(|code| format!(" ({code})")).unwrap_or_default(),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use tollgate_domain::call::CacheState;
    use tollgate_domain::id::CallId;
    use tollgate_domain::usage::Usage;

    fn call() -> CallRecord {
        CallRecord {
            call_id: CallId::new(1_795_263_743_000, [7; 10]),
            request_id: "req-1".into(),
            time: "2026-11-21T12:22:23.5Z".parse().unwrap(),
            user: "alice".into(),
            key: Some("backend".into()),
            team: None,
            ip: Some("10.0.0.1".into()),
            session: None,
            feature: None,
            tags: Vec::new(),
            dialect: Dialect::Openai,
            endpoint: "/v1/chat/completions".into(),
            provider: "openai".into(),
            model_asked: "gpt-4o-mini".into(),
            model: "gpt-4o-mini-2024-07-18".into(),
            stream: false,
            status: 200,
            outcome: Outcome::Success,
            error_type: None,
            attempts: 1,
            cache: CacheState::Miss,
            usage: Usage::tokens(40, 20),
            cost: NanoUsd::from_nanos(18_000),
            provider_cost: None,
            saved: NanoUsd::ZERO,
            repetition: None,
            price_version: "book 1 openai/gpt-4o-mini".into(),
            estimated: false,
            latency_us: 412_345,
            ttft_us: Some(398_000),
            trace: None,
            decision: None,
            tries: Vec::new(),
        }
    }

    fn line(call: &CallRecord) -> Value {
        let mut text = Vec::new();
        write_line(call, Format::Json, &mut text);
        assert_eq!(String::from_utf8(text.clone()).unwrap().lines().count(), 1);
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn a_line_holds_the_fields_that_operators_filter_by() {
        let line = line(&call());
        for (field, value) in [
            ("request_id", "req-1".into()),
            ("model", "gpt-4o-mini-2024-07-18".into()),
            ("status", 200.into()),
            ("cost_usd", "0.000018000".into()),
            ("latency_ms", 412.into()),
            ("latency_category", "normal".into()),
            ("total_tokens", 60.into()),
            ("error_type", Value::Null),
            ("minute_bucket", "2026-11-21T12:22:00Z".into()),
            ("hour_bucket", "2026-11-21T12:00:00Z".into()),
            ("compression_ratio", 0.5.into()),
            ("tags", Value::Array(Vec::new())),
        ] {
            assert_eq!(line[field], value, "{field}");
        }
    }

    #[test]
    fn slow_dear_and_failed_calls_are_tagged_and_classed() {
        for (latency_ms, status, code, nanos, category, class, tags) in [
            (3_001, 200, None, 0, "warning", None, &["high_latency"][..]),
            (10_001, 200, None, 0, "critical", None, &["high_latency"]),
            (1, 200, None, 1_000_000_001, "normal", None, &["high_cost"]),
            (1, 504, Some("upstream_timeout"), 0, "normal", Some("timeout"), &["failed_request"]),
            (
                1,
                401,
                Some("unauthenticated"),
                0,
                "normal",
                Some("authentication"),
                &["failed_request"],
            ),
            (1, 429, Some("rate_limited"), 0, "normal", Some("rate_limit"), &["failed_request"]),
            (1, 502, Some("upstream_error"), 0, "normal", Some("upstream"), &["failed_request"]),
            (
                1,
                499,
                Some("client_closed"),
                0,
                "normal",
                Some("client_closed"),
                &["failed_request"],
            ),
        ] {
            let line = line(&CallRecord {
                latency_us: latency_ms * 1_000,
                status,
                error_type: code.map(Into::into),
                cost: NanoUsd::from_nanos(nanos),
                ..call()
            });
            assert_eq!(line["latency_category"], category);
            assert_eq!(line["error_type"], class.map_or(Value::Null, Value::from));
            assert_eq!(line["tags"], Value::from(tags));
        }
    }

    /// A file of `deploy/`, one JSON document, or one a line.
    macro_rules! asset {
        ($path:literal) => {
            include_str!(concat!("../../../../deploy/", $path))
        };
    }

    /// The names of all fields of a line, optional ones included.
    fn fields() -> Vec<String> {
        let named = || Some("x".into());
        let full = CallRecord {
            team: named(),
            session: named(),
            feature: named(),
            status: 502,
            error_type: named(),
            ..call()
        };
        line(&full).as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn the_index_template_maps_every_field_of_the_line_and_no_other() {
        let template: Value =
            serde_json::from_str(asset!("elasticsearch/index-template.json")).unwrap();
        let mapped = template["template"]["mappings"]["properties"].as_object().unwrap();
        let mut mapped: Vec<String> = mapped.keys().cloned().collect();
        let mut written = fields();
        written.push("@timestamp".to_owned());
        mapped.sort_unstable();
        written.sort_unstable();
        assert_eq!(mapped, written);
    }

    #[test]
    fn the_saved_objects_of_kibana_are_whole_and_name_fields_of_the_line_only() {
        let mut known = fields();
        known.push("@timestamp".to_owned());
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let objects: Vec<Value> = asset!("kibana/tollgate.ndjson").lines().map(read).collect();
        let ids: Vec<&Value> = objects.iter().map(|object| &object["id"]).collect();
        let mut named = Vec::new();
        for object in &objects {
            for reference in object["references"].as_array().unwrap() {
                assert!(ids.contains(&&reference["id"]), "{reference} leads nowhere");
            }
            let attributes = &object["attributes"];
            if let Some(state) = attributes["visState"].as_str() {
                named.extend(all_fields(&read(state)));
            }
            let columns = attributes["columns"].as_array().into_iter().flatten();
            named.extend(columns.map(|column| column.as_str().unwrap().to_owned()));
            named.extend(attributes["timeFieldName"].as_str().map(str::to_owned));
            let search = attributes["kibanaSavedObjectMeta"]["searchSourceJSON"].as_str();
            let query = search.map(|text| read(text)["query"]["query"].clone());
            named.extend(query.iter().filter_map(asked_field));
            let panels = attributes["panelsJSON"].as_str().map(read);
            for panel in panels.iter().flat_map(|panels| panels.as_array().unwrap()) {
                let references = object["references"].as_array().unwrap();
                let name = &panel["panelRefName"];
                assert!(references.iter().any(|it| it["name"] == *name), "{name}");
            }
        }
        assert!(named.len() > 20, "{named:?}");
        for field in named {
            assert!(known.contains(&field), "{field} is no field of the line");
        }
    }

    /// The values of all keys `field`.
    fn all_fields(value: &Value) -> Vec<String> {
        match value {
            Value::Object(map) => {
                let own = map.get("field").and_then(Value::as_str).map(str::to_owned);
                own.into_iter().chain(map.values().flat_map(all_fields)).collect()
            }
            Value::Array(values) => values.iter().flat_map(all_fields).collect(),
            _ => Vec::new(),
        }
    }

    /// The field of a query such as `not outcome : "refused"`.
    fn asked_field(query: &Value) -> Option<String> {
        let (field, _) = query.as_str()?.split_once(':')?;
        Some(field.trim().trim_start_matches("not ").to_owned())
    }
}
