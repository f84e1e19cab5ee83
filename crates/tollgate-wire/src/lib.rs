//! The dialects of AI providers: bytes in, bytes out.
//!
//! Only this crate knows a provider's field names. By endpoint, it reads what a request will cost
//! at most ([`dialect::peek`]), changes the few bytes that must change ([`dialect::rewrite`]), reads
//! what an answer consumed ([`dialect::read_answer`], [`meter::Meter`]), and writes errors in the
//! shape of the dialect called ([`error`]). It opens no socket, knows no clock and decides nothing.
//!
//! What holds for all of it (WIRE-1): bytes that are relayed stay as they are, and however a stream
//! is cut into chunks, the same events and the same facts come out.

mod anthropic;
pub mod bedrock;
pub mod canonical;
pub mod cohere;
pub mod count;
pub mod dialect;
pub mod endpoint;
pub mod error;
pub mod facts;
mod figures;
pub mod form;
pub mod framing;
mod gemini;
mod inband;
mod json;
pub mod meter;
pub mod models;
mod native;
pub mod ollama;
pub mod openai;
mod other;
pub mod passthrough;
pub mod peek;
pub mod remains;
pub mod rewrite;
pub mod simulated;
pub mod sse;
mod tally;
mod tokenizer;
pub mod translate;
pub mod unknown;
pub mod waiting;
