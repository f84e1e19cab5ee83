//! Connections of sinks to their services: one each, made when it is needed.
//!
//! A sink asks one thing at a time, so a pool would have one member. The connections of calls are
//! made elsewhere, by the data plane; nothing is shared with them, so that a service cannot take a
//! call's connection or its runtime.

pub(crate) mod http;
pub(crate) mod stream;
pub(crate) mod tls;
