//! Scripts, schedules, metrics, labels, duplicates, access and volumes, against a Hub in this process.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use futures::TryStreamExt;
use hf_core::HfErrorKind;
use hf_jobs::{JobAccess, JobSpec, JobStage, Schedule, UvScript, VolumeKind, WaitOptions};
use hf_local::FaultKind;

use crate::support::{ADA, ADA_READ, TestHub, finished, sh, wait_for_line};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[tokio::test]
async fn labels_are_replaced_and_a_job_is_run_again() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs.run(&sh("true")).await.unwrap();
    let labeled = jobs.set_labels(&job.id, &labels(&[("a", "b")])).await.unwrap();
    assert_eq!(labeled.labels, labels(&[("a", "b")]));
    finished(&jobs, &job.id).await;
    let again = jobs.duplicate_job(&job.id).await.unwrap();
    assert_ne!(again.id, job.id);
    assert_eq!(
        again.initiator.as_ref().unwrap().kind.as_deref(),
        Some("duplicated-job")
    );
    finished(&jobs, &again.id).await.require_success().unwrap();
    hub.stop().await;
}

/// Acceptance case 13: metrics that are refused with 406 after the end are no error.
#[tokio::test]
async fn metrics_after_the_end_are_none_and_no_error() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs.run(&sh("echo up; sleep 600")).await.unwrap();
    drop(wait_for_line(&jobs, &job.id, "up").await);
    let now = jobs.stream_metrics(&job.id).try_next().await.unwrap().unwrap();
    assert!(now.memory_total_bytes > now.memory_used_bytes);
    jobs.cancel_job(&job.id).await.unwrap();
    let after: Vec<_> = jobs.stream_metrics(&job.id).try_collect().await.unwrap();
    assert!(after.is_empty());
    hub.stop().await;
}

/// Acceptance case 35: what may pass is tried again within bounds, what may not is not, and a submission never is.
#[tokio::test]
async fn a_submission_is_never_sent_again_and_a_look_is() {
    let hub = TestHub::start().await;
    let jobs = hub.hasty_jobs();
    for status in [413, 429, 503] {
        let refused = FaultKind::Status {
            code: status,
            retry_after: Some(1),
        };
        hub.fail("POST", "/api/jobs/ada", refused);
        jobs.run(&sh("true")).await.unwrap_err();
        assert_eq!(jobs.count_jobs(&[]).await.unwrap(), 0, "{status}");
    }
    let job = jobs.run(&sh("true")).await.unwrap();
    for kind in [
        FaultKind::Status {
            code: 503,
            retry_after: None,
        },
        FaultKind::ResetBefore,
    ] {
        hub.fail("GET", job.id.as_str(), kind);
        assert_eq!(jobs.get_job(&job.id).await.unwrap().id, job.id);
    }
    hub.stop().await;
}

#[tokio::test]
async fn several_jobs_are_waited_for_and_one_that_fails_stops_no_other() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let mut ids = Vec::new();
    for script in ["true", "exit 3", "sleep 0.1"] {
        ids.push(jobs.run(&sh(script)).await.unwrap().id);
    }
    ids.push("66aa00bb11cc22dd33ee5501".parse().unwrap());
    let options = WaitOptions {
        poll: Some(Duration::from_millis(50)),
        ..WaitOptions::default()
    };
    let ended = jobs.wait_all(&ids, &options).await;
    let stages: Vec<_> = ended
        .iter()
        .take(3)
        .map(|job| job.as_ref().unwrap().stage().clone())
        .collect();
    assert_eq!(
        stages,
        [JobStage::Completed, JobStage::Error, JobStage::Completed]
    );
    assert_eq!(ended[3].as_ref().unwrap_err().kind(), HfErrorKind::NotFound);
    hub.stop().await;
}

