//! Finds one thing after another that has to go. Each search looks at bytes from one place on, and no
//! further than such a thing can be long, so that the whole is linear.

/// What is found: where, and the word that stands for it.
type Found = (usize, usize, &'static str);

/// A way to find something at the beginning of some bytes; gives how long it is.
type Matcher = fn(&[u8]) -> Option<usize>;

/// In the order in which they are tried.
const MATCHERS: [(Matcher, &str); 7] = [
    (private_key, "[key]"),
    (key, "[key]"),
    (bearer, "[key]"),
    (email, "[email]"),
    (resident_number, "[resident number]"),
    (card, "[card]"),
    (phone, "[phone]"),
];

/// Begins of keys, and the fewest characters that follow.
const KEY_PREFIXES: [(&[u8], usize); 17] = [
    (b"sk-", 16),
    (b"sk_live_", 16),
    (b"sk_test_", 16),
    (b"rk_live_", 16),
    (b"whsec_", 16),
    (b"pk-", 20),
    (b"tg_", 16),
    (b"gsk_", 20),
    (b"xai-", 20),
    (b"hf_", 20),
    (b"AIza", 30),
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"ghp_", 30),
    (b"github_pat_", 30),
    (b"xoxb-", 16),
    (b"xoxp-", 16),
];
/// Longest key that is looked at.
const LONGEST_KEY: usize = 4_096;
/// Longest e-mail address (RFC 5321).
const LONGEST_MAIL: usize = 254;

/// The next thing that has to go, from `from` on.
pub(super) fn find(text: &str, from: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.first().copied().unwrap_or_default();
        let begins = at == from || !bytes.get(at - 1).is_some_and(|byte| is_word(*byte));
        if begins && (is_word(first) || matches!(first, b'+' | b'(' | b'-')) {
            let found = MATCHERS.iter().find_map(|(find, word)| Some((find(rest)?, *word)));
            if let Some((length, word)) = found {
                return Some((at, at + length, word));
            }
        }
        at += 1;
    }
    None
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// How many bytes from the beginning hold.
fn run(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| holds(**byte)).count()
}

/// A key by its beginning, or three parts of base64url that begin as a token does (RFC 7519).
fn key(rest: &[u8]) -> Option<usize> {
    let in_key = |byte: u8| is_word(byte) || byte == b'-';
    let rest = rest.get(..LONGEST_KEY.min(rest.len()))?;
    for (prefix, fewest) in KEY_PREFIXES {
        if let Some(after) = rest.strip_prefix(prefix) {
            let length = run(after, in_key);
            return (length >= fewest).then_some(prefix.len() + length);
        }
    }
    if !rest.starts_with(b"eyJ") {
        return None;
    }
    let length = run(rest, |byte| in_key(byte) || byte == b'.');
    let token = rest.get(..length)?;
    (token.split(|byte| *byte == b'.').filter(|part| part.len() > 4).count() >= 3).then_some(length)
}

/// `Bearer` and what follows.
fn bearer(rest: &[u8]) -> Option<usize> {
    const WORD: &[u8] = b"bearer ";
    let word = rest.get(..WORD.len())?;
    if !word.eq_ignore_ascii_case(WORD) {
        return None;
    }
    let after = rest.get(WORD.len()..)?;
    let token = run(after, |byte| is_word(byte) || b"-._~+/=".contains(&byte));
    (token >= 16).then_some(WORD.len() + token)
}

