//! The thread of the couriers: sends what is due, channel by channel, each at its own pace, and
//! writes down what came of it. A channel that hangs holds up no other.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tollgate_alerts::Incident;
use tollgate_alerts::channel::{Sending, Verdict};
use tollgate_alerts::delivery::{self, Next};
use tollgate_alerts::notice::{Failure, Notice, NoticeKind};
use tollgate_alerts::text;
use tollgate_domain::clock::Clock;
use tollgate_store::{NoticeRecord, NoticeState, Registry};

use super::routes::{Route, Routes};
use super::{Link, book};
use crate::config::Config;
use crate::out;
use crate::serve::Handle;

/// The pause between two looks at the outbox.
const LOOK: Duration = Duration::from_millis(500);
/// How often a channel that mirrors is shown how all stands.
const SHOW: SignedDuration = SignedDuration::from_mins(1);
/// How soon again where it did not take it.
const SHOW_AGAIN: SignedDuration = SignedDuration::from_secs(15);
/// How long it is left alone at most, whatever it asks for: what is shown there must not grow old.
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(10);
/// A channel that mirrors and has taken nothing for so many times does not work.
const MOST_FAILURES: u32 = 20;
/// How often others are told of a channel that does not deliver.
const TELL_AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// How long the end of the program waits for messages under way.
const LAST: Duration = Duration::from_secs(2);

