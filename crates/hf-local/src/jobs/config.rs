//! What the executor may use, and what a job finds around it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How jobs run on this machine.
///
/// Start from [`ExecutorConfig::default`] and change the fields that matter.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExecutorConfig {
    /// Folders put before [`Self::base_path`] in the `PATH` of every job.
    pub path_prepend: Vec<PathBuf>,
    /// The rest of the `PATH` of every job; the hub's own `PATH` is not inherited.
    pub base_path: String,
    /// Variables every job gets. A job's own environment and secrets win over them. Nothing secret belongs here.
    pub environment: BTreeMap<String, String>,
    /// Jobs that run at the same time; the others stay `SCHEDULING`, first come first served.
    pub max_running: usize,
    /// Jobs that may wait for a slot; one more is refused with 429.
    pub max_queued: usize,
    /// The limit on the address space of each process of a job, in bytes; none by default. Linux only.
    pub memory_limit_bytes: Option<u64>,
    /// What one job's log may hold, in bytes of log file. Later lines are dropped after a line that says so.
    pub max_log_bytes: u64,
    /// The longest log line, in bytes; a longer one is cut into several.
    pub max_line_bytes: usize,
    /// How long a job may take to end after SIGTERM before it gets SIGKILL.
    pub grace: Duration,
    /// Whether the working folder of a finished job stays on disk, for a look at what it left.
    pub keep_work: bool,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            path_prepend: Vec::new(),
            base_path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            environment: BTreeMap::new(),
            max_running: 4,
            max_queued: 10_000,
            memory_limit_bytes: None,
            max_log_bytes: 256 * 1024 * 1024,
            // Where Docker and containerd cut.
            max_line_bytes: 16 * 1024,
            grace: Duration::from_secs(5),
            keep_work: false,
        }
    }
}

impl ExecutorConfig {
    /// The `PATH` of what this Hub starts.
    pub(crate) fn path(&self) -> String {
        let mut folders: Vec<String> = self
            .path_prepend
            .iter()
            .map(|folder| folder.to_string_lossy().into_owned())
            .collect();
        folders.push(self.base_path.clone());
        folders.join(":")
    }
}
