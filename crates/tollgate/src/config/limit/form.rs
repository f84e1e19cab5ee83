//! How the parts of a limit are written: scope, metric, window, maximum, response.

use tollgate_domain::limit::{Metric, Mode, OnLimit, Scope, Window};
use tollgate_domain::money::parse_scaled;

use crate::config::problem::nearest;
use crate::config::reader::{Fields, Item};
use crate::config::scalar::{Blank, Decimal, Form, Scalar, Wrong, read_duration, wrong_word};

const SCOPES: &[&str] =
    &["user", "key", "team", "ip", "provider", "model", "feature", "session", "global"];
const METRICS: &[&str] = &[
    "requests",
    "successes",
    "input_tokens",
    "output_tokens",
    "tokens",
    "cost_usd",
    "concurrency",
    "units",
];
const WINDOWS: &[&str] = &["sliding", "day", "week", "month", "rolling", "total", "balance"];

impl Scalar for Scope {
    fn read(text: &str) -> Result<Self, Wrong> {
        Ok(match text {
            "user" => Self::User,
            "key" => Self::Key,
            "team" => Self::Team,
            "ip" => Self::Ip,
            "provider" => Self::Provider,
            "model" => Self::Model,
            "feature" => Self::Feature,
            "session" => Self::Session,
            "global" => Self::Global,
            _ => return Err(wrong_word(text, SCOPES)),
        })
    }
}

impl Scalar for Metric {
    fn read(text: &str) -> Result<Self, Wrong> {
        Ok(match text {
            "requests" => Self::Requests,
            "successes" => Self::Successes,
            "input_tokens" => Self::InputTokens,
            "output_tokens" => Self::OutputTokens,
            "tokens" => Self::Tokens,
            "cost_usd" => Self::CostUsd,
            "concurrency" => Self::Concurrency,
            "units" => Self::Units,
            _ => return Err(wrong_word(text, METRICS)),
        })
    }
}

impl Scalar for Mode {
    fn read(text: &str) -> Result<Self, Wrong> {
        match text {
            "enforce" => Ok(Self::Enforce),
            "shadow" => Ok(Self::Shadow),
            _ => Err(wrong_word(text, &["enforce", "shadow"])),
        }
    }
}

impl Blank for Mode {
    fn blank() -> Self {
        Self::default()
    }
}

impl Scalar for Window {
    fn read(text: &str) -> Result<Self, Wrong> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match (word, rest.trim()) {
            ("day", "") => Ok(Self::Day),
            ("week", "") => Ok(Self::Week),
            ("month", "") => Ok(Self::Month),
            ("total", "") => Ok(Self::Total),
            ("balance", "") => Ok(Self::Balance),
            ("sliding", span) => sliding(span),
            ("rolling", days) => rolling(days),
            (word, rest) => {
                let near = nearest(word, WINDOWS.iter().copied());
                let space = if rest.is_empty() { "" } else { " " };
                Err(Wrong {
                    expected: "`sliding DURATION`, `day`, `week`, `month`, `rolling Nd`, `total` \
                               or `balance`"
                        .to_owned(),
                    remedy: near.map(|near| format!("did you mean `{near}{space}{rest}`?")),
                })
            }
        }
    }
}

fn sliding(span: &str) -> Result<Window, Wrong> {
    read_duration(span)
        .and_then(|span| u64::try_from(span.as_millis()).ok())
        .filter(|millis| *millis > 0)
        .map(|millis| Window::Sliding { millis })
        .ok_or_else(|| Wrong {
            expected: "a duration after `sliding`".to_owned(),
            remedy: Some("write it like \"sliding 60s\"".to_owned()),
        })
}

fn rolling(days: &str) -> Result<Window, Wrong> {
    const MOST: u16 = 3_660;
    let number = days.strip_suffix('d').and_then(|number| number.parse::<u16>().ok());
    if let Some(days) = number.filter(|days| (1..=MOST).contains(days)) {
        return Ok(Window::Rolling { days });
    }
    let remedy = match read_duration(days) {
        Some(span) if number.is_none() && !span.is_zero() => {
            format!("a rolling window is whole days; use \"sliding {days}\"")
        }
        _ => "write it like \"rolling 30d\"".to_owned(),
    };
    Err(Wrong { expected: format!("1d to {MOST}d after `rolling`"), remedy: Some(remedy) })
}

/// The maximum as it is written.
pub(super) enum Maximum {
    Unlimited,
    Decimal(String),
}

