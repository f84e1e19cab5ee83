//! Hands a batch to a collector: three requests, one for each signal. A signal that the collector
//! took of a batch is not sent again with it.

use http::Method;
use serde::Deserialize;
use tollgate_domain::id::CallId;

use super::Otlp;
use super::call::{is_wanted, nanos, record, span};
use super::message::{LogRecord, Resource, Span, Value, logs, metrics, traces};
use crate::event::Call;
use crate::settings::Encoding;
use crate::transport::http::{Answer, Ask};
use crate::worker::{Delivery, Sink};

/// The signals, in the order in which they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// Which signals of a batch the collector has.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The batch: its first call and its length.
    batch: Option<(CallId, usize)>,
    taken: Vec<Signal>,
    refused: usize,
    why: String,
}

/// What became of one signal.
enum Sent {
    /// The collector has it, but for so many items that it refused.
    Taken(usize, String),
    /// It may take it later.
    Not(Delivery),
    /// It is too much at once.
    TooLarge,
}

impl Sink for Otlp {
    type Event = Call;

    async fn send(&mut self, batch: &[Call]) -> Delivery {
        let id = batch.first().map(|call| (call.call_id, batch.len()));
        if self.position.batch != id {
            self.position = Position { batch: id, ..Position::default() };
        }
        let wanted = [
            (Signal::Traces, self.config.traces),
            (Signal::Metrics, self.config.metrics),
            (Signal::Logs, self.config.logs),
        ];
        for (signal, _) in wanted.into_iter().filter(|(_, wanted)| *wanted) {
            if self.position.taken.contains(&signal) {
                continue;
            }
            if let Err(delivery) = self.send_signal(signal, batch).await {
                return delivery;
            }
            self.position.taken.push(signal);
        }
        let Position { refused, why, .. } = std::mem::take(&mut self.position);
        Delivery::Taken { refused: refused.min(batch.len()), why }
    }
}

impl Otlp {
    /// Sends one signal, in halves where it is too much at once.
    async fn send_signal(&mut self, signal: Signal, batch: &[Call]) -> Result<(), Delivery> {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.post(signal, part).await {
                Sent::Taken(refused, why) => self.refuse(refused, why),
                Sent::TooLarge if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Sent::TooLarge => self.refuse(part.len(), "a call is too large for it".to_owned()),
                Sent::Not(delivery) => return Err(delivery),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, refused: usize, why: String) {
        if refused > 0 {
            self.position.refused += refused;
            self.position.why = why;
        }
    }

    async fn post(&mut self, signal: Signal, batch: &[Call]) -> Sent {
        let encoding = self.config.encoding;
        let resource = self.resource();
        let view = self.view();
        let (path, body) = match signal {
            Signal::Traces => {
                let wanted = |call: &&Call| is_wanted(call, self.config.sample_per_million);
                let spans: Vec<Span> =
                    batch.iter().filter(wanted).filter_map(|call| span(&view, call)).collect();
                if spans.is_empty() {
                    return Sent::Taken(0, String::new());
                }
                ("/v1/traces", traces(encoding, &resource, &spans))
            }
            Signal::Logs => {
                let now = nanos(self.clock.now());
                let records: Vec<LogRecord> =
                    batch.iter().map(|call| record(&view, call, self.line, now)).collect();
                ("/v1/logs", logs(encoding, &resource, &records))
            }
            Signal::Metrics => return self.post_metrics(batch, &resource).await,
        };
        self.ask(path, body, batch.len()).await
    }

    /// What was counted counts only when the collector has it, so that a batch counts once.
    async fn post_metrics(&mut self, batch: &[Call], resource: &Resource) -> Sent {
        let mut totals = self.totals.clone();
        let view = self.view();
        for call in batch {
            totals.add(&view, call);
        }
        let stretch = totals.stretch(self.clock.now());
        let body = metrics(self.config.encoding, resource, &totals.metrics(), stretch);
        let sent = self.ask("/v1/metrics", body, batch.len()).await;
        if matches!(sent, Sent::Taken(..)) {
            self.totals = totals;
        }
        sent
    }

    async fn ask(&mut self, path: &str, body: Vec<u8>, calls: usize) -> Sent {
        let content_type = self.config.encoding.content_type();
        let ask = Ask { method: Method::POST, path, content_type, body };
        match self.client.ask(ask).await {
            Ok(answer) => judge(path, &answer, self.config.encoding, calls),
            Err(error) => Sent::Not(error.into()),
        }
    }

    fn resource(&self) -> Resource {
        let mut all: Resource = vec![
            ("service.name".to_owned(), "tollgate".into()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").into()),
        ];
        for (name, value) in &self.config.resource {
            all.retain(|(known, _)| known != name);
            all.push((name.clone(), Value::from(value.as_str())));
        }
        all
    }
}

/// What an answer means (OTLP specification, "OTLP/HTTP Response"): a part may be refused for good;
/// 429, 502, 503 and 504 pass. What an operator can mend waits as well.
fn judge(path: &str, answer: &Answer, encoding: Encoding, calls: usize) -> Sent {
    let code = answer.status.as_u16();
    let why = format!("POST {path} is answered with {code}");
    match code {
        200..300 => {
            let rejected = rejected(&answer.body, encoding);
            let rejected = usize::try_from(rejected).unwrap_or_default();
            Sent::Taken(rejected, format!("POST {path}: a part was rejected"))
        }
        413 => Sent::TooLarge,
        300..=399 | 401 | 403 | 404 | 407 | 408 | 429 | 502 | 503 | 504 => {
            Sent::Not(Delivery::Later { why, after: answer.retry_after() })
        }
        _ => Sent::Taken(calls, why),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    partial_success: Partial,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Partial {
    #[serde(default, alias = "rejectedSpans", alias = "rejectedDataPoints")]
    rejected_log_records: serde_json::Value,
}

/// How many items a collector has refused of a request that it took.
fn rejected(body: &[u8], encoding: Encoding) -> u64 {
    match encoding {
        Encoding::Json => {
            let response: Option<Response> = serde_json::from_slice(body).ok();
            let number = response.map(|it| it.partial_success.rejected_log_records);
            // 64-bit integers are text in JSON, but not everybody writes them so.
            number
                .and_then(|it| it.as_u64().or_else(|| it.as_str()?.parse().ok()))
                .unwrap_or_default()
        }
        Encoding::Protobuf => rejected_of_protobuf(body).unwrap_or_default(),
    }
}

/// `partial_success` is field 1, a message; in it the count is field 1, a varint.
fn rejected_of_protobuf(body: &[u8]) -> Option<u64> {
    let (tag, rest) = body.split_first()?;
    let (length, rest) = varint(rest).filter(|_| *tag == 0x0a)?;
    let within = rest.get(..usize::try_from(length).ok()?)?;
    let (tag, rest) = within.split_first()?;
    varint(rest).filter(|_| *tag == 0x08).map(|(count, _)| count)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(place * 7).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}
