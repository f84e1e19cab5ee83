//! Amazon Bedrock: its frames, its own Converse form, models in their native form, and signatures.

pub mod converse;
mod error;
pub mod frame;
pub mod model;
mod request;
pub mod sigv4;

pub use error::read_error;
pub use request::{clamp, peek};
