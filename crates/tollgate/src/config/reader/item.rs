//! One value of a configuration, with its place.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::{Fields, Reading, join, kind_of};
use crate::config::expand::expand;
use crate::config::scalar::{Form, Scalar};
use crate::config::schema::Section;

/// One value of a configuration, with its place.
#[derive(Clone)]
pub(in crate::config) struct Item<'a> {
    reading: &'a Reading<'a>,
    /// The path of its key.
    pub(in crate::config) path: String,
    span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    pub(super) fn new(
        reading: &'a Reading<'a>,
        path: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self { reading, path, span: value.span(), value: value.get_ref() }
    }

    /// Its text as a scalar; what is wrong is reported.
    pub(in crate::config) fn scalar<T: Scalar>(&self) -> Option<T> {
        let text = self.text(T::FORM)?;
        match T::read(&text) {
            Ok(scalar) => Some(scalar),
            Err(wrong) => {
                let mut message = format!("`{}`: expected {}", self.path, wrong.expected);
                if !T::SECRET {
                    message = format!("{message}, found {}", self.reading.source.quote(&self.span));
                }
                self.fail(message, wrong.remedy);
                None
            }
        }
    }

    /// Its text, variables replaced, if its TOML kind goes with the form.
    fn text(&self, form: Form) -> Option<Cow<'a, str>> {
        match (self.value, form) {
            (DeValue::String(text), _) => self.expanded(text),
            (DeValue::Integer(number), Form::Number) if number.radix() == 10 => {
                Some(Cow::Borrowed(number.as_str()))
            }
            (DeValue::Integer(number), Form::Number) => {
                let value = i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(-1);
                Some(Cow::Owned(value.to_string()))
            }
            (DeValue::Float(number), Form::Number) => Some(Cow::Borrowed(number.as_str())),
            (DeValue::Boolean(value), Form::Switch) => {
                Some(Cow::Borrowed(if *value { "true" } else { "false" }))
            }
            (DeValue::Datetime(date), Form::Text) => Some(Cow::Owned(date.to_string())),
            (other, form) => {
                let expected = match form {
                    Form::Text => "text in quotes",
                    Form::Number => "a number",
                    Form::Switch => "true or false",
                };
                self.mistaken(expected, other);
                None
            }
        }
    }

    fn expanded(&self, text: &'a str) -> Option<Cow<'a, str>> {
        match expand(text, self.reading.environment) {
            Ok(text) => Some(text),
            Err(error) => {
                let remedy = match &error {
                    crate::config::expand::ExpandError::Unset(name) => {
                        Some(format!("set it, or give a default: ${{{name}:-...}}"))
                    }
                    _ => None,
                };
                self.fail(format!("`{}`: {error}", self.path), remedy);
                None
            }
        }
    }

    /// Its text if it is text, without a report if it is not.
    pub(in crate::config) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    /// Whether it is a table.
    pub(in crate::config) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// Whether it is a list.
    pub(in crate::config) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    /// The elements of a list; anything else is reported.
    pub(in crate::config) fn items(&self) -> Vec<Self> {
        let DeValue::Array(array) = self.value else {
            self.mistaken("a list", self.value);
            return Vec::new();
        };
        let element =
            |(index, value)| Self::new(self.reading, format!("{}[{index}]", self.path), value);
        array.iter().enumerate().map(element).collect()
    }

    /// The names and values of a table; anything else is reported.
    pub(in crate::config) fn entries(&self) -> Vec<(&'a str, Self)> {
        let DeValue::Table(table) = self.value else {
            self.mistaken("a table", self.value);
            return Vec::new();
        };
        table
            .iter()
            .map(|(name, value)| {
                let path = join(&self.path, name.get_ref());
                let (line, _) = self.reading.source.position(name.span().start);
                self.reading.lines.borrow_mut().insert(path.clone(), line);
                (name.get_ref().as_ref(), Self::new(self.reading, path, value))
            })
            .collect()
    }

    /// Its keys as a section; anything but a table is reported.
    pub(in crate::config) fn fields(&self, section: &'static Section) -> Option<Fields<'a>> {
        let DeValue::Table(table) = self.value else {
            self.mistaken("a table", self.value);
            return None;
        };
        let (line, _) = self.reading.source.position(self.span.start);
        self.reading.lines.borrow_mut().entry(self.path.clone()).or_insert(line);
        let place = (self.span.start, Some(table));
        Some(Fields::new(self.reading, section, self.path.clone(), place))
    }

    fn mistaken(&self, expected: &str, found: &DeValue<'_>) {
        let found = kind_of(found);
        self.fail(format!("`{}`: expected {expected}, found {found}", self.path), None);
    }

    /// Reports that something is wrong with it.
    pub(in crate::config) fn fail(&self, message: String, remedy: Option<String>) {
        self.reading.report(&self.path, self.span.start, message, remedy);
    }
}
