//! Sees what is not text in messages and input items, because bytes say nothing about its tokens.
//!
//! It errs towards more: what it does not know as a picture or as sound stays counted as text, and
//! what it takes for a file only makes the bound "unknown".

use std::borrow::Cow;

use crate::json::Text;
use crate::json::strict::Watch;
use crate::peek::Input;
use crate::peek::fields::length;

#[derive(Debug, Default)]
pub(super) struct Media {
    images: u64,
    image_urls: u64,
    image_bytes: u64,
    sounds: u64,
    sound_bytes: u64,
    remote: u64,
    files: u64,
    earlier_turns: bool,
}

impl Media {
    /// Puts what was seen into `input`.
    ///
    /// Bytes count as pictures or sound only where as many parts of that type were declared, so
    /// that text cannot be hidden in a member that no provider reads.
    pub(super) fn settle(self, input: &mut Input) {
        input.images = self.images;
        input.image_bytes = if self.image_urls <= self.images { self.image_bytes } else { 0 };
        input.audio_bytes = if self.sounds > 0 { self.sound_bytes } else { 0 };
        input.remote_media = self.remote;
        input.files = self.files;
        input.earlier_turns |= self.earlier_turns;
    }

    fn url(&mut self, url: Text<'_>) {
        let raw = url.raw;
        if raw.starts_with(b"data:image/") || raw.starts_with(b"data:image\\/") {
            self.image_urls += 1;
            self.image_bytes += length(raw);
        } else if raw.starts_with(b"data:") {
            self.files += 1;
        } else {
            self.remote += 1;
        }
    }

    fn kind(&mut self, kind: &[u8]) {
        match kind {
            b"image_url" | b"input_image" | b"image" | b"computer_screenshot" => self.images += 1,
            b"input_audio" => self.sounds += 1,
            b"item_reference" => self.earlier_turns = true,
            _ => {}
        }
    }
}

impl Watch for Media {
    fn text(&mut self, key: Text<'_>, value: Text<'_>) {
        match &*plain(key) {
            b"type" => self.kind(&plain(value)),
            b"url" | b"image_url" => self.url(value),
            b"data" => self.sound_bytes += length(value.raw),
            _ => {}
        }
    }

    fn key(&mut self, key: Text<'_>) {
        match &*plain(key) {
            b"file_id" | b"file_url" | b"file_data" | b"video_url" | b"audio_url"
            | b"document_url" => self.files += 1,
            // The sound of an earlier answer, named by its id.
            b"audio" => self.earlier_turns = true,
            _ => {}
        }
    }
}

/// The text that is meant, decoded only where an escape stands in it.
fn plain(text: Text<'_>) -> Cow<'_, [u8]> {
    if text.raw.len() > 64 || !text.raw.contains(&b'\\') {
        return Cow::Borrowed(text.raw);
    }
    Cow::Owned(text.decode_lossy().into_bytes())
}
