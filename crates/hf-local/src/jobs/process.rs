//! Starts the process of a job and ends it with everything it started.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessSession};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::time::Instant;

use super::procfs;

/// How often a dying process tree is looked at.
const POLL: Duration = Duration::from_millis(20);

/// How long SIGKILL may take before the job is given up as unkillable (stuck in the kernel).
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// The process of a job, in a session of its own.
#[derive(Debug)]
pub(crate) struct JobProcess {
    child: Box<dyn ChildWrapper>,
    pub(crate) pid: i32,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
}

/// What is started, and what it finds around it.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a str,
    pub(crate) arguments: &'a [String],
    /// The whole environment; nothing is inherited.
    pub(crate) environment: &'a BTreeMap<String, String>,
    pub(crate) folder: &'a Path,
    pub(crate) memory_limit_bytes: Option<u64>,
}

impl JobProcess {
    pub(crate) fn spawn(launch: &Launch<'_>) -> io::Result<Self> {
        let mut command = CommandWrap::with_new(launch.program, |command| {
            command
                .args(launch.arguments)
                .env_clear()
                .envs(launch.environment)
                .current_dir(launch.folder)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
        });
        // The wrapper's own waiting is for process groups; the plain child is all that is needed here, since
        // the tree is found through `/proc`.
        let mut child = command.wrap(ProcessSession).spawn()?.into_inner();
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(|| io::Error::other("the process ended before it could be named"))?;
        if let Some(limit) = launch.memory_limit_bytes {
            limit_memory(pid, limit)?;
        }
        let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
        Ok(Self {
            child,
            pid,
            stdout,
            stderr,
        })
    }

    pub(crate) async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.child.wait().await
    }
}

/// Kills the processes of a job without waiting for anything.
pub(crate) fn kill_now(leader: i32, members: &[i32]) {
    // Errors mean that nobody is there any more.
    let _sent = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    for &pid in members {
        let _sent = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

#[cfg(target_os = "linux")]
fn limit_memory(pid: i32, bytes: u64) -> io::Result<()> {
    rlimit::prlimit(pid, rlimit::Resource::AS, Some((bytes, bytes)), None)
}

#[cfg(not(target_os = "linux"))]
fn limit_memory(_pid: i32, _bytes: u64) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "a memory limit for jobs needs Linux",
    ))
}

/// The processes of a job, as far as they were ever seen.
///
/// A process is remembered once found: one that hides its origin while its parents die is still ended.
#[derive(Debug)]
pub(crate) struct Tree {
    leader: Option<i32>,
    /// What its processes have in their environment.
    marker: String,
    /// Every process found so far that is still there, by pid.
    seen: HashMap<i32, Seen>,
}

#[derive(Debug)]
struct Seen {
    start_ticks: u64,
    group: i32,
}

impl Tree {
    /// `leader` is the process the job was started as, `None` when it is known to be gone.
    pub(crate) fn new(leader: Option<i32>, marker: String) -> Self {
        Self {
            leader,
            marker,
            seen: HashMap::new(),
        }
    }

    /// Ends every process: SIGTERM, and after `grace` SIGKILL until none is left.
    ///
    /// Returns how many are left, which is zero unless the kernel holds one of them.
    pub(crate) async fn end(&mut self, grace: Duration) -> usize {
        if self.signal(Signal::SIGTERM).await == 0 {
            return 0;
        }
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
            if self.is_gone().await {
                return 0;
            }
        }
        self.kill().await
    }

    /// Kills every process at once; returns how many are left.
    pub(crate) async fn kill(&mut self) -> usize {
        let deadline = Instant::now() + KILL_DEADLINE;
        loop {
            // Again and again: a process may have started another between the look and the signal.
            let left = self.signal(Signal::SIGKILL).await;
            if left == 0 || Instant::now() >= deadline {
                return left;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends a signal to all processes; returns how many there were.
    async fn signal(&mut self, signal: Signal) -> usize {
        self.look().await;
        if cfg!(not(target_os = "linux")) {
            return self.signal_group(signal);
        }
        // The group of the command first, in one stroke: a process it starts meanwhile can't slip through. An error
        // means that there is nobody any more, which is what is wanted.
        if let Some(leader) = self
            .leader
            .filter(|leader| self.seen.values().any(|seen| seen.group == *leader))
        {
            let _sent = killpg(Pid::from_raw(leader), signal);
        }
        for (&pid, seen) in &self.seen {
            if self.leader != Some(seen.group) {
                let _sent = kill(Pid::from_raw(pid), signal);
            }
        }
        self.seen.len()
    }

    /// Without `/proc` there is the process group and nothing else.
    fn signal_group(&self, signal: impl Into<Option<Signal>>) -> usize {
        let group = self.leader.map(Pid::from_raw);
        usize::from(group.is_some_and(|group| killpg(group, signal) != Err(Errno::ESRCH)))
    }

    async fn is_gone(&mut self) -> bool {
        self.look().await;
        if cfg!(target_os = "linux") {
            self.seen.is_empty()
        } else {
            self.signal_group(None) == 0
        }
    }

    /// Adds the processes that are there now, and forgets those that are gone.
    async fn look(&mut self) {
        let (leader, marker, mut seen) = (self.leader, self.marker.clone(), std::mem::take(&mut self.seen));
        // Reading `/proc` takes milliseconds on a busy machine: off the threads that serve requests.
        let look = tokio::task::spawn_blocking(move || {
            for stat in procfs::members(leader, &marker) {
                seen.insert(
                    stat.pid,
                    Seen {
                        start_ticks: stat.start_ticks,
                        group: stat.group,
                    },
                );
            }
            seen.retain(|&pid, seen| procfs::is_alive(pid, seen.start_ticks));
            seen
        });
        self.seen = look.await.unwrap_or_default();
    }
}
