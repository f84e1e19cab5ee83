//! Takes personal data and secrets out of texts that are kept: addresses, numbers of people and
//! cards, keys.
//!
//! What is found gives way to a word in brackets. It errs on the side of taking too much: a number
//! that only looks like a card is no loss to whoever debugs a prompt. It must not be taken for a
//! proof that nothing personal is left: names and stories are not found.

mod find;

use std::borrow::Cow;

use serde_json::Value;

use find::find;

/// How a data URL begins: pictures and sound inside a document.
const DATA_URL: &str = "data:";

/// A text without what [`redact_document`] takes out.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some((start, end, word)) = find(text, at) {
        out.push_str(text.get(copied..start).unwrap_or_default());
        out.push_str(word);
        (copied, at) = (end, end);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// A document without e-mail addresses, telephone numbers, Korean resident registration numbers, card
/// numbers, keys, and without pictures and sound: in JSON each text by itself, so that it stays
/// JSON; any other document as one text.
pub fn redact_document(document: &str) -> String {
    match serde_json::from_str::<Value>(document) {
        Ok(value) => redact_value(value).to_string(),
        Err(_) => redact(document).into_owned(),
    }
}

fn redact_value(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with(DATA_URL) => "[data]".into(),
        Value::String(text) => redact(&text).into_owned().into(),
        Value::Number(number) => {
            let text = number.to_string();
            match redact(&text) {
                Cow::Borrowed(_) => Value::Number(number),
                Cow::Owned(word) => word.into(),
            }
        }
        Value::Array(values) => values.into_iter().map(redact_value).collect(),
        Value::Object(members) => {
            let redacted =
                |(name, value): (String, Value)| (redact(&name).into_owned(), redact_value(value));
            Value::Object(members.into_iter().map(redacted).collect())
        }
        Value::Null | Value::Bool(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn gives(rows: &[(&str, &str)]) {
        for (text, expected) in rows {
            assert_eq!(redact(text), *expected, "{text}");
        }
    }

    #[test]
    fn mail_addresses_are_taken_out_with_their_surroundings_kept() {
        gives(&[
            ("write to kim.ann+x@mail.example.co.kr, please", "write to [email], please"),
            ("<a@b.io>", "<[email]>"),
            ("김@example.com", "김@example.com"),
            ("a @ b and user@localhost and @handle", "a @ b and user@localhost and @handle"),
        ]);
    }

    #[test]
    fn telephone_numbers_of_korea_and_abroad_are_taken_out() {
        gives(&[
            ("010-1234-5678", "[phone]"),
            ("01012345678입니다", "[phone]입니다"),
            ("전화 02-345-6789", "전화 [phone]"),
            ("call +82 10 1234 5678 now", "call [phone] now"),
            ("+1 (415) 555-2671.", "[phone]."),
            ("415-555-2671", "[phone]"),
            ("on 2026-11-21 at 12:30:00", "on 2026-11-21 at 12:30:00"),
            ("version 1.2.3 of 2026", "version 1.2.3 of 2026"),
            (
                "call 019aa0c2-7b4e-7c3a-9d55-2f6f1c3b8a01",
                "call 019aa0c2-7b4e-7c3a-9d55-2f6f1c3b8a01",
            ),
        ]);
    }

    #[test]
    fn resident_registration_numbers_have_a_day_of_birth() {
        gives(&[
            ("주민번호 900101-1234567", "주민번호 [resident number]"),
            ("9001011234567", "[resident number]"),
            ("030229-3123456", "[resident number]"),
            ("901301-1234567", "901301-1234567"),
            ("900101-9234567", "900101-9234567"),
            ("1795263743000", "1795263743000"),
        ]);
    }

    #[test]
    fn card_numbers_have_a_check_digit() {
        gives(&[
            ("4111 1111 1111 1111", "[card]"),
            ("card 4111-1111-1111-1111!", "card [card]!"),
            ("5500005555555559", "[card]"),
            ("378282246310005", "[card]"),
            ("4111 1111 1111 1112", "4111 1111 1111 1112"),
            ("1234567890123", "1234567890123"),
        ]);
    }

    #[test]
    fn keys_of_all_kinds_are_taken_out() {
        gives(&[
            ("use sk-proj-abcDEF1234567890abcd now", "use [key] now"),
            ("tg_0123456789abcdef0123", "[key]"),
            ("AKIAIOSFODNN7EXAMPLE", "[key]"),
            ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "[key]"),
            ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[key]"),
            ("Authorization: Bearer abcdef0123456789abcdef", "Authorization: [key]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "[key]"),
            (
                "sk- is a prefix, tg_x is short, bearer of news",
                "sk- is a prefix, tg_x is short, bearer of news",
            ),
            (
                "a -----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY----- b",
                "a [key] b",
            ),
        ]);
    }

    #[test]
    fn json_stays_json_and_loses_its_pictures() {
        let document = r#"{"messages":[{"content":"line\nann@example.com"},{"url":"data:image/png;base64,AAAA"}],
            "n":9001011234567,"temperature":0.5,"bob@example.com":true}"#;
        let redacted: Value = serde_json::from_str(&redact_document(document)).unwrap();
        assert_eq!(redacted["messages"][0]["content"], "line\n[email]");
        assert_eq!(redacted["messages"][1]["url"], "[data]");
        assert_eq!(redacted["n"], "[resident number]");
        assert_eq!((&redacted["temperature"], &redacted["[email]"]), (&0.5.into(), &true.into()));
        assert_eq!(redact_document("no JSON, a@b.io"), "no JSON, [email]");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_redacted_without_a_panic_and_twice_changes_nothing(text in ".{0,200}") {
            let once = redact(&text).into_owned();
            let twice = redact(&once).into_owned();
            assert_eq!(twice, once);
        }
    }
}
