//! Alerts against what others wrote: webhooks verified by the library of Standard Webhooks, e-mail
//! taken by a real SMTP server over STARTTLS.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tollgate_testkit::oracle;
use tollgate_testkit::upstream::{Reply, Upstream};
use tollgate_testkit::wait::eventually;

use super::tests;
use crate::{oracle_config, start};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SOON: Duration = Duration::from_secs(30);
/// A name that tries to be a mention, a header and a line.
const EVIL: &str = "<!channel> Bcc: x@evil.example *all*";

fn python(script: &str) -> Command {
    let mut command = Command::new(tests().join("../../.cache/venv/bin/python"));
    command.arg(tests().join("python").join(script));
    command
}

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A real SMTP server: its port. It makes its certificate and writes what it gets below `folder`.
fn smtp_server(folder: &Path) -> (Running, u16) {
    let mut child = python("smtp_server.py")
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("run scripts/setup-sdk first");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Running(child), line.trim().parse().expect("the server says its port"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs scripts/setup-sdk; run by scripts/test-sdk"]
#[expect(clippy::too_many_lines, reason = "one story, told once")]
async fn webhooks_verify_and_mail_arrives() {
    let upstream = Upstream::start(|request| oracle::reply(request, Duration::ZERO)).await;
    let receiver = Upstream::always(Reply::status(204)).await;
    let folder = tempfile::tempdir().unwrap();
    let (_server, port) = smtp_server(folder.path());
    let config = oracle_config(&upstream)
        .section("[alerts]\nshipped = false\nlanguage = \"ko\"")
        .section("[display]\ncurrency = \"KRW\"\nusd_rate = 1470.0")
        .section(&format!(
            "[alerts.channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\n\
             allow_private = true",
            receiver.url("/hook")
        ))
        .section(&format!(
            "[alerts.channels.mail]\nkind = \"email\"\n\
             url = \"smtp://ops:s3cret@localhost:{port}\"\nfrom = \"Tollgate <alerts@example.com>\"\n\
             to = [\"Ops <ops@example.com>\", \"pager@example.com\"]\nca_file = \"{}\"",
            folder.path().join("ca.pem").display()
        ))
        .section(
            "[[alerts.rules]]\nname = \"spend\"\n\
             when = \"cost_usd{by=user,window=1h} > 0.00001\"",
        );
    let program = start(config).await;
    let client = program.client().with("x-tollgate-user", EVIL);
    assert_eq!(client.post("/v1/chat/completions", &oracle::request(1, false)).await.status, 200);

    let signed = eventually("the webhook arrives", SOON, || async {
        receiver.received().into_iter().next().ok_or_else(|| "nothing".to_owned())
    })
    .await;
    let file = folder.path().join("webhook.json");
    let headers: Value = signed
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let body = String::from_utf8(signed.body.to_vec()).unwrap();
    let kept = serde_json::json!({"secret": SECRET, "headers": headers, "body": body});
    std::fs::write(&file, kept.to_string()).unwrap();
    let verified = python("verify_webhook.py").arg(&file).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));

    let mail = eventually("the mail arrives", SOON, || async {
        let text = std::fs::read_to_string(folder.path().join("mail.jsonl")).unwrap_or_default();
        let first = text.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
        first.ok_or_else(|| format!("{text}{}", program.log()))
    })
    .await;
    assert_eq!(mail["recipients"], serde_json::json!(["ops@example.com", "pager@example.com"]));
    assert_eq!((&mail["tls"], &mail["login"]), (&Value::from(true), &Value::from("ops")));
    let headers = &mail["headers"];
    let subject = headers["Subject"].as_str().unwrap();
    assert!(subject.contains("[경보]") && subject.contains("Bcc: x@evil.example"), "{subject}");
    assert!(headers.get("Bcc").is_none(), "{headers}");
    assert_eq!(headers["Auto-Submitted"], "auto-generated");
    assert!(headers["Message-ID"].as_str().unwrap().ends_with("@example.com>"), "{headers}");
    assert!(headers["Date"].is_string() && headers["MIME-Version"] == "1.0", "{headers}");
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains("최근 1시간 지출") && text.contains('₩'), "{text}");
    assert!(mail["longest_line"].as_u64().unwrap() <= 998, "{mail}");
    let everything = program.log();
    assert!(!everything.contains("s3cret") && !everything.contains("MfKQ9r8"), "{everything}");
}
