//! The loop against a service that fails as it is told, on time that passes when nobody works: what
//! an outage loses, what it delays, what a restart finds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::event::Call;
use crate::feed::Feed;
use crate::sample::{BEGIN, call, progress};
use crate::settings::{Batch, Retry};
use crate::spool::Spool;

const ROOMY: u64 = 256 << 20;
const BATCH: Batch = Batch { calls: 100, bytes: 1 << 20, age: Duration::from_secs(1) };
const RETRY: Retry = Retry { base: Duration::from_secs(1), max: Duration::from_secs(30) };

/// The other end: what it has, and how it answers.
#[derive(Default)]
struct Service {
    has: Mutex<Vec<u64>>,
    asked: AtomicUsize,
    down: AtomicBool,
    /// How long it takes to answer.
    slow: Mutex<Duration>,
    /// Judges a batch of numbers, where it is not just taken.
    judge: Mutex<Option<Judge>>,
}

type Judge = Box<dyn FnMut(&[u64]) -> Delivery + Send>;

impl Service {
    fn has(&self) -> Vec<u64> {
        self.has.lock().clone()
    }
}

struct Script(Arc<Service>);

fn number(call: &Call) -> u64 {
    u64::try_from(call.time.as_millisecond() - BEGIN).unwrap()
}

impl Sink for Script {
    type Event = Call;

    async fn send(&mut self, batch: &[Call]) -> Delivery {
        let Self(service) = self;
        service.asked.fetch_add(1, Ordering::Relaxed);
        let slow = *service.slow.lock();
        sleep(slow).await;
        if service.down.load(Ordering::Relaxed) {
            return Delivery::later("down");
        }
        let numbers: Vec<u64> = batch.iter().map(number).collect();
        if let Some(judge) = &mut *service.judge.lock() {
            return judge(&numbers);
        }
        service.has.lock().extend(numbers);
        Delivery::taken()
    }
}

/// A worker under test.
struct Bench {
    service: Arc<Service>,
    feed: Arc<Feed<Call>>,
    progress: Arc<Progress>,
    orders: watch::Sender<Order>,
    worker: JoinHandle<()>,
}

impl Bench {
    fn start(service: &Arc<Service>, spool: Option<(&Path, u64)>, queue: usize) -> Self {
        let progress = progress();
        let feed = Arc::new(Feed::new(queue, Arc::clone(&progress)));
        let spool = spool.map(|(folder, bound)| Spool::open(folder, bound).unwrap());
        let hold = Hold::new(Arc::clone(&feed), spool, BATCH, Arc::clone(&progress));
        let (orders, ordered) = watch::channel(Order::Work);
        let sink = Script(Arc::clone(service));
        let worker = Worker::new(sink, hold, Backoff::new(RETRY, 7), Arc::clone(&progress));
        let worker = tokio::runtime::Handle::current().spawn(worker.run(ordered));
        Self { service: Arc::clone(service), feed, progress, orders, worker }
    }

    fn push(&self, numbers: impl Iterator<Item = u64>) {
        self.feed.push(numbers.map(call));
    }

