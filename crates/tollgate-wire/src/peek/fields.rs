//! The keys of a request that bear on cost, and how a value of each kind is read.
//!
//! A key that could be read in two ways is refused: one that stands twice, under whichever of its
//! spellings, and one that another server may take for a known one.

use crate::json::Text;
use crate::json::strict::{Kind, Strict};
use crate::peek::{BodyError, Nested, Span};

/// The most answers that any provider generates for one request.
const MAX_CHOICES: u64 = 128;

/// The keys of one kind of object that bear on cost.
pub(crate) trait Named: Copy + 'static {
    /// Every spelling of every key.
    const NAMES: &'static [&'static str];

    /// The field that a key is, byte for byte.
    fn of(key: &[u8]) -> Option<Self>;

    /// Its name, in the first of its spellings.
    fn name(self) -> &'static str;

    /// A bit of its own in the set of keys that came before.
    fn bit(self) -> u32;
}

/// Declares the keys of a kind of object, each with its spellings.
macro_rules! fields {
    ($kind:ident { $($variant:ident = $name:literal $(| $other:literal)?),* $(,)? }) => {
        /// A key that bears on cost.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum $kind { $($variant),* }

        impl $crate::peek::fields::Named for $kind {
            const NAMES: &'static [&'static str] = &[$($name, $($other,)?)*];

            fn of(key: &[u8]) -> Option<Self> {
                let Ok(key) = str::from_utf8(key) else { return None };
                match key { $($name $(| $other)? => Some(Self::$variant),)* _ => None }
            }

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            fn bit(self) -> u32 {
                1 << self as u32
            }
        }
    };
}
pub(crate) use fields;

/// The keys of one object that came so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys(u32);

impl Keys {
    /// Which field a key is. Refuses one that came before, and one that only looks like one.
    pub(crate) fn known<F: Named>(&mut self, key: Text<'_>) -> Result<Option<F>, BodyError> {
        let Some(field) = F::of(key.raw) else {
            return match looks_like(key, F::NAMES) {
                Some(name) => {
                    Err(BodyError::of(name, format!("a key is spelled unlike `{name}`, but alike")))
                }
                None => Ok(None),
            };
        };
        if self.has(field) {
            return Err(BodyError::of(field.name(), format!("`{}` stands twice", field.name())));
        }
        self.0 |= field.bit();
        Ok(Some(field))
    }

    /// Whether this one came.
    pub(crate) fn has<F: Named>(self, field: F) -> bool {
        self.0 & field.bit() != 0
    }
}

/// The known key that another server may take this one for: the same letters in another case, or
/// written with escapes. Two letters outside ASCII fold into it as well.
fn looks_like(key: Text<'_>, names: &[&'static str]) -> Option<&'static str> {
    let plain = |b: &u8| b.is_ascii() && *b != b'\\';
    if key.raw.iter().all(plain) {
        let alike = |name: &&&str| key.raw.eq_ignore_ascii_case(name.as_bytes());
        return names.iter().find(alike).copied();
    }
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c,
    };
    let folded: String = key.decode_lossy().chars().map(fold).collect();
    names.iter().find(|name| folded.eq_ignore_ascii_case(name)).copied()
}

/// A cursor at the brace that opens a body, which must be an object.
pub(crate) fn document(body: &[u8]) -> Result<Strict<'_>, BodyError> {
    let mut cursor = Strict::new(body)?;
    cursor.space();
    if cursor.next_byte().is_some_and(|byte| byte != b'{') {
        let message = "the body must be a JSON object".to_owned();
        return Err(BodyError { message, param: None });
    }
    Ok(cursor)
}

/// `true`, `false`, or `null` for neither.
pub(crate) fn flag(cursor: &mut Strict<'_>, name: &str) -> Result<Option<bool>, BodyError> {
    match cursor.value(&mut ())?.kind {
        Kind::Bool(flag) => Ok(Some(flag)),
        Kind::Null => Ok(None),
        _ => Err(BodyError::of(name, format!("`{name}` must be true or false"))),
    }
}

/// A whole number that is not negative, or `null`; and where it stands.
pub(crate) fn bound(cursor: &mut Strict<'_>, name: &str) -> Result<(Span, Option<u64>), BodyError> {
    let item = cursor.value(&mut ())?;
    let span = Span { start: item.start, end: item.end };
    if item.kind == Kind::Null {
        return Ok((span, None));
    }
    let number = str::from_utf8(item.raw).ok().and_then(|text| text.parse().ok());
    match number.filter(|_| item.kind == Kind::Number) {
        Some(number) => Ok((span, Some(number))),
        None => {
            let message = format!("`{name}` must be a whole number that is not negative");
            Err(BodyError::of(name, message))
        }
    }
}

/// A text, or `null`.
pub(crate) fn text(cursor: &mut Strict<'_>, name: &str) -> Result<Option<Box<str>>, BodyError> {
    match cursor.value(&mut ())?.kind {
        Kind::Null => Ok(None),
        Kind::String(text) => match text.decode() {
            Some(text) => Ok(Some(Box::from(&*text))),
            None => Err(BodyError::of(name, format!("`{name}` is no text"))),
        },
        _ => Err(BodyError::of(name, format!("`{name}` must be a string"))),
    }
}

/// Where an object stands that another key may be put into.
pub(crate) fn nested(
    cursor: &mut Strict<'_>,
    name: &str,
    mut each: impl FnMut(&mut Strict<'_>, Text<'_>) -> Result<(), BodyError>,
) -> Result<Nested, BodyError> {
    let start = cursor.offset();
    if cursor.next_byte() != Some(b'{') {
        return match cursor.value(&mut ())?.kind {
            Kind::Null => Ok(Nested::Null(Span { start, end: cursor.offset() })),
            _ => Err(BodyError::of(name, format!("`{name}` must be an object"))),
        };
    }
    let mut empty = true;
    cursor.object(|cursor, key| {
        empty = false;
        each(cursor, key)
    })?;
    Ok(Nested::Object { insert_at: start + 1, empty })
}

/// The name of a model, and where it stands, quotes included.
pub(crate) fn model(cursor: &mut Strict<'_>, name: &str) -> Result<(Span, Box<str>), BodyError> {
    let item = cursor.value(&mut ())?;
    let refuse = || BodyError::of(name, format!("`{name}` must be a string that names a model"));
    let Kind::String(text) = item.kind else {
        return Err(refuse());
    };
    let model = text.decode().filter(|model| !model.trim().is_empty()).ok_or_else(refuse)?;
    Ok((Span { start: item.start, end: item.end }, Box::from(&*model)))
}

/// A list, or one item without its brackets.
pub(crate) fn each_of(
    cursor: &mut Strict<'_>,
    mut each: impl FnMut(&mut Strict<'_>) -> Result<(), BodyError>,
) -> Result<(), BodyError> {
    if cursor.next_byte() == Some(b'[') { cursor.array(each) } else { each(cursor) }
}

/// How many bytes these are.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// A number of answers to generate.
pub(crate) fn choices(cursor: &mut Strict<'_>, name: &str) -> Result<u64, BodyError> {
    match bound(cursor, name)?.1 {
        None => Ok(1),
        Some(n @ 1..=MAX_CHOICES) => Ok(n),
        Some(_) => Err(BodyError::of(name, format!("`{name}` must be from 1 to {MAX_CHOICES}"))),
    }
}
