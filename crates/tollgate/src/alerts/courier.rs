//! The thread of the couriers: sends what is due, channel by channel, each at its own pace, and
//! writes down what came of it. A channel that hangs holds up no other.

mod mirror;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tollgate_alerts::channel::{Sending, Verdict};
use tollgate_alerts::delivery::{self, Next};
use tollgate_alerts::notice::{Failure, Notice, NoticeKind};
use tollgate_alerts::text;
use tollgate_domain::clock::Clock;
use tollgate_store::{NoticeRecord, NoticeState, Registry};

use super::flights::{Flight, Flights};
use super::outcomes::{Outcome, Outcomes};
use super::routes::{Route, Routes};
use super::{Link, book};
use crate::config::Config;
use crate::out;
use crate::serve::Handle;

/// The pause between two looks at the outbox.
const LOOK: Duration = Duration::from_millis(500);
/// How often others are told of a channel that does not deliver.
const TELL_AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// How long the end of the program waits for messages under way.
const LAST: Duration = Duration::from_secs(2);

/// How a channel does.
#[derive(Debug, Default)]
struct Standing {
    /// Until when it is left alone.
    rests: Option<Timestamp>,
    /// Whether it takes nothing any more.
    disabled: bool,
    failures: u32,
    /// When others were told that it does not deliver.
    told: Option<Timestamp>,
    /// The digest of what it was shown last, and when it is shown again.
    shown: Option<(u64, Timestamp)>,
}

/// The couriers of all channels.
pub(super) struct Courier {
    link: Arc<Link>,
    config: Arc<parking_lot::Mutex<Config>>,
    clock: Clock,
    registry: Registry,
    routes: Routes,
    standings: HashMap<Arc<str>, Standing>,
    under_way: Flights,
    unwritten: Outcomes,
    /// The configuration that the routes are of.
    generation: u64,
    loose: AtomicU64,
    troubled: bool,
}

impl Courier {
    pub(super) fn new(handle: &Handle, routes: Routes) -> anyhow::Result<Self> {
        handle.alerts.metrics.know(&routes);
        Ok(Self {
            link: Arc::clone(&handle.alerts),
            config: Arc::clone(&handle.config),
            clock: handle.ground.clock.clone(),
            registry: Registry::open(&handle.database)?,
            routes,
            standings: HashMap::new(),
            under_way: Flights::default(),
            unwritten: Outcomes::default(),
            generation: handle.alerts.generation(),
            loose: AtomicU64::new(0),
            troubled: false,
        })
    }

    /// Sends until the program ends.
    pub(super) fn run(mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("the couriers of alerts cannot start");
        match runtime {
            Ok(runtime) => runtime.block_on(self.deliver()),
            Err(error) => out::note(format_args!("{error:#}")),
        }
    }

    async fn deliver(&mut self) {
        while !self.link.is_ending() {
            self.follow();
            match self.send_due(self.clock.now()) {
                Ok(()) => self.troubled = false,
                Err(error) => self.trouble(&error),
            }
            // What came back is written down at once; otherwise the next look waits a little.
            if let Ok((flight, verdict)) = tokio::time::timeout(LOOK, self.next_back()).await {
                self.take_back(flight, &verdict);
            }
        }
        let last = async {
            while let Some((flight, verdict)) = self.under_way.next().await {
                let now = self.clock.now();
                if let Err(error) = self.settle(flight, &verdict, now) {
                    out::note(format_args!("an alert may be sent twice: {error:#}"));
                }
            }
        };
        // What is still under way is sent again by the next start.
        drop(tokio::time::timeout(LAST, last).await);
    }

    async fn next_back(&mut self) -> (Flight, Verdict) {
        match self.under_way.next().await {
            Some(back) => back,
            None => std::future::pending().await,
        }
    }

    fn take_back(&mut self, flight: Flight, verdict: &Verdict) {
        let now = self.clock.now();
        if let Err(error) = self.settle(flight, verdict, now) {
            self.trouble(&error);
        }
    }

    fn trouble(&mut self, error: &anyhow::Error) {
        if !self.troubled {
            out::note(format_args!("messages of alerts cannot be read or written: {error:#}"));
        }
        self.troubled = true;
    }

