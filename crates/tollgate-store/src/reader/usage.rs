//! Usage reports: sums by day, user, model and so on (SPEC §12), from rollups where these can give
//! the answer and from rows where only those can.
//!
//! A range is cut into pieces: whole days of the zone of the day rollups, whole quarters of an hour
//! around them, and at either end what is left of a quarter, which is read from rows. Tags are in
//! rows only. Once rows are purged, reports by tag and broken quarters no longer see them.

mod pieces;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Reader;
use super::calls::Conditions;
use crate::error::StoreError;
use crate::fold::rollup::{QUARTER, Subject, day_of};
use crate::fold::strings;
use crate::fold::sums::Sums;
use crate::zone;
use pieces::{Piece, Source, pieces};

/// What a report can be grouped by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// The hour of the zone asked for.
    Hour,
    /// The day of the zone asked for.
    Day,
    /// The month of the zone asked for.
    Month,
    /// Who pays.
    User,
    /// Team of the user.
    Team,
    /// Name of the key.
    Key,
    /// The application's name for the action.
    Feature,
    /// The provider that served.
    Provider,
    /// The model that served.
    Model,
    /// The value of the application's label of this name.
    Tag(Arc<str>),
}

/// A word that names nothing to group by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot group by `{0}`: expected hour, day, month, user, team, key, feature, provider, model or \
     tag:NAME"
)]
pub struct UnknownDim(String);

impl FromStr for Dim {
    type Err = UnknownDim;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "hour" => Self::Hour,
            "day" => Self::Day,
            "month" => Self::Month,
            "user" => Self::User,
            "team" => Self::Team,
            "key" => Self::Key,
            "feature" => Self::Feature,
            "provider" => Self::Provider,
            "model" => Self::Model,
            _ => match text.strip_prefix("tag:") {
                Some(name) if !name.is_empty() => Self::Tag(Arc::from(name)),
                _ => return Err(UnknownDim(text.to_owned())),
            },
        })
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::User => "user",
            Self::Team => "team",
            Self::Key => "key",
            Self::Feature => "feature",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Tag(name) => return write!(f, "tag:{name}"),
        })
    }
}

/// What a report is about.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// Calls that arrived at this time or later.
    pub from: Timestamp,
    /// Calls that arrived before this time.
    pub to: Timestamp,
    /// The zone of its hours, days and months.
    pub zone: TimeZone,
    /// What its rows are, outermost first; empty for one row with the total.
    pub group_by: Vec<Dim>,
    /// Only this user.
    pub user: Option<Arc<str>>,
    /// Only this team.
    pub team: Option<Arc<str>>,
    /// Only this key.
    pub key: Option<Arc<str>>,
    /// Only this feature.
    pub feature: Option<Arc<str>>,
    /// Only this provider.
    pub provider: Option<Arc<str>>,
    /// Only this model, as served.
    pub model: Option<Arc<str>>,
}

impl UsageQuery {
    /// Everything between two times, in UTC, as one total.
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Self {
            from,
            to,
            zone: TimeZone::UTC,
            group_by: Vec::new(),
            user: None,
            team: None,
            key: None,
            feature: None,
            provider: None,
            model: None,
        }
    }
}

/// One row of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// A value for each of `group_by`: a name, `2026-11-21`, `2026-11`, or an hour as
    /// `2026-11-21T13:00+09:00`; `None` where the calls have none.
    pub group: Vec<Option<Arc<str>>>,
    /// The figures.
    pub sums: Sums,
}

/// A value of a dimension while it is being added up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Bucket(i64),
    Number(i64),
    Text(Option<Arc<str>>),
}

/// Sums by the values of the dimensions.
type Groups = BTreeMap<Vec<Part>, Sums>;

