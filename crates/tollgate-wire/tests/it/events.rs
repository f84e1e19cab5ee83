//! The scanner of server-sent events beside a foreign reader.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;
use sse_stream::SseStream;
use tollgate_wire::framing::Step;
use tollgate_wire::sse::Scanner;

/// Name and data of each event that has data, read by our scanner.
fn ours(chunks: &[Bytes]) -> Vec<(String, String)> {
    let mut scanner = Scanner::default();
    let mut events = Vec::new();
    for chunk in chunks {
        let mut from = 0;
        while from < chunk.len() {
            match scanner.step(chunk, from).unwrap() {
                Step::More => break,
                Step::Tail { end } => from = end,
                Step::Event { end } => {
                    let bytes = [&scanner.take_kept()[..], &chunk[from..end]].concat();
                    let event = scanner.read(&bytes);
                    if let Some(data) = event.data {
                        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                        events.push((text(event.name), text(&data)));
                    }
                    from = end;
                }
            }
        }
    }
    events
}

/// The same by the reader of another crate.
fn theirs(body: &[u8]) -> Vec<(String, String)> {
    use futures_util::Stream;
    let chunk = Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(body));
    let stream = SseStream::from_bytes_stream(futures_util::stream::iter([chunk]));
    let mut stream = pin!(stream);
    let mut context = Context::from_waker(Waker::noop());
    let mut events = Vec::new();
    while let Poll::Ready(Some(event)) = stream.as_mut().poll_next(&mut context) {
        let event = event.unwrap();
        if let Some(data) = event.data {
            events.push((event.event.unwrap_or_default(), data));
        }
    }
    events
}

const PIECES: [&str; 12] = [
    "data: one",
    "data:two",
    "data:  three",
    "data",
    ": comment",
    "event: name",
    "event:other",
    "id: 7",
    "unknown: x",
    "database: no",
    "data: {\"a\":\"b\"}",
    "data: \u{d55c}",
];

proptest! {
    #[test]
    fn events_are_those_that_another_reader_finds(
        lines in proptest::collection::vec((0usize..PIECES.len(), 1usize..3), 1..20),
        ending in 0usize..2,
        cut in any::<prop::sample::Index>(),
    ) {
        let ending = ["\n", "\r\n"][ending];
        let mut body = String::new();
        for (piece, breaks) in &lines {
            body.push_str(PIECES[*piece]);
            body.push_str(&ending.repeat(*breaks));
        }
        body.push_str(ending);
        let bytes = Bytes::from(body);
        let at = cut.index(bytes.len());
        let halves = [bytes.slice(..at), bytes.slice(at..)];
        let whole = ours(std::slice::from_ref(&bytes));
        prop_assert_eq!(&ours(&halves), &whole);
        prop_assert_eq!(&whole, &theirs(&bytes));
    }
}

#[test]
fn carriage_returns_marks_and_joined_lines_are_read_as_the_standard_says() {
    for (body, expected) in [
        ("data: a\rdata: b\r\rdata: c\r\r", vec!["a\nb", "c"]),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", vec!["a"]),
        ("data\n\n", vec![""]),
        ("data:a\n\n", vec!["a"]),
        ("data:  a\n\n", vec![" a"]),
        (":x\n\nretry: 5\n\n\n\n", vec![]),
        ("data: a\n", vec![]),
    ] {
        for cut in 0..body.len() {
            let bytes = Bytes::from(body.to_owned());
            let found = ours(&[bytes.slice(..cut), bytes.slice(cut..)]);
            let data: Vec<&str> = found.iter().map(|(_, data)| data.as_str()).collect();
            assert_eq!(data, expected, "{body:?} cut at {cut}");
        }
    }
}

#[test]
fn a_large_event_in_small_chunks_takes_linear_time_and_bounded_memory() {
    let mut scanner = Scanner::with_limit(4 << 20);
    let chunk = vec![b'x'; 16];
    for _ in 0..(4 << 20) / 16 {
        assert_eq!(scanner.step(&chunk, 0), Ok(Step::More));
    }
    assert!(scanner.step(&chunk, 0).is_err());
    assert!(Scanner::with_limit(8).step(b"data: 123\n\n", 0).is_err(), "also within one chunk");
}
