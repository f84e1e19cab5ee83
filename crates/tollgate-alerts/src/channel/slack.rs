//! Slack incoming webhooks: one message, a bar of colour, a section for each incident.
//!
//! The address is the credential. Of Slack's markup only `&`, `<` and `>` are escaped, as its
//! documentation asks; so no name of a caller can become a link or a mention such as `<!channel>`.

use serde_json::{Value, json};

use super::{Sending, Verdict, told, usual};
use crate::notice::{Notice, NoticeKind};
use crate::post::{Place, Post, Reach, Reply};
use crate::rule::Severity;
use crate::text::{Text, text};

/// Longest text of a section, in characters.
const SECTION: usize = 2_900;
/// Longest text that stands for the whole where blocks are not shown.
const FALLBACK: usize = 3_900;
/// Answers after which no message will be taken any more.
const FOR_GOOD: [&str; 6] = [
    "no_service",
    "no_team",
    "channel_is_archived",
    "channel_not_found",
    "invalid_token",
    "action_prohibited",
];

/// A Slack webhook.
#[derive(Clone, Debug)]
pub struct Slack {
    /// Where it is; the whole address is a secret.
    pub place: Place,
}

impl Slack {
    pub(super) async fn send(&self, notice: &Notice, sending: &Sending<'_>) -> Verdict {
        let body = body(notice, &text(notice, sending.display));
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let post = Post { headers: &[], bearer: None, body };
        match sending.poster.post(&self.place, Reach::Anywhere, post).await {
            Ok(reply) => verdict(&reply),
            Err(none) => none.into(),
        }
    }
}

fn verdict(reply: &Reply) -> Verdict {
    let word = reply.body.trim();
    let gone = matches!(reply.status.as_u16(), 403 | 404 | 410) && FOR_GOOD.contains(&word);
    if gone || reply.status.as_u16() == 410 {
        return Verdict::Gone { why: told(reply) };
    }
    match usual(reply) {
        // A wrong address answers with a page of its own.
        Verdict::Refused { why } if matches!(reply.status.as_u16(), 401 | 403 | 404) => {
            Verdict::Gone { why }
        }
        verdict => verdict,
    }
}

/// The message.
pub(super) fn body(notice: &Notice, text: &Text) -> Value {
    let mut blocks = Vec::new();
    if !text.parts.iter().any(|part| text.says(part)) {
        blocks.push(section(&format!("*{}*", escape(&text.title))));
    }
    for part in &text.parts {
        let headline = if text.parts.len() == 1 { &text.title } else { &part.headline };
        let mut lines = vec![format!("*{}*", escape(headline))];
        let details = part.details.iter();
        lines.extend(details.map(|(name, value)| format!("{}: {}", escape(name), escape(value))));
        blocks.push(section(&lines.join("\n")));
    }
    blocks.extend(text.end.as_ref().map(|end| section(&escape(end))));
    json!({
        "text": cut(&escape(&text.title), FALLBACK),
        "attachments": [{"color": colour(notice), "blocks": blocks}],
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION)}})
}

fn colour(notice: &Notice) -> &'static str {
    match (notice.kind, notice.severity()) {
        (NoticeKind::Resolved, _) => "#2eb67d",
        (NoticeKind::Test, _) => "#36c5f0",
        (_, Severity::Critical) => "#e01e5a",
        (_, Severity::Warning) => "#ecb22e",
        (_, Severity::Info) => "#36c5f0",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The begin of a text, never half of an escape.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most).collect();
    if let Some(at) = short.rfind('&').filter(|at| !short.get(*at..).unwrap_or("").contains(';')) {
        short.truncate(at);
    }
    short.push('\u{2026}');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_cut_within_an_escape() {
        assert_eq!(cut("ab&amp;c", 4), "ab\u{2026}");
        assert_eq!(cut("ab&amp;c", 7), "ab&amp;\u{2026}");
        assert_eq!(cut("abc", 3), "abc");
    }

    #[test]
    fn answers_are_read_as_slack_documents_them() {
        let verdict = |status: u16, body: &str| {
            let status = http::StatusCode::from_u16(status).unwrap();
            verdict(&Reply { status, retry_after: None, body: body.to_owned() })
        };
        assert_eq!(verdict(200, "ok"), Verdict::Delivered);
        for (status, word) in [
            (404, "no_service"),
            (404, "no_team"),
            (410, "channel_is_archived"),
            (403, "invalid_token"),
        ] {
            let why = format!("it answers {status} {word}");
            assert_eq!(verdict(status, word), Verdict::Gone { why });
        }
        assert!(matches!(verdict(400, "invalid_payload"), Verdict::Refused { .. }));
        assert!(matches!(verdict(404, "<html>"), Verdict::Gone { .. }));
        assert!(matches!(verdict(500, "rollup_error"), Verdict::Later { .. }));
        assert!(matches!(verdict(302, ""), Verdict::Refused { .. }));
    }
}
