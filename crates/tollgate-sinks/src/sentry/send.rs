//! Posts reports one after the other, each in an envelope of its own.

use http::Method;

use super::Sentry;
use super::render::{Discarded, envelope};
use super::report::Report;
use crate::transport::http::Ask;
use crate::worker::{Delivery, Sink};

impl Sink for Sentry {
    type Event = Report;

    async fn send(&mut self, batch: &[Report]) -> Delivery {
        let mut discarded = Discarded::new();
        let mut refused = 0;
        let mut reason = String::new();
        for (place, report) in batch.iter().enumerate() {
            if self.limits.holds(report.kind()) {
                *discarded.entry(report.kind()).or_default() += 1;
                refused += 1;
                "it takes no more reports just now".clone_into(&mut reason);
                continue;
            }
            match self.post(report, &discarded).await {
                Ok(None) => discarded.clear(),
                Ok(Some(why)) => {
                    refused += 1;
                    reason = why;
                }
                Err(delivery) if place == 0 => return delivery,
                Err(Delivery::Later { why, .. }) => {
                    return Delivery::Partly {
                        again: (place..batch.len()).collect(),
                        refused,
                        why,
                    };
                }
                Err(delivery) => return delivery,
            }
        }
        Delivery::Taken { refused, why: reason }
    }
}

impl Sentry {
    /// Posts a report; gives why it was refused for good, if it was.
    async fn post(
        &mut self,
        report: &Report,
        discarded: &Discarded,
    ) -> Result<Option<String>, Delivery> {
        let body = envelope(report, &self.config, self.clock.now(), discarded);
        let path = self.config.dsn.path();
        let content_type = "application/x-sentry-envelope";
        let ask = Ask { method: Method::POST, path: &path, content_type, body };
        let answer = self.client.ask(ask).await?;
        let code = answer.status.as_u16();
        self.limits.note(code, &answer.headers);
        let why = format!("it answers {code}");
        match code {
            200..300 => Ok(None),
            400 | 413 | 422 | 429 => Ok(Some(why)),
            _ => Err(Delivery::Later { why, after: answer.retry_after() }),
        }
    }
}
