//! The file keeps every line, is set aside by size and by day, and survives being moved away.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use tempfile::TempDir;

use super::*;
use crate::event::Call;
use crate::sample::{call, json_lines, line, number, record};
use crate::worker::{Delivery, Sink as _};

fn config(folder: &TempDir) -> FileConfig {
    let path = folder.path().join("logs/calls.jsonl");
    FileConfig { path, size: None, daily: false, zone: TimeZone::UTC, keep: None }
}

fn numbers(path: &Path) -> Vec<u64> {
    json_lines(&fs::read(path).unwrap()).iter().map(number).collect()
}

/// The files in the folder of the lines, by name.
fn files(config: &FileConfig) -> Vec<String> {
    let entries = fs::read_dir(config.path.parent().unwrap()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

async fn write(sink: &mut Lines, numbers: std::ops::Range<u64>) {
    let batch: Vec<Call> = numbers.map(call).collect();
    assert_eq!(sink.send(&batch).await, Delivery::taken());
}

#[tokio::test]
async fn lines_are_appended_over_restarts_and_half_a_line_is_ended() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    write(&mut Lines::new(&config, line), 0..3).await;
    write(&mut Lines::new(&config, line), 3..5).await;
    assert_eq!(numbers(&config.path), [0, 1, 2, 3, 4]);
    let mut text = fs::read(&config.path).unwrap();
    text.extend(b"{\"half");
    fs::write(&config.path, &text).unwrap();
    write(&mut Lines::new(&config, line), 5..6).await;
    let text = fs::read_to_string(&config.path).unwrap();
    assert_eq!(text.lines().nth(5), Some("{\"half"));
    assert!(text.lines().nth(6).unwrap().contains("req-5"));
}

#[tokio::test]
async fn a_file_that_is_full_is_set_aside_and_the_oldest_go() {
    let folder = TempDir::new().unwrap();
    let config = FileConfig { size: Some(4_000), keep: Some(2), ..config(&folder) };
    let mut sink = Lines::new(&config, line);
    for n in 0..60 {
        write(&mut sink, n..n + 1).await;
    }
    let files = files(&config);
    assert_eq!(files.len(), 3, "{files:?}");
    assert_eq!(files[0], "calls.jsonl");
    let folder = config.path.parent().unwrap();
    let mut kept: Vec<u64> =
        files[1..].iter().chain(&files[..1]).flat_map(|name| numbers(&folder.join(name))).collect();
    let first = kept[0];
    assert_eq!(kept, (first..60).collect::<Vec<_>>(), "no gap");
    for name in &files {
        assert!(fs::metadata(folder.join(name)).unwrap().len() <= 4_000);
    }
    kept.clear();
}

#[tokio::test]
async fn a_day_has_a_file_of_its_own_in_the_zone_that_was_chosen() {
    let folder = TempDir::new().unwrap();
    let zone = TimeZone::get("Asia/Seoul").unwrap();
    let config = FileConfig { daily: true, zone, ..config(&folder) };
    let mut sink = Lines::new(&config, line);
    // 2026-11-21 21:22 in Seoul, then 00:30 of the next day there.
    write(&mut sink, 0..2).await;
    let mut next = record(2);
    next.time = "2026-11-21T15:30:00Z".parse().unwrap();
    assert_eq!(sink.send(&[Arc::new(next)]).await, Delivery::taken());
    assert_eq!(files(&config), ["calls.jsonl", "calls.jsonl.2026-11-21.1"]);
    assert_eq!(numbers(&config.path), [2]);
}

#[tokio::test]
async fn a_file_that_somebody_moved_away_is_begun_anew() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    let mut sink = Lines::new(&config, line);
    write(&mut sink, 0..2).await;
    let moved = config.path.with_extension("moved");
    fs::rename(&config.path, &moved).unwrap();
    write(&mut sink, 2..3).await;
    assert_eq!((numbers(&moved), numbers(&config.path)), (vec![0, 1], vec![2]));
}

#[tokio::test]
async fn what_cannot_be_written_waits() {
    let folder = TempDir::new().unwrap();
    let config = config(&folder);
    fs::write(folder.path().join("logs"), "a file where the folder should be").unwrap();
    assert!(matches!(Lines::new(&config, line).send(&[call(0)]).await, Delivery::Later { .. }));
}
