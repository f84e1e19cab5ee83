//! Pushes a batch. Loki takes what is good of a batch and answers 400 where anything in it is not
//! (too old, too long, too many labels); halves then tell which lines those are, and what it has
//! already is no duplicate.

use http::Method;

use super::{Loki, render};
use crate::event::Call;
use crate::transport::http::Ask;
use crate::worker::{Delivery, Sink};

const PUSH: &str = "/loki/api/v1/push";

impl Sink for Loki {
    type Event = Call;

    async fn send(&mut self, batch: &[Call]) -> Delivery {
        let body = render::push(batch, &self.labels, self.line);
        let ask = Ask { method: Method::POST, path: PUSH, content_type: "application/json", body };
        match self.client.ask(ask).await {
            Ok(answer) if answer.status.is_success() => Delivery::taken(),
            Ok(answer) => answer.failed(),
            Err(error) => error.into(),
        }
    }
}
