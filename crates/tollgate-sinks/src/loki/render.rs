//! The body of a push (`/loki/api/v1/push`, JSON): streams of values, each a time in nanoseconds, a
//! line, and what is known of it.

use std::collections::BTreeMap;

use serde::ser::{SerializeMap as _, SerializeTuple as _};
use serde::{Serialize, Serializer};

use crate::event::{Call, WriteLine};
use crate::level::level_of;

/// Levels, in the order of their streams.
const LEVELS: [&str; 3] = ["info", "warn", "error"];

#[derive(Serialize)]
struct Push<'a> {
    streams: Vec<Stream<'a>>,
}

#[derive(Serialize)]
struct Stream<'a> {
    stream: Labels<'a>,
    values: Vec<Value<'a>>,
}

struct Labels<'a> {
    labels: &'a BTreeMap<String, String>,
    level: &'static str,
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.labels.iter().filter(|(name, _)| *name != "level") {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("level", self.level)?;
        map.end()
    }
}

struct Value<'a> {
    call: &'a Call,
    line: String,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serializer.serialize_tuple(3)?;
        value.serialize_element(&self.call.time.as_nanosecond().to_string())?;
        value.serialize_element(&self.line)?;
        value.serialize_element(&Metadata(self.call))?;
        value.end()
    }
}

/// What is looked for by value and would be too many streams as labels.
struct Metadata<'a>(&'a Call);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(call) = self;
        let mut map = serializer.serialize_map(Some(5))?;
        map.serialize_entry("call_id", &call.call_id)?;
        map.serialize_entry("request_id", &call.request_id)?;
        map.serialize_entry("provider", &call.provider)?;
        map.serialize_entry("model", &call.model)?;
        map.serialize_entry("status", &call.status.to_string())?;
        map.end()
    }
}

/// The body of a push of these calls.
pub(super) fn push(batch: &[Call], labels: &BTreeMap<String, String>, line: WriteLine) -> Vec<u8> {
    let mut text = Vec::new();
    let mut values: Vec<(&'static str, Value<'_>)> = Vec::with_capacity(batch.len());
    for call in batch {
        text.clear();
        line(call, &mut text);
        let level = level_of(&text);
        let line = String::from_utf8_lossy(&text).trim_end().to_owned();
        values.push((level, Value { call, line }));
    }
    // Loki is at its best with lines in order; within a stream they are.
    values.sort_by_key(|(_, value)| value.call.time);
    let mut streams: Vec<Stream<'_>> = LEVELS
        .iter()
        .map(|level| Stream { stream: Labels { labels, level }, values: Vec::new() })
        .collect();
    for (level, value) in values {
        if let Some(stream) = streams.iter_mut().find(|stream| stream.stream.level == level) {
            stream.values.push(value);
        }
    }
    streams.retain(|stream| !stream.values.is_empty());
    serde_json::to_vec(&Push { streams }).unwrap_or_default()
}
