//! Frames: whole, damaged, cut at any byte, and bytes that are none.

use super::*;
use proptest::prelude::*;

fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_frame(&mut out, headers, payload);
    out
}

/// Every whole frame in these chunks, and what is left over.
fn frames(chunks: &[&[u8]]) -> Result<(Vec<Vec<u8>>, Vec<u8>), FrameError> {
    let mut scanner = Frames::default();
    let mut found = Vec::new();
    for chunk in chunks {
        let mut from = 0;
        while from < chunk.len() {
            let Step::Event { end } = scanner.step(chunk, from)? else { break };
            let mut whole = scanner.take_kept();
            whole.extend_from_slice(&chunk[from..end]);
            found.push(whole);
            from = end;
        }
    }
    Ok((found, scanner.take_kept()))
}

#[test]
fn an_empty_frame_is_the_one_of_the_specification() {
    // The vector `empty_message` of the SDKs.
    let bytes = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
    assert_eq!(frame(&[], b""), bytes);
    assert_eq!(Frame::read(&bytes).unwrap().payload, b"");
}

#[test]
fn headers_of_every_type_are_passed_over_and_texts_are_read() {
    let mut block = Vec::new();
    for (kind, value) in [
        (0u8, &b""[..]),
        (1, b""),
        (2, b"1"),
        (3, b"12"),
        (4, b"1234"),
        (5, b"12345678"),
        (6, b"\0\x03abc"),
        (8, b"12345678"),
        (9, b"1234567812345678"),
        (7, b"\0\x02hi"),
    ] {
        block.extend_from_slice(&[2, b'k', b'0' + kind, kind]);
        block.extend_from_slice(value);
    }
    let parsed = Frame { headers: &block, payload: b"" };
    assert_eq!(parsed.header("k7"), Some("hi"));
    assert_eq!(parsed.header("k6"), None, "bytes are no text");
    assert_eq!(parsed.header("k"), None);
    assert_eq!(parsed.message_type(), "event");
}

#[test]
fn a_damaged_byte_anywhere_is_noticed() {
    let whole = frame(&[(":event-type", "metadata")], b"{\"usage\":{}}");
    assert!(Frame::read(&whole).is_ok());
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        assert!(Frame::read(&damaged).is_err(), "byte {at}");
    }
    assert_eq!(Frame::read(&whole[..whole.len() - 1]), Err(FrameError::Lengths));
    assert_eq!(Frame::read(b""), Err(FrameError::Lengths));
}

#[test]
fn a_damaged_frame_ends_the_stream_wherever_it_was_cut() {
    let mut whole = frame(&[(":event-type", "metadata")], b"{\"usage\":{}}");
    for at in 0..whole.len() {
        assert_eq!(frames(&[&whole[..at], &whole[at..]]).unwrap().0.len(), 1, "sound");
    }
    let middle = whole.len() / 2;
    whole[middle] ^= 1;
    for at in 0..whole.len() {
        let found = frames(&[&whole[..at], &whole[at..]]);
        assert_eq!(found, Err(FrameError::Checksum), "cut at {at}");
    }
}

#[test]
fn exceptions_and_errors_are_events_by_their_own_names() {
    let exception = [(":message-type", "exception"), (":exception-type", "throttlingException")];
    let whole = frame(&exception, b"{\"message\":\"m\"}");
    let found = event(&whole);
    assert_eq!(found.name, b"throttlingException");
    assert_eq!(found.data.as_deref(), Some(&b"{\"message\":\"m\"}"[..]));
    let error =
        [(":message-type", "error"), (":error-code", "Internal"), (":error-message", "a\"b")];
    let found = event(&frame(&error, b"")).data.unwrap().into_owned();
    assert_eq!(found, br#"{"__type":"Internal","message":"a\"b"}"#);
    assert_eq!(event(b"junk"), Event::default());
}

#[test]
fn a_frame_beyond_the_bound_is_refused_before_it_is_collected() {
    let whole = frame(&[], &[7; 100]);
    let mut scanner = Frames::with_limit(115);
    assert_eq!(scanner.step(&whole[..12], 0), Err(FrameError::TooLarge));
    let mut scanner = Frames::with_limit(116);
    assert_eq!(scanner.step(&whole, 0), Ok(Step::Event { end: 116 }));
}

#[test]
fn bytes_that_are_no_frames_are_refused_at_once() {
    let html = b"<html><body>upstream connect error</body></html>";
    assert_eq!(Frames::default().step(html, 0), Err(FrameError::Checksum));
}

#[test]
fn headers_that_are_too_long_are_clipped_and_the_frame_stays_whole() {
    let whole = frame(&[(&"n".repeat(300), &"v".repeat(70_000))], b"x");
    let parsed = Frame::read(&whole).unwrap();
    assert_eq!(parsed.header(&"n".repeat(255)).map(str::len), Some(65_535));
    assert_eq!(parsed.payload, b"x");
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_same_frames_come_out(
        payloads in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 0..6),
        cuts in proptest::collection::vec(0usize..600, 0..12),
        lost in 0usize..20,
    ) {
        let written: Vec<Vec<u8>> =
            payloads.iter().map(|payload| frame(&[(":event-type", "chunk")], payload)).collect();
        let mut bytes = written.concat();
        bytes.truncate(bytes.len().saturating_sub(lost));
        let mut ends: Vec<usize> = cuts.into_iter().filter(|at| *at < bytes.len()).collect();
        ends.extend([0, bytes.len()]);
        ends.sort_unstable();
        let chunks: Vec<&[u8]> = ends.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let (found, left) = frames(&chunks).unwrap();
        prop_assert!(written.starts_with(&found));
        prop_assert_eq!([found.concat(), left].concat(), bytes);
        for (frame, payload) in found.iter().zip(&payloads) {
            let parsed = Frame::read(frame).unwrap();
            prop_assert_eq!(parsed.payload, payload);
            prop_assert_eq!(parsed.header(":event-type"), Some("chunk"));
        }
    }

    #[test]
    fn no_bytes_whatever_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        headers in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        Frame::read(&bytes).ok();
        drop(frames(&[&bytes]));
        let mut whole = Vec::new();
        push_frame(&mut whole, &[], &headers);
        // The payload taken for headers: lengths are mended, so that the headers are read.
        whole[4..8].copy_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
        let sum = crc32fast::hash(&whole[..8]).to_be_bytes();
        whole[8..12].copy_from_slice(&sum);
        let end = whole.len() - 4;
        let sum = crc32fast::hash(&whole[..end]).to_be_bytes();
        whole[end..].copy_from_slice(&sum);
        if let Ok(parsed) = Frame::read(&whole) {
            prop_assert_eq!(parsed.payload, b"");
            parsed.header("x");
        }
    }
}
