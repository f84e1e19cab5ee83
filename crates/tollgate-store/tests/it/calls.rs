//! Finding calls.

use std::ops::ControlFlow;
use std::sync::Arc;

use tollgate_domain::call::{CallRecord, Outcome};
use tollgate_store::{Filter, Reader};

use crate::given::{call, ledger, time};

/// Sixty calls on three days: alice on each quarter of an hour, bob on every tenth, carol never.
fn written() -> (tempfile::TempDir, Reader, Vec<CallRecord>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let calls: Vec<_> = (0..60_u32)
        .map(|n| {
            let at =
                format!("2026-11-{:02}T{:02}:{:02}:00Z", 20 + n / 20, 13 + n % 20 / 4, n % 4 * 15);
            let mut call = call(&at, if n % 10 == 0 { "bob" } else { "alice" }, n);
            if n % 7 == 0 {
                call.outcome = Outcome::Failed;
                call.status = 502;
                call.request_id = Arc::from(call.call_id.to_string());
            }
            call
        })
        .collect();
    ledger(&path, "Asia/Seoul", calls.clone());
    (dir, Reader::open(&path).unwrap(), calls)
}

fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

#[test]
fn filters_find_the_calls_that_a_scan_finds() {
    let (_dir, reader, all) = written();
    type Test = fn(&CallRecord) -> bool;
    let cases: Vec<(Filter, Test)> = vec![
        (Filter::default(), |_| true),
        (Filter { user: Some(name("bob")), ..Filter::default() }, |c| &*c.user == "bob"),
        (Filter { user: Some(name("carol")), ..Filter::default() }, |_| false),
        (Filter { model: Some(name("gpt-4o-mini")), ..Filter::default() }, |_| true),
        (Filter { model: Some(name("gpt-4o-mini-2024-07-18")), ..Filter::default() }, |_| true),
        (Filter { model: Some(name("backend")), ..Filter::default() }, |_| false),
        (
            Filter {
                key: Some(name("backend")),
                provider: Some(name("openai")),
                ..Filter::default()
            },
            |_| true,
        ),
        (Filter { session: Some(name("run-2")), ..Filter::default() }, |_| false),
        (Filter { request_id: Some(name("req-31")), ..Filter::default() }, |c| {
            &*c.request_id == "req-31"
        }),
        (Filter { outcome: Some(Outcome::Failed), ..Filter::default() }, |c| c.status == 502),
        (Filter { status: Some(502), user: Some(name("alice")), ..Filter::default() }, |c| {
            c.status == 502 && &*c.user == "alice"
        }),
        (
            Filter {
                since: Some(time("2026-11-20T16:00:00Z")),
                until: Some(time("2026-11-22T13:15:00Z")),
                user: Some(name("bob")),
                ..Filter::default()
            },
            |c| {
                c.time >= time("2026-11-20T16:00:00Z")
                    && c.time < time("2026-11-22T13:15:00Z")
                    && &*c.user == "bob"
            },
        ),
    ];
    for (filter, test) in cases {
        let mut expected: Vec<_> = all.iter().filter(|call| test(call)).cloned().collect();
        let mut exported = Vec::new();
        reader
            .export(&filter, |call| {
                exported.push(call);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(exported, expected, "{filter:?}");
        expected.reverse();
        assert_eq!(reader.calls(&filter, 100).unwrap(), expected, "{filter:?}");
        assert_eq!(
            reader.calls(&filter, 2).unwrap(),
            expected.iter().take(2).cloned().collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_call_is_found_by_its_ids() {
    let (_dir, reader, all) = written();
    assert_eq!(reader.call(all[7].call_id).unwrap().as_ref(), Some(&all[7]));
    let by_request =
        Filter { request_id: Some(Arc::clone(&all[7].request_id)), ..Filter::default() };
    assert_eq!(reader.calls(&by_request, 10).unwrap(), [all[7].clone()]);
}

#[test]
fn pages_follow_each_other_without_gap_or_repetition() {
    let (_dir, reader, all) = written();
    for user in [None, Some(name("alice"))] {
        let wanted = all.iter().rev().filter(|c| user.as_ref().is_none_or(|u| *u == c.user));
        let mut seen = Vec::new();
        let mut filter = Filter { user: user.clone(), ..Filter::default() };
        loop {
            let page = reader.calls(&filter, 7).unwrap();
            let Some(last) = page.last() else { break };
            filter.before = Some(last.call_id);
            seen.extend(page);
        }
        assert_eq!(seen, wanted.cloned().collect::<Vec<_>>());
    }
}

#[test]
fn an_export_ends_where_its_reader_breaks_off() {
    let (_dir, reader, _) = written();
    let mut seen = 0;
    reader
        .export(&Filter::default(), |_| {
            seen += 1;
            if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(seen, 5);
}
