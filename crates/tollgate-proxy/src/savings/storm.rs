//! Duplicate storms: one subject that sends the same prompt again and again, as a loop without an end
//! does.
//!
//! The subject is the session that the application names, else the user, behind the key that was
//! used. What is the same prompt does not depend on the cache. A storm is told once, when its first
//! call too many comes; it goes on for as long as there are as many calls in the window.
//!
//! Everything is bounded: of the prompts that were seen last, so many are remembered in two
//! generations, and of a prompt no more instants than make a storm, or a thousand that stand for
//! several calls each. Whoever sends more distinct
//! prompts than that in a window is not sending the same one.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tollgate_domain::fault::Code;

use super::key::Digest;
use super::settings::{StormAction, StormSettings};
use crate::admit::Candidate;
use crate::stop::Stop;

/// Parts of the table that are locked one by one.
const SHARDS: usize = 16;
/// Most prompts in one generation of a part: 65 536 in all, twice.
const GENERATION: usize = 4_096;
/// Most instants that are remembered of a prompt.
const MOST_INSTANTS: u32 = 1_024;
/// Most subjects that are blocked at a time.
const MOST_BLOCKS: usize = 4_096;
/// Most storms that are remembered after they were told.
const RECENT: usize = 100;
/// Most storms that wait for one who listens.
const WAITING: usize = 256;

/// A storm as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storm {
    /// Its number since the start of the program.
    pub id: u64,
    /// When it was noticed.
    pub time: Timestamp,
    /// Whose calls.
    pub user: Arc<str>,
    /// With which key.
    pub key: Arc<str>,
    /// In which session, where one is named.
    pub session: Option<Arc<str>>,
    /// The path that was called.
    pub endpoint: &'static str,
    /// The model that was asked for.
    pub model: Arc<str>,
    /// How many calls made it one.
    pub calls: u32,
    /// What happens now.
    pub action: StormAction,
    /// Until when its subject is blocked, where it is.
    pub blocked_until: Option<Timestamp>,
}

/// What is to be done with a call.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing: how often the prompt came in the window, this call included.
    Pass(u32),
    /// It gets a kept answer.
    ServeCached,
    /// It waits so long.
    Wait(Duration),
}

/// Watches for storms.
#[derive(Debug)]
pub(super) struct Storms {
    hashers: [RandomState; 2],
    shards: Box<[Mutex<Shard>]>,
    blocks: Mutex<HashMap<u128, Block>>,
    /// How many there are, so that nobody waits for the lock to learn that there is none.
    block_count: AtomicUsize,
    recent: Mutex<VecDeque<Storm>>,
    told: broadcast::Sender<Storm>,
}

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<u128, Track>,
    old: HashMap<u128, Track>,
}

/// When a prompt came, in milliseconds of the clock that measures latency, and whether its storm was
/// told.
#[derive(Debug, Default)]
struct Track {
    times: VecDeque<u64>,
    /// Calls since the last instant that was remembered.
    beyond: u32,
    told: bool,
    /// Until when throttled calls are spread.
    next_turn: u64,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    storm: u64,
    until: u64,
}

