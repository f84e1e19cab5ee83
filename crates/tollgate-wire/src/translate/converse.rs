//! The Converse form of Bedrock, in which all its models are called. No client speaks it here.
//!
//! What its own terms do not cover goes to Claude under the names of the messages form, in
//! `additionalModelRequestFields`. Source: the reference of the Bedrock runtime API.

mod convert;
mod reader;
mod write;

pub(crate) use reader::{Reader, read_whole};
pub(crate) use write::write;
