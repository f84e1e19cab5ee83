//! The scanner of server-sent events: any cuts give the events that a plain reader finds.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tollgate_fuzz::{Input, plain_events};
use tollgate_wire::framing::Step;
use tollgate_wire::sse::Scanner;

fn events(pieces: &[Bytes]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut scanner, mut events) = (Scanner::default(), Vec::new());
    let mut read = |scanner: &mut Scanner, bytes: &[u8]| {
        let event = scanner.read(bytes);
        events.extend(event.data.map(|data| (event.name.to_vec(), data.into_owned())));
    };
    for piece in pieces {
        let mut from = 0;
        while from < piece.len() {
            match scanner.step(piece, from).expect("no event is too large here") {
                Step::Event { end } => {
                    let whole = [&scanner.take_kept()[..], &piece[from..end]].concat();
                    read(&mut scanner, &whole);
                    from = end;
                }
                Step::Tail { end } => from = end,
                Step::More => break,
            }
        }
    }
    let rest = scanner.take_kept();
    read(&mut scanner, &rest);
    events
}

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::of(data) else { return };
    let body = Bytes::copy_from_slice(input.body);
    let plain = plain_events::read(&body);
    assert_eq!(events(std::slice::from_ref(&body)), plain, "whole");
    assert_eq!(events(&input.pieces(&body)), plain, "in pieces");
});
