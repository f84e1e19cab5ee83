//! Writes a message from one description as protobuf or as JSON.
//!
//! Protobuf: wire types of the encoding guide (varint 0, 64-bit 1, length-delimited 2). JSON: the
//! mapping of proto3 with the exceptions of the OTLP specification (names in lower camel case, ids in
//! hexadecimal, enumerations as numbers, 64-bit integers as text). A value that is zero or empty is
//! left out, as proto3 has it, unless its field is one of a choice.

mod json;
mod protobuf;

pub(super) use json::Json;
pub(super) use protobuf::Protobuf;

/// A field: its number and its name in JSON.
pub(super) type Field = (u32, &'static str);

/// A message that is being written.
pub(super) trait Sheet {
    /// Text.
    fn text(&mut self, field: Field, value: &str);
    /// A signed integer of 64 bits.
    fn int(&mut self, field: Field, value: i64);
    /// An unsigned integer of 64 bits of fixed length.
    fn fixed(&mut self, field: Field, value: u64);
    /// An unsigned integer of 32 bits of fixed length.
    fn fixed_word(&mut self, field: Field, value: u32);
    /// A signed integer of 64 bits of fixed length.
    fn signed(&mut self, field: Field, value: i64);
    /// A number of an enumeration.
    fn word(&mut self, field: Field, value: u32);
    /// A floating-point number.
    fn double(&mut self, field: Field, value: f64);
    /// True or false.
    fn flag(&mut self, field: Field, value: bool);
    /// An id of bytes.
    fn id(&mut self, field: Field, value: &[u8]);
    /// Unsigned integers of fixed length.
    fn fixeds(&mut self, field: Field, values: &[u64]);
    /// Floating-point numbers.
    fn doubles(&mut self, field: Field, values: &[f64]);
    /// A message within.
    fn message(&mut self, field: Field, write: &mut dyn FnMut(&mut dyn Sheet));
    /// Messages within, `count` of them, each written by its place.
    fn messages(
        &mut self,
        field: Field,
        count: usize,
        write: &mut dyn FnMut(usize, &mut dyn Sheet),
    );
}
