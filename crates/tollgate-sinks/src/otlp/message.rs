//! The messages of OTLP 1.x that are sent: which field has which number and name
//! (`opentelemetry/proto/{trace,logs,metrics,common,resource}/v1`).

use tollgate_domain::trace::TraceParent;

use super::sheet::{Field, Json, Protobuf, Sheet};
use crate::settings::Encoding;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Double(f64),
    Flag(bool),
    Texts(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Names and values.
pub(super) type Attributes = Vec<(&'static str, Value)>;

/// What happened in a stretch of time.
pub(super) struct Span {
    pub(super) trace: [u8; 16],
    pub(super) id: [u8; 8],
    /// The span of somebody else that it belongs to.
    pub(super) parent: Option<TraceParent>,
    pub(super) name: String,
    /// Nanoseconds since the epoch.
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Attributes,
    /// The class of the error, where it ended in one.
    pub(super) error: Option<String>,
}

/// What is said of a moment.
pub(super) struct LogRecord {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    /// The span of somebody else that the call belongs to.
    pub(super) parent: Option<TraceParent>,
    pub(super) time: u64,
    pub(super) observed: u64,
    /// 9 info, 13 warn, 17 error.
    pub(super) severity: (u32, &'static str),
    pub(super) body: String,
    pub(super) attributes: Attributes,
}

/// A metric with its points.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) about: &'static str,
    pub(super) points: Points,
}

/// Points of a metric, all cumulative.
pub(super) enum Points {
    /// Sums of whole numbers.
    Counts(Vec<(Attributes, i64)>),
    /// Sums.
    Sums(Vec<(Attributes, f64)>),
    /// Histograms, with the upper ends of their buckets.
    Histograms(&'static [f64], Vec<(Attributes, Distribution)>),
}

/// What a histogram has counted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Distribution {
    pub(super) buckets: Vec<u64>,
    pub(super) sum: f64,
    pub(super) count: u64,
}

/// Attributes of the resource.
pub(super) type Resource = Vec<(String, Value)>;

const SCOPE_NAME: &str = "tollgate";
const CUMULATIVE: u32 = 2;
const CLIENT: u32 = 3;
const ERROR: u32 = 2;
/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK` and `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`: it is known
/// where the parent is, and that is another program.
const REMOTE_PARENT: u32 = 0x100 | 0x200;

/// Writes a message in an encoding.
fn written(encoding: Encoding, write: impl Fn(&mut dyn Sheet)) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let mut sheet = Protobuf::default();
            write(&mut sheet);
            sheet.finish()
        }
        Encoding::Json => {
            let mut sheet = Json::default();
            write(&mut sheet);
            sheet.finish()
        }
    }
}

/// Writes an item by its place.
type Item<'a> = &'a dyn Fn(usize, &mut dyn Sheet);

/// The frame that all three signals have: resource, scope, and `count` items in it.
fn request(
    encoding: Encoding,
    resource: &Resource,
    names: [Field; 3],
    (count, item): (usize, Item<'_>),
) -> Vec<u8> {
    let [resources, scopes, items] = names;
    written(encoding, |sheet| {
        sheet.messages(resources, 1, &mut |_, sheet| {
            sheet.message((1, "resource"), &mut |sheet| named(sheet, resource));
            sheet.messages(scopes, 1, &mut |_, sheet| {
                sheet.message((1, "scope"), &mut |sheet| {
                    sheet.text((1, "name"), SCOPE_NAME);
                    sheet.text((2, "version"), env!("CARGO_PKG_VERSION"));
                });
                sheet.messages(items, count, &mut |at, sheet| item(at, sheet));
            });
        });
    })
}

fn named(sheet: &mut dyn Sheet, resource: &Resource) {
    sheet.messages((1, "attributes"), resource.len(), &mut |at, sheet| {
        let Some((name, value)) = resource.get(at) else { return };
        attribute(sheet, name, value);
    });
}

fn attribute(sheet: &mut dyn Sheet, name: &str, value: &Value) {
    sheet.text((1, "key"), name);
    sheet.message((2, "value"), &mut |sheet| any(sheet, value));
}

fn any(sheet: &mut dyn Sheet, value: &Value) {
    match value {
        Value::Text(text) => sheet.text((1, "stringValue"), text),
        Value::Flag(flag) => sheet.flag((2, "boolValue"), *flag),
        Value::Int(number) => sheet.int((3, "intValue"), *number),
        Value::Double(number) => sheet.double((4, "doubleValue"), *number),
        Value::Texts(texts) => sheet.message((5, "arrayValue"), &mut |sheet| {
            sheet.messages((1, "values"), texts.len(), &mut |at, sheet| {
                sheet.text((1, "stringValue"), texts.get(at).map_or("", String::as_str));
            });
        }),
    }
}

fn attributes(sheet: &mut dyn Sheet, number: u32, all: &Attributes) {
    sheet.messages((number, "attributes"), all.len(), &mut |at, sheet| {
        let Some((name, value)) = all.get(at) else { return };
        attribute(sheet, name, value);
    });
}

/// The flags of a trace (W3C Trace Context), in the lowest eight bits.
fn flags(parent: &TraceParent) -> u32 {
    u32::from(parent.is_sampled())
}

/// An `ExportTraceServiceRequest`.
pub(super) fn traces(encoding: Encoding, resource: &Resource, spans: &[Span]) -> Vec<u8> {
    let names = [(1, "resourceSpans"), (2, "scopeSpans"), (2, "spans")];
    let item = |at: usize, sheet: &mut dyn Sheet| {
        let Some(span) = spans.get(at) else { return };
        sheet.id((1, "traceId"), &span.trace);
        sheet.id((2, "spanId"), &span.id);
        if let Some(parent) = &span.parent {
            sheet.id((4, "parentSpanId"), &parent.span_id());
            sheet.fixed_word((16, "flags"), REMOTE_PARENT | flags(parent));
        }
        sheet.text((5, "name"), &span.name);
        sheet.word((6, "kind"), CLIENT);
        sheet.fixed((7, "startTimeUnixNano"), span.start);
        sheet.fixed((8, "endTimeUnixNano"), span.end);
        attributes(sheet, 9, &span.attributes);
        if let Some(error) = &span.error {
            sheet.message((15, "status"), &mut |sheet| {
                sheet.text((2, "message"), error);
                sheet.word((3, "code"), ERROR);
            });
        }
    };
    request(encoding, resource, names, (spans.len(), &item))
}

/// An `ExportLogsServiceRequest`.
pub(super) fn logs(encoding: Encoding, resource: &Resource, records: &[LogRecord]) -> Vec<u8> {
    let names = [(1, "resourceLogs"), (2, "scopeLogs"), (2, "logRecords")];
    let item = |at: usize, sheet: &mut dyn Sheet| {
        let Some(record) = records.get(at) else { return };
        let (number, text) = record.severity;
        sheet.fixed((1, "timeUnixNano"), record.time);
        sheet.fixed((11, "observedTimeUnixNano"), record.observed);
        sheet.word((2, "severityNumber"), number);
        sheet.text((3, "severityText"), text);
        sheet.message((5, "body"), &mut |sheet| sheet.text((1, "stringValue"), &record.body));
        attributes(sheet, 6, &record.attributes);
        sheet.id((9, "traceId"), &record.trace);
        sheet.id((10, "spanId"), &record.span);
        if let Some(parent) = &record.parent {
            sheet.fixed_word((8, "flags"), flags(parent));
        }
        sheet.text((12, "eventName"), "tollgate.call");
    };
    request(encoding, resource, names, (records.len(), &item))
}

/// An `ExportMetricsServiceRequest` of points that were counted from `start` to `now`.
pub(super) fn metrics(
    encoding: Encoding,
    resource: &Resource,
    all: &[Metric],
    (start, now): (u64, u64),
) -> Vec<u8> {
    let names = [(1, "resourceMetrics"), (2, "scopeMetrics"), (2, "metrics")];
    let item = |at: usize, sheet: &mut dyn Sheet| {
        let Some(metric) = all.get(at) else { return };
        sheet.text((1, "name"), metric.name);
        sheet.text((2, "description"), metric.about);
        sheet.text((3, "unit"), metric.unit);
        match &metric.points {
            Points::Counts(points) => sum(sheet, points.len(), &|at, sheet| {
                let Some((all, value)) = points.get(at) else { return };
                point(sheet, all, (start, now));
                sheet.signed((6, "asInt"), *value);
            }),
            Points::Sums(points) => sum(sheet, points.len(), &|at, sheet| {
                let Some((all, value)) = points.get(at) else { return };
                point(sheet, all, (start, now));
                sheet.double((4, "asDouble"), *value);
            }),
            Points::Histograms(bounds, points) => {
                histogram(sheet, (bounds, points), (start, now));
            }
        }
    };
    request(encoding, resource, names, (all.len(), &item))
}

fn sum(sheet: &mut dyn Sheet, count: usize, write: &dyn Fn(usize, &mut dyn Sheet)) {
    sheet.message((7, "sum"), &mut |sheet| {
        sheet.messages((1, "dataPoints"), count, &mut |at, sheet| write(at, sheet));
        sheet.word((2, "aggregationTemporality"), CUMULATIVE);
        sheet.flag((3, "isMonotonic"), true);
    });
}

fn point(sheet: &mut dyn Sheet, all: &Attributes, (start, now): (u64, u64)) {
    sheet.fixed((2, "startTimeUnixNano"), start);
    sheet.fixed((3, "timeUnixNano"), now);
    attributes(sheet, 7, all);
}

fn histogram(
    sheet: &mut dyn Sheet,
    (bounds, points): (&[f64], &[(Attributes, Distribution)]),
    (start, now): (u64, u64),
) {
    sheet.message((9, "histogram"), &mut |sheet| {
        sheet.messages((1, "dataPoints"), points.len(), &mut |at, sheet| {
            let Some((all, counted)) = points.get(at) else { return };
            sheet.fixed((2, "startTimeUnixNano"), start);
            sheet.fixed((3, "timeUnixNano"), now);
            sheet.fixed((4, "count"), counted.count);
            sheet.double((5, "sum"), counted.sum);
            sheet.fixeds((6, "bucketCounts"), &counted.buckets);
            sheet.doubles((7, "explicitBounds"), bounds);
            attributes(sheet, 9, all);
        });
        sheet.word((2, "aggregationTemporality"), CUMULATIVE);
    });
}
