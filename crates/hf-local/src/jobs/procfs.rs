//! What `/proc` tells about the processes of a job.
//!
//! On a system without `/proc` every function here finds nothing: jobs are then killed by process group alone
//! and have no metrics.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

/// The variable every process of a job inherits, unless it clears its environment.
pub(crate) const MARKER: &str = "JOB_ID";

/// What the processes of a job are known by.
pub(crate) fn marker(job_id: &str) -> String {
    format!("{MARKER}={job_id}")
}

/// Clock ticks a second in `/proc/<pid>/stat`: part of Linux's interface, the same on every machine.
pub(crate) const TICKS_PER_SECOND: u64 = 100;

/// What one line of `/proc/<pid>/stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcStat {
    pub(crate) pid: i32,
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// Processor time of the process and the children it has waited for, in ticks.
    pub(crate) cpu_ticks: u64,
    /// When the process started, in ticks since the machine did.
    pub(crate) start_ticks: u64,
}

impl ProcStat {
    fn parse(text: &str) -> Option<Self> {
        let pid = text.split(' ').next()?.parse().ok()?;
        // The command name may hold spaces and parentheses; the fields start after its last one.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            pid,
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            cpu_ticks: number(11)? + number(12)? + number(13)? + number(14)?,
            start_ticks: number(19)?,
        })
    }

    /// Reads one process; `None` when it is gone.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Names one process for good: a pid alone is given again to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    /// The machine's boot and the tick the process started at.
    pub(crate) started: String,
}

impl ProcessIdentity {
    /// Names a process that runs now. Without `/proc` only the pid is known.
    pub(crate) fn of(pid: i32) -> Self {
        let started = ProcStat::read(pid).map_or_else(String::new, |stat| started(&stat));
        Self { pid, started }
    }

    /// Whether this very process is still there (a zombie is not).
    pub(crate) fn is_alive(&self) -> bool {
        ProcStat::read(self.pid).is_some_and(|stat| stat.is_alive() && started(&stat) == self.started)
    }
}

/// Whether the process that started at this tick is still there (a zombie is not).
pub(crate) fn is_alive(pid: i32, start_ticks: u64) -> bool {
    ProcStat::read(pid).is_some_and(|stat| stat.is_alive() && stat.start_ticks == start_ticks)
}

fn started(stat: &ProcStat) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{}:{}", boot.trim(), stat.start_ticks)
}

/// Every process of the machine.
fn processes() -> Vec<ProcStat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| ProcStat::read(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// Finds the living processes of a job, or of an app.
///
/// A process belongs to it when it is in the session of `leader`, carries `marker` (`NAME=value`) in its environment, or
/// descends from one that does. A child that starts a session of its own is found by the second or the third.
pub(crate) fn members(leader: Option<i32>, marker: &str) -> Vec<ProcStat> {
    let all = processes();
    let own = i32::try_from(std::process::id()).ok();
    let mut found: HashSet<i32> = all
        .iter()
        .filter(|stat| leader == Some(stat.session) || has_marker(stat.pid, marker))
        .map(|stat| stat.pid)
        .collect();
    let parents: HashMap<i32, i32> = all.iter().map(|stat| (stat.pid, stat.parent)).collect();
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    all.into_iter()
        .filter(|stat| found.contains(&stat.pid) && stat.is_alive() && own != Some(stat.pid))
        .collect()
}

fn has_marker(pid: i32, marker: &str) -> bool {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    environment
        .split(|&byte| byte == 0)
        .any(|variable| variable == marker.as_bytes())
}

/// The memory a process holds, in bytes.
pub(crate) fn resident_bytes(pid: i32) -> u64 {
    kilobytes(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")
}

/// The memory of the machine, in bytes.
pub(crate) fn machine_memory_bytes() -> u64 {
    kilobytes(Path::new("/proc/meminfo"), "MemTotal:")
}

fn kilobytes(path: &Path, field: &str) -> u64 {
    let Ok(text) = fs::read_to_string(path) else {
        return 0;
    };
    text.lines()
        .find_map(|line| {
            line.strip_prefix(field)?
                .split_ascii_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_strange_command_name_is_read() {
        let line = "77 (a) b (c) S 5 76 70 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 123456 1 2 3\n";
        let expected = ProcStat {
            pid: 77,
            state: b'S',
            parent: 5,
            group: 76,
            session: 70,
            cpu_ticks: 100,
            start_ticks: 123_456,
        };
        assert_eq!(ProcStat::parse(line), Some(expected));
        assert_eq!(ProcStat::parse("77 (a"), None);
        assert_eq!(ProcStat::parse(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_itself_and_not_another() {
        let own = i32::try_from(std::process::id()).unwrap();
        let identity = ProcessIdentity::of(own);
        assert!(identity.is_alive());
        let other = ProcessIdentity {
            started: "another boot:1".to_owned(),
            ..identity
        };
        assert!(!other.is_alive());
        assert!(resident_bytes(own) > 0 && machine_memory_bytes() > resident_bytes(own));
    }
}
