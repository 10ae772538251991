//! What a job uses right now.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::procfs::{self, TICKS_PER_SECOND};

/// One look at the processes of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    cpu_ticks: u64,
    memory_bytes: u64,
}

impl Sample {
    pub(crate) async fn take(leader: Option<i32>, job_id: &str) -> Self {
        let id = job_id.to_owned();
        // Reading `/proc` takes milliseconds on a busy machine: off the threads that serve requests.
        let look = tokio::task::spawn_blocking(move || {
            let Some(leader) = leader else { return (0, 0) };
            let members = procfs::members(Some(leader), &id);
            let ticks = members.iter().map(|stat| stat.cpu_ticks).sum();
            let memory = members.iter().map(|stat| procfs::resident_bytes(stat.pid)).sum();
            (ticks, memory)
        });
        let (cpu_ticks, memory_bytes) = look.await.unwrap_or_default();
        Self {
            at: Instant::now(),
            cpu_ticks,
            memory_bytes,
        }
    }

    /// The `metric` event for the time since `before`.
    ///
    /// Processor time and memory are measured, against what this machine has. The network is that of the machine,
    /// which is not counted for each job: its rates are always 0. There are no GPUs.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `hf_api.py`, `fetch_job_metrics`.
    pub(crate) fn to_json(self, before: Self, job_id: &str, memory_total_bytes: u64) -> Value {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let elapsed = self.at.duration_since(before.at).max(Duration::from_millis(1));
        let used_seconds = self.cpu_ticks.saturating_sub(before.cpu_ticks) as f64 / TICKS_PER_SECOND as f64;
        let percent = (used_seconds / elapsed.as_secs_f64() / cores as f64 * 100.0).clamp(0.0, 100.0);
        json!({
            "cpu_usage_pct": whole(percent),
            "cpu_millicores": cores * 1000,
            "memory_used_bytes": self.memory_bytes,
            "memory_total_bytes": memory_total_bytes,
            "rx_bps": 0,
            "tx_bps": 0,
            "gpus": {},
            "replica": job_id.get(job_id.len().saturating_sub(5)..).unwrap_or_default(),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentage from 0 to 100"
)]
fn whole(percent: f64) -> u8 {
    percent.round() as u8
}
