//! A message as protobuf.

use super::{Field, Sheet};

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// A message as protobuf.
#[derive(Default)]
pub(in crate::otlp) struct Protobuf(Vec<u8>);

impl Protobuf {
    /// The bytes that were written.
    pub(in crate::otlp) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            let [low, ..] = value.to_le_bytes();
            self.0.push(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.0.push(low);
    }

    fn key(&mut self, (number, _): Field, wire: u32) {
        self.varint(u64::from(number << 3 | wire));
    }

    fn bytes(&mut self, field: Field, bytes: &[u8]) {
        self.key(field, BYTES);
        self.varint(u64::try_from(bytes.len()).unwrap_or_default());
        self.0.extend_from_slice(bytes);
    }
}

impl Sheet for Protobuf {
    fn text(&mut self, field: Field, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn int(&mut self, field: Field, value: i64) {
        self.key(field, VARINT);
        self.varint(u64::from_le_bytes(value.to_le_bytes()));
    }

    fn fixed(&mut self, field: Field, value: u64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed_word(&mut self, field: Field, value: u32) {
        self.key(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn signed(&mut self, field: Field, value: i64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn word(&mut self, field: Field, value: u32) {
        self.key(field, VARINT);
        self.varint(u64::from(value));
    }

    fn double(&mut self, field: Field, value: f64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn flag(&mut self, field: Field, value: bool) {
        self.word(field, u32::from(value));
    }

    fn id(&mut self, field: Field, value: &[u8]) {
        self.bytes(field, value);
    }

    fn fixeds(&mut self, field: Field, values: &[u64]) {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &packed);
    }

    fn doubles(&mut self, field: Field, values: &[f64]) {
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &packed);
    }

    fn message(&mut self, field: Field, write: &mut dyn FnMut(&mut dyn Sheet)) {
        let mut within = Self::default();
        write(&mut within);
        self.bytes(field, &within.0);
    }

    fn messages(
        &mut self,
        field: Field,
        count: usize,
        write: &mut dyn FnMut(usize, &mut dyn Sheet),
    ) {
        for place in 0..count {
            self.message(field, &mut |within| write(place, within));
        }
    }
}
