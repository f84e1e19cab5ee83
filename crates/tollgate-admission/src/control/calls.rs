//! Calls as operators see them, and the explanation of one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_domain::bodies::CallBodies;
use tollgate_domain::call::CallRecord;
use tollgate_domain::decision::{Decided, Weighed};
use tollgate_domain::money::NanoUsd;

use super::amount::Amount;
use super::limits::LimitRow;

/// A call: the ledger row in the form of SPEC §18.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Call(pub CallRecord);

/// The prompt and the answer of a call, where they are kept.
#[derive(Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bodies {
    /// The call.
    pub call_id: String,
    /// Whether personal data was taken out.
    pub redacted: bool,
    /// The request as the client sent it, or its beginning; null where it was no text.
    pub prompt: Option<String>,
    /// The answer, or its beginning: of a stream the generated text alone; null where there was none
    /// or it was no text.
    pub answer: Option<String>,
    /// Length of the whole request, in bytes.
    pub prompt_bytes: u64,
    /// Length of the whole answer, in bytes.
    pub answer_bytes: u64,
}

/// Shows whose they are, and none of them.
impl std::fmt::Debug for Bodies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bodies").field("call_id", &self.call_id).finish_non_exhaustive()
    }
}

impl From<CallBodies> for Bodies {
    fn from(bodies: CallBodies) -> Self {
        let CallBodies { call_id, redacted, prompt, answer, prompt_bytes, answer_bytes, .. } =
            bodies;
        Self { call_id: call_id.to_string(), redacted, prompt, answer, prompt_bytes, answer_bytes }
    }
}

/// Which calls are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct CallQuery {
    /// Only calls of this user.
    pub user: Option<String>,
    /// Only calls of this team.
    pub team: Option<String>,
    /// Only calls with this key.
    pub key: Option<String>,
    /// Only calls for this model, as asked or as served.
    pub model: Option<String>,
    /// Only calls that this provider served.
    pub provider: Option<String>,
    /// Only calls of this feature.
    pub feature: Option<String>,
    /// Only calls of this session.
    pub session: Option<String>,
    /// Only the call with this request id.
    pub request_id: Option<String>,
    /// Only calls that ended so: success, failed, cancelled, `in_doubt` or refused.
    pub outcome: Option<String>,
    /// Only calls with this HTTP status.
    pub status: Option<u16>,
    /// Only calls that arrived at this time or later.
    pub from: Option<Timestamp>,
    /// Only calls that arrived before this time.
    pub to: Option<Timestamp>,
    /// At most so many rows, from 1 to 500; 50 where nothing is said.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Why a call was allowed or refused, and how its price comes about.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The call.
    pub call: Call,
    /// `allowed` or `refused`.
    pub decision: String,
    /// Why, in a sentence.
    pub why: String,
    /// The plan of its user, as it is now.
    pub plan: String,
    /// What was set aside for it, where that is known: of a call in doubt it is what it cost.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub hold_usd: Option<NanoUsd>,
    /// How it was decided; null where the row does not keep that.
    pub decided: Option<DecisionFacts>,
    /// How its price comes about; null where the model has none now.
    pub price: Option<PriceFacts>,
    /// The limits that apply to such a call, as they stand now.
    pub limits: Vec<LimitRow>,
}

/// How a call was decided, as it stood then.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DecisionFacts {
    /// The limit that refused it; null where it was admitted.
    pub refused_by: Option<String>,
    /// The most tokens out that it asked for.
    pub output_asked: u64,
    /// The most that it was granted; fewer where a limit clamps.
    pub output_granted: u64,
    /// Models that it was served from instead, the last one in the end: cheaper ones because of
    /// limits, and fallbacks.
    pub downgrades: Vec<DowngradeRow>,
    /// The limits that were asked, in the order in which they may refuse.
    pub limits: Vec<WeighedRow>,
}

/// Another model that a call was served from.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DowngradeRow {
    /// The limit that had it so; empty where it is a fallback after failures.
    pub limit: String,
    /// The model.
    pub to: String,
}

/// How a limit stood when a call was decided.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WeighedRow {
    /// Its name.
    pub name: String,
    /// Its plan; null outside plans.
    pub plan: Option<String>,
    /// Whose counter it is; several with commas.
    pub scope: String,
    /// What it counts.
    pub metric: String,
    /// Over which time.
    pub window: String,
    /// The maximum that held.
    pub max: Amount,
    /// What was used before the call.
    pub used: Amount,
    /// What was set aside for other calls.
    pub reserved: Amount,
    /// What the call asked for and, where it was admitted, took.
    pub taken: Amount,
}

