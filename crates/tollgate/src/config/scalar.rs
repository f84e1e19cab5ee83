//! The forms that single values take in a configuration, and how each is read from its text.
//!
//! A value arrives as the text that stands in the file (numbers too: a decimal never passes through
//! a binary float), with environment variables already replaced. What is wrong is told as what was
//! expected; quoting what was found is the reader's business.

mod measure;
mod place;
mod words;

use std::sync::Arc;

use secrecy::SecretString;

pub use measure::Share;
pub(crate) use measure::read_duration;
pub(super) use measure::{Decimal, Size, Span};
pub(super) use place::{Cron, HttpUrl};
pub(super) use words::{words, wrong_word};

/// Which TOML values a scalar may be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Text in quotes.
    Text,
    /// A number, or text that holds one.
    Number,
    /// `true` or `false`, or text that holds one.
    Switch,
}

/// Why a text is not the scalar that it should be.
#[derive(Debug)]
pub(super) struct Wrong {
    /// What was expected, to follow "expected".
    pub(super) expected: String,
    /// What to do.
    pub(super) remedy: Option<String>,
}

impl Wrong {
    pub(super) fn expected(what: &str) -> Self {
        Self { expected: what.to_owned(), remedy: None }
    }
}

/// A single value of a configuration.
pub(super) trait Scalar: Sized {
    /// How it is written.
    const FORM: Form = Form::Text;
    /// Whether what the file says may not be quoted in a message.
    const SECRET: bool = false;

    /// Reads it from its text.
    fn read(text: &str) -> Result<Self, Wrong>;
}

/// A scalar that something can stand in for after it was reported as wrong, so that reading goes
/// on and finds the next mistake too. A configuration with a reported problem is never handed out.
pub(super) trait Blank: Scalar {
    /// The stand-in.
    fn blank() -> Self;
}

/// Text that may be empty.
impl Scalar for Arc<str> {
    fn read(text: &str) -> Result<Self, Wrong> {
        if text.chars().any(char::is_control) {
            return Err(Wrong::expected("text without line breaks and control characters"));
        }
        Ok(text.into())
    }
}

impl Blank for Arc<str> {
    fn blank() -> Self {
        "".into()
    }
}

/// A name: text of 1 to 128 characters without space at its ends.
#[derive(Clone, Debug)]
pub(super) struct Name(pub(super) Arc<str>);

impl Scalar for Name {
    fn read(text: &str) -> Result<Self, Wrong> {
        let sane = (1..=128).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if sane { Ok(Self(text.into())) } else { Err(Wrong::expected("a name")) }
    }
}

impl Blank for Name {
    fn blank() -> Self {
        Self("".into())
    }
}

impl Scalar for SecretString {
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, Wrong> {
        if text.chars().any(char::is_control) {
            return Err(Wrong::expected("a secret without line breaks and control characters"));
        }
        Ok(Self::from(text))
    }
}

impl Blank for SecretString {
    fn blank() -> Self {
        Self::from("")
    }
}

impl Scalar for bool {
    const FORM: Form = Form::Switch;

    fn read(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| Wrong::expected("true or false"))
    }
}

impl Blank for bool {
    fn blank() -> Self {
        false
    }
}

impl Scalar for u64 {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, Wrong> {
        text.replace('_', "").parse().map_err(|_| Wrong::expected("a whole number, not negative"))
    }
}

impl Blank for u64 {
    fn blank() -> Self {
        0
    }
}

impl Scalar for u32 {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, Wrong> {
        let wrong = || Wrong::expected("a whole number from 0 to 4294967295");
        text.replace('_', "").parse().map_err(|_| wrong())
    }
}

impl Blank for u32 {
    fn blank() -> Self {
        0
    }
}

/// A number from 1 up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(pub(super) u32);

impl Scalar for Count {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, Wrong> {
        match u32::read(text) {
            Ok(count) if count > 0 => Ok(Self(count)),
            _ => Err(Wrong::expected("a whole number from 1 up")),
        }
    }
}

impl Blank for Count {
    fn blank() -> Self {
        Self(0)
    }
}
