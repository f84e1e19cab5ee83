//! What the kernel says of a process and its children: CPU time and resident memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Ticks a second in which `/proc` counts CPU time; fixed at 100 for user space on Linux.
const TICKS: u32 = 100;

/// A process and all that descend from it.
pub(super) fn family(pid: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end while the list is read.
        let Ok(fields) = stat(pid) else { continue };
        if let Some(parent) = fields.get(1).and_then(|text| text.parse::<u32>().ok()) {
            parents.push((pid, parent));
        }
    }
    let mut family = vec![pid];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(family)
}

/// Fields of `/proc/PID/stat` from the third on: the second, a name, may hold anything.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(") ").context("no name in stat")?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// CPU time, user and system, of all threads of these processes.
pub(super) fn cpu(pids: &[u32]) -> Result<Duration> {
    let mut ticks = 0_u32;
    for pid in pids {
        let fields = stat(*pid)?;
        for field in [11, 12] {
            let text = fields.get(field).context("stat is short")?;
            ticks += text.parse::<u32>()?;
        }
    }
    Ok(Duration::from_secs(1) * ticks / TICKS)
}

/// Resident memory of these processes in KiB; pages that they share count for each.
pub(super) fn resident_kib(pids: &[u32]) -> Result<f64> {
    let mut sum = 0.0;
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        sum += line.trim().trim_end_matches(" kB").parse::<f64>()?;
    }
    Ok(sum)
}