/// How a channel does.
#[derive(Debug, Default)]
struct Standing {
    busy: bool,
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

/// A message that came back.
struct Back {
    channel: Arc<str>,
    /// The row of the outbox; `None` for what was handed over in memory or mirrored.
    record: Option<NoticeRecord>,
    notice: Option<Notice>,
    verdict: Verdict,
}

/// The couriers of all channels.
pub(super) struct Courier {
    link: Arc<Link>,
    config: Arc<parking_lot::Mutex<Config>>,
    clock: Clock,
    registry: Registry,
    routes: Routes,
    standings: HashMap<Arc<str>, Standing>,
    under_way: JoinSet<Back>,
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
            under_way: JoinSet::new(),
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
            if let Ok(Some(back)) = tokio::time::timeout(LOOK, self.next_back()).await {
                self.take_back(back);
            }
        }
        let last = async {
            while let Some(Ok(back)) = self.under_way.join_next().await {
                let now = self.clock.now();
                if let Err(error) = self.settle(back, now) {
                    out::note(format_args!("an alert may be sent twice: {error:#}"));
                }
            }
        };
        // What is still under way is sent again by the next start.
        drop(tokio::time::timeout(LAST, last).await);
    }

    async fn next_back(&mut self) -> Option<Back> {
        match self.under_way.join_next().await {
            Some(joined) => joined.ok(),
            None => std::future::pending().await,
        }
    }

    fn take_back(&mut self, back: Back) {
        let now = self.clock.now();
        if let Err(error) = self.settle(back, now) {
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
                for standing in self.standings.values_mut() {
                    *standing = Standing { busy: standing.busy, ..Standing::default() };
                }
            }
            Err(error) => out::note(format_args!("channels stay as they were: {error:#}")),
        }
    }

    /// Sends what is due, at most one message a channel.
    fn send_due(&mut self, now: Timestamp) -> anyhow::Result<()> {
        self.give_up_unknown()?;
        for route in self.routes.all.clone() {
            let name = &route.channel.name;
            let standing = self.standings.entry(Arc::clone(name)).or_default();
            let rests = standing.rests.is_some_and(|until| until > now);
            if standing.busy || rests {
                continue;
            }
            if route.channel.mirrors() {
                self.mirror(&route, now);
                continue;
            }
            if let Some(notice) = self.link.shelf.take(name) {
                let id = self.loose.fetch_add(1, Ordering::Relaxed);
                let id = format!("alert-{}-m{id}", notice.time.as_microsecond());
                self.send(&route, (id, None, notice), now);
                continue;
            }
            let disabled = standing.disabled;
            let Some(record) = self.registry.due_notice(name, now)? else { continue };
            let Ok(notice) = serde_json::from_str::<Notice>(&record.notice) else {
                let state = (NoticeState::GivenUp, Some("it cannot be read"));
                self.registry.notice_attempted(record.id, state, &[])?;
                continue;
            };
            if disabled {
                self.pass_on(&route, &record, &notice)?;
                continue;
            }
            let id = format!("alert-{}-{}", record.created_at.as_microsecond(), record.id);
            self.send(&route, (id, Some(record), notice), now);
        }
        Ok(())
    }

    fn send(
        &mut self,
        route: &Arc<Route>,
        (id, record, notice): (String, Option<NoticeRecord>, Notice),
        now: Timestamp,
    ) {
        if let Some(standing) = self.standings.get_mut(&route.channel.name) {
            standing.busy = true;
        }
        let (route, display) = (Arc::clone(route), self.routes.display.clone());
        self.under_way.spawn(async move {
            let sending = Sending { id: &id, now, display: &display, poster: &route.poster };
            let verdict = route.channel.send(&notice, &sending).await;
            let channel = Arc::clone(&route.channel.name);
            Back { channel, record, notice: Some(notice), verdict }
        });
    }

    /// Shows how all stands, where something has changed or it is time.
    fn mirror(&mut self, route: &Arc<Route>, now: Timestamp) {
        let incidents = self.link.shelf.mirrored(&route.channel.name);
        let digest = digest(&incidents);
        let Some(standing) = self.standings.get_mut(&route.channel.name) else { return };
        let known = standing.shown.is_some_and(|(last, until)| last == digest && until > now);
        if known || (incidents.is_empty() && standing.shown.is_none()) {
            return;
        }
        standing.busy = true;
        standing.shown = Some((digest, now.checked_add(SHOW).unwrap_or(now)));
        let (route, display) = (Arc::clone(route), self.routes.display.clone());
        self.under_way.spawn(async move {
            let mut notice = Notice::sample(route.channel.language, now);
            notice.incidents = incidents;
            let sending = Sending { id: "", now, display: &display, poster: &route.poster };
            let verdict = route.channel.send(&notice, &sending).await;
            let channel = Arc::clone(&route.channel.name);
            Back { channel, record: None, notice: None, verdict }
        });
    }

    /// Writes down what came back.
    fn settle(&mut self, back: Back, now: Timestamp) -> anyhow::Result<()> {
        let Back { channel, record, notice, verdict } = back;
        self.link.metrics.sent(&channel, verdict.as_str());
        let route = self.routes.all.iter().find(|it| it.channel.name == channel).cloned();
        let Some(route) = route else { return Ok(()) };
        let kind = route.channel.kind();
        let standing = self.standings.entry(Arc::clone(&channel)).or_default();
        standing.busy = false;
        let pace = SignedDuration::try_from(delivery::pace(kind)).unwrap_or(SignedDuration::ZERO);
        standing.rests = now.checked_add(pace).ok();
        standing.failures =
            if verdict == Verdict::Delivered { 0 } else { standing.failures.saturating_add(1) };
        let Some(notice) = notice else {
            self.mirrored(&route, &verdict, now);
            return Ok(());
        };
        let Some(record) = record else {
            // It was in memory because the database refuses; there is no second attempt.
            return Ok(());
        };
        let seed = u64::try_from(record.id).unwrap_or_default();
        let (state, why, more) =
            match delivery::next(kind, record.attempts.saturating_add(1), &verdict, (now, seed)) {
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
        Ok(self.registry.notice_attempted(record.id, (state, why), &more)?)
    }

    /// What came of showing how all stands.
    fn mirrored(&mut self, route: &Route, verdict: &Verdict, now: Timestamp) {
        let Some(why) = verdict.why() else { return };
        let channel = &route.channel.name;
        let Some(standing) = self.standings.get_mut(channel) else { return };
        standing.shown = None;
        let asked = match verdict {
            Verdict::Later { after, .. } => after.and_then(|it| SignedDuration::try_from(it).ok()),
            _ => None,
        };
        let rest = asked.unwrap_or(SHOW_AGAIN).clamp(SHOW_AGAIN, LONGEST_REST);
        standing.rests = now.checked_add(rest).ok();
        if standing.failures != MOST_FAILURES {
            return;
        }
        let sample = Notice::sample(route.channel.language, now);
        for record in self.tell_others(route, (&sample, why, false), now) {
            if let Ok(notice) = serde_json::from_str(&record.notice) {
                self.link.shelf.put(Arc::from(&*record.channel), notice);
            }
        }
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
                book::notice(&other.channel.name, &Notice { language, ..notice.clone() })
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

/// Tells one state of things from another: which alerts fire and which have ended.
fn digest(incidents: &[Incident]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for incident in incidents {
        (&incident.key, incident.ended_at.is_some()).hash(&mut hasher);
    }
    hasher.finish()
}
