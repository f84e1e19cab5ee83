//! Who changed what.

use tollgate_admission::control::{AuditQuery, AuditRow, ControlError, Page, page_size};
use tollgate_store::{AuditFilter, AuditRecord};

use super::Controls;

impl Controls {
    pub(super) fn list_audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, ControlError> {
        let size = page_size(query.limit)?;
        let before = query.cursor.as_deref().map(|text| {
            text.parse().map_err(|_| ControlError::Invalid(format!("`{text}` is no cursor")))
        });
        let filter = AuditFilter {
            who: query.who.clone(),
            action: query.action.clone(),
            subject: query.subject.clone(),
            before: before.transpose()?,
        };
        let found = self.registry.lock().audit(&filter, size + 1)?;
        let rows = found.into_iter().map(audit_row).collect();
        Ok(Page::cut(rows, size, |row| row.id.to_string()))
    }
}

fn audit_row(entry: AuditRecord) -> AuditRow {
    let json = |text: Option<String>| {
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    };
    AuditRow {
        id: entry.id,
        time: entry.time,
        who: entry.who,
        action: entry.action,
        subject: entry.subject,
        before: json(entry.before),
        after: json(entry.after),
    }
}
