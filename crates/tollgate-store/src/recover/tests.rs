//! Journals that were cut or damaged at any byte.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::fold::tests::{intent, record};
use crate::journal::{Journal, Limits, Take};
use crate::reader::Reader;

/// One append: the call, whether it is its end, and where the record ends.
type Append = (u32, bool, Position);

/// Ten calls at most; each is opened when it is first drawn and closed when drawn again.
fn write(journal: &Journal, draws: &[u32]) -> Vec<Append> {
    let mut opened = Vec::new();
    let mut appends = Vec::new();
    let mut fresh = 0;
    for draw in draws {
        let slot = usize::try_from(draw % 10).unwrap();
        opened.resize(10, None);
        let (n, is_end) = match opened[slot].take() {
            Some(n) => (n, true),
            None => {
                fresh += 1;
                opened[slot] = Some(fresh);
                (fresh, false)
            }
        };
        if is_end {
            drop(journal.close(Arc::new(record(n))).unwrap());
        } else {
            drop(journal.open(&intent(n)).unwrap());
        }
        appends.push((n, is_end, journal.position()));
    }
    appends
}

/// What must be found when exactly these appends can be read.
fn expected(appends: &[Append]) -> BTreeMap<CallId, CallRecord> {
    let mut found = BTreeMap::new();
    for (n, is_end, _) in appends {
        let call = if *is_end { record(*n) } else { intent(*n) };
        if *is_end || !found.contains_key(&call.call_id) {
            found.insert(call.call_id, call);
        }
    }
    found
}

/// Takes what waits; does not park where nothing does.
fn take(journal: &Journal, batch: &mut Vec<crate::journal::Closed>, most: usize) -> Take {
    journal.end();
    journal.take(batch, most)
}

struct Bench {
    _dir: tempfile::TempDir,
    path: std::path::PathBuf,
    journal_dir: Dir,
    folder: Folder,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let journal_dir = Dir::of(&path);
        journal_dir.create().unwrap();
        let connection = crate::database::open(&path, false).unwrap();
        let folder = Folder::new(connection, TimeZone::UTC);
        Self { _dir: dir, path, journal_dir, folder }
    }

    fn journal(&self, segment_bytes: u64) -> Journal {
        let limits = Limits { segment_bytes, backlog: 1_000_000 };
        Journal::begin(self.journal_dir.clone(), 1, limits, false).unwrap()
    }

    /// Recovers twice, as a recovery that is repeated must change nothing.
    fn recover(&mut self) -> (Recovery, BTreeMap<CallId, CallRecord>) {
        let copies: Vec<_> = self
            .journal_dir
            .segments()
            .unwrap()
            .into_iter()
            .map(|n| (self.journal_dir.segment(n), fs::read(self.journal_dir.segment(n)).unwrap()))
            .collect();
        let (first, _) = recover(&self.journal_dir, &mut self.folder, InDoubt::Charge).unwrap();
        for (path, bytes) in copies {
            fs::write(path, bytes).unwrap();
        }
        let (again, _) = recover(&self.journal_dir, &mut self.folder, InDoubt::Charge).unwrap();
        assert_eq!((again.replayed, again.in_doubt), (0, 0));
        assert_eq!(self.journal_dir.segments().unwrap(), Vec::<u64>::new());

        let reader = Reader::open(&self.path).unwrap();
        let report = reader.verify(|_, _| {}).unwrap();
        assert_eq!(report.listed, Vec::<String>::new());
        let mut found = BTreeMap::new();
        reader
            .for_each_since(Timestamp::UNIX_EPOCH, |call| {
                assert!(found.insert(call.call_id, call).is_none());
            })
            .unwrap();
        (first, found)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_was_written_before_the_cut_is_there_exactly_once(
        draws in prop::collection::vec(any::<u32>(), 1..120),
        cut in any::<prop::sample::Index>(),
        folded in 0_usize..40,
        segment_bytes in prop_oneof![Just(600_u64), Just(2_000), Just(1 << 20)],
    ) {
        let mut bench = Bench::new();
        let journal = bench.journal(segment_bytes);
        let appends = write(&journal, &draws);
        let end = journal.position();
        let size = usize::try_from(end.offset).unwrap();
        let cut = Position { segment: end.segment, offset: cut.index(size + 1).try_into().unwrap() };

        // Some calls reached the database before the crash; those lie before any cut.
        let mut batch = Vec::new();
        if let (true, Take::More(at) | Take::All(at)) =
            (folded > 0, take(&journal, &mut batch, folded.max(1)))
            && at <= cut
        {
            bench.folder.apply(batch.iter().map(|closed| &*closed.record), at).unwrap();
        }
        drop(journal);
        fs::OpenOptions::new()
            .write(true)
            .open(bench.journal_dir.segment(cut.segment))
            .unwrap()
            .set_len(cut.offset)
            .unwrap();

        let (recovery, found) = bench.recover();
        let kept: Vec<_> = appends.into_iter().filter(|(_, _, end)| *end <= cut).collect();
        prop_assert_eq!(found, expected(&kept));
        prop_assert!(recovery.is_clean());
    }

    #[test]
    fn a_damaged_byte_costs_the_record_it_hit_and_is_reported(
        draws in prop::collection::vec(any::<u32>(), 1..60),
        hit in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        let mut bench = Bench::new();
        let journal = bench.journal(1 << 20);
        let appends = write(&journal, &draws);
        drop(journal);
        let path = bench.journal_dir.segment(1);
        let mut bytes = fs::read(&path).unwrap();
        let hit = hit.index(bytes.len());
        bytes[hit] ^= flip;
        fs::write(&path, &bytes).unwrap();

        let hit = u64::try_from(hit).unwrap();
        let lost = appends.iter().position(|(_, _, end)| hit < end.offset).unwrap();
        let in_header = hit < u64::try_from(HEADER).unwrap();
        let is_last = lost + 1 == appends.len() && !in_header;
        let mut kept = appends;
        if !in_header {
            kept.remove(lost);
        }
        let (recovery, found) = bench.recover();
        prop_assert_eq!(found, expected(&kept));
        prop_assert_eq!(recovery.is_clean(), is_last, "{:?}", &recovery);
        prop_assert_eq!(recovery.corrupt.iter().all(|path| path.exists()), true);
    }
}

#[test]
fn a_call_that_was_folded_and_purged_does_not_come_back_from_the_journal() {
    let mut bench = Bench::new();
    let journal = bench.journal(1 << 20);
    let appends = write(&journal, &[0, 0, 1, 1, 2]);
    let mut batch = Vec::new();
    let (Take::All(at) | Take::More(at)) = take(&journal, &mut batch, 10) else { panic!() };
    bench.folder.apply(batch.iter().map(|closed| &*closed.record), at).unwrap();
    let all = Timestamp::from_second(2_000_000_000).unwrap();
    assert_eq!(crate::purge(&bench.path, all, |_| ControlFlow::Continue(())).unwrap().rows, 2);
    drop(journal);
    let (_, found) = bench.recover();
    assert_eq!(found, expected(&appends[4..]));
}
