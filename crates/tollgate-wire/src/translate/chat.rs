//! Intermediate: the signatures.
use super::{Target, View, Written, prompt::Prompt, reply::Event};
use crate::openai::UsageRules;
use crate::peek::BodyError;
pub(crate) fn read(_model: Option<&str>, _body: &[u8]) -> Result<Prompt, BodyError> {
    Ok(Prompt::default())
}
pub(crate) fn write(_prompt: &Prompt, _target: &Target<'_>) -> Result<Written, BodyError> {
    Ok(Written { body: bytes::Bytes::new(), left_out: Vec::new() })
}
pub(crate) fn read_whole(_body: &[u8], _rules: UsageRules) -> Vec<Event> {
    Vec::new()
}
#[derive(Debug)]
pub(crate) struct Reader;
impl Reader {
    pub(crate) fn new(_rules: UsageRules) -> Self {
        Self
    }
    pub(crate) fn event(&mut self, _name: &[u8], _data: &[u8], _out: &mut Vec<Event>) {}
    pub(crate) fn finish(&mut self, _out: &mut Vec<Event>) {}
}
#[derive(Debug)]
pub(crate) struct Writer;
impl Writer {
    pub(crate) fn new(_view: &View) -> Self {
        Self
    }
    pub(crate) fn push(&mut self, _event: &Event, _out: &mut Vec<u8>) {}
}
pub(crate) fn write_whole(_events: &[Event], _view: &View) -> Vec<u8> {
    Vec::new()
}
