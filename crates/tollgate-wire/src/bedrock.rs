//! Amazon Bedrock: its frames, its own Converse form, models in their native form, and signatures.

pub mod converse;
pub mod frame;
pub mod model;
pub mod sigv4;
