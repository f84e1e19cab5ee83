//! The decision on a call, as its ledger row keeps it: how each limit stood, what was set aside, and
//! what was changed about the call to let it pass.
//!
//! It is kept in a compact form of its own, made once when the call is decided and carried as bytes
//! from there: a figure is an integer of variable length, a name stands as it is. The first byte
//! names the format. Reading takes any bytes: what does not fit is `None`.

use std::fmt;
use std::sync::Arc;

use crate::limit::{Metric, Scope, Window};
use crate::money::NanoUsd;

mod form;

use form::{Input, Output, put_signed, put_text, put_varint};

/// The format that is written.
const FORMAT: u8 = 1;
/// Most limits that are kept of one decision.
const MOST_LIMITS: usize = 64;

/// The decision on a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Decision(Arc<[u8]>);

/// What was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What was set aside at most.
    pub hold: NanoUsd,
    /// The most tokens out that were asked for.
    pub output_asked: u64,
    /// The most that were granted; fewer where a limit clamped.
    pub output_granted: u64,
    /// Which of the limits refused the call, by place; `None` where it was admitted.
    pub refused_by: Option<usize>,
}

/// How a limit stood, in the integer of its metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighed<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its plan; `None` outside plans.
    pub plan: Option<&'a str>,
    /// Whose counter it is.
    pub scope: Scopes,
    /// What it counts.
    pub metric: Metric,
    /// Over which time.
    pub window: Window,
    /// The maximum that held, with what was carried over or paid in; `None` is unlimited.
    pub max: Option<i64>,
    /// What was used before the call.
    pub used: i64,
    /// What was set aside for other calls.
    pub reserved: i64,
    /// What the call asked for and, where it was admitted, took.
    pub taken: i64,
}

/// What never changes about a limit, in the form in which decisions keep it: encoded once, copied for
/// each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    /// The name with its length.
    name: Box<[u8]>,
    /// Whether there is a plan.
    planned: bool,
    /// The plan where there is one, the scope, the metric and the window.
    rest: Box<[u8]>,
}

/// The figures of a limit at a decision, in the integer of its metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The maximum that held, with what was carried over or paid in; `None` is unlimited.
    pub max: Option<i64>,
    /// What was used before the call.
    pub used: i64,
    /// What was set aside for other calls.
    pub reserved: i64,
    /// What the call asked for and, where it was admitted, took.
    pub taken: i64,
}

impl Constants {
    /// What never changes about the limit of this name, in this plan.
    pub fn of(
        (name, plan): (&str, Option<&str>),
        scope: Scopes,
        metric: Metric,
        window: Window,
    ) -> Self {
        let (mut first, mut rest) = (Output::new(), Output::new());
        put_text(&mut first, name);
        if let Some(plan) = plan {
            put_text(&mut rest, plan);
        }
        put_varint(&mut rest, scope.0.into());
        rest.push(form::metric(metric));
        form::put_window(&mut rest, window);
        Self {
            name: first.into_vec().into(),
            planned: plan.is_some(),
            rest: rest.into_vec().into(),
        }
    }
}

/// A cheaper model that a limit had a call served from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downgrade {
    /// The limit.
    pub limit: Arc<str>,
    /// The public name of the model.
    pub to: Arc<str>,
}

/// A decision as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided<'a> {
    /// What was decided.
    pub terms: Terms,
    /// The limits that were asked, in the order in which they may refuse.
    pub limits: Vec<Weighed<'a>>,
    /// The models that the call was served from instead, the last one in the end.
    pub downgrades: Vec<Downgrade>,
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u16);

/// Every scope; a place in this list is a bit, in documents too.
const SCOPES: [Scope; 9] = [
    Scope::User,
    Scope::Key,
    Scope::Team,
    Scope::Ip,
    Scope::Provider,
    Scope::Model,
    Scope::Feature,
    Scope::Session,
    Scope::Global,
];

impl Scopes {
    /// These scopes.
    pub fn of(scopes: &[Scope]) -> Self {
        let bits = SCOPES.iter().zip(0..).filter(|(scope, _)| scopes.contains(scope));
        Self(bits.fold(0, |set, (_, bit)| set | 1 << bit))
    }
}

/// As documents show them: several with commas.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for (scope, bit) in SCOPES.iter().zip(0..) {
            if self.0 >> bit & 1 == 1 {
                write!(f, "{comma}{}", scope.as_str())?;
                comma = ",";
            }
        }
        Ok(())
    }
}

impl Decision {
    /// Writes a decision over these limits, without downgrades.
    pub fn write<'a>(
        terms: &Terms,
        limits: impl Iterator<Item = (&'a Constants, Figures)>,
    ) -> Self {
        let mut bytes = Output::new();
        bytes.push(FORMAT);
        put_signed(&mut bytes, terms.hold.nanos());
        put_varint(&mut bytes, terms.output_asked);
        put_varint(&mut bytes, terms.output_granted);
        let refused = terms.refused_by.map_or(0, |place| place.saturating_add(1));
        put_varint(&mut bytes, u64::try_from(refused).unwrap_or(0));
        for (constants, figures) in limits.take(MOST_LIMITS) {
            bytes.push(1);
            put_limit(&mut bytes, constants, figures);
        }
        bytes.push(0);
        Self(Arc::from(&*bytes))
    }

