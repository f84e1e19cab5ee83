//! Amazon Bedrock: its frames, its own Converse form, models in their native form, and signatures.

pub mod converse;
mod cut;
mod error;
mod events;
pub mod frame;
pub mod invoke;
pub mod messages;
pub mod model;
mod request;
pub mod sigv4;

pub(crate) use cut::cut;
pub use cut::{error_body, error_frame, error_type};
pub use error::read_error;
pub(crate) use events::Reader;
pub use request::{clamp, peek};
