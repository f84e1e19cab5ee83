//! Sees what is not text in the content of messages, because bytes say nothing about its tokens.
//!
//! Blocks are read where the reference puts them, so that text cannot pass for a picture in a
//! member that no provider reads; what is not known stays counted as text.

use crate::json::Text;
use crate::json::strict::{Kind, Strict};
use crate::peek::fields::{self, length};
use crate::peek::{BodyError, Input};

/// Pictures and documents of a request.
#[derive(Debug, Default)]
pub(super) struct Media {
    images: u64,
    image_bytes: u64,
    remote: u64,
    files: u64,
}

/// Where the bytes of a picture or a document are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Source {
    /// Bytes that are written out as a picture.
    image_bytes: u64,
    /// The provider fetches it.
    remote: bool,
    /// It was uploaded before.
    stored: bool,
}

impl Media {
    pub(super) fn settle(self, input: &mut Input) {
        input.images = self.images;
        input.image_bytes = self.image_bytes;
        input.remote_media = self.remote;
        input.files = self.files;
    }

    /// Reads content: a text, a list of blocks, or one block.
    pub(super) fn content(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        fields::each_of(cursor, |cursor| {
            if cursor.next_byte() == Some(b'{') {
                return self.block(cursor);
            }
            Ok(cursor.value(&mut ()).map(drop)?)
        })
    }

    fn block(&mut self, cursor: &mut Strict<'_>) -> Result<(), BodyError> {
        let (mut kind, mut source) = (None, None);
        cursor.object(|cursor, key| match key.decode().as_deref() {
            Some("type") => once(&mut kind, "type", word(cursor)?),
            Some("source") => once(&mut source, "source", self.source(cursor)?),
            Some("content") => self.content(cursor),
            // A file for a container.
            Some("file_id") => {
                self.files += 1;
                Ok(cursor.value(&mut ()).map(drop)?)
            }
            _ => Ok(cursor.value(&mut ()).map(drop)?),
        })?;
        let source = source.unwrap_or_default();
        self.remote += u64::from(source.remote);
        match kind.flatten().as_deref() {
            Some("image") => {
                self.images += 1;
                self.image_bytes += source.image_bytes;
                self.files += u64::from(source.stored);
            }
            // Pages of a document are read as text and as pictures.
            Some("document") => self.files += 1,
            _ => self.files += u64::from(source.stored || source.remote),
        }
        Ok(())
    }

    fn source(&mut self, cursor: &mut Strict<'_>) -> Result<Source, BodyError> {
        let mut source = Source::default();
        if cursor.next_byte() != Some(b'{') {
            cursor.value(&mut ())?;
            return Ok(source);
        }
        let (mut kind, mut media_type, mut data) = (None, None, None);
        cursor.object(|cursor, key| match key.decode().as_deref() {
            Some("type") => once(&mut kind, "type", word(cursor)?),
            Some("media_type") => once(&mut media_type, "media_type", word(cursor)?),
            Some("data") => once(&mut data, "data", length(cursor.value(&mut ())?.raw)),
            Some("content") => self.content(cursor),
            _ => Ok(cursor.value(&mut ()).map(drop)?),
        })?;
        let pictured = media_type.flatten().is_some_and(|kind| kind.starts_with("image/"));
        match kind.flatten().as_deref() {
            Some("base64") if pictured => source.image_bytes = data.unwrap_or(0),
            Some("url") => source.remote = true,
            Some("file") => source.stored = true,
            _ => {}
        }
        Ok(source)
    }
}

/// Fills a slot; what stands twice could be read in two ways.
fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), BodyError> {
    match slot.replace(value) {
        Some(_) => Err(BodyError::of(name, format!("`{name}` stands twice in one block"))),
        None => Ok(()),
    }
}

fn word(cursor: &mut Strict<'_>) -> Result<Option<Box<str>>, BodyError> {
    let decode = |text: Text<'_>| text.decode().map(|text| Box::from(&*text));
    Ok(match cursor.value(&mut ())?.kind {
        Kind::String(text) => decode(text),
        _ => None,
    })
}
