//! Renews the price book from a file or an address, without a restart. What comes is read and checked
//! whole; where it is wrong the prices in force stay, and the job has failed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::header::{ACCEPT, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use tollgate_domain::price::PriceBook;

use super::task::{Run, Task};
use crate::config::{JobKind, PriceSource};
use crate::{compose, price_book, serve};

/// How long an address may take to serve the book.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest book that is read, in bytes.
const MAX_BOOK: usize = 16 * 1024 * 1024;

pub(super) fn run(task: &Task) -> anyhow::Result<Run> {
    let config = task.config();
    let job = config.jobs.others.get(&JobKind::PriceRefresh);
    let source = job.and_then(|job| job.source.as_ref());
    let text = match source.context("it is not configured any more")? {
        PriceSource::File(path) => read(path)?,
        PriceSource::Url(url) => {
            let tasks = &task.handle.ground.tasks;
            let fetched = async { tokio::time::timeout(PATIENCE, fetch(task, url)).await };
            tasks.block_on(fetched).context("no answer in time")??
        }
    };
    let book = PriceBook::parse(text.clone()).context("it is refused, the old prices stay")?;
    let told = format!("prices {} of {}", book.version(), book.released());
    if task.stop.is_asked() {
        return Ok(Run::stopped());
    }
    if book.version() == task.handle.ground.book.load().version() {
        return Ok(Run::success(format!("{told} are in force already")));
    }
    serve::renew_prices(&task.handle, book).context("it is refused, the old prices stay")?;
    // What is in force stays in force over a restart.
    price_book::keep(&task.handle.database, &text)
        .context("the new prices are in force until the next start: they cannot be kept")?;
    Ok(Run::success(format!("{told} are in force")))
}

fn read(path: &Path) -> anyhow::Result<String> {
    let named = || format!("`{}` cannot be read", path.display());
    let size = std::fs::metadata(path).with_context(named)?.len();
    ensure!(usize::try_from(size).is_ok_and(|size| size <= MAX_BOOK), "the file is too large");
    std::fs::read_to_string(path).with_context(named)
}

async fn fetch(task: &Task, url: &str) -> anyhow::Result<String> {
    let (uri, pool) = compose::pool(url, &task.handle.ground)?;
    let host = uri.authority().context("the URL names no host")?.as_str().to_owned();
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&host)?);
    headers.insert(ACCEPT, HeaderValue::from_static("text/plain"));
    let (head, mut body) = pool.send(request).await?.into_parts();
    ensure!(head.status == StatusCode::OK, "it was answered with {}", head.status);
    let body = body.collect(MAX_BOOK).await?.context("the answer is too large")?;
    String::from_utf8(body.to_vec()).ok().context("the answer is no text")
}