impl Storms {
    pub(super) fn new() -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            blocks: Mutex::default(),
            block_count: AtomicUsize::new(0),
            recent: Mutex::default(),
            told: broadcast::channel(WAITING).0,
        }
    }

    /// The storms that come from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Storm> {
        self.told.subscribe()
    }

    /// The last storms, the newest first.
    pub(super) fn recent(&self) -> Vec<Storm> {
        self.recent.lock().iter().rev().cloned().collect()
    }

    /// Whether the subject of a storm is still blocked.
    pub(super) fn is_blocked(&self, storm: u64, now: Duration) -> bool {
        let now = millis(now);
        self.blocks.lock().values().any(|block| block.storm == storm && block.until > now)
    }

    /// Lifts the block that a storm has brought; `false` where there is none.
    pub(super) fn lift(&self, storm: u64) -> bool {
        let mut blocks = self.blocks.lock();
        let before = blocks.len();
        blocks.retain(|_, block| block.storm != storm);
        self.block_count.store(blocks.len(), Ordering::Release);
        blocks.len() < before
    }

    /// Notes a call and says what is to be done with it.
    pub(super) fn note(
        &self,
        settings: &StormSettings,
        (candidate, prompt): (&Candidate, &Digest),
        now: Duration,
    ) -> Noted {
        let key = &*candidate.caller.principal.key.name;
        let whose = match candidate.caller.labels.session.as_deref() {
            Some(session) => (1, session),
            None => (0, &*candidate.caller.principal.user),
        };
        let who = self.hash(&(key, whose));
        let at = millis(now);
        if let Err(stop) = self.refuse_blocked(who, at) {
            return Noted { verdict: Err(stop), began: None };
        }
        let seen = self.seen(self.hash(&(who, prompt)), settings, at);
        let began = seen.begins.then(|| self.tell(settings, candidate, (who, at)));
        let verdict = if seen.calls < settings.identical {
            Ok(Verdict::Pass(seen.calls))
        } else {
            match settings.action {
                StormAction::Alert => Ok(Verdict::Pass(seen.calls)),
                StormAction::ServeCached => Ok(Verdict::ServeCached),
                StormAction::Block => {
                    self.refuse_blocked(who, at).map(|()| Verdict::Pass(seen.calls))
                }
                StormAction::Throttle => seen.turn.map(Verdict::Wait).map_err(too_many),
            }
        };
        Noted { verdict, began }
    }

    fn hash<T: std::hash::Hash>(&self, of: &T) -> u128 {
        let [one, other] = &self.hashers;
        u128::from(one.hash_one(of)) << 64 | u128::from(other.hash_one(of))
    }

    fn seen(&self, print: u128, settings: &StormSettings, at: u64) -> Seen {
        let number = usize::try_from(print % 16).unwrap_or_default();
        let Some(shard) = self.shards.get(number) else { return Seen::default() };
        let mut shard = shard.lock();
        let Shard { young, old } = &mut *shard;
        if !young.contains_key(&print) {
            if young.len() >= GENERATION {
                *old = std::mem::take(young);
            }
            let known = old.remove(&print).unwrap_or_default();
            young.insert(print, known);
        }
        young.entry(print).or_default().note(settings, at)
    }

    /// Makes a storm known, and blocks its subject where that is what happens.
    fn tell(
        &self,
        settings: &StormSettings,
        candidate: &Candidate,
        (who, at): (u128, u64),
    ) -> Storm {
        let time = candidate.caller.arrival.time;
        let blocks = settings.action == StormAction::Block;
        let lasts = SignedDuration::try_from(settings.block_for).unwrap_or(SignedDuration::MAX);
        let mut recent = self.recent.lock();
        let storm = Storm {
            id: recent.back().map_or(1, |last| last.id + 1),
            time,
            user: Arc::clone(&candidate.caller.principal.user),
            key: Arc::clone(&candidate.caller.principal.key.name),
            session: candidate.caller.labels.session.clone(),
            endpoint: candidate.endpoint.path(),
            model: Arc::clone(&candidate.chosen.route.name),
            calls: settings.identical,
            action: settings.action,
            blocked_until: blocks.then(|| time.checked_add(lasts).unwrap_or(Timestamp::MAX)),
        };
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(storm.clone());
        drop(recent);
        if blocks {
            let until = at.saturating_add(millis(settings.block_for));
            self.block(who, Block { storm: storm.id, until }, at);
        }
        // Nobody may be listening; the list of recent storms tells as well.
        drop(self.told.send(storm.clone()));
        storm
    }

    fn block(&self, who: u128, block: Block, at: u64) {
        let mut blocks = self.blocks.lock();
        if blocks.len() >= MOST_BLOCKS {
            blocks.retain(|_, block| block.until > at);
        }
        if blocks.len() >= MOST_BLOCKS
            && let Some(first) = blocks.iter().min_by_key(|(_, block)| block.until)
        {
            let first = *first.0;
            blocks.remove(&first);
        }
        blocks.insert(who, block);
        self.block_count.store(blocks.len(), Ordering::Release);
    }

    fn refuse_blocked(&self, who: u128, at: u64) -> Result<(), Stop> {
        if self.block_count.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let mut blocks = self.blocks.lock();
        let Some(block) = blocks.get(&who) else { return Ok(()) };
        let left = block.until.saturating_sub(at);
        if left == 0 {
            blocks.remove(&who);
            self.block_count.store(blocks.len(), Ordering::Release);
            return Ok(());
        }
        Err(refused(
            "the same prompt was sent too often within a short time, as a loop without an end \
             does; calls are refused for a while",
            Duration::from_millis(left),
        ))
    }
}

