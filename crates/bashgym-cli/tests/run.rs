//! `bashgym run`: the main job, offline.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, a panic is a failure that names its line"
)]

mod common;

use bashgym_core::store::{JobLineStore, JobStream};
use bashgym_store::SqlStore;
use common::{Environment, Hub, assert_success, fixtures, json_lines, stderr, wait_until};
use serde_json::Value;

fn stages(events: &[Value], status: &str) -> Vec<String> {
    events
        .iter()
        .filter(|event| event["event"] == "stage" && event["status"] == status)
        .map(|event| event["stage"].as_str().unwrap().to_owned())
        .collect()
}

const QUICK: [&str; 5] = ["--preset", "tiny", "--max-steps", "30", "--samples=1"];

#[test]
fn sessions_become_a_verified_student_without_account_or_network() {
    let environment = Environment::new();
    let sessions = fixtures();
    let output = environment
        .bashgym(["--format", "json", "run"])
        .arg(&sessions)
        .args(QUICK)
        .output()
        .unwrap();
    assert_success(&output);
    let events = json_lines(&output);
    assert_eq!(events[0]["event"], "run");
    assert_eq!(
        stages(&events, "finished"),
        ["import", "publish", "submit", "train", "verify", "sample"]
    );
    let result = events.last().unwrap();
    assert_eq!(result["event"], "result");
    for key in [
        "dataset_repo",
        "dataset_revision",
        "job_id",
        "model_repo",
        "model_revision",
    ] {
        assert!(
            result[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key} in {result}"
        );
    }
    let (before, after) = (
        result["val_loss_before"].as_f64().unwrap(),
        result["val_loss_after"].as_f64().unwrap(),
    );
    assert!(
        after < before - 0.3,
        "validation loss {before} before, {after} after"
    );
    assert!(result["rows_train"].as_u64().unwrap() > 10 && result["rows_val"].as_u64().unwrap() > 0);
    let losses: Vec<f64> = events
        .iter()
        .filter_map(|event| event["progress"]["loss"].as_f64())
        .collect();
    assert!(losses.last() < losses.first(), "{losses:?}");

    let job = result["job_id"].as_str().unwrap();
    let shown = environment.run(["--format", "json", "jobs", "show", job]);
    assert_success(&shown);
    assert_eq!(json_lines(&shown)[0]["status"]["stage"], "COMPLETED");

    let log = environment.run(["jobs", "logs", job]);
    assert_success(&log);
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(log.contains("Pushed as "), "{log}");

    let model = result["model_repo"].as_str().unwrap();
    let answer = environment.run([
        "--format",
        "json",
        "generate",
        model,
        "--prompt",
        "Fix the test",
        "--max-tokens",
        "8",
    ]);
    assert_success(&answer);
    assert!(
        json_lines(&answer)[0]["completion_tokens"]
            .as_u64()
            .is_some_and(|tokens| tokens > 0)
    );

    let runs = environment.run(["--format", "json", "runs", "ls"]);
    assert_eq!(json_lines(&runs)[0]["state"], "succeeded");

    let token = std::fs::read_to_string(environment.home().join("hub.json")).unwrap();
    let token = token.split('"').find(|part| part.starts_with("hf_")).unwrap();
    for file in ["bashgym.db", "hub.log"] {
        let bytes = std::fs::read(environment.home().join(file)).unwrap();
        assert!(
            !bytes
                .windows(token.len())
                .any(|window| window == token.as_bytes()),
            "a token is in {file}"
        );
    }
}

#[test]
fn a_killed_run_goes_on_with_the_same_job() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let command = || {
        let mut command = hub.bashgym(&environment, ["--format", "json", "run"]);
        command
            .arg(fixtures())
            .args(["--preset", "tiny", "--max-steps", "60", "--samples=0"]);
        command
    };
    let runs = || json_lines(&environment.run(["--format", "json", "runs", "ls"]));

    let mut first = command().stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until("the job is submitted", || {
        runs().first().is_some_and(|run| run["job_id"].is_string())
    });
    first.kill().unwrap();
    first.wait().unwrap();
    let job = runs()[0]["job_id"].as_str().unwrap().to_owned();

    let output = command().output().unwrap();
    assert_success(&output);
    let events = json_lines(&output);
    assert_eq!(events[0]["continued"], true);
    assert_eq!(events.last().unwrap()["job_id"], job.as_str());
    let jobs = hub
        .bashgym(&environment, ["--format", "json", "jobs", "ls"])
        .output()
        .unwrap();
    assert_eq!(json_lines(&jobs).len(), 1, "one intent, one job");
    assert_eq!(runs().len(), 1);

    // Each line is in the store, once and in order, whichever process kept it.
    let logs = hub
        .bashgym(&environment, ["jobs", "logs", &job])
        .output()
        .unwrap();
    assert_success(&logs);
    let wrote: Vec<String> = String::from_utf8_lossy(&logs.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(kept_lines(&environment, &job), wrote);
}

/// The lines of a job in the store, without the Hub's heading.
fn kept_lines(environment: &Environment, job: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let lines = runtime.block_on(async {
        let store = SqlStore::open(&environment.home().join("bashgym.db"))
            .await
            .unwrap();
        store
            .list_job_lines(job, JobStream::Log, 0, u32::MAX)
            .await
            .unwrap()
    });
    let texts = lines.iter().map(|line| {
        let kept: Value = serde_json::from_str(&line.text).unwrap();
        kept["data"].as_str().unwrap().to_owned()
    });
    texts
        .filter(|text| !text.starts_with("===== Job started"))
        .collect()
}

#[test]
fn a_failed_job_is_named_and_the_same_command_submits_a_new_one() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let run = |timeout: &str| {
        hub.bashgym(
            &environment,
            [
                "--format",
                "json",
                "run",
                "--preset",
                "tiny",
                "--max-steps",
                "20",
                "--samples=0",
            ],
        )
        .args(["--timeout", timeout])
        .arg(fixtures())
        .output()
        .unwrap()
    };
    // The embedded Hub ends the job after this second; importing and publishing are done by then.
    let slow = hub
        .bashgym(
            &environment,
            [
                "--format",
                "json",
                "run",
                "--preset",
                "base",
                "--max-steps",
                "100000",
                "--samples=0",
            ],
        )
        .args(["--timeout", "1"])
        .arg(fixtures())
        .output()
        .unwrap();
    assert_eq!(slow.status.code(), Some(9), "{}", stderr(&slow));
    let last = json_lines(&slow).pop().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["kind"].as_str()),
        (Some("error"), Some("job_failed"))
    );
    assert!(last["message"].as_str().unwrap().contains("imeout"), "{last}");
    assert!(stderr(&slow).contains("bashgym jobs logs"), "{}", stderr(&slow));

    let jobs = |count: usize| {
        let jobs = hub
            .bashgym(&environment, ["--format", "json", "jobs", "ls"])
            .output()
            .unwrap();
        assert_eq!(json_lines(&jobs).len(), count);
    };
    jobs(1);
    assert_success(&run("600"));
    jobs(2);
}
