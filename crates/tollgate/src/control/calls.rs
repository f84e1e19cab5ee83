//! Calls of the ledger, by page and by id, and what was said in them.

use std::sync::Arc;

use tollgate_admission::control::{Actor, Bodies, Call, CallQuery, ControlError, Page, page_size};
use tollgate_domain::bodies::CallBodies;
use tollgate_domain::id::CallId;
use tollgate_store::{BodyStore, Filter};

use super::{Controls, Deed};

impl Controls {
    pub(super) fn list_calls(&self, query: &CallQuery) -> Result<Page<Call>, ControlError> {
        let size = page_size(query.limit)?;
        let calls = self.reader()?.calls(&filter(query)?, size + 1)?;
        let rows = calls.into_iter().map(Call).collect();
        Ok(Page::cut(rows, size, |Call(call)| call.call_id.to_string()))
    }

    pub(super) fn show_bodies(&self, by: &Actor, id: CallId) -> Result<Bodies, ControlError> {
        let found = self.read_bodies(by, &[id])?.into_iter().flatten().next();
        found.map(Bodies::from).ok_or_else(|| ControlError::NotFound {
            what: "prompt or answer of the call",
            name: id.to_string(),
        })
    }

    /// What was said in each of these calls, where it is kept. Who reads it stands in the audit
    /// before they see it, once for each call that has something to show.
    pub(crate) fn read_bodies(
        &self,
        by: &Actor,
        calls: &[CallId],
    ) -> Result<Vec<Option<CallBodies>>, ControlError> {
        let path = BodyStore::path_of(&self.database);
        let found: Vec<_> =
            calls.iter().map(|id| BodyStore::find(&path, *id)).collect::<Result<_, _>>()?;
        if found.iter().all(Option::is_none) {
            return Ok(found);
        }
        self.registry.lock().change(|change| {
            for bodies in found.iter().flatten() {
                let subject = bodies.call_id.to_string();
                let deed = Deed { by, action: "call.read_bodies", subject: &subject };
                deed.note(change, &self.clock, (None::<&()>, None::<&()>))?;
            }
            Ok::<_, ControlError>(())
        })?;
        Ok(found)
    }

    pub(super) fn show_call(&self, id: CallId) -> Result<Call, ControlError> {
        let call = self.reader()?.call(id)?;
        call.map(Call).ok_or_else(|| ControlError::NotFound { what: "call", name: id.to_string() })
    }
}

/// The filter that a query means.
pub(crate) fn filter(query: &CallQuery) -> Result<Filter, ControlError> {
    let shared = |text: &Option<String>| text.as_deref().map(Arc::from);
    let outcome = query.outcome.as_deref().map(|word| {
        word.parse().map_err(|_| {
            ControlError::Invalid(format!(
                "`{word}` is no outcome: expected success, failed, cancelled, in_doubt or refused"
            ))
        })
    });
    let before = query.cursor.as_deref().map(|text| {
        text.parse().map_err(|_| ControlError::Invalid(format!("`{text}` is no cursor")))
    });
    Ok(Filter {
        user: shared(&query.user),
        team: shared(&query.team),
        key: shared(&query.key),
        model: shared(&query.model),
        provider: shared(&query.provider),
        feature: shared(&query.feature),
        session: shared(&query.session),
        request_id: shared(&query.request_id),
        outcome: outcome.transpose()?,
        status: query.status,
        since: query.from,
        until: query.to,
        before: before.transpose()?,
    })
}
