//! A message as JSON.

use serde_json::{Map, Number, Value};

use super::{Field, Sheet};
use crate::event::hex;

/// A message as JSON.
#[derive(Default)]
pub(in crate::otlp) struct Json(Map<String, Value>);

impl Json {
    /// The bytes of the message.
    pub(in crate::otlp) fn finish(self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    fn put(&mut self, (_, name): Field, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

fn number(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number)
}

impl Sheet for Json {
    fn text(&mut self, field: Field, value: &str) {
        self.put(field, value);
    }

    fn int(&mut self, field: Field, value: i64) {
        self.put(field, value.to_string());
    }

    fn fixed(&mut self, field: Field, value: u64) {
        self.put(field, value.to_string());
    }

    fn fixed_word(&mut self, field: Field, value: u32) {
        self.put(field, value);
    }

    fn signed(&mut self, field: Field, value: i64) {
        self.put(field, value.to_string());
    }

    fn word(&mut self, field: Field, value: u32) {
        self.put(field, value);
    }

    fn double(&mut self, field: Field, value: f64) {
        self.put(field, number(value));
    }

    fn flag(&mut self, field: Field, value: bool) {
        self.put(field, value);
    }

    fn id(&mut self, field: Field, value: &[u8]) {
        self.put(field, hex(value.iter().copied()));
    }

    fn fixeds(&mut self, field: Field, values: &[u64]) {
        self.put(field, values.iter().map(u64::to_string).collect::<Vec<_>>());
    }

    fn doubles(&mut self, field: Field, values: &[f64]) {
        self.put(field, values.iter().map(|value| number(*value)).collect::<Vec<_>>());
    }

    fn message(&mut self, field: Field, write: &mut dyn FnMut(&mut dyn Sheet)) {
        let mut within = Self::default();
        write(&mut within);
        self.put(field, within.0);
    }

    fn messages(
        &mut self,
        field: Field,
        count: usize,
        write: &mut dyn FnMut(usize, &mut dyn Sheet),
    ) {
        let mut all = Vec::with_capacity(count);
        for place in 0..count {
            let mut within = Self::default();
            write(place, &mut within);
            all.push(Value::Object(within.0));
        }
        self.put(field, all);
    }
}
