//! The spool keeps order, survives restarts and damage, and stays within its bound.

use std::fs;

use super::*;

const ROOMY: u64 = 64 << 20;

fn texts(read: &Read) -> Vec<String> {
    read.payloads.iter().map(|each| String::from_utf8(each.clone()).unwrap()).collect()
}

/// Appends numbers until the spool is full or `most` are in; gives how many are.
fn fill(spool: &mut Spool, most: usize, size: usize) -> usize {
    (0..most).take_while(|n| spool.append(format!("{n:0size$}").as_bytes()).unwrap()).count()
}

fn drain(spool: &mut Spool) -> Vec<usize> {
    let mut all = Vec::new();
    while !spool.is_empty() {
        let read = spool.next(7, usize::MAX).unwrap();
        all.extend(texts(&read).iter().map(|text| text.parse::<usize>().unwrap()));
        spool.taken(read.end).unwrap();
    }
    all
}

#[test]
fn what_is_appended_is_read_in_order_over_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    assert!(spool.is_empty());
    assert_eq!(fill(&mut spool, 20_000, 500), 20_000);
    assert!(spool.segments.len() > 2, "{} segments", spool.segments.len());
    let first = spool.next(10, usize::MAX).unwrap();
    assert_eq!(texts(&first).len(), 10);
    spool.taken(first.end).unwrap();
    drop(spool);
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    assert_eq!(drain(&mut spool), (10..20_000).collect::<Vec<_>>());
    assert_eq!(spool.bytes(), 0);
}

#[test]
fn what_was_not_taken_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    fill(&mut spool, 3, 1);
    let read = spool.next(2, usize::MAX).unwrap();
    assert_eq!(spool.next(2, usize::MAX).unwrap(), read);
    assert_eq!(texts(&read), ["0", "1"]);
}

#[test]
fn a_batch_is_cut_by_bytes_and_holds_one_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    fill(&mut spool, 5, 100);
    assert_eq!(spool.next(5, 250).unwrap().payloads.len(), 3);
    assert_eq!(spool.next(5, 1).unwrap().payloads.len(), 1);
}

#[test]
fn over_the_bound_the_newest_are_not_taken_and_room_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let bound = 300_000;
    let mut spool = Spool::open(folder.path(), bound).unwrap();
    let kept = fill(&mut spool, 10_000, 92);
    assert_eq!(kept, 3_000);
    assert!(spool.bytes() <= bound && !spool.has_room(92));
    assert_eq!(drain(&mut spool), (0..kept).collect::<Vec<_>>());
    assert!(spool.append(b"1").unwrap());
}

#[test]
fn writing_and_reading_may_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    let mut seen = Vec::new();
    for round in 0..50 {
        for n in 0..3 {
            assert!(spool.append(format!("{}", round * 3 + n).as_bytes()).unwrap());
        }
        let read = spool.next(2, usize::MAX).unwrap();
        seen.extend(texts(&read).iter().map(|text| text.parse::<usize>().unwrap()));
        spool.taken(read.end).unwrap();
        if round % 10 == 9 {
            drop(spool);
            spool = Spool::open(folder.path(), ROOMY).unwrap();
        }
    }
    seen.extend(drain(&mut spool));
    assert_eq!(seen, (0..150).collect::<Vec<_>>());
}

#[test]
fn damage_costs_what_it_hit() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    fill(&mut spool, 10, 20);
    drop(spool);
    let path = path_of(folder.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[28 * 3 + 15] ^= 1;
    // The last was cut off while it was written.
    bytes.truncate(bytes.len() - 5);
    fs::write(&path, bytes).unwrap();
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    // What is written after the restart lies in a segment of its own.
    assert!(spool.append(b"99").unwrap());
    let read = spool.next(100, usize::MAX).unwrap();
    let numbers: Vec<usize> = texts(&read).iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 4, 5, 6, 7, 8, 99]);
    assert_eq!(read.damaged, 2);
    spool.taken(read.end).unwrap();
    assert!(spool.is_empty());
}

#[test]
fn a_broken_cursor_sends_again_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    fill(&mut spool, 4, 1);
    let read = spool.next(2, usize::MAX).unwrap();
    spool.taken(read.end).unwrap();
    drop(spool);
    fs::write(folder.path().join("cursor"), [7; 20]).unwrap();
    let mut spool = Spool::open(folder.path(), ROOMY).unwrap();
    assert_eq!(drain(&mut spool), [0, 1, 2, 3]);
}

#[test]
fn a_folder_has_one_user_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), ROOMY).unwrap();
    let second = Spool::open(folder.path(), ROOMY).unwrap_err();
    assert!(second.to_string().contains("another program"), "{second}");
    drop(spool);
    assert!(Spool::open(folder.path(), ROOMY).is_ok());
}
