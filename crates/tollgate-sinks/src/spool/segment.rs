//! How a payload lies in a segment: `[length u32][CRC-32 u32][payload]`, little-endian.
//!
//! Bytes that are no frame are stepped over until one begins, so that damage costs what it hit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::LONGEST;

/// Length and checksum.
pub(super) const HEAD: usize = 8;

/// Writes a frame at `offset`, in one write; gives its length.
pub(super) fn append(file: &File, offset: u64, payload: &[u8]) -> io::Result<u64> {
    let mut frame = Vec::with_capacity(HEAD + payload.len());
    frame.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend(crc32fast::hash(payload).to_le_bytes());
    frame.extend_from_slice(payload);
    file.write_all_at(&frame, offset)?;
    Ok(u64::try_from(frame.len()).unwrap_or(u64::MAX))
}

/// The bytes of a segment from `offset` on.
pub(super) fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    Ok(bytes.get(offset..).unwrap_or_default().to_vec())
}

/// What a walk through a segment meets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk<'a> {
    /// What was appended.
    Payload(&'a [u8]),
    /// Bytes that are no frame.
    Damage,
}

/// A walk through the bytes of a segment: what is met, and where it ends.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = (Walk<'a>, u64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let walk = match parse(self.bytes, self.at) {
            Some(payload) => {
                self.at += HEAD + payload.len();
                Walk::Payload(payload)
            }
            None => {
                let later = self.at + 1..self.bytes.len();
                let next = later.into_iter().find(|at| parse(self.bytes, *at).is_some());
                self.at = next.unwrap_or(self.bytes.len());
                Walk::Damage
            }
        };
        Some((walk, u64::try_from(self.at).unwrap_or(u64::MAX)))
    }
}

fn parse(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let payload = rest.get(..length).filter(|_| (1..=LONGEST).contains(&length))?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*checksum)).then_some(payload)
}
