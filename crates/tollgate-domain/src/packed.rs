//! How records are packed into bytes: integers seven bits a byte, texts after their length, no names
//! of fields. What is packed stands in journals and databases, so a form is never given a second
//! meaning.
//!
//! Reading takes any bytes: what does not fit is `None`, never a panic.

/// An integer as it is packed.
#[derive(Clone, Copy, Debug)]
pub struct Varint {
    bytes: [u8; 10],
    length: usize,
}

impl std::ops::Deref for Varint {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Seven bits a byte, least significant first, the high bit set while more follow (LEB128). It is
/// put together first: a vector looks for room with each byte that it takes.
pub fn varint(mut value: u64) -> Varint {
    let (mut bytes, mut length) = ([0; 10], 0);
    for byte in &mut bytes {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        length += 1;
        if value == 0 {
            *byte = low & 0x7f;
            break;
        }
        *byte = low | 0x80;
    }
    Varint { bytes, length }
}

/// Folds the sign into the lowest bit, so that small negative numbers stay short.
pub fn signed(value: i64) -> Varint {
    varint((value << 1 ^ value >> 63).cast_unsigned())
}

/// Appends what [`varint`] makes.
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&varint(value));
}

/// Appends what [`signed`] makes.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&signed(value));
}

/// Bytes after their number.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, u64::try_from(bytes.len()).unwrap_or(0));
    out.extend_from_slice(bytes);
}

/// A text after its length in bytes.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// What remains to be read. Every step says whether there was enough and whether it made sense.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// All of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// So many bytes.
    pub fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(array)
    }

    /// What [`varint`] made.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// What [`signed`] made.
    pub fn signed(&mut self) -> Option<i64> {
        let folded = self.varint()?;
        Some((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// What [`put_bytes`] wrote.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// What [`put_text`] wrote.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// `Some(None)` where the value is absent, `None` where it is there and malformed.
    pub fn when<T>(
        &mut self,
        present: bool,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if present { read(self).map(Some) } else { Some(None) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_reads_back(unsigned in any::<u64>(), signed in any::<i64>(), text in ".*") {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, unsigned);
            put_signed(&mut bytes, signed);
            put_text(&mut bytes, &text);
            let mut input = Input::new(&bytes);
            prop_assert_eq!(input.varint(), Some(unsigned));
            prop_assert_eq!(input.signed(), Some(signed));
            prop_assert_eq!(input.text(), Some(&*text));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn no_bytes_whatever_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut input = Input::new(&bytes);
            while input.text().is_some() || input.byte().is_some() {}
        }
    }

    #[test]
    fn an_integer_that_does_not_fit_is_refused() {
        let mut overlong = [0xff_u8; 10];
        overlong[9] = 0x02;
        assert_eq!(Input::new(&overlong).varint(), None);
        overlong[9] = 0x01;
        assert_eq!(Input::new(&overlong).varint(), Some(u64::MAX));
        assert_eq!(Input::new(&[0xff; 11]).varint(), None);
    }
}
