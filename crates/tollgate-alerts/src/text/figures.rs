//! Figures as people write them, made of integers.

use tollgate_domain::money::NanoUsd;

const NANOS: i128 = 1_000_000_000;

/// An integer with commas between thousands.
pub(super) fn grouped(value: i64) -> String {
    group(i128::from(value))
}

fn group(value: i128) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Parts per million as percent, with at most one decimal.
pub(super) fn percent(per_million: i64) -> String {
    let tenths = (i128::from(per_million) + 500) / 1_000;
    if tenths % 10 == 0 {
        return format!("{}%", group(tenths / 10));
    }
    format!("{}.{}%", group(tenths / 10), tenths % 10)
}

/// By how much one is larger than the other, with one decimal below ten.
pub(super) fn factor(value: i64, usual: i64) -> String {
    let tenths = i128::from(value) * 10 / i128::from(usual.max(1));
    if tenths >= 100 || tenths % 10 == 0 {
        return group(tenths / 10);
    }
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// USD, and the other currency behind it where there is one.
pub(super) fn money(amount: NanoUsd, (currency, per_usd): (&str, i128)) -> String {
    let nanos = i128::from(amount.nanos());
    let usd = in_symbol("$", nanos, decimals_of(nanos));
    if currency == "USD" {
        return usd;
    }
    let other = nanos.saturating_mul(per_usd) / 1_000_000;
    let symbol = match currency {
        "KRW" => "\u{20a9}".to_owned(),
        "EUR" => "\u{20ac}".to_owned(),
        "JPY" | "CNY" => format!("{currency} \u{a5}"),
        "GBP" => "\u{a3}".to_owned(),
        code => format!("{code} "),
    };
    // These have no smaller unit; an amount below one of them is shown all the same.
    let whole = matches!(currency, "KRW" | "JPY" | "VND") && other.abs() >= NANOS;
    let decimals = if whole { 0 } else { decimals_of(other) };
    format!("{usd} ({})", in_symbol(&symbol, other, decimals))
}

/// Two decimals, up to six where the amount is below one.
fn decimals_of(nanos: i128) -> u32 {
    if nanos.abs() >= NANOS { 2 } else { 6 }
}

/// An amount in 10^-9 of a unit, rounded to so many decimals; zeros beyond two are left out.
fn in_symbol(symbol: &str, nanos: i128, decimals: u32) -> String {
    let step = 10_i128.pow(9 - decimals);
    let rounded = (nanos.abs() + step / 2) / step;
    let scale = 10_i128.pow(decimals);
    let sign = if nanos < 0 && rounded != 0 { "-" } else { "" };
    let whole = group(rounded / scale);
    if decimals == 0 {
        return format!("{sign}{symbol}{whole}");
    }
    let width = usize::try_from(decimals).unwrap_or_default();
    let fraction = format!("{:0width$}", rounded % scale);
    let (cents, rest) = fraction.split_at_checked(2).unwrap_or((&fraction, ""));
    format!("{sign}{symbol}{whole}.{cents}{}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_and_never_lose_what_is_small() {
        for (usd, text) in [
            ("31.2", "$31.20"),
            ("1234567.891", "$1,234,567.89"),
            ("0.001234", "$0.001234"),
            ("0.5", "$0.50"),
            ("0.0000066", "$0.000007"),
            ("0", "$0.00"),
            ("-1.5", "-$1.50"),
        ] {
            assert_eq!(money(usd.parse().unwrap(), ("USD", 1_000_000)), text);
        }
        let won = |usd: &str| money(usd.parse().unwrap(), ("KRW", 1_470_000_000));
        assert_eq!(won("31.2"), "$31.20 (\u{20a9}45,864)");
        assert_eq!(won("0.0001"), "$0.0001 (\u{20a9}0.147)");
        assert_eq!(money("2".parse().unwrap(), ("CHF", 900_000)), "$2.00 (CHF 1.80)");
    }

    #[test]
    fn shares_and_factors_have_one_decimal_where_it_says_something() {
        for (parts, text) in [
            (800_000, "80%"),
            (53_400, "5.3%"),
            (1_000_000, "100%"),
            (12_000_000, "1,200%"),
            (0, "0%"),
        ] {
            assert_eq!(percent(parts), text);
        }
        assert_eq!(factor(312, 5), "62");
        assert_eq!(factor(31, 20), "1.5");
        assert_eq!(factor(30, 10), "3");
        assert_eq!(factor(5, 0), "5");
    }
}
