//! The crate from outside, in a process of its own: a panic on its way to Sentry. The hook of panics
//! belongs to the process, so it cannot be tried beside other tests.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tollgate_domain::call::CallRecord;
use tollgate_domain::clock::Clock;
use tollgate_sinks::settings::{Batch, DeliveryConfig, Dsn, Kind, Retry, SentryConfig, SinkConfig};
use tollgate_sinks::{Say, Sinks, Surroundings};
use tollgate_testkit::upstream::{Reply, Upstream};
use tollgate_testkit::wait::eventually;

const SOON: Duration = Duration::from_secs(10);

fn line(_: &CallRecord, _: &mut Vec<u8>) {}

fn sentry(upstream: &Upstream) -> SinkConfig {
    let dsn = upstream.url("/1").replace("http://", "http://key@");
    let config = SentryConfig {
        dsn: Dsn::read(&dsn).unwrap(),
        environment: "test".to_owned(),
        release: "tollgate@1".to_owned(),
        upstream: true,
        sample_per_million: 0,
    };
    let delivery = DeliveryConfig {
        queue: 100,
        batch: Batch { calls: 10, bytes: 1 << 20, age: Duration::from_millis(10) },
        spool: None,
        retry: Retry { base: Duration::from_millis(10), max: Duration::from_millis(100) },
        timeout: Duration::from_secs(5),
    };
    SinkConfig { name: "sentry".into(), kind: Kind::Sentry(config), delivery }
}

#[tokio::test]
async fn panics_are_printed_and_reported_without_data_that_their_message_quotes() {
    let upstream = Upstream::always(Reply::status(200)).await;
    let roots = rustls::RootCertStore::empty();
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let sinks = Sinks::new(Surroundings {
        line,
        clock: Clock::system(),
        tls: Arc::new(tls),
        say: Say::new(|_| ()),
        seed: 7,
    });
    assert!(sinks.panics().is_none(), "nobody to report to");
    sinks.change(sinks.prepare(vec![sentry(&upstream)]).unwrap()).unwrap();
    let reporter = sinks.panics().unwrap();
    let printing = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        printing(info);
        reporter.report(info);
    }));
    let secret = "a prompt in a message";
    for panics in [(|| panic!("a literal of the program")) as fn(), || {
        panic!("cannot slice `{}`", std::hint::black_box("a prompt in a message"))
    }] {
        let thread = std::thread::Builder::new().name("worker".to_owned()).spawn(panics).unwrap();
        assert!(thread.join().is_err());
    }
    eventually("both are reported", SOON, || async {
        if upstream.count() == 2 { Ok(()) } else { Err(upstream.count().to_string()) }
    })
    .await;
    sinks.close(Duration::from_secs(1));
    let reports: Vec<String> = upstream
        .received()
        .iter()
        .map(|request| String::from_utf8_lossy(&plain(&request.body)).into_owned())
        .collect();
    assert!(reports[0].contains("a literal of the program"), "{}", reports[0]);
    assert!(reports.iter().all(|report| !report.contains(secret)));
    for report in &reports {
        let event: Value = serde_json::from_str(report.lines().nth(2).unwrap()).unwrap();
        assert_eq!(
            (&event["level"], &event["tags"]["thread"]),
            (&"fatal".into(), &"worker".into())
        );
        let value = &event["exception"]["values"][0];
        assert!(value["value"].as_str().unwrap().contains("tests/it/main.rs:"), "{value}");
        assert!(!value["stacktrace"]["frames"].as_array().unwrap().is_empty());
    }
}

/// A body with its compression undone.
fn plain(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(body), &mut text) {
        Ok(_) => text,
        Err(_) => body.to_vec(),
    }
}
