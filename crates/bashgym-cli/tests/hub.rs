//! `bashgym hub serve`: what scripts rely on, and what a crash leaves behind.

mod common;

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::{Environment, Hub, assert_success, bytes_below, json_lines, stderr, wait_until};
use futures::StreamExt;
use hf_core::RepoType;
use hf_datasets::RepoFiles;
use hf_jobs::{HfJobRunner, JobSpec, JobStage, LogOptions};

#[test]
fn the_hub_says_when_it_is_ready_and_ends_on_sigterm() {
    let environment = Environment::new();
    let data = environment.path("hub");
    let first = Hub::start(&environment, &data);
    let (name, token) = (first.name.clone(), first.token.clone());
    assert!(first.endpoint.starts_with("http://127.0.0.1:"));
    let status = first
        .bashgym(&environment, ["--format", "json", "status"])
        .output()
        .unwrap();
    assert_success(&status);
    assert_eq!(json_lines(&status)[0]["account"]["state"], "signed_in");
    assert!(
        !String::from_utf8_lossy(&status.stdout).contains(&token),
        "status shows the token"
    );
    assert!(first.terminate(), "SIGTERM ends it well");

    let second = Hub::start(&environment, &data);
    assert_eq!(
        (&second.name, &second.token),
        (&name, &token),
        "the account is kept"
    );
}

#[test]
fn a_port_in_use_is_named() {
    let environment = Environment::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = environment
        .bashgym(["hub", "serve", "--port", &port, "--data"])
        .arg(environment.path("hub"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(&port) && stderr(&output).contains("in use"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_second_hub_on_the_same_folder_is_refused() {
    let environment = Environment::new();
    let data = environment.path("hub");
    let _first = Hub::start(&environment, &data);
    let output = environment
        .bashgym(["hub", "serve", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", stderr(&output));
    assert!(stderr(&output).contains("in use"), "{}", stderr(&output));
}

#[expect(clippy::unwrap_used, reason = "without its data the test has failed")]
fn write_dataset(dir: &Path, rows: usize) {
    std::fs::create_dir_all(dir).unwrap();
    let row = |number: usize| {
        let filler = (0..40).fold(String::new(), |mut text, n| {
            let _ = write!(
                text,
                "{:016x}",
                (number * 131 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            );
            text
        });
        format!(
            r#"{{"messages":[{{"role":"user","content":"{number} {filler}"}},{{"role":"assistant","content":"ok"}}]}}"#
        )
    };
    for (name, rows) in [("train.jsonl", rows), ("val.jsonl", 3)] {
        let mut file = std::io::BufWriter::new(std::fs::File::create(dir.join(name)).unwrap());
        for number in 0..rows {
            writeln!(file, "{}", row(number)).unwrap();
        }
    }
    std::fs::write(dir.join("metadata.json"), "{}").unwrap();
    std::fs::write(dir.join("README.md"), "---\nlicense: mit\n---\n# rows\n").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_hub_during_an_upload_leaves_the_old_head_or_the_new() {
    let environment = Environment::new();
    let data = environment.path("hub");
    let dataset = environment.path("dataset");
    // Rounds differ in how much the Hub has taken in when it is killed.
    for (round, kilobytes) in [0_u64, 200, 4_000, 15_000].into_iter().enumerate() {
        write_dataset(&dataset, 30_000 + round);
        let hub = Hub::start(&environment, &data);
        let head = |hub: &Hub| {
            let repo = RepoFiles::new(
                &hub.client(),
                RepoType::Dataset,
                format!("{}/rows", hub.name).parse().unwrap(),
            );
            async move { repo.info(None).await.ok() }
        };
        let before = head(&hub).await;
        let taken = bytes_below(&data);
        let mut push = hub
            .bashgym(&environment, ["data", "push"])
            .arg(&dataset)
            .arg("rows")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the Hub took enough in, or the push ended", || {
            bytes_below(&data) > taken + kilobytes * 1000 || push.try_wait().unwrap().is_some()
        });
        hub.kill_9();
        let _ = push.kill();
        push.wait().unwrap();

        let hub = Hub::start(&environment, &data);
        let after = head(&hub).await;
        let files = |info: &Option<hf_datasets::RepoInfo>| -> Option<Vec<String>> {
            info.as_ref()
                .map(|info| info.siblings.iter().map(|file| file.path.clone()).collect())
        };
        if after.as_ref().and_then(|info| info.sha.clone())
            != before.as_ref().and_then(|info| info.sha.clone())
        {
            let files = files(&after).unwrap_or_default();
            let data_files = files.iter().filter(|file| !file.starts_with('.')).count();
            assert!(data_files == 0 || data_files == 4, "between heads: {files:?}");
        }
        let again = hub
            .bashgym(&environment, ["data", "push"])
            .arg(&dataset)
            .arg("rows")
            .output()
            .unwrap();
        assert_success(&again);
        let pulled = environment.path(&format!("pulled-{round}"));
        assert_success(
            &hub.bashgym(&environment, ["data", "pull", "rows"])
                .arg(&pulled)
                .output()
                .unwrap(),
        );
        for file in ["train.jsonl", "val.jsonl"] {
            assert!(
                std::fs::read(dataset.join(file)).unwrap() == std::fs::read(pulled.join(file)).unwrap(),
                "{file} differs"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_hub_during_a_job_does_not_leave_it_shown_as_running() {
    let environment = Environment::new();
    let data = environment.path("hub");
    let hub = Hub::start(&environment, &data);
    let runner = HfJobRunner::new(&hub.client(), hub.name.parse().unwrap());
    let mut spec = JobSpec::docker("none", ["sh", "-c", "echo pid $$; exec sleep 600"]);
    spec.flavor = "cpu-basic".to_owned();
    let job = runner.run(&spec).await.unwrap();
    let options = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let pid = {
        let mut lines = runner.stream_logs(&job.id, options);
        loop {
            let line = lines.next().await.unwrap().unwrap();
            if let Some(pid) = line.text.strip_prefix("pid ") {
                break pid.trim().to_owned();
            }
        }
    };
    assert!(Path::new("/proc").join(&pid).exists());
    hub.kill_9();

    let hub = Hub::start(&environment, &data);
    let runner = HfJobRunner::new(&hub.client(), hub.name.parse().unwrap());
    let found = runner.get_job(&job.id).await.unwrap();
    assert_eq!(found.status.stage, JobStage::Error, "{:?}", found.status);
    wait_until("the job's process is gone", || {
        let stat = std::fs::read_to_string(Path::new("/proc").join(&pid).join("stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
}