/// What was noted about a call.
#[derive(Debug)]
pub(super) struct Noted {
    /// What is to be done with it.
    pub(super) verdict: Result<Verdict, Stop>,
    /// The storm that it began.
    pub(super) began: Option<Storm>,
}

/// How often a prompt was seen.
#[derive(Debug)]
struct Seen {
    calls: u32,
    begins: bool,
    /// How long a throttled call waits for its turn; an error where that is too long.
    turn: Result<Duration, Duration>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { calls: 1, begins: false, turn: Ok(Duration::ZERO) }
    }
}

impl Track {
    fn note(&mut self, settings: &StormSettings, at: u64) -> Seen {
        // Where very many make a storm, an instant stands for several calls.
        let each = settings.identical.div_ceil(MOST_INSTANTS).max(1);
        let most = settings.identical / each;
        let window = millis(settings.window);
        self.beyond += 1;
        if self.beyond >= each {
            self.beyond = 0;
            self.times.push_back(at);
        }
        let over = |first: u64| first.saturating_add(window) <= at;
        let count = |times: &VecDeque<u64>| u32::try_from(times.len()).unwrap_or(u32::MAX);
        while count(&self.times) > most || self.times.front().is_some_and(|first| over(*first)) {
            self.times.pop_front();
        }
        let storms = count(&self.times) >= most;
        let calls = if storms {
            settings.identical
        } else {
            count(&self.times).saturating_mul(each).saturating_add(self.beyond)
        };
        let begins = !std::mem::replace(&mut self.told, storms) && storms;
        let turn = if storms { self.turn(settings, at) } else { Ok(Duration::ZERO) };
        Seen { calls, begins, turn }
    }

    /// The next turn of a storm that is slowed down: as many calls in a window as are no storm.
    fn turn(&mut self, settings: &StormSettings, at: u64) -> Result<Duration, Duration> {
        let window = millis(settings.window);
        let pause = window / u64::from(settings.identical.max(1));
        let turn = self.next_turn.max(at).saturating_add(pause);
        let wait = turn - at;
        if wait > window {
            return Err(Duration::from_millis(wait));
        }
        self.next_turn = turn;
        Ok(Duration::from_millis(wait))
    }
}

fn too_many(wait: Duration) -> Stop {
    refused("the same prompt is sent so often that its calls would wait for too long", wait)
}