    /// Goes by another configuration, where there is one. What a channel was before does not matter
    /// then: it gets another chance.
    fn follow(&mut self) {
        let generation = self.link.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        match Routes::new(&self.config.lock()) {
            Ok(routes) => {
                self.link.metrics.know(&routes);
                self.routes = routes;
                self.standings.clear();
            }
            Err(error) => out::note(format_args!("channels stay as they were: {error:#}")),
        }
    }

    /// Sends what is due, at most one message a channel. What goes wrong with the messages of one
    /// channel keeps no other from being sent.
    fn send_due(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let mut wrong = self.unwritten.retry(now, |outcome| write(&self.registry, outcome)).err();
        if let Err(error) = self.give_up_unknown() {
            wrong.get_or_insert(error);
        }
        for route in self.routes.all.clone() {
            if let Err(error) = self.send_next(&route, now) {
                wrong.get_or_insert(error);
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    /// Sends the next message of a channel, where it is ready for one.
    fn send_next(&mut self, route: &Arc<Route>, now: Timestamp) -> anyhow::Result<()> {
        let name = &route.channel.name;
        let standing = self.standings.entry(Arc::clone(name)).or_default();
        let (rests, disabled) =
            (standing.rests.is_some_and(|until| until > now), standing.disabled);
        if rests || self.under_way.is_busy(name) {
            return Ok(());
        }
        if route.channel.mirrors() {
            self.mirror(route, now);
            return Ok(());
        }
        if let Some(notice) = self.link.shelf.take(name) {
            let id = self.loose.fetch_add(1, Ordering::Relaxed);
            let id = format!("alert-{}-m{id}", notice.time.as_microsecond());
            self.send(route, (id, None, notice), now);
            return Ok(());
        }
        if self.unwritten.holds(name) {
            return Ok(());
        }
        let Some(record) = self.registry.due_notice(name, now)? else { return Ok(()) };
        let Ok(notice) = serde_json::from_str::<Notice>(&record.notice) else {
            let state = (NoticeState::GivenUp, Some("it cannot be read"));
            return Ok(self.registry.notice_attempted(record.id, state, &[])?);
        };
        if disabled {
            return self.pass_on(route, &record, &notice);
        }
        let id = format!("alert-{}-{}", record.created_at.as_microsecond(), record.id);
        self.send(route, (id, Some(record), notice), now);
        Ok(())
    }

    fn send(
        &mut self,
        route: &Arc<Route>,
        (id, record, notice): (String, Option<NoticeRecord>, Notice),
        now: Timestamp,
    ) {
        let channel = Arc::clone(&route.channel.name);
        let flight = Flight { channel, record, notice: Some(notice.clone()) };
        let (route, display) = (Arc::clone(route), self.routes.display.clone());
        self.under_way.send(flight, async move {
            let sending = Sending { id: &id, now, display: &display, poster: &route.poster };
            route.channel.send(&notice, &sending).await
        });
    }

    /// Writes down what came back.
    fn settle(&mut self, flight: Flight, verdict: &Verdict, now: Timestamp) -> anyhow::Result<()> {
        let Flight { channel, record, notice } = flight;
        self.link.metrics.sent(&channel, verdict.as_str());
        let route = self.routes.all.iter().find(|it| it.channel.name == channel).cloned();
        let Some(route) = route else {
            return self.settle_unknown((channel, record), verdict, now);
        };
        let kind = route.channel.kind();
        let standing = self.standings.entry(Arc::clone(&channel)).or_default();
        let pace = SignedDuration::try_from(delivery::pace(kind)).unwrap_or(SignedDuration::ZERO);
        standing.rests = now.checked_add(pace).ok();
        standing.failures =
            if *verdict == Verdict::Delivered { 0 } else { standing.failures.saturating_add(1) };
        let Some(notice) = notice else {
            self.mirrored(&route, verdict, now);
            return Ok(());
        };
        let Some(record) = record else {
            // It was in memory because the database refuses; there is no second attempt.
            return Ok(());
        };
        let seed = u64::try_from(record.id).unwrap_or_default();
        let (state, why, more) =
            match delivery::next(kind, record.attempts.saturating_add(1), verdict, (now, seed)) {
                Next::Done => (NoticeState::Delivered, None, Vec::new()),
                Next::Again { at, pause } => {
                    standing.rests = standing.rests.max(pause);
                    (NoticeState::Waits(at), verdict.why(), Vec::new())
                }
                Next::GiveUp { why, is_disabled } => {
                    standing.disabled |= is_disabled;
                    let more = self.tell_others(&route, (&notice, &why, is_disabled), now);
                    (NoticeState::GivenUp, verdict.why(), more)
                }
            };
        let why = why.map(str::to_owned);
        let outcome = Outcome { channel, id: record.id, state, why, more };
        self.unwritten.write(outcome, now, |outcome| write(&self.registry, outcome))
    }

    /// Writes down what came of a message to a channel that a reload has removed. What was not
    /// delivered waits, and is given up with all that waits for a channel that is not there.
    fn settle_unknown(
        &mut self,
        (channel, record): (Arc<str>, Option<NoticeRecord>),
        verdict: &Verdict,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let Some(record) = record.filter(|_| *verdict == Verdict::Delivered) else { return Ok(()) };
        let state = NoticeState::Delivered;
        let outcome = Outcome { channel, id: record.id, state, why: None, more: Vec::new() };
        self.unwritten.write(outcome, now, |outcome| write(&self.registry, outcome))
    }

    /// That a channel does not deliver, for all others that do.
    fn tell_others(
        &mut self,
        route: &Route,
        (notice, why, is_disabled): (&Notice, &str, bool),
        now: Timestamp,
    ) -> Vec<NoticeRecord> {
        let channel = &route.channel.name;
        let Some(standing) = self.standings.get_mut(channel) else { return Vec::new() };
        let lately = standing.told.is_some_and(|at| now.duration_since(at).abs() < TELL_AGAIN);
        // That a channel cannot tell of another is no news, and would go round for ever.
        if notice.kind == NoticeKind::ChannelFailed || (lately && !is_disabled) {
            return Vec::new();
        }
        standing.told = Some(now);
        out::note(format_args!("the alert channel {channel} does not deliver: {why}"));
        let failure = |language| Failure {
            channel: channel.to_string(),
            why: why.to_owned(),
            lost: text::text(&Notice { language, ..notice.clone() }, &self.routes.display).title,
            is_disabled,
        };
        let others = self.routes.all.iter().filter(|other| self.is_fit(other, channel));
        others
            .map(|other| {
                let language = other.channel.language;
                let told = Notice::of_failure(failure(language), language, now);
                book::notice(&other.channel.name, &told)
            })
            .collect()
    }

    /// Whether a channel can tell of another.
    fn is_fit(&self, route: &Route, than: &Arc<str>) -> bool {
        let disabled = self.standings.get(&route.channel.name).is_some_and(|it| it.disabled);
        route.channel.name != *than && !route.channel.mirrors() && !disabled
    }

    /// What a channel cannot tell that takes nothing any more is told by the first other one.
    fn pass_on(&self, route: &Route, record: &NoticeRecord, notice: &Notice) -> anyhow::Result<()> {
        let name = &route.channel.name;
        let other = self.routes.all.iter().find(|other| self.is_fit(other, name));
        let more: Vec<NoticeRecord> = other
            .filter(|_| notice.kind != NoticeKind::ChannelFailed)
            .map(|other| {
                let language = other.channel.language;
                let told = Notice { language, ..notice.clone() };
                let thread = record.thread.clone();
                NoticeRecord { thread, ..book::notice(&other.channel.name, &told) }
            })
            .into_iter()
            .collect();
        let mut fresh = Vec::new();
        for told in more {
            if !self.registry.is_noticed(&told)? {
                fresh.push(told);
            }
        }
        let state = (NoticeState::GivenUp, Some("the channel takes nothing any more"));
        Ok(self.registry.notice_attempted(record.id, state, &fresh)?)
    }

    /// Gives up what waits for channels that there are no more.
    fn give_up_unknown(&self) -> anyhow::Result<()> {
        for channel in self.registry.awaited_channels()? {
            if self.routes.all.iter().any(|route| *route.channel.name == *channel) {
                continue;
            }
            for notice in self.registry.waiting_notices(&channel)? {
                let state = (NoticeState::GivenUp, Some("there is no such channel"));
                self.registry.notice_attempted(notice.id, state, &[])?;
            }
        }
        Ok(())
    }
}

fn write(registry: &Registry, outcome: &Outcome) -> anyhow::Result<()> {
    let Outcome { id, state, why, more, .. } = outcome;
    Ok(registry.notice_attempted(*id, (*state, why.as_deref()), more)?)
}
