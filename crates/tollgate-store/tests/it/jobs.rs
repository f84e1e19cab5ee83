//! Scheduled work: of several programs one runs a job, and what one leaves behind another takes over.

use tollgate_store::{JobClaim, JobEnd, NoticeRecord, Registry};

use crate::given::time;

const PLAN: &str = "0 3 * * * Asia/Seoul";
const DUE: &str = "2026-11-21T18:00:00Z";

fn claim<'a>(holder: &'a str, due: Option<&str>, now: &str, until: &str) -> JobClaim<'a> {
    JobClaim { name: "purge", holder, due: due.map(time), now: time(now), until: time(until) }
}

fn end<'a>(holder: &'a str, at: &str, is_success: bool) -> JobEnd<'a> {
    JobEnd { name: "purge", holder, at: time(at), is_success, message: "3 calls", again: None }
}

fn notice() -> NoticeRecord {
    NoticeRecord {
        id: 0,
        channel: "ops".to_owned(),
        notice: "{}".to_owned(),
        thread: None,
        created_at: time(DUE),
        attempts: 0,
    }
}

#[test]
fn of_many_programs_exactly_one_runs_a_job_for_its_instant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    Registry::open(&path).unwrap().plan_job("purge", PLAN, time("2026-11-21T00:00:00Z")).unwrap();
    let takers: Vec<bool> = std::thread::scope(|scope| {
        let take = |n: usize| {
            let path = &path;
            move || {
                let registry = Registry::open(path).unwrap();
                let holder = format!("node-{n}");
                let (now, until) = ("2026-11-21T18:00:01Z", "2026-11-21T18:00:31Z");
                registry.take_job(&claim(&holder, Some(DUE), now, until)).unwrap()
            }
        };
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(take(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(takers.iter().filter(|taken| **taken).count(), 1);
}

#[test]
fn a_lease_that_ran_out_is_taken_over_and_the_dead_tell_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.db");
    let (a, b) = (Registry::open(&path).unwrap(), Registry::open(&path).unwrap());
    a.plan_job("purge", PLAN, time("2026-11-21T00:00:00Z")).unwrap();
    let first = claim("a", Some(DUE), "2026-11-21T18:00:00Z", "2026-11-21T18:00:30Z");
    assert!(a.take_job(&first).unwrap());
    let early = claim("b", Some(DUE), "2026-11-21T18:00:29Z", "2026-11-21T18:00:59Z");
    assert!(!b.take_job(&early).unwrap(), "it is held");
    assert!(a.renew_job("purge", "a", time("2026-11-21T18:01:00Z")).unwrap());
    let later = claim("b", Some(DUE), "2026-11-21T18:00:40Z", "2026-11-21T18:01:10Z");
    assert!(!b.take_job(&later).unwrap(), "it was renewed");
    let late = claim("b", Some(DUE), "2026-11-21T18:01:00Z", "2026-11-21T18:01:30Z");
    assert!(b.take_job(&late).unwrap(), "its holder is taken for dead");
    assert!(!a.renew_job("purge", "a", time("2026-11-21T19:00:00Z")).unwrap());
    assert!(!a.end_job(&end("a", "2026-11-21T18:01:01Z", true), &[notice()]).unwrap());
    assert!(a.waiting_notices("ops").unwrap().is_empty());
    assert!(b.end_job(&end("b", "2026-11-21T18:01:02Z", true), &[notice()]).unwrap());
    assert_eq!(a.waiting_notices("ops").unwrap().len(), 1, "one run, one message");
    let again = claim("a", Some(DUE), "2026-11-21T18:02:00Z", "2026-11-21T18:02:30Z");
    assert!(!a.take_job(&again).unwrap(), "its instant is dealt with");
    let record = &a.jobs().unwrap()[0];
    assert_eq!((record.done, record.lease.clone()), (time(DUE), None));
    assert_eq!(record.succeeded, Some(time("2026-11-21T18:01:02Z")));
    assert_eq!(
        (record.outcome.as_deref(), record.message.as_deref()),
        (Some("success"), Some("3 calls"))
    );
}

#[test]
fn a_run_that_a_person_asks_for_leaves_the_schedule_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    let planned = registry.plan_job("purge", PLAN, time("2026-11-21T00:00:00Z")).unwrap();
    assert!(
        registry
            .take_job(&claim("a", None, "2026-11-21T17:00:00Z", "2026-11-21T17:00:30Z"))
            .unwrap()
    );
    assert!(registry.end_job(&end("a", "2026-11-21T17:00:05Z", false), &[]).unwrap());
    let record = registry.jobs().unwrap().remove(0);
    assert_eq!((record.done, record.succeeded), (planned.done, None));
    assert_eq!(record.outcome.as_deref(), Some("failed"));
    assert!(
        registry
            .take_job(&claim("a", Some(DUE), "2026-11-21T18:00:00Z", "2026-11-21T18:00:30Z"))
            .unwrap()
    );
    registry.release_job("purge", "a").unwrap();
    let given_back = registry.jobs().unwrap().remove(0);
    assert_eq!((given_back.done, given_back.lease), (planned.done, None), "it is still due");
}

#[test]
fn another_schedule_begins_anew_and_the_same_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    let first = time("2026-11-01T00:00:00Z");
    registry.plan_job("purge", PLAN, first).unwrap();
    let now = time("2026-11-21T00:00:00Z");
    assert_eq!(registry.plan_job("purge", PLAN, now).unwrap().done, first, "downtime is caught up");
    assert_eq!(registry.plan_job("purge", "0 4 * * * UTC", now).unwrap().done, now);
}

#[test]
fn a_run_that_failed_is_due_again_after_its_pause_and_then_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    registry.plan_job("purge", PLAN, time("2026-11-21T00:00:00Z")).unwrap();
    let take = |now: &str| {
        let until = time(now) + jiff::SignedDuration::from_secs(30);
        let due = Some(time(DUE));
        let now = time(now);
        registry.take_job(&JobClaim { name: "purge", holder: "a", due, now, until }).unwrap()
    };
    let stands = || {
        let job = registry.jobs().unwrap().remove(0);
        (job.done == time(DUE), job.tries, job.again)
    };
    let (first, again, last) = (DUE, "2026-11-21T18:05:00Z", "2026-11-21T18:06:00Z");
    assert!(take(first));
    let failed = JobEnd { again: Some(time(again)), ..end("a", first, false) };
    assert!(registry.end_job(&failed, &[]).unwrap());
    assert_eq!(stands(), (false, 1, Some(time(again))));
    assert!(!take("2026-11-21T18:04:59Z"), "no program takes it before");
    assert!(take(again));
    assert!(registry.end_job(&end("a", last, false), &[notice()]).unwrap());
    assert_eq!(stands(), (true, 0, None));
    assert!(!take("2026-11-21T18:07:00Z"), "it was given up");
}

#[test]
fn what_a_wrong_clock_dealt_with_in_advance_is_due_again() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&dir.path().join("t.db")).unwrap();
    registry.plan_job("purge", PLAN, time("2036-01-01T00:00:00Z")).unwrap();
    let now = time("2026-11-21T00:00:00Z");
    assert_eq!(registry.plan_job("purge", PLAN, now).unwrap().done, now);
    let taken = registry.take_job(&claim("a", Some(DUE), DUE, "2026-11-21T23:00:00Z"));
    assert!(taken.unwrap());
}
