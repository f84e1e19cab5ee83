//! What alerts do, through the same control plane as operators, and audited as `alert:RULE`.

use jiff::Timestamp;
use tollgate_admission::control::ControlError;
use tollgate_alerts::engine::{Act, Came};
use tollgate_alerts::measure::By;
use tollgate_alerts::rule::Deed;

use crate::control::{Controls, Mark};

/// Until when a quota is at zero where nobody says.
const FOR_GOOD: &str = "9999-12-30T00:00:00Z";

fn mark(act: &Act) -> Mark<'_> {
    Mark { rule: &act.rule, outlasts: &act.outlasts }
}

/// Does what an alert asks for, unless somebody else has decided so before. Doing it again changes
/// nothing.
pub(super) fn act(controls: &Controls, act: &Act, throttle: u32) -> Result<Came, ControlError> {
    let (mark, user) = (mark(act), act.subject.as_str());
    let ours = match act.deed {
        Deed::QuotaZero => {
            let for_good = || FOR_GOOD.parse().unwrap_or(Timestamp::MAX);
            let until = act.until.unwrap_or_else(for_good);
            controls.zero_for(&mark, user, until).map(|()| true)?
        }
        Deed::Block => controls.block_for(&mark, user)?,
        Deed::Throttle => controls.throttle_for(&mark, user, (throttle, act.until))?,
        Deed::KillSwitch => controls.stop_for(&mark, scope(act))?,
    };
    Ok(if ours { Came::Done } else { Came::Left })
}

/// Undoes what an alert did, unless somebody has decided otherwise since.
pub(super) fn lift(controls: &Controls, act: &Act) -> Result<(), ControlError> {
    match act.deed {
        Deed::Block => controls.unblock_for(&mark(act), &act.subject),
        Deed::KillSwitch => controls.resume_for(&mark(act), scope(act)),
        // These have an end of their own.
        Deed::QuotaZero | Deed::Throttle => Ok(()),
    }
}

/// How far a kill switch reaches that is thrown for the subject of a rule.
fn scope(act: &Act) -> String {
    match act.by {
        Some(By::User) => format!("user:{}", act.subject),
        Some(By::Provider) => format!("provider:{}", act.subject),
        Some(By::Model) => format!("model:{}", act.subject),
        _ => "global".to_owned(),
    }
}
