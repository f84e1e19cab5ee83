//! The requests of the load: one form for every proxy, byte for byte.

/// The key that Tollgate is configured with; the other proxy passes it on unread.
pub(super) const KEY: &str = "tg_bench_0123456789abcdef0123456789abcdef";
/// The model that is asked for.
pub(super) const MODEL: &str = "bench-1";

/// A chat completion whose prompt tells the provider how to answer: see [`super::origin`].
pub(super) fn request(mode: &str) -> Vec<u8> {
    let stream = match mode {
        "fast" | "delay" => "",
        _ => ",\"stream\":true,\"stream_options\":{\"include_usage\":true}",
    };
    let body = format!(
        "{{\"model\":\"{MODEL}\",\"max_tokens\":256{stream},\"messages\":[\
         {{\"role\":\"system\",\"content\":\"You are a helpful assistant that answers briefly.\"}},\
         {{\"role\":\"user\",\"content\":\"mode={mode} Summarise in one sentence what a reverse \
         proxy does, for a reader who has never seen one, and name one example.\"}}]}}"
    );
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\naccept: */*\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
