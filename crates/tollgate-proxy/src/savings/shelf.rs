//! Where answers are kept: bounded by bytes, for a time, by key.
//!
//! What goes when there is no room is decided as in S3-FIFO (Yang et al., "FIFO queues are all you
//! need for cache eviction", SOSP 2023): what comes goes through a small queue, and only what is
//! asked for again meanwhile reaches the main one. So a million prompts that nobody repeats pass
//! through a tenth of the room and leave the others where they are. A library was weighed (moka); its
//! bound holds only after its own housekeeping, cannot be changed by a reload, and it reads its own
//! clock. This one is exact at every instant: the bytes that are counted never exceed the bound.
//!
//! Bytes are those of what is kept, and a round figure for what an entry takes besides.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::key::Digest;

/// What an entry takes besides its value: its places in the table and in a queue, their spare room,
/// and what allocations round up to.
pub(super) const ENTRY_BYTES: usize = 320;
/// Most parts that are locked one by one.
const MOST_SHARDS: usize = 16;
/// The least room of a part, so that an answer of usual size fits.
const LEAST_SHARD: usize = 4 << 20;
/// How often an entry is asked for makes no difference beyond this.
const MOST_USES: u8 = 3;

/// What can be kept.
pub(super) trait Weighed {
    /// How much memory it takes, in bytes.
    fn bytes(&self) -> usize;
}

/// Keeps values by key.
#[derive(Debug)]
pub(super) struct Shelf<V> {
    shards: Box<[Mutex<Shard<V>>]>,
    hasher: RandomState,
    bytes: AtomicUsize,
    entries: AtomicUsize,
}

/// What became of a value that was to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Put {
    /// Whether it is kept.
    pub(super) kept: bool,
    /// Whether another that was still good had to go.
    pub(super) displaced: bool,
}

#[derive(Debug)]
struct Shard<V> {
    map: HashMap<Digest, Slot<V>>,
    small: Queue,
    main: Queue,
    /// Fingerprints of what went out of the small queue of late.
    ghosts: (VecDeque<u64>, HashSet<u64>),
    /// Tells places in queues from those of an earlier entry of the same key.
    turn: u64,
    room: usize,
}

#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<(Digest, u64)>,
    bytes: usize,
}

#[derive(Debug)]
struct Slot<V> {
    value: Arc<V>,
    bytes: usize,
    until: Duration,
    uses: u8,
    main: bool,
    turn: u64,
}

impl<V: Weighed> Shelf<V> {
    /// A shelf for so many bytes.
    pub(super) fn new(room: usize) -> Self {
        let count = (room / LEAST_SHARD).clamp(1, MOST_SHARDS);
        let shard = |_| {
            Mutex::new(Shard {
                map: HashMap::new(),
                small: Queue::default(),
                main: Queue::default(),
                ghosts: (VecDeque::new(), HashSet::new()),
                turn: 0,
                room: room / count,
            })
        };
        Self {
            shards: (0..count).map(shard).collect(),
            hasher: RandomState::new(),
            bytes: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
        }
    }

    /// The largest value that is kept, in bytes.
    pub(super) fn largest(&self) -> usize {
        self.shards.first().map_or(0, |shard| shard.lock().room / 2).saturating_sub(ENTRY_BYTES)
    }

