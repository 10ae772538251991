//! Waiting for the end, against a Hub in this process.

use std::time::Duration;

use crate::support::{TestHub, finished, sh};
use hf_core::HfErrorKind;
use hf_jobs::JobStage;
use hf_local::FaultKind;

#[tokio::test]
async fn a_failed_job_tells_its_exit_code() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs.run(&sh("exit 7")).await.unwrap();
    let ended = finished(&jobs, &job.id).await;
    assert_eq!(ended.stage(), &JobStage::Error);
    let error = ended.require_success().unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::JobFailed);
    assert!(error.to_string().contains('7'), "{error}");
    hub.stop().await;
}

#[tokio::test]
async fn a_job_that_takes_too_long_ends_with_an_error() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let mut spec = sh("sleep 600");
    spec.timeout = Some(Duration::from_secs(1));
    let job = jobs.run(&spec).await.unwrap();
    let error = finished(&jobs, &job.id).await.require_success().unwrap_err();
    assert!(error.to_string().to_lowercase().contains("timeout"), "{error}");
    hub.stop().await;
}

#[tokio::test]
async fn waiting_goes_on_through_failures() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs.run(&sh("true")).await.unwrap();
    for kind in [
        FaultKind::Status {
            code: 503,
            retry_after: None,
        },
        FaultKind::ResetBefore,
        FaultKind::Truncate { n: 5 },
        FaultKind::ResetAfterBytes { n: 3 },
    ] {
        hub.fail("GET", job.id.as_str(), kind);
    }
    finished(&jobs, &job.id).await.require_success().unwrap();
    hub.stop().await;
}