impl Scalar for Maximum {
    const FORM: Form = Form::Number;

    fn read(text: &str) -> Result<Self, Wrong> {
        match Decimal::read(text) {
            _ if text == "unlimited" => Ok(Self::Unlimited),
            Ok(Decimal(text)) => Ok(Self::Decimal(text)),
            Err(_) => Err(Wrong {
                expected: "a maximum that is not negative, or \"unlimited\"".to_owned(),
                remedy: nearest(text, ["unlimited"])
                    .map(|_| "did you mean `unlimited`?".to_owned()),
            }),
        }
    }
}

/// A decimal as the metric's integer: nano-dollars of money, else a whole number.
pub(super) fn count(text: &str, metric: Metric) -> Option<i64> {
    let nanos = parse_scaled(text, 9)?;
    let count = match metric {
        Metric::CostUsd => nanos,
        _ if nanos % 1_000_000_000 == 0 => nanos / 1_000_000_000,
        _ => return None,
    };
    i64::try_from(count).ok()
}

/// What happens at a limit, as it is written.
pub(super) struct Response(pub(super) OnLimit);

impl Scalar for Response {
    fn read(text: &str) -> Result<Self, Wrong> {
        let response = match text.split_once(':') {
            Some(("downgrade", model)) if !model.trim().is_empty() => {
                OnLimit::Downgrade(model.trim().into())
            }
            _ => match text {
                "deny" => OnLimit::Deny,
                "clamp" => OnLimit::Clamp,
                "alert" => OnLimit::Alert,
                _ => {
                    return Err(wrong_word(text, &["deny", "clamp", "downgrade:MODEL", "alert"]));
                }
            },
        };
        Ok(Self(response))
    }
}

impl Blank for Response {
    fn blank() -> Self {
        Self(OnLimit::Deny)
    }
}

/// The scope of a limit: sorted, without repetition. `None` where it is left out or wrong.
pub(super) fn scope(fields: &Fields<'_>) -> Option<Vec<Scope>> {
    let item = fields.item("scope")?;
    let mut scope = if item.is_text() {
        vec![item.scalar()?]
    } else {
        item.items().iter().filter_map(Item::scalar).collect::<Vec<_>>()
    };
    scope.sort_unstable();
    scope.dedup();
    if scope.is_empty() && item.is_list() && item.items().is_empty() {
        let remedy = "say whose counter it is, or leave it out in a plan for `user`";
        item.fail(format!("`{}` is empty", item.path), Some(remedy.to_owned()));
    }
    if scope.len() > 1 && scope.contains(&Scope::Global) {
        let remedy = "leave `global` out";
        let message =
            format!("`{}`: `global` is everybody together and goes with nothing else", item.path);
        item.fail(message, Some(remedy.to_owned()));
    }
    (!scope.is_empty()).then_some(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxima_become_the_integer_of_their_metric() {
        for (text, metric, expected) in [
            ("5.00", Metric::CostUsd, Some(5_000_000_000)),
            ("0.000000001", Metric::CostUsd, Some(1)),
            ("10", Metric::Requests, Some(10)),
            ("10.0", Metric::Requests, Some(10)),
            ("10.5", Metric::Requests, None),
            ("9223372036854775807", Metric::Tokens, Some(i64::MAX)),
            ("9223372036854775808", Metric::Tokens, None),
        ] {
            assert_eq!(count(text, metric), expected, "{text}");
        }
    }

    #[test]
    fn windows_read_as_written_and_neighbours_are_named() {
        for (text, window) in [
            ("sliding 60s", Window::Sliding { millis: 60_000 }),
            ("rolling 30d", Window::Rolling { days: 30 }),
            ("day", Window::Day),
            ("balance", Window::Balance),
        ] {
            assert_eq!(Window::read(text).unwrap_or(Window::Now), window, "{text}");
        }
        for (text, remedy) in [
            ("dya", "did you mean `day`?"),
            ("slidin 60s", "did you mean `sliding 60s`?"),
            ("sliding", "write it like \"sliding 60s\""),
            ("sliding 0s", "write it like \"sliding 60s\""),
            ("rolling 24h", "a rolling window is whole days; use \"sliding 24h\""),
            ("rolling 0d", "write it like \"rolling 30d\""),
        ] {
            assert_eq!(Window::read(text).unwrap_err().remedy.as_deref(), Some(remedy), "{text}");
        }
    }
}
