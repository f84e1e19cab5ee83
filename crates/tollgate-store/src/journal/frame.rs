//! How a record lies in a segment: `[length u32][CRC-32 u32][kind u8][payload]`, little-endian.
//!
//! The length counts kind and payload, the checksum covers both. A reader that meets bytes which
//! are no frame looks for the next that is one, so that damage costs what it hit and no more.

use tollgate_domain::call::CallRecord;

use crate::codec;

/// Length and checksum.
const HEAD: usize = 8;
/// Longest kind and payload together. What `clip` lets through stays below.
const MAX_BODY: usize = 256 << 10;

/// What a frame says of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is about to be sent; the record is as a crash would leave it.
    Intent,
    /// It has ended.
    Closed,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Intent => 1,
            Self::Closed => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Intent),
            2 => Some(Self::Closed),
            _ => None,
        }
    }
}

/// Replaces the contents of `out` by one frame.
pub(crate) fn put(kind: Kind, record: &CallRecord, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; HEAD]);
    out.push(kind.code());
    codec::encode(record, out);
    if let Some((head, body)) = out.split_first_chunk_mut::<HEAD>() {
        let [l0, l1, l2, l3] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
        let [c0, c1, c2, c3] = crc32fast::hash(body).to_le_bytes();
        *head = [l0, l1, l2, l3, c0, c1, c2, c3];
    }
}

/// One readable record of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Intent or end.
    pub(crate) kind: Kind,
    /// The record in the codec's form.
    pub(crate) payload: &'a [u8],
    /// The whole frame, head included.
    pub(crate) bytes: &'a [u8],
    /// Where the next frame begins.
    pub(crate) end: usize,
}

/// What a walk through a segment meets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A record.
    Frame(Frame<'a>),
    /// So many bytes that are none, with a record after them.
    Damage(usize),
    /// So many bytes at the end that are none.
    Torn(usize),
}

/// A walk through the bytes of a segment, starting at a given offset.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let left = self.bytes.len().checked_sub(self.at).filter(|left| *left > 0)?;
        if let Some(frame) = parse(self.bytes, self.at) {
            self.at = frame.end;
            return Some(Item::Frame(frame));
        }
        let next = (self.at + 1..self.bytes.len()).find(|at| parse(self.bytes, *at).is_some());
        let item = next.map_or(Item::Torn(left), |next| Item::Damage(next - self.at));
        self.at = next.unwrap_or(self.bytes.len());
        Some(item)
    }
}

fn parse(bytes: &[u8], at: usize) -> Option<Frame<'_>> {
    let rest = bytes.get(at..)?;
    let (head, body) = rest.split_first_chunk::<HEAD>()?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let body = body.get(..length).filter(|_| length <= MAX_BODY)?;
    let (kind, payload) = body.split_first()?;
    let kind = Kind::from_code(*kind)?;
    (crc32fast::hash(body) == u32::from_le_bytes([c0, c1, c2, c3])).then_some(())?;
    let total = HEAD + length;
    Some(Frame { kind, payload, bytes: rest.get(..total)?, end: at + total })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::tests::record;

    #[test]
    fn damage_costs_the_record_it_hit_and_no_other() {
        let mut all = Vec::new();
        let mut one = Vec::new();
        for n in 0..3 {
            put(Kind::Closed, &record(n), &mut one);
            all.extend_from_slice(&one);
        }
        let third = all.len() / 3;
        all[third + 20] ^= 0x40;
        all.extend_from_slice(&one[..30]);
        let items: Vec<_> = Frames::new(&all, 0).collect();
        assert!(matches!(
            items.as_slice(),
            [Item::Frame(_), Item::Damage(lost), Item::Frame(last), Item::Torn(30)]
                if *lost == third && codec::decode(last.payload) == Some(record(2))
        ));
    }

    #[test]
    fn a_tail_of_zeros_holds_no_record() {
        assert_eq!(Frames::new(&[0; 100], 0).next(), Some(Item::Torn(100)));
    }
}
