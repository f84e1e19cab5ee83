//! Bounds the texts of a record, so that no caller can make a row or a journal record large.
//!
//! A model name comes from a request body and may be megabytes long. Refusing the record would
//! leave a call unrecorded, so the text is cut instead; figures are never touched.

use std::borrow::Cow;
use std::sync::Arc;

use tollgate_domain::call::CallRecord;

/// Longest text that is kept, in bytes.
pub(crate) const MAX_TEXT: usize = 1024;
/// Most tags that are kept.
pub(crate) const MAX_TAGS: usize = 64;

/// The record itself where its texts are within bounds, else a copy with the long ones cut.
pub(crate) fn clip(record: &CallRecord) -> Cow<'_, CallRecord> {
    let optional = [
        &record.key,
        &record.team,
        &record.ip,
        &record.session,
        &record.feature,
        &record.error_type,
    ];
    let fits = texts(record).iter().all(|text| text.len() <= MAX_TEXT)
        && optional.iter().all(|text| text.as_ref().is_none_or(|text| text.len() <= MAX_TEXT))
        && record.tags.len() <= MAX_TAGS
        && record.tags.iter().all(|(name, value)| name.len().max(value.len()) <= MAX_TEXT);
    if fits { Cow::Borrowed(record) } else { Cow::Owned(cut_all(record.clone())) }
}

/// [`clip`] for a record that is shared.
pub(crate) fn clip_shared(record: Arc<CallRecord>) -> Arc<CallRecord> {
    match clip(&record) {
        Cow::Borrowed(_) => {}
        Cow::Owned(cut) => return Arc::new(cut),
    }
    record
}

fn texts(record: &CallRecord) -> [&Arc<str>; 7] {
    [
        &record.request_id,
        &record.user,
        &record.endpoint,
        &record.provider,
        &record.model_asked,
        &record.model,
        &record.price_version,
    ]
}

fn cut_all(mut record: CallRecord) -> CallRecord {
    for text in [
        &mut record.request_id,
        &mut record.user,
        &mut record.endpoint,
        &mut record.provider,
        &mut record.model_asked,
        &mut record.model,
        &mut record.price_version,
    ] {
        cut(text);
    }
    for text in [
        &mut record.key,
        &mut record.team,
        &mut record.ip,
        &mut record.session,
        &mut record.feature,
        &mut record.error_type,
    ] {
        text.iter_mut().for_each(cut);
    }
    record.tags.truncate(MAX_TAGS);
    for (name, value) in &mut record.tags {
        cut(name);
        cut(value);
    }
    record
}

fn cut(text: &mut Arc<str>) {
    if text.len() > MAX_TEXT {
        let end = text.floor_char_boundary(MAX_TEXT);
        *text = Arc::from(text.get(..end).unwrap_or_default());
    }
}
