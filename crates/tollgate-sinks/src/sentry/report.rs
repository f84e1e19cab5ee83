//! What is reported: a call that failed, a call that is traced, a panic.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_domain::fault::{Code, Fault};

use crate::event::{Call, Event};
use crate::otlp::is_sampled;
use crate::settings::SentryConfig;

/// A report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// A call that ended in a 5xx.
    Failed(Arc<CallRecord>),
    /// A call that is traced.
    Traced(Arc<CallRecord>),
    /// A panic.
    Panicked(Arc<Panic>),
}

/// A panic of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Panic {
    /// Names the report: 32 hexadecimal digits.
    pub(crate) id: String,
    /// When.
    pub(crate) time: Timestamp,
    /// The message, where it stands in the program text.
    pub(crate) message: Option<String>,
    /// File and line.
    pub(crate) place: String,
    /// The name of the thread.
    pub(crate) thread: String,
    /// Functions that were being called, outermost first, with file and line where they are known.
    pub(crate) frames: Vec<Frame>,
}

/// A function that was being called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Its name.
    pub(crate) function: String,
    /// Its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filename: Option<String>,
    /// The line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lineno: Option<u32>,
}

/// How much of a report is on the wire beside its texts, roughly.
const WEIGHT: usize = 1_500;

impl Event for Report {
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    fn at(&self) -> Timestamp {
        match self {
            Self::Failed(call) | Self::Traced(call) => call.time,
            Self::Panicked(panic) => panic.time,
        }
    }

    fn weight(&self) -> usize {
        WEIGHT
    }
}

/// Which calls are reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    upstream: bool,
    sample_per_million: u32,
}

impl Filter {
    pub(crate) const fn new(config: &SentryConfig) -> Self {
        Self { upstream: config.upstream, sample_per_million: config.sample_per_million }
    }

    /// The reports of a call.
    pub(crate) fn reports(self, call: &Call) -> impl Iterator<Item = Report> {
        let failed = self.is_fault(call).then(|| Report::Failed(Arc::clone(call)));
        let traced = call.outcome != Outcome::Refused && is_sampled(call, self.sample_per_million);
        let traced = traced.then(|| Report::Traced(Arc::clone(call)));
        failed.into_iter().chain(traced)
    }

    /// Whether a call is a fault that somebody should look into. What an operator has stopped is
    /// none; a code that is not ours is the provider's.
    fn is_fault(self, call: &CallRecord) -> bool {
        let code = call.error_type.as_deref();
        let ours = Code::ALL.iter().find(|known| Some(known.as_str()) == code);
        let fault = match ours {
            Some(Code::KillSwitch) => return false,
            Some(code) => code.fault(),
            None => Fault::Provider,
        };
        let counts = match fault {
            Fault::Us => true,
            Fault::Provider => self.upstream,
            Fault::Caller => false,
        };
        call.status >= 500 && counts
    }
}
