//! E-mail against a server that answers as mail servers do, and as those do that fail. It is the
//! real protocol over a bare socket, so that a test may answer any line with anything.

use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

/// What it was sent, line by line, and how it answers the begin of a line; an empty answer is none.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
    /// Ends with it.
    _task: JoinSet<()>,
}

impl Server {
    async fn answering(command: &'static str, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&heard);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                converse(stream, (command, answer), &lines).await;
            }
        });
        Self { port, heard, _task: task }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn converse(
    stream: TcpStream,
    (command, answer): (&str, &str),
    heard: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut in_data = false;
    let mut line = "220".to_owned();
    loop {
        let reply = match line.split([' ', ':']).next().unwrap_or_default() {
            word if word == command && !in_data => answer,
            "220" => "220 localhost ESMTP",
            "EHLO" => "250 localhost",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 taken",
        };
        in_data = reply.starts_with("354") || (in_data && line != ".");
        if !in_data || reply.starts_with("354") {
            if reply.is_empty() {
                std::future::pending::<()>().await;
            }
            stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        }
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        line.truncate(line.trim_end_matches("\r\n").len());
        heard.lock().unwrap().push(line.clone());
    }
}

fn mail(server: &Server) -> Channel {
    channel(Way::Email(Box::new(Email {
        host: "127.0.0.1".into(),
        port: server.port,
        security: Security::None,
        login: None,
        from: Email::address("Tollgate <alerts@example.com>").unwrap(),
        to: vec![Email::address("ops@example.com").unwrap()],
        authority: None,
    })))
}

#[tokio::test]
async fn a_mail_is_put_off_by_4xx_refused_by_5xx_and_a_refused_sender_ends_the_channel() {
    let server = Server::answering("nothing", "").await;
    assert_eq!(send(&mail(&server), &fired()).await, Verdict::Delivered);
    for (command, answer) in [
        ("220", "421 too busy"),
        ("MAIL", "451 try again"),
        ("RCPT", "450 greylisted"),
        ("DATA", "452 full"),
    ] {
        let server = Server::answering(command, answer).await;
        let verdict = send(&mail(&server), &fired()).await;
        assert!(later(&verdict), "{command} {answer}: {verdict:?}");
        assert!(verdict.why().unwrap().contains(answer.split(' ').next().unwrap()), "{verdict:?}");
    }
    for (command, answer) in [("RCPT", "550 no such mailbox"), ("DATA", "554 spam")] {
        let server = Server::answering(command, answer).await;
        let verdict = send(&mail(&server), &fired()).await;
        assert!(matches!(verdict, Verdict::Refused { .. }), "{command} {answer}: {verdict:?}");
    }
    let server = Server::answering("MAIL", "530 authentication required").await;
    let verdict = send(&mail(&server), &fired()).await;
    assert!(matches!(verdict, Verdict::Gone { .. }), "{verdict:?}");
}

#[tokio::test]
async fn a_mail_server_that_hangs_or_is_away_is_tried_later() {
    for command in ["220", "EHLO", "RCPT"] {
        let server = Server::answering(command, "").await;
        let poster = poster().waiting(Duration::from_millis(200));
        let sending = Sending { id: "msg_1", now: at(NOW), display: &display(), poster: &poster };
        let (mail, notice) = (mail(&server), fired());
        let sent = tokio::time::timeout(Duration::from_secs(5), mail.send(&notice, &sending));
        let verdict = sent.await.expect("it is not waited for");
        assert!(later(&verdict), "{command}: {verdict:?}");
    }
    let mut server = Server::answering("nothing", "").await;
    server.port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = send(&mail(&server), &fired()).await;
    assert!(later(&away), "{away:?}");
}

#[tokio::test]
async fn no_name_becomes_a_header_or_a_command_of_a_mail() {
    let server = Server::answering("nothing", "").await;
    let mut notice = evil();
    notice.incidents[0].subject =
        "eve\r\nBcc: thief@evil.example\r\n\r\n<b>body</b>\r\n.\r\nRCPT TO:<x@evil.example>"
            .to_owned();
    assert_eq!(send(&mail(&server), &notice).await, Verdict::Delivered);
    let heard = server.heard();
    let to: Vec<_> = heard.iter().filter(|line| line.starts_with("RCPT")).collect();
    assert_eq!(to, ["RCPT TO:<ops@example.com>"]);
    let data = heard.iter().position(|line| line == "DATA").unwrap();
    let end = data + heard[data..].iter().position(|line| line == ".").unwrap();
    let head = data + heard[data..].iter().position(String::is_empty).unwrap();
    let headers = &heard[data + 1..head];
    assert!(!headers.iter().any(|line| line.to_lowercase().starts_with("bcc")), "{headers:#?}");
    let names: Vec<_> = headers.iter().filter_map(|line| line.split_once(": ")).collect();
    let subjects = names.iter().filter(|(name, _)| *name == "Subject").count();
    assert_eq!(subjects, 1, "{headers:#?}");
    let after = &heard[end + 1..];
    assert!(after.iter().all(|line| line == "QUIT"), "the dot was within a line: {after:?}");
}