    /// The same after these downgrades, which came before it.
    #[must_use]
    pub fn after(self, downgrades: &[Downgrade]) -> Self {
        if downgrades.is_empty() {
            return self;
        }
        let mut bytes = Output::from_slice(&self.0);
        for Downgrade { limit, to } in downgrades {
            put_text(&mut bytes, limit);
            put_text(&mut bytes, to);
        }
        Self(Arc::from(&*bytes))
    }

    /// A decision that was kept.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }

    /// As it is kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads it; `None` where it is none.
    pub fn read(&self) -> Option<Decided<'_>> {
        let mut input = Input::new(&self.0);
        (input.byte()? == FORMAT).then_some(())?;
        let terms = Terms {
            hold: NanoUsd::from_nanos(input.signed()?),
            output_asked: input.varint()?,
            output_granted: input.varint()?,
            refused_by: usize::try_from(input.varint()?).ok()?.checked_sub(1),
        };
        let mut limits = Vec::new();
        while input.byte()? == 1 {
            limits.push(take_weighed(&mut input)?);
        }
        let mut downgrades = Vec::new();
        while !input.is_empty() {
            let (limit, to) = (Arc::from(input.text()?), Arc::from(input.text()?));
            downgrades.push(Downgrade { limit, to });
        }
        Some(Decided { terms, limits, downgrades })
    }
}

impl Decided<'_> {
    /// The limit that refused the call.
    pub fn refused_by(&self) -> Option<&Weighed<'_>> {
        self.limits.get(self.terms.refused_by?)
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

fn put_limit(out: &mut Output, constants: &Constants, figures: Figures) {
    out.extend_from_slice(&constants.name);
    out.push(u8::from(constants.planned) | u8::from(figures.max.is_some()) << 1);
    out.extend_from_slice(&constants.rest);
    if let Some(max) = figures.max {
        put_signed(out, max);
    }
    for figure in [figures.used, figures.reserved, figures.taken] {
        put_signed(out, figure);
    }
}

fn take_weighed<'a>(input: &mut Input<'a>) -> Option<Weighed<'a>> {
    let name = input.text()?;
    let flags = input.byte()?;
    Some(Weighed {
        name,
        plan: if flags & 1 == 1 { Some(input.text()?) } else { None },
        scope: Scopes(u16::try_from(input.varint()?).ok()?),
        metric: form::metric_from(input.byte()?)?,
        window: form::take_window(input)?,
        max: if flags & 2 == 2 { Some(input.signed()?) } else { None },
        used: input.signed()?,
        reserved: input.signed()?,
        taken: input.signed()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weighed() -> Weighed<'static> {
        Weighed {
            name: "daily",
            plan: Some("free"),
            scope: Scopes::of(&[Scope::Model, Scope::User]),
            metric: Metric::CostUsd,
            window: Window::Sliding { millis: 60_000 },
            max: Some(i64::MAX),
            used: 3,
            reserved: -1,
            taken: 1 << 40,
        }
    }

    fn parts(limit: &Weighed<'_>) -> (Constants, Figures) {
        let Weighed { name, plan, scope, metric, window, max, used, reserved, taken } = *limit;
        let constants = Constants::of((name, plan), scope, metric, window);
        (constants, Figures { max, used, reserved, taken })
    }

    fn written(terms: &Terms, limits: &[Weighed<'_>]) -> Decision {
        let limits: Vec<_> = limits.iter().map(parts).collect();
        Decision::write(terms, limits.iter().map(|(constants, figures)| (constants, *figures)))
    }

    #[test]
    fn a_decision_reads_back_as_it_was_written() {
        let windows = [
            Window::Day,
            Window::Week,
            Window::Month,
            Window::Rolling { days: 30 },
            Window::Total,
            Window::Balance,
            Window::Now,
        ];
        let limits: Vec<_> = windows
            .map(|window| Weighed { window, plan: None, max: None, ..weighed() })
            .into_iter()
            .chain([weighed()])
            .collect();
        let terms = Terms {
            hold: NanoUsd::from_nanos(6_600),
            output_asked: 100,
            output_granted: 50,
            refused_by: Some(7),
        };
        let downgrades = [Downgrade { limit: "spend".into(), to: "small".into() }];
        let decision = written(&terms, &limits).after(&downgrades);
        let kept = Decision::from_bytes(decision.as_bytes());
        let read = kept.read().unwrap();
        assert_eq!(read.refused_by(), Some(&weighed()));
        assert_eq!(read, Decided { terms, limits, downgrades: downgrades.to_vec() });
        assert_eq!(weighed().scope.to_string(), "user,model");
    }

    #[test]
    fn a_decision_over_five_limits_is_small() {
        let decision = written(&Terms::default(), &[weighed(); 5]);
        assert!(decision.as_bytes().len() < 220, "{}", decision.as_bytes().len());
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Decision::from_bytes(&bytes).read());
            let mut near = written(&Terms::default(), &[weighed()]).as_bytes().to_vec();
            for (at, byte) in bytes.iter().enumerate() {
                if let Some(place) = near.get_mut(at * 7 % 40) {
                    *place ^= byte;
                }
            }
            drop(Decision::from_bytes(&near).read());
        }
    }
}
