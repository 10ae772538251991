//! Submitting, finding and refusing jobs, against a Hub in this process.

use std::time::Duration;

use crate::support::{ADA_READ, BOB, TestHub, finished, follow, sh};
use futures::TryStreamExt;
use hf_core::{HfErrorKind, JobId};
use hf_jobs::{HfJobConfig, JobFilter, JobInfo, JobStage, MemoryJournal, SubmissionState, SubmitPolicy};
use hf_local::FaultKind;

async fn all(jobs: &hf_jobs::HfJobRunner) -> Vec<JobInfo> {
    jobs.list_jobs(&JobFilter::default()).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_job_comes_back_as_it_was_submitted() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let mut spec = sh("test \"$EPOCHS\" = 3 && test \"$KEY\" = hush");
    spec.environment.insert("EPOCHS".into(), "3".into());
    spec.secrets.insert("KEY".into(), "hush".into());
    spec.timeout = Some(Duration::from_mins(2));
    spec.labels.insert("name".into(), "first".into());
    let job = jobs.run(&spec).await.unwrap();
    assert_eq!((job.flavor.as_str(), job.timeout), ("cpu-basic", Some(120)));
    assert_eq!(
        (job.environment["EPOCHS"].as_str(), job.secrets.as_slice()),
        ("3", &["KEY".to_owned()][..])
    );
    assert_eq!(job.owner.as_ref().unwrap().name.as_deref(), Some("ada"));
    assert!(job.created_at.is_some() && !job.stage().is_terminal());

    let done = finished(&jobs, &job.id).await;
    done.require_success().unwrap();
    assert!(done.started_at.is_some() && done.finished_at.is_some());
    assert_eq!(
        jobs.get_job_status(&job.id).await.unwrap().stage,
        JobStage::Completed
    );
    hub.stop().await;
}

#[tokio::test]
async fn a_training_script_gets_its_repositories_and_a_token() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("train.py");
    let text =
        "import os, sys\nprint(*sys.argv[1:], os.environ['DATASET_REPO'], bool(os.environ['HF_TOKEN']))\n";
    std::fs::write(&script, text).unwrap();
    let (data, out) = ("ada/data".parse().unwrap(), "ada/out".parse().unwrap());
    let config = HfJobConfig {
        hardware: "cpu-basic".into(),
        ..HfJobConfig::default()
    };
    let job = jobs
        .submit_training_job(&script, &data, &out, &config)
        .await
        .unwrap();
    assert_eq!(job.secrets, ["HF_TOKEN"]);
    let done = finished(&jobs, &job.id).await;
    let log = jobs.get_job_logs(&job.id).await.unwrap();
    if log.contains("not found") || log.contains("No such file") {
        println!("skipped: this machine has no python3");
    } else {
        done.require_success().unwrap();
        assert_eq!(log, "ada/data ada/out ada/data True\n");
    }
    hub.stop().await;
}

#[tokio::test]
async fn refusals_have_their_meaning() {
    let hub = TestHub::start().await;
    let mut wrong = sh("true");
    wrong.flavor = "warp-drive".into();
    for (jobs, spec, kind) in [
        (hub.jobs(), &wrong, HfErrorKind::InvalidArgument),
        (hub.jobs_of("ada", ADA_READ), &sh("true"), HfErrorKind::Forbidden),
        (hub.jobs_of("bob", BOB), &sh("true"), HfErrorKind::QuotaExceeded),
        (hub.jobs_of("ada", "hf_nobody"), &sh("true"), HfErrorKind::Auth),
    ] {
        let error = jobs.run(spec).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let missing = JobId::parse("66aa00bb11cc22dd33ee5501").unwrap();
    assert_eq!(
        hub.jobs().get_job(&missing).await.unwrap_err().kind(),
        HfErrorKind::NotFound
    );
    let mut lines = hub.jobs().stream_logs(&missing, follow());
    assert_eq!(lines.try_next().await.unwrap_err().kind(), HfErrorKind::NotFound);
    assert!(all(&hub.jobs()).await.is_empty());
    hub.stop().await;
}

#[tokio::test]
async fn an_intent_makes_one_job_whatever_happens_to_the_answer() {
    let hub = TestHub::start().await;
    let jobs = hub.hasty_jobs();
    let policy = SubmitPolicy::default();
    let once = async |intent: &str, journal: &MemoryJournal| {
        let spec = sh("true");
        let submitted = jobs.submit(&spec, ("intent", intent), journal, &policy);
        submitted.await.unwrap().job.id
    };
    for (intent, kind) in [
        ("lost-in-500", FaultKind::CreatedBut500),
        ("lost-in-reset", FaultKind::ResetAfterBytes { n: 1 }),
        ("lost-in-body", FaultKind::Truncate { n: 10 }),
        // Nothing arrives: it is sent again once the label was looked up for long enough.
        ("never-arrived", FaultKind::ResetBefore),
    ] {
        hub.fail("POST", "/api/jobs/ada", kind);
        let journal = MemoryJournal::default();
        let job = once(intent, &journal).await;
        assert_eq!(job, once(intent, &journal).await, "{intent}");
        let sent = SubmissionState::Sent {
            at: jobs.client().clock().now(),
            sends: 1,
        };
        // Whoever crashed after sending finds it by its label.
        assert_eq!(job, once(intent, &MemoryJournal::at(sent)).await, "{intent}");
        let found = jobs.find_by_label("intent", intent).await.unwrap();
        assert_eq!(found.unwrap().id, job);
    }
    assert_eq!(all(&jobs).await.len(), 4);
    hub.stop().await;
}

#[tokio::test]
async fn jobs_are_listed_by_stage_and_label_over_pages() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let mut ids = Vec::new();
    for number in 0..103 {
        let mut spec = sh("true");
        spec.labels.insert(
            "parity".into(),
            if number % 2 == 0 { "even" } else { "odd" }.into(),
        );
        ids.push(jobs.run(&spec).await.unwrap().id);
    }
    for id in &ids {
        finished(&jobs, id).await;
    }
    let listed: Vec<JobId> = all(&jobs).await.into_iter().map(|job| job.id).collect();
    assert_eq!(
        listed,
        ids.iter().rev().cloned().collect::<Vec<_>>(),
        "newest first, each once"
    );
    let count = async |stages: Vec<JobStage>, parity: &str| {
        let filter = JobFilter {
            stages,
            labels: vec![("parity".into(), parity.into())],
        };
        jobs.list_jobs(&filter)
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
            .len()
    };
    assert_eq!(count(vec![], "even").await, 52);
    assert_eq!(count(vec![JobStage::Completed, JobStage::Error], "odd").await, 51);
    assert_eq!(count(vec![JobStage::Running], "odd").await, 0);
    assert_eq!(jobs.count_jobs(&[JobStage::Completed]).await.unwrap(), 103);
    assert!(jobs.find_by_label("parity", "neither").await.unwrap().is_none());
    hub.stop().await;
}

#[tokio::test]
async fn hardware_has_prices() {
    let hub = TestHub::start().await;
    let hardware = hub.jobs().hardware().await.unwrap();
    let a10g = hardware
        .iter()
        .find(|flavor| flavor.name == "a10g-small")
        .unwrap();
    assert_eq!(a10g.accelerator.as_ref().unwrap().quantity, Some(1));
    assert_eq!(a10g.micro_usd_per_minute(), Some(16667));
    let cpu = hardware.iter().find(|flavor| flavor.name == "cpu-basic").unwrap();
    assert!(cpu.accelerator.is_none() && cpu.micro_usd_for(Duration::from_mins(30)).is_some());
    hub.stop().await;
}
