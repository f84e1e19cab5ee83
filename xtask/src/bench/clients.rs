//! The requests of the load: one form for every proxy, byte for byte.

use std::rc::Rc;

/// The key that Tollgate is configured with; the other proxy passes it on unread.
pub(super) const KEY: &str = "tg_bench_0123456789abcdef0123456789abcdef";
/// The model that is asked for.
pub(super) const MODEL: &str = "bench-1";

/// The request of a Prometheus.
pub(super) const METRICS: &str = "GET /metrics HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer \
     bench-admin-0123456789abcdef\r\naccept: */*\r\n\r\n";

/// A request whose prompt tells the provider how to answer (see [`super::origin`]): a chat
/// completion, or for `translated` a message in the form of another dialect, which is answered with
/// the same stream. The other proxy passes both on unread.
pub(super) fn request(mode: &str) -> Vec<u8> {
    const SYSTEM: &str = "You are a helpful assistant that answers briefly.";
    const PROMPT: &str = "Summarise in one sentence what a reverse proxy does, for a reader who has \
         never seen one, and name one example.";
    let (path, body) = if mode == "translated" {
        let body = format!(
            "{{\"model\":\"{MODEL}\",\"max_tokens\":256,\"stream\":true,\"system\":\"{SYSTEM}\",\
             \"messages\":[{{\"role\":\"user\",\"content\":\"mode=stream {PROMPT}\"}}]}}"
        );
        ("/v1/messages", body)
    } else {
        let stream = match mode {
            "fast" | "delay" => "",
            _ => ",\"stream\":true,\"stream_options\":{\"include_usage\":true}",
        };
        let body = format!(
            "{{\"model\":\"{MODEL}\",\"max_tokens\":256{stream},\"messages\":[\
             {{\"role\":\"system\",\"content\":\"{SYSTEM}\"}},\
             {{\"role\":\"user\",\"content\":\"mode={mode} {PROMPT}\"}}]}}"
        );
        ("/v1/chat/completions", body)
    };
    post(path, &body)
}

/// A chat completion that is answered at once, whose prompt holds this number.
pub(super) fn numbered(number: u64) -> Rc<[u8]> {
    let body = format!(
        "{{\"model\":\"{MODEL}\",\"max_tokens\":256,\"messages\":[{{\"role\":\"user\",\
         \"content\":\"mode=fast Is {number} a prime number? Answer in one sentence.\"}}]}}"
    );
    post("/v1/chat/completions", &body).into()
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\naccept: */*\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