impl Reader {
    /// Adds up calls. Rows are ordered by their values; there is none where there was no call.
    pub fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let mut groups = Groups::new();
        if let Some(conditions) = self.usage_conditions(query)? {
            let by_tag = query.group_by.iter().any(|dim| matches!(dim, Dim::Tag(_)));
            let by_hour = query.group_by.contains(&Dim::Hour);
            let rollup_zone = zone::of(&self.connection)?;
            let days = (rollup_zone == query.zone && !by_hour).then_some(&rollup_zone);
            for piece in pieces(query, by_tag, days)? {
                let subject = (query, &conditions);
                match piece.source {
                    Source::Rows => self.add_rows(&piece, subject, &mut groups)?,
                    Source::Quarters | Source::Days => {
                        self.add_rollups(&piece, subject, &mut groups)?;
                    }
                }
            }
        }
        // Who was only ever refused has used nothing.
        let used = |(_, sums): &(Vec<Part>, Sums)| {
            sums.calls > 0 || sums.refused == 0 || query.group_by.is_empty()
        };
        let mut rows = groups
            .into_iter()
            .filter(used)
            .map(|(parts, sums)| self.usage_row(query, &parts, sums))
            .collect::<Result<Vec<_>, _>>()?;
        rows.sort_by(|a, b| a.group.cmp(&b.group));
        Ok(rows)
    }

    /// The figures of everything that the query is about, without grouping.
    pub fn total(&self, query: &UsageQuery) -> Result<Sums, StoreError> {
        let query = UsageQuery { group_by: Vec::new(), ..query.clone() };
        Ok(self.usage(&query)?.first().map(|row| row.sums).unwrap_or_default())
    }

    fn usage_conditions(&self, query: &UsageQuery) -> Result<Option<Conditions>, StoreError> {
        let mut conditions = Conditions::default();
        for (sql, name) in [
            ("user = ?", &query.user),
            ("team = ?", &query.team),
            ("key = ?", &query.key),
            ("feature = ?", &query.feature),
            ("provider = ?", &query.provider),
            ("model = ?", &query.model),
        ] {
            let Some(name) = name else { continue };
            let Some(number) = strings::find(&self.connection, name)? else { return Ok(None) };
            conditions.add(sql, [number.into()]);
        }
        Ok(Some(conditions))
    }

    fn usage_row(
        &self,
        query: &UsageQuery,
        parts: &[Part],
        sums: Sums,
    ) -> Result<UsageRow, StoreError> {
        let label = |(dim, part): (&Dim, &Part)| match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Number(number) => Ok(self.texts.text(&self.connection, *number)?),
            Part::Bucket(bucket) => Ok(Some(Arc::from(bucket_label(dim, *bucket, &query.zone)))),
        };
        let group = query.group_by.iter().zip(parts).map(label);
        Ok(UsageRow { group: group.collect::<Result<_, StoreError>>()?, sums })
    }
}

/// What groups a call or a rollup: its quarter or day, its subject, its tags.
struct Member<'a> {
    bucket: i64,
    /// Whether `bucket` is a day number and not the start of a quarter.
    is_day: bool,
    subject: Subject,
    tags: &'a [(Arc<str>, Arc<str>)],
}

impl Member<'_> {
    fn parts(&self, query: &UsageQuery) -> Vec<Part> {
        let [user, team, key, feature, provider, model] = self.subject;
        let part = |dim: &Dim| match dim {
            Dim::Hour => Part::Bucket(hour_of(self.bucket, &query.zone)),
            Dim::Day => Part::Bucket(self.day(&query.zone)),
            Dim::Month => Part::Bucket(self.day(&query.zone) / 100),
            Dim::User => Part::Number(user),
            Dim::Team => Part::Number(team),
            Dim::Key => Part::Number(key),
            Dim::Feature => Part::Number(feature),
            Dim::Provider => Part::Number(provider),
            Dim::Model => Part::Number(model),
            Dim::Tag(name) => Part::Text(
                self.tags.iter().rfind(|(tag, _)| tag == name).map(|(_, value)| Arc::clone(value)),
            ),
        };
        query.group_by.iter().map(part).collect()
    }

    fn day(&self, zone: &TimeZone) -> i64 {
        if self.is_day { self.bucket } else { day_of(self.bucket, zone) }
    }
}

/// The second at which the local hour of a quarter began.
fn hour_of(quarter: i64, zone: &TimeZone) -> i64 {
    let time = Timestamp::from_second(quarter).unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = i64::from(zone.to_offset(time).seconds());
    let local = quarter + offset;
    local - local.rem_euclid(4 * QUARTER) - offset
}

fn bucket_label(dim: &Dim, bucket: i64, zone: &TimeZone) -> String {
    match dim {
        Dim::Month => format!("{:04}-{:02}", bucket / 100, bucket % 100),
        Dim::Hour => {
            let time = Timestamp::from_second(bucket).unwrap_or(Timestamp::UNIX_EPOCH);
            time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M%:z").to_string()
        }
        _ => format!("{:04}-{:02}-{:02}", bucket / 10_000, bucket / 100 % 100, bucket % 100),
    }
}

impl Reader {
    fn add_rows(
        &self,
        piece: &Piece,
        (query, conditions): (&UsageQuery, &Conditions),
        groups: &mut Groups,
    ) -> Result<(), StoreError> {
        let mut conditions = conditions.clone();
        conditions.between(Some(piece.from), Some(piece.to));
        self.each_row(&conditions, |row| {
            let tags = row.tags()?;
            let member = Member {
                bucket: row.quarter()?,
                is_day: false,
                subject: row.subject()?,
                tags: &tags,
            };
            groups.entry(member.parts(query)).or_default().add(&row.sums()?);
            Ok(())
        })
    }

    fn add_rollups(
        &self,
        piece: &Piece,
        (query, conditions): (&UsageQuery, &Conditions),
        groups: &mut Groups,
    ) -> Result<(), StoreError> {
        let is_day = piece.source == Source::Days;
        self.each_rollup(piece, (conditions, query.user.is_some()), |bucket, subject, sums| {
            let member = Member { bucket, is_day, subject, tags: &[] };
            groups.entry(member.parts(query)).or_default().add(sums);
        })
    }
}
