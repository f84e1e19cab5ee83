//! Frames of an AWS event stream: any cuts give the same frames, and what was written is read.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{Input, frames};
use tollgate_wire::bedrock::frame::{Frame, FrameError, Frames};
use tollgate_wire::bedrock::messages::MessagesStream;
use tollgate_wire::framing::Step;

/// The frames, and how it ended.
fn read(pieces: &[Bytes]) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let (mut scanner, mut found) = (Frames::default(), Vec::new());
    for piece in pieces {
        let mut from = 0;
        while from < piece.len() {
            match scanner.step(piece, from) {
                Ok(Step::Event { end }) => {
                    found.push([&scanner.take_kept()[..], &piece[from..end]].concat());
                    from = end;
                }
                Ok(_) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(()))
}

/// The events of the messages form within the frames.
fn messages(pieces: &[Bytes]) -> (Vec<u8>, Result<(), FrameError>) {
    let (mut stream, mut out) = (MessagesStream::default(), Vec::new());
    let done = pieces.iter().try_for_each(|piece| stream.push(piece, &mut out));
    (out, done)
}

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    let written = input.choice & 1 == 0;
    let mut bytes = if written { frames::of_lines(input.body, true) } else { input.body.to_vec() };
    if input.choice & 2 != 0 && !bytes.is_empty() {
        let at = usize::from(input.choice) * 7 % bytes.len();
        bytes[at] ^= 1 << (input.choice % 8);
    }
    let bytes = Bytes::from(bytes);
    let pieces = input.pieces(&bytes);
    let (found, ended) = read(std::slice::from_ref(&bytes));
    assert_eq!(read(&pieces), (found.clone(), ended), "the cuts matter");
    assert_eq!(messages(&pieces), messages(std::slice::from_ref(&bytes)), "the cuts matter");
    assert!(bytes.starts_with(&found.concat()), "bytes were changed");
    for frame in &found {
        // Headers that do not fill their length are found only here.
        let read = Frame::read(frame);
        assert_ne!(read.err(), Some(FrameError::Checksum), "a frame that was given out is damaged");
    }
    if written && input.choice & 2 == 0 {
        assert_eq!(ended, Ok(()), "what was written is not read");
        assert_eq!(found.concat(), bytes);
        assert!(found.iter().all(|frame| Frame::read(frame).is_ok()));
    }
});
