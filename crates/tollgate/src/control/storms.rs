//! Duplicate storms: those of the server that runs in this process.

use tollgate_admission::control::{Actor, ControlError, StormRow};
use tollgate_proxy::savings::Storm;

use super::{Controls, Deed};

impl Controls {
    pub(super) fn list_storms(&self) -> Result<Vec<StormRow>, ControlError> {
        let live = self.live.as_ref().ok_or_else(no_server)?;
        let storms = live.handle.plane.savings.recent_storms(&self.clock);
        Ok(storms.into_iter().map(|(storm, blocked)| row(&storm, blocked)).collect())
    }

    pub(super) fn let_go_on(&self, by: &Actor, id: u64) -> Result<StormRow, ControlError> {
        let live = self.live.as_ref().ok_or_else(no_server)?;
        let savings = &live.handle.plane.savings;
        let storms = savings.recent_storms(&self.clock);
        let found = storms.iter().find(|(storm, _)| storm.id == id);
        let (storm, blocked) =
            found.ok_or_else(|| ControlError::NotFound { what: "storm", name: id.to_string() })?;
        if !blocked {
            let message = format!("nobody is refused any more because of the storm {id}");
            return Err(ControlError::Conflict(message));
        }
        let (before, after) = (row(storm, true), row(storm, false));
        let subject = id.to_string();
        let deed = Deed { by, action: "storm.lift", subject: &subject };
        self.registry.lock().change(|change| {
            deed.note(change, &self.clock, (Some(&before), Some(&after)))?;
            Ok::<_, ControlError>(())
        })?;
        savings.lift_block(id);
        Ok(after)
    }
}

fn no_server() -> ControlError {
    ControlError::Conflict("storms are known to the running server only".to_owned())
}

fn row(storm: &Storm, blocked: bool) -> StormRow {
    StormRow {
        id: storm.id,
        time: storm.time,
        user: storm.user.to_string(),
        key: storm.key.to_string(),
        session: storm.session.as_deref().map(str::to_owned),
        endpoint: storm.endpoint.to_owned(),
        model: storm.model.to_string(),
        calls: storm.calls,
        action: storm.action.as_str().to_owned(),
        blocked_until: storm.blocked_until.filter(|_| blocked),
    }
}
