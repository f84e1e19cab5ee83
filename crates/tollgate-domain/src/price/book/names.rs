//! Names as they come in: URLs, of which host and path count, and models with a date.

use jiff::civil::Date;

use crate::price::rule;

/// The host in lower case and without port, and the path without its first slash.
pub(super) fn host_and_path(url: &str) -> Option<(String, &str)> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host).to_lowercase();
    (!host.is_empty()).then_some((host, path.trim_start_matches('/')))
}

/// Whether `path` is `known` or lies under it.
pub(super) fn under(known: &str, path: &str) -> bool {
    let ends = path.match_indices(['/', '?']).map(|(at, _)| at).chain([path.len()]);
    ends.into_iter().any(|end| path.get(..end).is_some_and(|path| rule::pattern(known, path)))
}

/// The model with its compact dates written with dashes; `None` where it has none.
pub(super) fn dashed_dates(model: &str) -> Option<String> {
    let mut parts = model.split('-');
    let mut dashed = parts.next()?.to_owned();
    let mut changed = false;
    for part in parts {
        dashed.push('-');
        match dashed_date(part) {
            Some((date, rest)) => {
                changed = true;
                dashed.push_str(&date);
                dashed.push_str(rest);
            }
            None => dashed.push_str(part),
        }
    }
    changed.then_some(dashed)
}

pub(super) fn dashed_date(part: &str) -> Option<(String, &str)> {
    let (digits, rest) = part.split_at_checked(8)?;
    let is_date = digits.starts_with("20") && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_date || !(rest.is_empty() || rest.starts_with(':')) {
        return None;
    }
    let date = Date::strptime("%Y%m%d", digits).ok()?;
    Some((date.to_string(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_dates_are_written_with_dashes() {
        for (model, dashed) in [
            ("gpt-5.2-20251211", Some("gpt-5.2-2025-12-11")),
            ("model-20251211:free", Some("model-2025-12-11:free")),
            ("a-20251211-20240229", Some("a-2025-12-11-2024-02-29")),
            ("model-20250230", None),
            ("model-202512110", None),
            ("20251211", None),
            ("model-19991211", None),
            ("model-é0251211", None),
            ("", None),
        ] {
            assert_eq!(dashed_dates(model).as_deref(), dashed, "{model}");
        }
    }
}