impl DecisionFacts {
    /// What a decision says.
    pub fn of(decided: &Decided<'_>) -> Self {
        Self {
            refused_by: decided.refused_by().map(|limit| limit.name.to_owned()),
            output_asked: decided.terms.output_asked,
            output_granted: decided.terms.output_granted,
            downgrades: decided
                .downgrades
                .iter()
                .map(|each| DowngradeRow { limit: each.limit.to_string(), to: each.to.to_string() })
                .collect(),
            limits: decided.limits.iter().map(WeighedRow::of).collect(),
        }
    }
}

impl WeighedRow {
    fn of(limit: &Weighed<'_>) -> Self {
        let amount = |value| Amount::of(limit.metric, value);
        Self {
            name: limit.name.to_owned(),
            plan: limit.plan.map(str::to_owned),
            scope: limit.scope.to_string(),
            metric: limit.metric.as_str().to_owned(),
            window: limit.window.to_string(),
            max: Amount::maximum(limit.metric, limit.max),
            used: amount(limit.used),
            reserved: amount(limit.reserved),
            taken: amount(limit.taken),
        }
    }
}

/// How the price of a call comes about.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceFacts {
    /// The price that was used.
    pub version: String,
    /// The price that the lines are worked out with: the one in force now.
    pub lines_version: String,
    /// What was paid for.
    pub lines: Vec<PriceLine>,
    /// The sum of the lines, rounded once, half to even.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub sum_usd: NanoUsd,
    /// What the ledger says.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub cost_usd: NanoUsd,
    /// Why the two differ; null where they do not.
    pub note: Option<String>,
}

/// One kind of token, its rate and what it cost.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceLine {
    /// What was paid for, in the words of the price book.
    pub unit: String,
    /// How many.
    pub count: u64,
    /// USD for a million of them.
    pub usd_per_million: String,
    /// The product, exactly: USD with fifteen decimals.
    pub amount_usd: String,
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type};
    use utoipa::{PartialSchema, ToSchema};

    use super::Call;

    use Type::{Boolean, Integer, Object, String};

    /// Fields that are always there: name, type, and whether it may be null.
    const FIELDS: &[(&str, Type, bool)] = &[
        ("call_id", String, false),
        ("request_id", String, false),
        ("time", String, false),
        ("user", String, false),
        ("key", String, true),
        ("team", String, true),
        ("ip", String, true),
        ("session", String, true),
        ("feature", String, true),
        ("tags", Object, false),
        ("dialect", String, false),
        ("endpoint", String, false),
        ("provider", String, false),
        ("model_asked", String, false),
        ("model", String, false),
        ("stream", Boolean, false),
        ("status", Integer, false),
        ("outcome", String, false),
        ("error_type", String, true),
        ("attempts", Integer, false),
        ("cache", String, false),
        ("input_tokens", Integer, false),
        ("cached_input_tokens", Integer, false),
        ("cache_write_tokens", Integer, false),
        ("output_tokens", Integer, false),
        ("reasoning_tokens", Integer, false),
        ("usage", Object, false),
        ("cost_usd", String, false),
        ("provider_cost_usd", String, true),
        ("saved_usd", String, false),
        ("price_version", String, false),
        ("estimated", Boolean, false),
        ("in_doubt", Boolean, false),
        ("latency_ms", Integer, false),
        ("ttft_ms", Integer, true),
        ("latency_us", Integer, false),
        ("ttft_us", Integer, true),
        ("limit", String, true),
    ];

    impl PartialSchema for Call {
        fn schema() -> RefOr<Schema> {
            let object = FIELDS.iter().fold(ObjectBuilder::new(), |object, (name, kind, null)| {
                let types = if *null {
                    SchemaType::from_iter([kind.clone(), Type::Null])
                } else {
                    SchemaType::new(kind.clone())
                };
                let field = ObjectBuilder::new().schema_type(types).build();
                object.property(*name, field).required(*name)
            });
            let open = AdditionalProperties::FreeForm(true);
            object.additional_properties(Some(open)).description(Some("One ledger row")).into()
        }
    }

    impl ToSchema for Call {
        fn name() -> std::borrow::Cow<'static, str> {
            "Call".into()
        }
    }
}
