//! Canceling, against a Hub in this process.

use crate::support::{TestHub, finished, sh, wait_for_line};
use futures::TryStreamExt;
use hf_core::{HfErrorKind, JobId};
use hf_jobs::JobStage;
use hf_local::FaultKind;

#[tokio::test]
async fn a_running_job_is_canceled_and_its_log_ends() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs.run(&sh("echo up; sleep 600")).await.unwrap();
    let mut lines = wait_for_line(&jobs, &job.id, "up").await;
    // An answer that is lost is asked for again.
    hub.fail("POST", "/cancel", FaultKind::CreatedBut500);
    jobs.cancel_job(&job.id).await.unwrap();
    let ended = finished(&jobs, &job.id).await;
    assert_eq!(ended.stage(), &JobStage::Canceled);
    assert_eq!(
        ended.require_success().unwrap_err().kind(),
        HfErrorKind::JobFailed
    );
    while lines.try_next().await.unwrap().is_some() {}
    hub.stop().await;
}

#[tokio::test]
async fn an_unknown_job_can_not_be_canceled() {
    let hub = TestHub::start().await;
    let missing = JobId::parse("66aa00bb11cc22dd33ee5501").unwrap();
    assert_eq!(
        hub.jobs().cancel_job(&missing).await.unwrap_err().kind(),
        HfErrorKind::NotFound
    );
    hub.stop().await;
}