    /// Pushes `from..from + count`, a hundred a second, in lots as the log writer makes them.
    async fn load(&self, from: u64, count: u64) {
        for lot in 0..count / 2 {
            self.push(from + lot * 2..from + lot * 2 + 2);
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_it_has(&self, count: usize) {
        let began = Instant::now();
        while self.service.has().len() < count {
            assert!(began.elapsed() < Duration::from_hours(1), "{:?}", self.progress.status());
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn end(self, within: Duration, last: bool) -> Status {
        self.orders.send_replace(Order::End { within, last });
        self.worker.await.unwrap();
        self.progress.status()
    }
}

use crate::progress::Status;

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[tokio::test(start_paused = true)]
async fn batches_are_cut_by_count_and_by_age() {
    let bench = Bench::start(&Arc::default(), None, 10_000);
    let began = Instant::now();
    bench.push(0..250);
    bench.until_it_has(200).await;
    assert!(began.elapsed() < BATCH.age, "two full batches did not wait");
    bench.until_it_has(250).await;
    assert!(began.elapsed() >= BATCH.age, "the third waited for more");
    assert_eq!(bench.service.asked.load(Ordering::Relaxed), 3);
    assert_eq!(bench.service.has(), all(250));
    let status = bench.end(Duration::from_secs(1), true).await;
    assert_eq!((status.sent, status.dropped, status.lag), (250, 0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_minute_under_load_loses_nothing_and_repeats_nothing() {
    let folder = TempDir::new().unwrap();
    let service = Arc::<Service>::default();
    // The queue alone would hold five seconds.
    let bench = Bench::start(&service, Some((folder.path(), ROOMY)), 500);
    bench.load(0, 1_000).await;
    service.down.store(true, Ordering::Relaxed);
    bench.load(1_000, 6_000).await;
    let during = bench.progress.status();
    assert!(during.trouble.is_some() && during.spool_bytes > 0, "{during:?}");
    service.down.store(false, Ordering::Relaxed);
    bench.load(7_000, 1_000).await;
    bench.until_it_has(8_000).await;
    assert_eq!(service.has(), all(8_000), "in order, each once");
    let status = bench.end(Duration::from_secs(1), true).await;
    assert_eq!((status.sent, status.dropped, status.rejected), (8_000, 0, 0));
    assert_eq!((status.spool_bytes, status.trouble), (0, None));
    assert!(status.retried >= 100);
}

#[tokio::test(start_paused = true)]
async fn over_the_bound_the_newest_are_dropped_and_counted_and_pushing_never_waits() {
    let folder = TempDir::new().unwrap();
    let service = Arc::<Service>::default();
    service.down.store(true, Ordering::Relaxed);
    let bound = 1 << 20;
    let bench = Bench::start(&service, Some((folder.path(), bound)), 500);
    bench.load(0, 6_000).await;
    let status = bench.progress.status();
    assert!(status.spool_bytes <= bound && status.dropped > 0, "{status:?}");
    service.down.store(false, Ordering::Relaxed);
    let kept = 6_000 - status.dropped;
    bench.until_it_has(usize::try_from(kept).unwrap()).await;
    assert_eq!(service.has(), all(kept), "everything up to a moment, and nothing after it");
    // There is room again.
    bench.load(6_000, 200).await;
    bench.until_it_has(usize::try_from(kept).unwrap() + 200).await;
    assert_eq!(bench.progress.status().dropped, 6_000 - kept);
}

#[tokio::test(start_paused = true)]
async fn a_restart_sends_what_the_spool_holds_and_then_what_is_new() {
    let folder = TempDir::new().unwrap();
    let service = Arc::<Service>::default();
    service.down.store(true, Ordering::Relaxed);
    let bench = Bench::start(&service, Some((folder.path(), ROOMY)), 5_000);
    bench.load(0, 2_000).await;
    // What is still in memory goes to disk at the end.
    bench.push(2_000..2_010);
    let status = bench.end(Duration::ZERO, true).await;
    assert_eq!((status.sent, status.dropped), (0, 0));
    assert!(status.spool_bytes > 0);
    service.down.store(false, Ordering::Relaxed);
    let bench = Bench::start(&service, Some((folder.path(), ROOMY)), 5_000);
    bench.push(2_010..2_020);
    bench.until_it_has(2_020).await;
    assert_eq!(service.has(), all(2_020));
}

#[tokio::test(start_paused = true)]
async fn a_killed_worker_has_put_on_disk_what_it_could_not_deliver() {
    let folder = TempDir::new().unwrap();
    let service = Arc::<Service>::default();
    service.down.store(true, Ordering::Relaxed);
    let bench = Bench::start(&service, Some((folder.path(), ROOMY)), 5_000);
    bench.load(0, 1_000).await;
    sleep(BATCH.age * 2).await;
    bench.worker.abort();
    assert!(bench.worker.await.unwrap_err().is_cancelled());
    service.down.store(false, Ordering::Relaxed);
    let bench = Bench::start(&service, Some((folder.path(), ROOMY)), 5_000);
    bench.until_it_has(1_000).await;
    assert_eq!(service.has(), all(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_slow_makes_what_gathers_go_to_disk() {
    let folder = TempDir::new().unwrap();
    let service = Arc::<Service>::default();
    *service.slow.lock() = Duration::from_secs(20);
    let bench = Bench::start(&service, Some((folder.path(), ROOMY)), 500);
    bench.load(0, 3_000).await;
    assert_eq!(bench.progress.status().dropped, 0);
    assert!(bench.progress.status().spool_bytes > 0);
    *service.slow.lock() = Duration::ZERO;
    bench.until_it_has(3_000).await;
    assert_eq!(service.has(), all(3_000));
}

#[tokio::test(start_paused = true)]
async fn without_a_spool_the_queue_is_the_bound() {
    let service = Arc::<Service>::default();
    service.down.store(true, Ordering::Relaxed);
    let bench = Bench::start(&service, None, 500);
    bench.load(0, 2_000).await;
    // One batch is on its way, beside the queue.
    assert_eq!(bench.progress.status().dropped, 2_000 - 600);
    let status = bench.end(Duration::ZERO, true).await;
    assert_eq!(status.dropped, 2_000, "nobody comes after");
}

#[tokio::test(start_paused = true)]
async fn who_gives_way_leaves_the_queue_to_who_comes_after() {
    let service = Arc::<Service>::default();
    service.down.store(true, Ordering::Relaxed);
    let bench = Bench::start(&service, None, 500);
    bench.load(0, 300).await;
    let feed = Arc::clone(&bench.feed);
    assert_eq!(bench.end(Duration::ZERO, false).await.dropped, 0);
    let numbers: Vec<u64> = feed.take(Batch::ALL).iter().map(number).collect();
    assert_eq!(numbers, all(300));
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_the_end_finishes_and_is_not_sent_twice() {
    let service = Arc::<Service>::default();
    *service.slow.lock() = Duration::from_secs(3);
    let bench = Bench::start(&service, None, 500);
    bench.push(0..100);
    sleep(Duration::from_secs(1)).await;
    bench.push(100..130);
    let status = bench.end(Duration::from_secs(30), true).await;
    assert_eq!(service.has(), all(130));
    assert_eq!((status.sent, service.asked.load(Ordering::Relaxed)), (130, 2));
}

#[tokio::test(start_paused = true)]
async fn only_what_was_turned_away_is_sent_again() {
    let service = Arc::<Service>::default();
    let has = Arc::clone(&service);
    let mut first = true;
    *service.judge.lock() = Some(Box::new(move |numbers| {
        let again: Vec<usize> = (0..numbers.len()).filter(|at| first && at % 10 == 3).collect();
        let refused = usize::from(first);
        first = false;
        let taken = numbers
            .iter()
            .enumerate()
            .filter(|(at, _)| !again.contains(at) && refused == 0 || *at % 10 != 3 && *at != 0);
        has.has.lock().extend(taken.map(|(_, number)| *number));
        match again.len() {
            0 => Delivery::taken(),
            _ => Delivery::Partly { again, refused, why: "full".to_owned() },
        }
    }));
    let bench = Bench::start(&service, None, 500);
    bench.push(0..100);
    bench.until_it_has(99).await;
    let mut has = service.has();
    has.sort_unstable();
    assert_eq!(has, (1..100).collect::<Vec<_>>(), "number 0 was refused");
    let status = bench.end(Duration::from_secs(1), true).await;
    assert_eq!((status.sent, status.retried, status.rejected), (99, 10, 1));
}

#[tokio::test(start_paused = true)]
async fn halves_find_the_ones_that_are_refused() {
    let service = Arc::<Service>::default();
    let has = Arc::clone(&service);
    *service.judge.lock() = Some(Box::new(move |numbers| {
        if numbers.iter().any(|number| [17, 60].contains(number)) {
            return Delivery::Divide { why: "400".to_owned() };
        }
        has.has.lock().extend(numbers);
        Delivery::taken()
    }));
    let bench = Bench::start(&service, None, 500);
    bench.push(0..100);
    bench.until_it_has(98).await;
    assert_eq!(service.has(), (0..100).filter(|n| ![17, 60].contains(n)).collect::<Vec<_>>());
    let status = bench.end(Duration::from_secs(1), true).await;
    assert_eq!((status.sent, status.rejected, status.retried), (98, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_to_wait_is_left_alone_for_so_long() {
    let service = Arc::<Service>::default();
    let has = Arc::clone(&service);
    let mut asked: Option<Instant> = None;
    *service.judge.lock() = Some(Box::new(move |numbers| {
        let Some(before) = asked.replace(Instant::now()) else {
            let after = Some(Duration::from_mins(2));
            return Delivery::Later { why: "429".to_owned(), after };
        };
        assert!(before.elapsed() >= Duration::from_mins(2));
        has.has.lock().extend(numbers);
        Delivery::taken()
    }));
    let bench = Bench::start(&service, None, 500);
    bench.push(0..10);
    bench.until_it_has(10).await;
}
