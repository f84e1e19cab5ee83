//! Sees what is not text in the parts of contents, because bytes say nothing about its tokens.
//!
//! Parts are read where the reference puts them, so that text cannot pass for a picture in a
//! member that no provider reads; what is not known stays counted as text.

use crate::json::strict::Strict;
use crate::peek::fields::{self, Keys, Named as _, length};
use crate::peek::{BodyError, Input};

/// Base64 bytes of sound per token at least: the provider makes 32 tokens of a second, which takes
/// 41 bytes a token at 8 kbit/s and 20 at half of that.
const SOUND_BYTES: u64 = 16;

fields::fields! { Content {
    Parts = "parts",
} }

fields::fields! { Part {
    InlineData = "inlineData" | "inline_data",
    FileData = "fileData" | "file_data",
    FunctionResponse = "functionResponse" | "function_response",
} }

fields::fields! { Blob {
    MimeType = "mimeType" | "mime_type",
    Data = "data",
    FileUri = "fileUri" | "file_uri",
} }

/// Pictures, sound and files of a request.
#[derive(Debug, Default)]
pub(super) struct Media {
    images: u64,
    image_bytes: u64,
    sound_bytes: u64,
    remote: u64,
    files: u64,
}

/// A part that is written out, or that names a file.
struct Blobbed {
    mime: Box<str>,
    bytes: u64,
}

impl Media {
    pub(super) fn settle(self, input: &mut Input) {
        input.images = self.images;
        input.image_bytes = self.image_bytes;
        input.audio_bytes = self.sound_bytes;
        input.hidden_tokens = input.hidden_tokens.saturating_add(self.sound_bytes / SOUND_BYTES);
        input.remote_media = self.remote;
        input.files = self.files;
    }

    /// Reads a content: an object with parts.
    pub(super) fn content(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        if cursor.next_byte() != Some(b'{') {
            return Ok(cursor.value(&mut ()).map(drop)?);
        }
        let mut keys = Keys::default();
        cursor.object(|cursor, key| match keys.known(key)? {
            Some(Content::Parts) => fields::each_of(cursor, |cursor| self.part(cursor)),
            None => Ok(cursor.value(&mut ()).map(drop)?),
        })
    }

    fn part(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        if cursor.next_byte() != Some(b'{') {
            return Ok(cursor.value(&mut ()).map(drop)?);
        }
        let mut keys = Keys::default();
        cursor.object(|cursor, key| match keys.known(key)? {
            Some(Part::InlineData) => self.inline(cursor),
            Some(Part::FileData) => self.file(cursor),
            // The result of a function may have parts of its own.
            Some(Part::FunctionResponse) => self.content(cursor),
            None => Ok(cursor.value(&mut ()).map(drop)?),
        })
    }

    fn inline(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        let Blobbed { mime, bytes } = blob(cursor)?;
        match mime.split('/').next() {
            Some("image") => {
                self.images += 1;
                self.image_bytes += bytes;
            }
            Some("audio") => self.sound_bytes += bytes,
            // Pages and frames have no bound in bytes, and no count sees into a text in base64.
            _ => self.files += 1,
        }
        Ok(())
    }

    fn file(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        let Blobbed { mime, .. } = blob(cursor)?;
        self.remote += 1;
        if mime.starts_with("image/") {
            self.images += 1;
        } else {
            self.files += 1;
        }
        Ok(())
    }
}

fn blob(cursor: &mut Strict<'_>) -> Result<Blobbed, BodyError> {
    let mut read = Blobbed { mime: "".into(), bytes: 0 };
    if cursor.next_byte() != Some(b'{') {
        cursor.value(&mut ())?;
        return Ok(read);
    }
    let mut keys = Keys::default();
    cursor.object(|cursor, key| {
        match keys.known(key)? {
            Some(field @ Blob::MimeType) => {
                let mime = fields::text(cursor, field.name())?.unwrap_or_default();
                read.mime = mime.to_ascii_lowercase().into();
            }
            Some(Blob::Data) => read.bytes = length(cursor.value(&mut ())?.raw),
            Some(Blob::FileUri) | None => {
                cursor.value(&mut ())?;
            }
        }
        Ok::<(), BodyError>(())
    })?;
    Ok(read)
}
