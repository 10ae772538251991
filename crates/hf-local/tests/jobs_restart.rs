//! What a hub that was killed leaves, and what the next one does about it.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod jobs_support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use hf_local::{ExecutorConfig, HubClock};
use jobs_support::{ADA, TestHub, is_alive, sh, start_in};
use serde_json::{Value, json};

/// Names the data folder to the hub in the other process.
const FOLDER: &str = "HF_LOCAL_TEST_FOLDER";

fn one_at_a_time() -> ExecutorConfig {
    let mut executor = ExecutorConfig::default();
    executor.max_running = 1;
    // Long enough that a cancel is still at work when the hub is killed.
    executor.grace = Duration::from_secs(1000);
    executor
}

/// The hub that is killed: this test program, started once more.
#[tokio::test]
#[ignore = "started by the tests that kill it"]
async fn hub_in_another_process() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let hub = start_in(&PathBuf::from(folder), one_at_a_time(), HubClock::real()).await;
    println!("endpoint={}", hub.endpoint());
    std::future::pending::<()>().await;
}

struct Killed {
    child: std::process::Child,
    endpoint: String,
    client: reqwest::Client,
}

impl Killed {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["hub_in_another_process", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let endpoint = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .find_map(|line| Some(line.unwrap().split_once("endpoint=")?.1.to_owned()))
            .expect("the hub says where it is");
        Self {
            child,
            endpoint,
            client: reqwest::Client::new(),
        }
    }

    async fn submit(&self, job: &Value) -> String {
        let request = self
            .client
            .post(format!("{}/api/jobs/ada", self.endpoint))
            .bearer_auth(ADA)
            .json(job);
        let job: Value = request
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .json()
            .await
            .unwrap();
        job["id"].as_str().unwrap().to_owned()
    }

    fn cancel(&self, id: &str) -> tokio::task::JoinHandle<()> {
        let request = self
            .client
            .post(format!("{}/api/jobs/ada/{id}/cancel", self.endpoint))
            .bearer_auth(ADA);
        // No answer comes: the hub is killed before the job is over.
        tokio::spawn(async move { drop(request.send().await) })
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // After a failed assertion no hub may stay behind.
        drop(self.child.kill());
    }
}

/// Waits for lines in a log and returns them.
async fn lines(folder: &Path, id: &str, count: usize) -> Vec<String> {
    let path = folder.join("jobs").join(id).join("log.jsonl");
    jobs_support::eventually("lines of a job", || async {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<String> = jobs_support::events(&text.replace("{\"data\"", "data: {\"data\""))
            .iter()
            .map(|line| line["data"].as_str().unwrap().to_owned())
            .filter(|line| !line.starts_with("===== "))
            .collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

#[tokio::test]
async fn a_killed_hub_leaves_no_running_job_and_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let killed = Killed::start(folder.path());
    let running = killed
        .submit(&sh(
            "trap '' HUP PIPE; setsid sh -c 'echo $$; exec sleep 1000' & echo $$; wait",
        ))
        .await;
    let waiting = killed.submit(&sh("echo later")).await;
    let mut secret = sh("echo never");
    secret["secrets"] = json!({"TOKEN": "x"});
    let with_secret = killed.submit(&secret).await;
    let pids: Vec<i32> = lines(folder.path(), &running, 2)
        .await
        .iter()
        .map(|line| line.parse().unwrap())
        .collect();
    killed.kill();
    assert!(
        pids.iter().all(|&pid| is_alive(pid)),
        "the processes outlive their hub: {pids:?}"
    );
    // What a write that was cut short leaves.
    let log = folder.path().join("jobs").join(&running).join("log.jsonl");
    let mut text = std::fs::read_to_string(&log).unwrap();
    text.push_str("{\"data\":\"half a li");
    std::fs::write(&log, text).unwrap();

    let hub = TestHub::on(folder, one_at_a_time()).await;
    assert!(pids.iter().all(|&pid| !is_alive(pid)), "{pids:?}");
    let job = hub.inspect(&running).await;
    assert_eq!(job["status"]["stage"], "ERROR");
    assert!(
        job["status"]["message"]
            .as_str()
            .unwrap()
            .starts_with("The hub stopped while the job ran"),
        "{job}"
    );
    assert!(job["finishedAt"].is_string());
    assert_eq!(hub.history(&running).await, ["SCHEDULING", "RUNNING", "ERROR"]);
    assert_eq!(hub.log(&running, "").await.lines.len(), 2);
    assert_eq!(hub.finished(&waiting).await["status"]["stage"], "COMPLETED");
    let job = hub.inspect(&with_secret).await;
    assert_eq!(job["status"]["stage"], "ERROR");
    assert!(
        job["status"]["message"]
            .as_str()
            .unwrap()
            .contains("secrets were kept in memory only"),
        "{job}"
    );
}

#[tokio::test]
async fn a_cancel_that_was_cut_short_is_finished_by_the_next_hub() {
    let folder = tempfile::tempdir().unwrap();
    let killed = Killed::start(folder.path());
    let id = killed
        .submit(&sh(
            "trap 'echo stubborn' TERM; echo $$; while :; do sleep 0.02; done",
        ))
        .await;
    let pid: i32 = lines(folder.path(), &id, 1).await[0].parse().unwrap();
    let cancel = killed.cancel(&id);
    lines(folder.path(), &id, 2).await;
    killed.kill();
    cancel.await.unwrap();

    let hub = TestHub::on(folder, one_at_a_time()).await;
    assert!(!is_alive(pid));
    assert_eq!(hub.inspect(&id).await["status"]["stage"], "CANCELED");
}