#[tokio::test]
async fn a_schedule_lives_its_life() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let mut spec = sh("true");
    spec.labels = labels(&[("suite", "x"), ("team", "y")]);
    let made = jobs
        .create_scheduled(&spec, &Schedule::new("@yearly"))
        .await
        .unwrap();
    assert!(made.status.next_job_run_at.is_some() && made.suspend == Some(false));
    let wanted = [
        ("suite".to_owned(), "x".to_owned()),
        ("team".to_owned(), "y".to_owned()),
    ];
    assert_eq!(jobs.list_scheduled(&wanted).await.unwrap().len(), 1);
    let other = [
        ("suite".to_owned(), "x".to_owned()),
        ("team".to_owned(), "z".to_owned()),
    ];
    assert!(jobs.list_scheduled(&other).await.unwrap().is_empty());
    let run = jobs.run_scheduled(&made.id).await.unwrap();
    finished(&jobs, &run.id).await.require_success().unwrap();
    jobs.suspend_scheduled(&made.id).await.unwrap();
    let shown = jobs.get_scheduled(&made.id).await.unwrap();
    assert_eq!(
        (shown.suspend, shown.status.last_job.unwrap().id),
        (Some(true), run.id)
    );
    jobs.resume_scheduled(&made.id).await.unwrap();
    assert_eq!(
        jobs.reschedule(&made.id, "@daily")
            .await
            .unwrap()
            .schedule
            .as_deref(),
        Some("@daily")
    );
    let labeled = jobs
        .set_scheduled_labels(&made.id, &labels(&[("n", "1")]))
        .await
        .unwrap();
    assert_eq!(labeled.job_spec.labels, labels(&[("n", "1")]));
    jobs.delete_scheduled(&made.id).await.unwrap();
    assert_eq!(
        jobs.get_scheduled(&made.id).await.unwrap_err().kind(),
        HfErrorKind::NotFound
    );
    hub.stop().await;
}

#[tokio::test]
async fn access_is_told_before_anything_is_sent() {
    let hub = TestHub::start().await;
    let reader = hub.jobs_of("ada", ADA_READ);
    assert_eq!(
        reader
            .check_access(JobAccess::Read, None)
            .await
            .unwrap()
            .user
            .name,
        "ada"
    );
    assert_eq!(
        reader
            .check_access(JobAccess::Write, None)
            .await
            .unwrap_err()
            .kind(),
        HfErrorKind::Forbidden
    );
    hub.jobs().check_access(JobAccess::Write, None).await.unwrap();
    hub.stop().await;
}

/// Acceptance case 8: a script is shipped, its secrets are in the secrets alone, and labels, namespace and time-out are set.
#[tokio::test]
async fn a_script_is_shipped_whole_and_its_secrets_stay_secret() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("train it.py");
    std::fs::write(&script, "print('{\"quotes\"}')\n").unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "x = 1\n").unwrap();
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let uv = UvScript {
        arguments: vec![path(&config), "--fast".into()],
        ..UvScript::new(path(&script))
    };
    let mut spec = JobSpec::uv();
    spec.timeout = Some(Duration::from_mins(7));
    spec.secrets.insert("KEY".into(), "hush-hush".into());
    spec.labels.insert("suite".into(), "uv".into());
    let spec = jobs.prepare_uv(&uv, spec).await.unwrap();
    assert_eq!(
        spec.command,
        ["uv", "run", "/data/train_it.py", "/data/config.toml", "--fast"]
    );
    assert_eq!(spec.volumes[0].kind, VolumeKind::Bucket);
    // `uv` may not be on this machine: what it would be given is read instead.
    let mut reading = spec.clone();
    let read = "cat /dev/null \"$1\" \"$2\"; test ${#KEY} = 9 && echo secret";
    reading.command = ["sh", "-c", read, "job", "/data/train_it.py", "/data/config.toml"]
        .map(String::from)
        .to_vec();
    let job = jobs.run(&reading).await.unwrap();
    assert_eq!(
        (job.timeout, job.secrets.as_slice()),
        (Some(420), &["KEY".to_owned()][..])
    );
    assert_eq!(job.labels["suite"], "uv");
    assert!(job.labels["name"].starts_with("train-it-"));
    assert_eq!(job.owner.as_ref().unwrap().name.as_deref(), Some("ada"));
    assert_eq!(job.mounted(), spec.volumes);
    let done = finished(&jobs, &job.id).await;
    let log = jobs.get_job_logs(&job.id).await.unwrap();
    done.require_success().unwrap();
    assert_eq!(log, "print('{\"quotes\"}')\nx = 1\nsecret\n");
    assert!(!format!("{spec:?} {done:?}").contains("hush-hush"));
    hub.stop().await;
}

#[tokio::test]
async fn the_example_runs() {
    let hub = TestHub::start().await;
    let cargo = env!("CARGO");
    let endpoint = hub.hub.endpoint().to_owned();
    let example = tokio::task::spawn_blocking(move || {
        Command::new(cargo)
            .args([
                "run",
                "--quiet",
                "--package",
                "hf-jobs",
                "--example",
                "jobs",
                "--",
                "echo",
                "hi",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("HF_ENDPOINT", endpoint)
            .env("HF_TOKEN", ADA)
            .output()
            .unwrap()
    });
    let output = example.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("costs $0.00167 at most") && text.ends_with("\nhi\n"),
        "{text}"
    );
    hub.stop().await;
}
