//! Sees what is not text in native requests, because bytes say nothing about its tokens.
//!
//! It errs towards more: bytes count as a picture only where they begin like one and a picture is
//! declared; documents, videos and what lies in a store make the bound "unknown".

use crate::json::Text;
use crate::json::strict::Watch;
use crate::peek::Input;

/// How pictures begin, in base64: PNG, JPEG, GIF, WebP.
const PICTURES: [&[u8]; 4] = [b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"UklGR"];

#[derive(Debug, Default)]
pub(super) struct Media {
    declared: u64,
    written: u64,
    image_bytes: u64,
    files: u64,
}

impl Media {
    /// Puts what was seen into `input`.
    pub(super) fn settle(self, input: &mut Input) {
        input.images = self.declared;
        input.image_bytes = if self.written <= self.declared { self.image_bytes } else { 0 };
        input.files = self.files;
    }
}

impl Watch for Media {
    fn text(&mut self, key: Text<'_>, value: Text<'_>) {
        match key.raw {
            b"type" => match value.raw {
                b"image" | b"image_url" => self.declared += 1,
                b"document" | b"video" | b"input_audio" | b"file" => self.files += 1,
                _ => {}
            },
            b"bytes" | b"data" | b"inputImage"
                if PICTURES.iter().any(|start| value.raw.starts_with(start)) =>
            {
                self.written += 1;
                self.image_bytes += u64::try_from(value.raw.len()).unwrap_or(0);
            }
            _ => {}
        }
    }

    fn key(&mut self, key: Text<'_>) {
        match key.raw {
            b"image" | b"inputImage" => self.declared += 1,
            b"document" | b"video" | b"audio" | b"s3Location" | b"file_id" => self.files += 1,
            _ => {}
        }
    }
}