fn refused(message: &'static str, wait: Duration) -> Stop {
    Stop { retry_after: Some(wait), ..Stop::new(Code::DuplicateStorm, message) }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(identical: u32, seconds: u64) -> StormSettings {
        StormSettings {
            identical,
            window: Duration::from_secs(seconds),
            action: StormAction::Throttle,
            block_for: Duration::from_mins(10),
        }
    }

    #[test]
    fn a_storm_is_told_once_and_again_only_after_it_has_calmed_down() {
        let storms = Storms::new();
        let settings = settings(3, 10);
        let note = |seconds: u64| storms.seen(7, &settings, seconds * 1_000).begins;
        assert_eq!([0, 1, 2, 3, 4].map(note), [false, false, true, false, false]);
        // Two more within the window of the last two keep it going; then it is over.
        assert_eq!([12, 13, 30, 31, 32].map(note), [false, false, false, false, true]);
    }

    #[test]
    fn calls_that_are_slowed_down_come_no_more_often_than_is_no_storm() {
        let storms = Storms::new();
        let settings = settings(4, 8);
        let turns: Vec<_> = (0..10).map(|_| storms.seen(7, &settings, 1_000).turn).collect();
        let seconds = |turn: &Result<Duration, Duration>| {
            turn.map(|wait| wait.as_secs()).map_err(|wait| wait.as_secs())
        };
        let seen: Vec<_> = turns.iter().map(seconds).collect();
        assert_eq!(seen[..3], [Ok(0), Ok(0), Ok(0)]);
        assert_eq!(seen[3..7], [Ok(2), Ok(4), Ok(6), Ok(8)]);
        assert_eq!(seen[7..], [Err(10), Err(10), Err(10)]);
    }

    #[test]
    fn memory_is_bounded_under_many_prompts_and_many_blocks() {
        let storms = Storms::new();
        let settings = settings(20, 60);
        for n in 0..300_000_u128 {
            storms.seen(storms.hash(&n), &settings, 1);
        }
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        };
        assert!(storms.shards.iter().map(count).sum::<usize>() <= 2 * SHARDS * GENERATION);
        for n in 0..10_000_u64 {
            storms.block(u128::from(n), Block { storm: n, until: 10_000 + n }, 0);
        }
        assert_eq!(storms.blocks.lock().len(), MOST_BLOCKS);
        // Those that last longest have stayed.
        assert!(storms.refuse_blocked(9_999, 0).is_err());
        assert!(storms.refuse_blocked(0, 0).is_ok());
        assert!(storms.lift(9_999));
        assert!(storms.refuse_blocked(9_999, 0).is_ok());
    }

    #[test]
    fn very_many_are_counted_with_few_instants() {
        let storms = Storms::new();
        let settings = settings(100_000, 10);
        let begins: Vec<_> = (0..100_100).map(|_| storms.seen(7, &settings, 5).begins).collect();
        let first = begins.iter().position(|begins| *begins).unwrap();
        assert!((99_900..=100_000).contains(&first), "{first}");
        let held: usize = storms
            .shards
            .iter()
            .map(|shard| shard.lock().young.values().map(|track| track.times.len()).sum::<usize>())
            .sum();
        assert!(held <= 1_024);
    }

    #[test]
    fn a_block_ends_by_itself() {
        let storms = Storms::new();
        storms.block(1, Block { storm: 1, until: 5_000 }, 0);
        let stop = storms.refuse_blocked(1, 2_000).unwrap_err();
        assert_eq!(stop.retry_after, Some(Duration::from_secs(3)));
        assert!(storms.is_blocked(1, Duration::from_secs(4)));
        assert!(!storms.is_blocked(1, Duration::from_secs(5)));
        assert!(storms.refuse_blocked(1, 5_000).is_ok());
    }

    proptest! {
        #[test]
        fn a_storm_is_seen_exactly_where_a_log_of_all_calls_says_so(
            pauses in prop::collection::vec(0_u64..4_000, 1..120),
            identical in 2_u32..12,
            window in 1_u64..12,
        ) {
            let storms = Storms::new();
            let settings = settings(identical, window);
            let (mut at, mut log, mut storming) = (0, Vec::new(), false);
            for pause in pauses {
                at += pause;
                log.push(at);
                let inside = log.iter().filter(|time| **time + window * 1_000 > at).count();
                let storms_now = inside >= usize::try_from(identical).unwrap();
                let seen = storms.seen(1, &settings, at);
                prop_assert_eq!(seen.calls >= identical, storms_now);
                prop_assert_eq!(seen.begins, storms_now && !storming);
                storming = storms_now;
            }
        }
    }
}
