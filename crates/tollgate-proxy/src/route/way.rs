//! The targets that may serve a call, one after the other: those of the route that was asked for, then
//! those of its fallbacks, each in the order that its route says. A target whose breaker is open is
//! passed over; one that rests, because its provider says that a limit is used up, comes after those
//! that do not.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::order::{Able, first};
use super::{Chosen, Seek, Wish, translated};
use crate::snapshot::{Route, Target};
use crate::standing::refuse_stopped;
use crate::stop::Stop;

/// How a call goes on from target to target.
#[derive(Debug)]
pub struct Way {
    route: Arc<Route>,
    /// The targets that were asked, on whatever route.
    asked: SmallVec<[Arc<Target>; 4]>,
    /// Fallbacks to come, the next one last.
    ahead: Vec<Arc<str>>,
    /// Public models that were met.
    met: SmallVec<[Arc<str>; 4]>,
    /// When the first of the targets that were passed over lets somebody through.
    pub(super) opens_in: Option<Duration>,
}

impl Way {
    /// A way that begins with this route.
    pub(super) fn along(route: Arc<Route>) -> Self {
        Self {
            ahead: route.fallback.iter().rev().map(Arc::clone).collect(),
            route,
            asked: SmallVec::new(),
            met: SmallVec::new(),
            opens_in: None,
        }
    }

    /// The way from here on, where there is one. What builds on an answer that its provider keeps
    /// can go nowhere else.
    pub(super) fn rest(self, wish: &Wish<'_>) -> Option<Box<Self>> {
        let more = self.route.targets.len() > 1 || !self.ahead.is_empty();
        (more && wish.peek.previous.is_none()).then(|| Box::new(self))
    }

    /// Who is asked next: on this route, else on the next fallback that leads to somebody. An error
    /// is what this target cannot express of the request, or who has stopped it; another may do.
    pub fn next(&mut self, seek: &Seek<'_>) -> Option<Result<Chosen, Stop>> {
        loop {
            if let Some(chosen) = self.sibling(seek) {
                return Some(chosen);
            }
            self.turn(seek)?;
        }
    }

    /// Who is asked next on the same route.
    pub fn sibling(&mut self, seek: &Seek<'_>) -> Option<Result<Chosen, Stop>> {
        let Able { target, serving } = first(seek, &self.route, &self.asked, |shut| {
            self.opens_in = Some(self.opens_in.map_or(shut, |known| known.min(shut)));
        })?;
        let target = Arc::clone(target);
        self.asked.push(Arc::clone(&target));
        let price = target.price.clone()?;
        let route = Arc::clone(&self.route);
        let traffic = seek.standing.traffic(&target.provider.name, &route.name);
        if let Err(stop) = refuse_stopped(seek.plane, seek.snapshot, &traffic) {
            return Some(Err(stop));
        }
        let translated = translated(seek.snapshot, &seek.wish, (&route, &target), serving);
        Some(translated.map(|translated| Chosen { route, target, price, serving, translated }))
    }

    /// Turns to the next fallback.
    fn turn(&mut self, seek: &Seek<'_>) -> Option<()> {
        loop {
            let name = self.ahead.pop()?;
            if self.met.contains(&name) || !seek.principal.may_use_model(&name) {
                continue;
            }
            self.met.push(Arc::clone(&name));
            let Some(route) = seek.snapshot.route(&name) else { continue };
            self.ahead.extend(route.fallback.iter().rev().map(Arc::clone));
            self.route = route;
            return Some(());
        }
    }
}
