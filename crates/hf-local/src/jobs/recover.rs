//! What a new hub does about the jobs of an earlier one.

use super::environment::Folders;
use super::process::Tree;
use super::procfs::{self, ProcessIdentity};
use super::spec::Secrets;
use super::stage::Stage;
use super::store::{End, Unfinished};
use super::view::Job;
use super::{Jobs, log};

/// Ends the jobs whose hub died while they ran, and queues those that still wait.
///
/// The pipes of their processes went with the hub, so they can't be taken over: a process that is still there
/// is killed first. It is known by its pid and start time, and its children by their session or their variable.
pub(super) async fn recover(jobs: &Jobs) -> sqlx::Result<()> {
    for unfinished in jobs.inner.store.unfinished().await? {
        match unfinished.job.stage {
            Stage::Running => end(jobs, unfinished).await?,
            _ => queue_again(jobs, unfinished).await?,
        }
    }
    Ok(())
}

async fn end(jobs: &Jobs, unfinished: Unfinished) -> sqlx::Result<()> {
    let Unfinished {
        job,
        cancel_requested,
        process,
    } = unfinished;
    let leader = process
        .filter(ProcessIdentity::is_alive)
        .map(|process| process.pid);
    let left = Tree::new(leader, procfs::marker(&job.id)).kill().await;
    if left > 0 {
        tracing::error!(
            job_id = job.id,
            left,
            "processes of a job of an earlier hub could not be killed"
        );
    }
    if let Err(error) = log::repair(&jobs.log_path(&job.id)).await {
        tracing::warn!(job_id = job.id, %error, "the log of a job could not be repaired");
    }
    if !jobs.inner.config.keep_work
        && let Err(error) = Folders::new(jobs.job_folder(&job.id)).remove().await
    {
        tracing::warn!(job_id = job.id, %error, "the folder of a job could not be removed");
    }
    let (stage, message) = if cancel_requested {
        (Stage::Canceled, None)
    } else {
        (
            Stage::Error,
            Some("The hub stopped while the job ran; submit the job again"),
        )
    };
    finish(jobs, &job, stage, message).await
}

/// Ends a job. What it cost counts up to now: when its hub died is not known.
async fn finish(jobs: &Jobs, job: &Job, stage: Stage, message: Option<&str>) -> sqlx::Result<()> {
    let now = jobs.inner.clock.now();
    let cost = job.cost_between(job.created_at, now);
    let end = End {
        stage,
        message,
        cancel_reason: None,
        cost_micro_usd: cost.map_or(0, |cost| cost.micro_usd),
    };
    jobs.inner.store.finish(&job.id, &end, now).await?;
    Ok(())
}

async fn queue_again(jobs: &Jobs, unfinished: Unfinished) -> sqlx::Result<()> {
    let Unfinished {
        job,
        cancel_requested,
        ..
    } = unfinished;
    let (stage, message) = if cancel_requested {
        (Stage::Canceled, None)
    } else if !job.spec.secret_names.is_empty() {
        let message = "The hub stopped while the job waited, and its secrets were kept in memory only; \
                       submit the job again";
        (Stage::Error, Some(message))
    } else {
        match jobs.inner.slots.ticket() {
            Ok(ticket) => {
                jobs.own(job, Secrets::default(), ticket);
                return Ok(());
            }
            Err(_full) => (
                Stage::Error,
                Some("The queue of this hub is shorter than that of the last one"),
            ),
        }
    };
    finish(jobs, &job, stage, message).await
}