    /// How many bytes are counted, and how many entries there are.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.bytes.load(Ordering::Relaxed), self.entries.load(Ordering::Relaxed))
    }

    /// What is kept under a key and still good.
    pub(super) fn get(&self, key: &Digest, now: Duration) -> Option<Arc<V>> {
        let mut shard = self.shard(key)?.lock();
        let slot = shard.map.get_mut(key)?;
        if slot.until <= now {
            self.changed(shard.remove(key), 0);
            return None;
        }
        slot.uses = (slot.uses + 1).min(MOST_USES);
        Some(Arc::clone(&slot.value))
    }

    /// Keeps a value until then, in the place of another under its key.
    pub(super) fn put(&self, key: &Digest, value: V, (until, now): (Duration, Duration)) -> Put {
        let bytes = value.bytes().saturating_add(ENTRY_BYTES);
        let print = self.hasher.hash_one(key);
        let Some(shard) = self.shard(key) else { return Put::default() };
        let mut shard = shard.lock();
        self.changed(shard.remove(key), 0);
        if bytes > shard.room / 2 {
            return Put::default();
        }
        let mut displaced = false;
        while shard.held().saturating_add(bytes) > shard.room {
            let Some((gone, good)) = shard.make_room(&self.hasher, now) else { break };
            displaced |= good;
            self.changed(Some(gone), 0);
        }
        shard.insert(key, (Arc::new(value), bytes, until), print);
        self.changed(None, bytes);
        Put { kept: true, displaced }
    }

    /// Forgets what is under a key.
    #[cfg(test)]
    pub(super) fn remove(&self, key: &Digest) {
        if let Some(shard) = self.shard(key) {
            self.changed(shard.lock().remove(key), 0);
        }
    }

    fn shard(&self, key: &Digest) -> Option<&Mutex<Shard<V>>> {
        let [first, second, ..] = *key;
        let number = usize::from(u16::from_le_bytes([first, second]));
        self.shards.get(number % self.shards.len().max(1))
    }

    fn changed(&self, gone: Option<usize>, come: usize) {
        if let Some(bytes) = gone {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.entries.fetch_sub(1, Ordering::Relaxed);
        }
        if come > 0 {
            self.bytes.fetch_add(come, Ordering::Relaxed);
            self.entries.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<V> Shard<V> {
    fn held(&self) -> usize {
        self.small.bytes + self.main.bytes
    }

    fn insert(
        &mut self,
        key: &Digest,
        (value, bytes, until): (Arc<V>, usize, Duration),
        print: u64,
    ) {
        self.turn += 1;
        let (turn, main) = (self.turn, self.ghosts.1.contains(&print));
        let queue = if main { &mut self.main } else { &mut self.small };
        queue.order.push_back((*key, turn));
        queue.bytes += bytes;
        self.map.insert(*key, Slot { value, bytes, until, uses: 0, main, turn });
        self.tidy();
    }

    /// Takes an entry out; gives its bytes. Its place in a queue stays behind until it is met.
    fn remove(&mut self, key: &Digest) -> Option<usize> {
        let slot = self.map.remove(key)?;
        let queue = if slot.main { &mut self.main } else { &mut self.small };
        queue.bytes = queue.bytes.saturating_sub(slot.bytes);
        Some(slot.bytes)
    }

    /// Lets one entry go; gives its bytes, and whether it was still good. `None` where there is none.
    fn make_room(&mut self, hasher: &RandomState, now: Duration) -> Option<(usize, bool)> {
        loop {
            let from_small = self.small.bytes > self.room / 10 || self.main.order.is_empty();
            let queue = if from_small { &mut self.small } else { &mut self.main };
            let (key, turn) = match queue.order.pop_front() {
                Some(place) => place,
                None if from_small => self.main.order.pop_front()?,
                None => self.small.order.pop_front()?,
            };
            let Some(slot) = self.map.get_mut(&key).filter(|slot| slot.turn == turn) else {
                continue;
            };
            let good = slot.until > now;
            if good && slot.uses > 0 {
                // Asked for meanwhile: it moves on to the main queue, or goes round in it.
                let bytes = slot.bytes;
                slot.uses = if slot.main { slot.uses - 1 } else { 0 };
                if !std::mem::replace(&mut slot.main, true) {
                    self.small.bytes = self.small.bytes.saturating_sub(bytes);
                    self.main.bytes += bytes;
                }
                self.main.order.push_back((key, turn));
                continue;
            }
            if !slot.main {
                self.remember(hasher.hash_one(key));
            }
            return self.remove(&key).map(|bytes| (bytes, good));
        }
    }

    /// Remembers a fingerprint, as many as there are entries.
    fn remember(&mut self, print: u64) {
        let (order, known) = &mut self.ghosts;
        if known.insert(print) {
            order.push_back(print);
        }
        let most = self.map.len().max(64);
        while order.len() > most {
            if let Some(old) = order.pop_front() {
                known.remove(&old);
            }
        }
    }

    /// Drops places in queues whose entries are gone, once they are many.
    fn tidy(&mut self) {
        let most = self.map.len() * 2 + 64;
        if self.small.order.len() + self.main.order.len() <= most {
            return;
        }
        let map = &self.map;
        for queue in [&mut self.small, &mut self.main] {
            queue.order.retain(|(key, turn)| map.get(key).is_some_and(|slot| slot.turn == *turn));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    impl Weighed for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    fn key(n: u64) -> Digest {
        let mut key = Digest::default();
        key[..8].copy_from_slice(&n.to_le_bytes());
        key
    }

    const NEVER: Duration = Duration::MAX;
    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn an_entry_is_there_until_its_time_is_over() {
        let shelf = Shelf::new(1 << 20);
        let until = Duration::from_secs(10);
        assert!(shelf.put(&key(1), vec![1], (until, NOW)).kept);
        assert_eq!(shelf.get(&key(1), NOW).as_deref(), Some(&vec![1]));
        assert!(shelf.get(&key(2), NOW).is_none());
        assert!(shelf.get(&key(1), until).is_none());
        assert_eq!(shelf.held(), (0, 0));
        assert!(shelf.put(&key(1), vec![2], (NEVER, NOW)).kept);
        assert!(shelf.put(&key(1), vec![3; 5], (NEVER, NOW)).kept);
        assert_eq!(shelf.get(&key(1), NOW).as_deref(), Some(&vec![3; 5]));
        assert_eq!(shelf.held(), (5 + ENTRY_BYTES, 1));
        shelf.remove(&key(1));
        assert_eq!(shelf.held(), (0, 0));
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_nothing_goes_for_it() {
        let shelf = Shelf::new(64 << 10);
        assert!(shelf.put(&key(1), vec![0; 100], (NEVER, NOW)).kept);
        assert_eq!(shelf.put(&key(2), vec![0; 40 << 10], (NEVER, NOW)), Put::default());
        assert!(shelf.put(&key(3), vec![0; shelf.largest()], (NEVER, NOW)).kept);
        assert!(shelf.get(&key(1), NOW).is_some());
    }

    #[test]
    fn prompts_that_nobody_repeats_do_not_push_out_those_that_are_asked_for() {
        let shelf = Shelf::new(1 << 20);
        for n in 0..200 {
            shelf.put(&key(n), vec![0; 500], (NEVER, NOW));
            assert!(shelf.get(&key(n), NOW).is_some());
        }
        for n in 1_000..200_000 {
            shelf.put(&key(n), vec![0; 500], (NEVER, NOW));
            if n % 50 == 0 {
                for hot in 0..200 {
                    shelf.get(&key(hot), NOW);
                }
            }
        }
        let left = (0..200).filter(|n| shelf.get(&key(*n), NOW).is_some()).count();
        assert_eq!(left, 200);
        assert!(shelf.held().0 <= 1 << 20);
    }

    /// Resident memory of this process, in bytes (proc(5)).
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
        pages.unwrap_or_default() * 4_096
    }

    #[test]
    fn a_million_distinct_prompts_take_no_more_memory_than_is_allowed() {
        let alone = "savings::shelf::tests::a_million_prompts_alone_in_a_process";
        let program = std::env::current_exe().unwrap();
        let run = Command::new(program).args(["--exact", alone, "--ignored"]).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    }

    #[test]
    #[ignore = "measures its process, so the test above runs it in one of its own"]
    fn a_million_prompts_alone_in_a_process() {
        const ROOM: usize = 48 << 20;
        let shelf = Shelf::new(ROOM);
        let before = resident();
        for n in 0..1_000_000_u64 {
            shelf.put(&key(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), vec![7; 600], (NEVER, NOW));
        }
        let (bytes, entries) = shelf.held();
        let grown = resident().saturating_sub(before);
        assert!(bytes <= ROOM && entries > 45_000, "{bytes} bytes in {entries} entries");
        assert!(grown < ROOM * 5 / 4, "{grown} bytes more are resident, {bytes} are counted");
    }

    proptest! {
        #[test]
        fn the_bound_holds_after_every_step_and_the_count_is_true(
            room in 10_000_usize..40_000_000,
            steps in prop::collection::vec((0_u64..40, 0_usize..30_000, 0_u64..20, any::<bool>()), 1..300),
        ) {
            let shelf = Shelf::new(room);
            let mut now = Duration::ZERO;
            for (n, size, lives, passes) in steps {
                now += Duration::from_secs(u64::from(passes));
                let until = now + Duration::from_secs(lives);
                let put = shelf.put(&key(n), vec![7; size], (until, now));
                prop_assert_eq!(put.kept, size <= shelf.largest());
                let found = shelf.get(&key(n), now).map(|value| value.len());
                prop_assert_eq!(found, (put.kept && lives > 0).then_some(size));
                let (bytes, entries) = shelf.held();
                prop_assert!(bytes <= room, "{} > {}", bytes, room);
                let (mut real, mut count) = (0, 0);
                for shard in &shelf.shards {
                    let shard = shard.lock();
                    real += shard.map.values().map(|slot| slot.bytes).sum::<usize>();
                    count += shard.map.len();
                    prop_assert_eq!(shard.held(), shard.map.values().map(|s| s.bytes).sum::<usize>());
                    prop_assert!(shard.small.order.len() + shard.main.order.len() <= 40 * 2 + 65);
                }
                prop_assert_eq!((real, count), (bytes, entries));
            }
        }
    }
}