/// A private key in PEM, to its end or to the end of the text.
fn private_key(rest: &[u8]) -> Option<usize> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const KIND: &[u8] = b"PRIVATE KEY-----";
    const END: &[u8] = b"-----END ";
    let head = rest.strip_prefix(BEGIN)?;
    let kind = position(head.get(..head.len().min(64))?, KIND)?;
    let body = BEGIN.len() + kind + KIND.len();
    let Some(end) = position(rest.get(body..)?, END) else { return Some(rest.len()) };
    let last = position(rest.get(body + end..)?, KIND).map(|at| at + KIND.len());
    Some(last.map_or(rest.len(), |last| body + end + last))
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// An e-mail address whose domain has a dot.
fn email(rest: &[u8]) -> Option<usize> {
    let rest = rest.get(..LONGEST_MAIL.min(rest.len()))?;
    let local = run(rest, |byte| is_word(byte) || b".+-%'".contains(&byte));
    if local == 0 || rest.get(local) != Some(&b'@') {
        return None;
    }
    let domain = rest.get(local + 1..)?;
    let mut length = run(domain, |byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    // A full stop or a dash behind it belongs to the sentence.
    while length > 0 && matches!(domain.get(length - 1), Some(b'.' | b'-')) {
        length -= 1;
    }
    let mut labels = domain.get(..length)?.rsplit(|byte| *byte == b'.');
    let top = labels.next()?;
    let sane = top.len() >= 2 && top.iter().all(u8::is_ascii_alphabetic);
    let dotted = labels.next().is_some_and(|label| !label.is_empty());
    (sane && dotted).then_some(local + 1 + length)
}

/// Digits with separators among them: the digits, where each ends, and how many groups there are.
struct Digits {
    values: Vec<u8>,
    ends: Vec<usize>,
    groups: Vec<usize>,
}

/// Reads digits that stand alone or in groups with one separator between them.
fn digits(rest: &[u8], separators: &[u8], most: usize) -> Digits {
    let mut found = Digits { values: Vec::new(), ends: Vec::new(), groups: vec![0] };
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        if byte.is_ascii_digit() {
            found.values.push(byte - b'0');
            found.ends.push(at + 1);
            if let Some(group) = found.groups.last_mut() {
                *group += 1;
            }
        } else if separators.contains(byte) && rest.get(at + 1).is_some_and(u8::is_ascii_digit) {
            found.groups.push(0);
        } else {
            break;
        }
        if found.values.len() > most {
            break;
        }
        at += 1;
    }
    found
}

/// Whether what follows a number shows that it was none: a letter, a digit.
fn goes_on(rest: &[u8], end: usize) -> bool {
    rest.get(end).is_some_and(|byte| is_word(*byte))
        || (matches!(rest.get(end), Some(b'-' | b'.'))
            && rest.get(end + 1).is_some_and(|byte| is_word(*byte)))
}

/// A Korean resident registration number: day of birth, a dash perhaps, a digit for century and
/// gender, six more.
fn resident_number(rest: &[u8]) -> Option<usize> {
    let found = digits(rest, b"- ", 13);
    let [_, _, month_high, month_low, day_high, day_low, gender, ..] = found.values.as_slice()
    else {
        return None;
    };
    let month = month_high * 10 + month_low;
    let day = day_high * 10 + day_low;
    let shaped = matches!(found.groups.as_slice(), [13] | [6, 7]);
    let born = (1..=12).contains(&month) && (1..=31).contains(&day) && (1..=8).contains(gender);
    let end = *found.ends.last()?;
    (shaped && born && !goes_on(rest, end)).then_some(end)
}

/// A card number: 13 to 19 digits whose last one checks the others (ISO/IEC 7812).
fn card(rest: &[u8]) -> Option<usize> {
    let found = digits(rest, b"- ", 19);
    let count = found.values.len();
    let end = *found.ends.last()?;
    let grouped = found.groups.len() == 1 || found.groups.iter().all(|group| *group >= 3);
    let issued = matches!(found.values.first(), Some(2..=6 | 9));
    let shaped = (13..=19).contains(&count) && grouped && issued;
    (shaped && checks(&found.values) && !goes_on(rest, end)).then_some(end)
}

fn checks(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(*digit);
            let doubled = if place % 2 == 1 { value * 2 } else { value };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// A telephone number: international with a plus, Korean from a zero, or three groups as in America.
fn phone(rest: &[u8]) -> Option<usize> {
    if let Some(after) = rest.strip_prefix(b"+") {
        return international(after).map(|length| length + 1);
    }
    if rest.starts_with(b"(") {
        return None;
    }
    let found = digits(rest, b"-. ", 11);
    let end = *found.ends.last()?;
    let mobile = matches!(found.values.as_slice(), [0, 1, 0 | 1 | 6..=9, ..])
        && (10..=11).contains(&found.values.len())
        && matches!(found.groups.as_slice(), [10 | 11] | [3, 3 | 4, 4]);
    let landline =
        found.values.first() == Some(&0) && matches!(found.groups.as_slice(), [2 | 3, 3 | 4, 4]);
    let american = matches!(found.groups.as_slice(), [3, 3, 4]);
    ((mobile || landline || american) && !goes_on(rest, end)).then_some(end)
}

/// What follows the plus: 8 to 15 digits (E.164), with spaces, dashes, dots and brackets.
fn international(after: &[u8]) -> Option<usize> {
    let mut count = 0;
    let mut end = 0;
    for (at, byte) in after.iter().enumerate().take(32) {
        match byte {
            b'0'..=b'9' => {
                count += 1;
                end = at + 1;
            }
            b' ' | b'-' | b'.' | b'(' | b')' if at > 0 => {}
            _ => break,
        }
    }
    ((8..=15).contains(&count) && !goes_on(after, end)).then_some(end)
}
