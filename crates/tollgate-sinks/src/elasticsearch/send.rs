//! Hands a batch to the bulk API and reads what became of each document.

use http::Method;
use serde::Deserialize;

use super::{Elasticsearch, render};
use crate::event::Call;
use crate::transport::http::{Ask, HttpClient};
use crate::worker::{Delivery, Sink};

/// Only what is read of an answer is asked for; a document of an answer can be as long as the
/// document itself.
const BULK: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error.type";

#[derive(Deserialize)]
struct Bulk {
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    #[serde(default)]
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "type")]
    kind: String,
}

impl Sink for Elasticsearch {
    type Event = Call;

    async fn send(&mut self, batch: &[Call]) -> Delivery {
        while let Some(document) = self.to_install.last() {
            match document.install(&mut self.client).await {
                Ok(()) => drop(self.to_install.pop()),
                Err(delivery) => return delivery,
            }
        }
        let body = render::bulk(batch, &self.index, self.line);
        post(&mut self.client, body, batch.len()).await
    }
}

async fn post(client: &mut HttpClient, body: Vec<u8>, documents: usize) -> Delivery {
    let ask = Ask { method: Method::POST, path: BULK, content_type: "application/x-ndjson", body };
    let answer = match client.ask(ask).await {
        Ok(answer) if answer.status.is_success() => answer,
        Ok(answer) => return answer.failed(),
        Err(error) => return error.into(),
    };
    match serde_json::from_slice::<Bulk>(&answer.body) {
        Ok(bulk) => judge(&bulk, documents),
        Err(_) => Delivery::later("its answer is not that of a bulk request"),
    }
}

/// What became of each document: created, there already (409), refused for good (400 and its kin),
/// or turned away for lack of room (429, 5xx).
fn judge(bulk: &Bulk, documents: usize) -> Delivery {
    if !bulk.errors {
        return Delivery::taken();
    }
    if bulk.items.len() != documents {
        return Delivery::later("its answer is not about this batch");
    }
    let mut again = Vec::new();
    let mut refused = 0;
    let mut why = String::new();
    for (place, Item { create }) in bulk.items.iter().enumerate() {
        match create.status {
            200..300 | 409 => continue,
            429 | 500.. => again.push(place),
            _ => refused += 1,
        }
        if why.is_empty() {
            let kind = create.error.as_ref().map_or("no reason", |fault| &fault.kind);
            why = format!("a document is answered with {} ({kind})", create.status);
        }
    }
    if again.is_empty() {
        Delivery::Taken { refused, why }
    } else {
        Delivery::Partly { again, refused, why }
    }
}
