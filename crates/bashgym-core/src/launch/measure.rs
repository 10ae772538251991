//! How busy the GPUs of a followed job are, so that the watchdog sees the ones that idle.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hf_core::JobId;
use hf_jobs::{HfJobRunner, JobMetrics, MetricsEnd};

use super::desk::Desk;
use super::service::LaunchService;
use super::view::{JobState, Observation};
use super::watchdog::WatchAction;

/// How long a stream of measurements may be silent before another one is opened. There is a measurement each second.
const QUIET: Duration = Duration::from_mins(1);
/// How many looks without a measurement make what was measured before worthless.
const SILENT_LOOKS: u32 = 6;

/// What was measured since it was last read.
#[derive(Default)]
pub(super) struct Gauge(Mutex<Measured>);

#[derive(Default)]
struct Measured {
    count: u64,
    /// The busiest GPU at its busiest, in percent.
    busiest: Option<f64>,
    silent: u32,
}

impl Gauge {
    fn add(&self, metrics: &JobMetrics) {
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        measured.count += 1;
        let used = metrics.gpus.values().filter_map(|gpu| gpu.utilization);
        measured.busiest = used.fold(measured.busiest, |busiest, used| {
            Some(busiest.map_or(used, |busiest| busiest.max(used)))
        });
    }

    /// What is to be observed now: the busiest moment since the last call, or, after a long silence, that nothing is known.
    pub(super) fn read(&self) -> Option<Observation> {
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = if measured.count == 0 {
            measured.silent + 1
        } else {
            0
        };
        let read = std::mem::replace(
            &mut *measured,
            Measured {
                silent,
                ..Measured::default()
            },
        );
        (read.count > 0 || silent == SILENT_LOOKS).then_some(Observation::Measured {
            gpu_percent: read.busiest,
        })
    }
}

impl LaunchService {
    /// Measures a job while it runs, where the watchdog wants to know. Never ends by itself: the job's stage tells its end.
    ///
    /// A job that can not be measured is followed all the same.
    pub(super) async fn measure(
        &self,
        desk: &Desk<'_>,
        jobs: &HfJobRunner,
        job_id: &JobId,
        gauge: &Gauge,
    ) -> Infallible {
        let policy = &self.context.policy;
        let wanted = policy.watch.idle_gpu.action != WatchAction::Ignore;
        if !wanted {
            return std::future::pending().await;
        }
        loop {
            if desk.record().await.view.state == JobState::Running {
                let measured = jobs
                    .keep_metrics(
                        job_id,
                        QUIET,
                        policy.keep.max_failures,
                        || jobs.stream_metrics(job_id),
                        |metrics| gauge.add(&metrics),
                    )
                    .await;
                match measured {
                    Err(error) if error.is_transient() => {}
                    // Over, or refused: asking again changes neither.
                    Ok(MetricsEnd::JobOver) | Err(_) => return std::future::pending().await,
                }
            }
            self.context.client.clock().sleep(policy.tick).await;
        }
    }
}
