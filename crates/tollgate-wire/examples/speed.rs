//! Prints what peek and push cost, in nanoseconds. Run with `--release`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tollgate_wire::endpoint::Endpoint;
use tollgate_wire::openai::vendor::UNKNOWN;
use tollgate_wire::openai::{OpenAiStream, Rewrite, peek, read_answer, rewrite};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn main() {
    requests();
    chunks();
    others();
}

fn requests() {
    for words in [20, 400, 40_000] {
        let text = "word \\n".repeat(words);
        let body = Bytes::from(format!(
            "{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"system\",\"content\":\"Be \
             short.\"}},{{\"role\":\"user\",\"content\":\"{text}\"}}],\"stream\":true,\
             \"max_tokens\":300,\"temperature\":0.5}}"
        ));
        let change = Rewrite { include_usage: true, ..Rewrite::default() };
        let rounds = 20_000_000 / (body.len() + 200);
        let name = format!("peek {} bytes", body.len());
        measure(&name, rounds, || peek(CHAT, black_box(&body)));
        let Ok(seen) = peek(CHAT, &body) else { return };
        let name = format!("rewrite {} bytes", body.len());
        measure(&name, rounds, || rewrite(CHAT, black_box(&body), &seen, &change));
    }
}

fn chunks() {
    let chunk = |delta: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-BExZy74Y67dd65ec2z4iuzM0Exnks\",\"object\":\
             \"chat.completion.chunk\",\"created\":1742905314,\"model\":\"gpt-4o-2024-08-06\",\
             \"service_tier\":\"default\",\"system_fingerprint\":\"fp_bf4a46b2e5\",\"choices\":[\
             {{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":null}}],\
             \"usage\":null,\"obfuscation\":\"Lml3uvUFL\"}}\n\n"
        )
    };
    let event = Bytes::from(chunk("{\"content\":\" token\"}"));
    let mut stream = OpenAiStream::new(CHAT, UNKNOWN.usage, false);
    let mut out = Vec::new();
    measure(&format!("push one event of {} bytes", event.len()), 1_000_000, || {
        out.clear();
        stream.push(black_box(&event), &mut out)
    });
    let half = event.len() / 2;
    let (left, right) = (event.slice(..half), event.slice(half..));
    measure("push the same event in two halves", 1_000_000, || {
        out.clear();
        stream.push(black_box(&left), &mut out).and_then(|_| stream.push(&right, &mut out))
    });
    let many = Bytes::from(event.repeat(50));
    measure("push fifty events in one chunk", 20_000, || {
        out.clear();
        stream.push(black_box(&many), &mut out)
    });
}

fn others() {
    let mut out = Vec::new();
    let delta = Bytes::from(
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
         \"content_index\":0,\"delta\":\" token\",\"item_id\":\"msg_0c7df91b4856b264006a63377d148881\",\
         \"logprobs\":[],\"obfuscation\":\"Lml3uvUFL\",\"output_index\":1,\"sequence_number\":18}\n\n",
    );
    let mut stream = OpenAiStream::new(Endpoint::Responses, UNKNOWN.usage, false);
    measure(&format!("push one responses event of {} bytes", delta.len()), 1_000_000, || {
        out.clear();
        stream.push(black_box(&delta), &mut out)
    });
    let answer = format!(
        "{{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[\
         {{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{}\"}},\"finish_reason\":\
         \"stop\"}}],\"usage\":{{\"prompt_tokens\":8,\"completion_tokens\":9,\"total_tokens\":17,\
         \"prompt_tokens_details\":{{\"cached_tokens\":0}},\"completion_tokens_details\":\
         {{\"reasoning_tokens\":0}}}}}}",
        "word ".repeat(200)
    );
    measure(&format!("read an answer of {} bytes", answer.len()), 500_000, || {
        read_answer(CHAT, UNKNOWN.usage, black_box(answer.as_bytes()))
    });
}

#[expect(clippy::disallowed_methods, reason = "it measures time")]
#[expect(clippy::print_stdout, reason = "it prints what it measured")]
fn measure<T>(name: &str, rounds: usize, mut each: impl FnMut() -> T) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(each());
        }
        best = best.min(start.elapsed());
    }
    let nanos = best.as_nanos() / u128::try_from(rounds.max(1)).unwrap_or(1);
    println!("{name}: {nanos} ns");
}
