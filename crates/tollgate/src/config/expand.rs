//! `${NAME}` and `${NAME:-default}` in the texts of a configuration.
//!
//! As in a shell, the default is taken when the variable is unset or empty, and `$${` writes a
//! plain `${`. Expansion happens after the file was read as TOML, so what a variable holds can
//! never add keys. The environment is an argument: nothing here reads that of the process.

use std::borrow::Cow;

use super::environment::Environment;

/// Why a text could not be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpandError {
    #[error("the environment variable {0} is not set")]
    Unset(String),
    #[error("`${{` without a closing `}}`")]
    Open,
    #[error("`${{{0}}}` does not name an environment variable")]
    Name(String),
    #[error("`${{` inside the default of `{0}`: defaults cannot be nested")]
    Nested(String),
}

/// Replaces every `${…}` in `text`.
pub(super) fn expand<'t>(
    text: &'t str,
    environment: &dyn Environment,
) -> Result<Cow<'t, str>, ExpandError> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let (inner, after) = after.split_once('}').ok_or(ExpandError::Open)?;
        expanded.push_str(&resolve(inner, environment)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(Cow::Owned(expanded))
}

/// What stands for the inside of `${…}`.
fn resolve(inner: &str, environment: &dyn Environment) -> Result<String, ExpandError> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        return Err(ExpandError::Name(inner.to_owned()));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(ExpandError::Nested(name.to_owned()));
    }
    match (environment.get(name), default) {
        (Some(value), _) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (Some(empty), None) => Ok(empty),
        (None, None) => Err(ExpandError::Unset(name.to_owned())),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${SET}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_as_in_a_shell() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${SET}", "value"),
            ("a-${SET}-b-${SET}", "a-value-b-value"),
            ("${NONE:-other}", "other"),
            ("${SET:-other}", "value"),
            ("${EMPTY:-other}", "other"),
            ("${EMPTY}", ""),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${SET}", "${SET}"),
            ("$5 and $", "$5 and $"),
            ("${TRICK}", "${SET}"),
        ] {
            assert_eq!(expand(text, &env).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_expanded_is_named() {
        for (text, message) in [
            ("${NONE}", "the environment variable NONE is not set"),
            ("${SET", "`${` without a closing `}`"),
            ("${}", "`${}` does not name an environment variable"),
            ("${1A}", "`${1A}` does not name an environment variable"),
            ("${A B}", "`${A B}` does not name an environment variable"),
            ("${A:-${SET}}", "`${` inside the default of `A`: defaults cannot be nested"),
        ] {
            assert_eq!(expand(text, &env).unwrap_err().to_string(), message, "{text}");
        }
    }
}
