//! What a job is while it runs and once it is over.

mod jobs_support;

use std::os::unix::fs::PermissionsExt;

use hf_local::{ExecutorConfig, HubClock};
use jobs_support::{TestHub, sh, variables};
use serde_json::json;

#[tokio::test]
async fn a_job_runs_its_command_and_completes() {
    let hub = TestHub::start().await;
    let job = json!({
        "dockerImage": "python:3.12", "command": ["sh", "-c", "echo \"$0 $1\"; pwd"], "arguments": ["one", "two words"],
        "environment": {"EPOCHS": "3"}, "secrets": {"TOKEN": "s3cret"}, "flavor": "a10g-small", "timeoutSeconds": 90,
        "labels": {"name": "first"}, "arch": "amd64",
    });
    let created = hub.post("/api/jobs/ada", &job).await;
    assert_eq!(created["type"], "job");
    assert_eq!(
        created["status"],
        json!({"stage": "SCHEDULING", "message": null, "failureCount": 0})
    );
    for (key, value) in [
        ("dockerImage", json!("python:3.12")),
        ("command", job["command"].clone()),
        ("arguments", job["arguments"].clone()),
        ("environment", json!({"EPOCHS": "3"})),
        ("secrets", json!(["TOKEN"])),
        ("flavor", json!("a10g-small")),
        ("arch", json!("amd64")),
        ("timeout", json!(90)),
        ("retry", json!(0)),
        ("labels", json!({"name": "first"})),
    ] {
        assert_eq!(created[key], value, "{key}");
    }
    let id = created["id"].as_str().unwrap();
    assert!(
        id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    assert_eq!(created["owner"]["name"], "ada");
    assert_eq!(created["owner"]["type"], "user");
    assert_eq!(created["initiator"]["id"], created["createdBy"]["id"]);
    assert!(created.get("startedAt").is_none() && created.get("finishedAt").is_none());

    let done = hub.finished(id).await;
    assert_eq!(
        done["status"],
        json!({"stage": "COMPLETED", "message": null, "failureCount": 0})
    );
    assert!(done["startedAt"].as_str() >= done["createdAt"].as_str());
    assert!(done["finishedAt"].as_str() >= done["startedAt"].as_str());
    for duration in ["schedulingSecs", "runningSecs", "totalSecs"] {
        assert!(done["durations"][duration].is_u64(), "{duration}: {done}");
    }

    let log = hub.log(id, "").await;
    // Clients hide this line and show the others.
    let first = &log.all[0];
    assert!(first.starts_with("===== Job started at 20"), "{first}");
    assert!(
        first.contains("a process on this machine, not a container; image python:3.12 is recorded"),
        "{first}"
    );
    assert!(first.contains("flavor a10g-small is recorded"), "{first}");
    let work = hub
        .folder
        .path()
        .canonicalize()
        .unwrap()
        .join("jobs")
        .join(id)
        .join("work");
    assert_eq!(
        log.lines,
        ["one two words".to_owned(), work.display().to_string()]
    );
    assert_eq!(hub.history(id).await, ["SCHEDULING", "RUNNING", "COMPLETED"]);

    // What a container leaves goes with it; the log stays, for its owner alone.
    assert!(!work.exists());
    let folder = work.parent().unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.to_owned()), 0o700);
    assert_eq!(mode(folder.join("log.jsonl")), 0o600);
}

#[tokio::test]
async fn a_job_sees_its_own_environment_and_nothing_of_the_hub() {
    let mut executor = ExecutorConfig::default();
    executor.path_prepend = vec!["/opt/tools".into()];
    executor.environment = [
        ("FROM_HUB".to_owned(), "yes".to_owned()),
        ("A_A".to_owned(), "hub".to_owned()),
    ]
    .into();
    let hub = TestHub::with(executor, HubClock::real()).await;
    let mut job = sh("env; cat; echo end of input");
    job["environment"] = json!({"EPOCHS": "3", "A_A": "job", "B_B": "job", "JOB_ID": "mine"});
    job["secrets"] = json!({"TOKEN": "s3cret", "B_B": "secret"});
    let (job, lines) = hub.run(&job).await;
    assert_eq!(job["status"]["stage"], "COMPLETED");
    assert_eq!(lines.last().unwrap(), "end of input");
    let mut seen = variables(&lines);
    // The shell's own.
    for own in ["PWD", "SHLVL", "_", "OLDPWD"] {
        seen.remove(own);
    }
    let work = hub
        .folder
        .path()
        .canonicalize()
        .unwrap()
        .join("jobs")
        .join(job["id"].as_str().unwrap());
    for (name, value) in [
        ("HOME", work.join("work").display().to_string()),
        ("TMPDIR", work.join("tmp").display().to_string()),
        ("HF_ENDPOINT", hub.hub.endpoint().to_owned()),
        ("JOB_ID", job["id"].as_str().unwrap().to_owned()),
        ("ACCELERATOR", "none".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("FROM_HUB", "yes".to_owned()),
        ("EPOCHS", "3".to_owned()),
        ("A_A", "job".to_owned()),
        ("B_B", "secret".to_owned()),
        ("TOKEN", "s3cret".to_owned()),
    ] {
        assert_eq!(seen.remove(name).as_ref(), Some(&value), "{name}");
    }
    assert!(
        seen.remove("PATH")
            .unwrap()
            .starts_with("/opt/tools:/usr/local/sbin:")
    );
    assert!((1..=2).contains(&seen.remove("CPU_CORES").unwrap().parse::<u32>().unwrap()));
    assert!(seen.remove("MEMORY").unwrap().ends_with("Gi"));
    assert!(seen.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn a_secret_is_in_no_file_of_the_hub() {
    fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let hub = TestHub::start().await;
    let mut job = sh("test -n \"$TOKEN\" && echo ready; sleep 100");
    job["secrets"] = json!({"TOKEN": "s3cret-that-stays-in-memory"});
    let id = hub.submit(&job).await;
    hub.lines_so_far(&id, 1).await;
    let holds_secret = || {
        let mut all = Vec::new();
        files(hub.folder.path(), &mut all);
        assert!(all.iter().any(|path| path.ends_with("index.sqlite")), "{all:?}");
        all.into_iter().find(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains("stays-in-memory")
        })
    };
    assert_eq!(holds_secret(), None);
    assert_eq!(hub.cancel(&id).await["secrets"], json!(["TOKEN"]));
    assert_eq!(holds_secret(), None);
}

#[tokio::test]
async fn a_failure_names_the_exit_code_or_the_signal() {
    let hub = TestHub::start().await;
    for (script, message) in [
        ("exit 3", "Job failed with exit code: 3"),
        (
            "kill -9 $$",
            "Job failed with exit code: 137. Reason: killed by signal 9 (SIGKILL)",
        ),
        (
            "kill -15 $$",
            "Job failed with exit code: 143. Reason: killed by signal 15 (SIGTERM)",
        ),
    ] {
        let (job, _) = hub.run(&sh(script)).await;
        assert_eq!(
            job["status"],
            json!({"stage": "ERROR", "message": message, "failureCount": 1}),
            "{script}"
        );
    }
}

#[tokio::test]
async fn a_command_that_does_not_start_is_named() {
    let hub = TestHub::start().await;
    let file = hub.folder.path().join("no-program");
    std::fs::write(&file, "text").unwrap();
    for (command, words) in [
        (
            "nonesuch-program",
            "\"nonesuch-program\" could not be started: it is in none of the folders of PATH",
        ),
        (
            "/nonesuch/program",
            "\"/nonesuch/program\" could not be started: no such file",
        ),
        (file.to_str().unwrap(), "it is not executable"),
    ] {
        let job = json!({"dockerImage": "a", "command": [command], "flavor": "cpu-basic", "attempts": 3});
        let (job, _) = hub.run(&job).await;
        assert_eq!(job["status"]["stage"], "ERROR");
        let message = job["status"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
        let log = hub.log(job["id"].as_str().unwrap(), "").await;
        assert_eq!(log.lines, [message]);
    }
}

#[tokio::test]
async fn a_command_is_found_in_the_folders_that_come_first() {
    let tools = tempfile::tempdir().unwrap();
    let tool = tools.path().join("seq");
    std::fs::write(&tool, "#!/bin/sh\necho \"ours $1\"\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut executor = ExecutorConfig::default();
    executor.path_prepend = vec![tools.path().to_owned()];
    let hub = TestHub::with(executor, HubClock::real()).await;
    // The longest time-out there is, too.
    let job = json!({"spaceId": "a/b", "command": ["seq"], "arguments": ["1"], "flavor": "t4-small",
        "timeoutSeconds": 9_007_199_254_740_991_u64});
    let (job, lines) = hub.run(&job).await;
    assert_eq!(lines, ["ours 1"], "{job}");
    assert_eq!(job["spaceId"], "a/b");
    assert!(job.get("dockerImage").is_none());
}

#[tokio::test]
async fn a_job_without_a_place_on_disk_fails_and_says_why() {
    let hub = TestHub::start().await;
    let folder = hub.folder.path().join("jobs");
    std::fs::remove_dir(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let id = hub.submit(&sh("true")).await;
    let job = hub.finished(&id).await;
    assert_eq!(job["status"]["stage"], "ERROR");
    assert!(
        job["status"]["message"]
            .as_str()
            .unwrap()
            .starts_with("The job could not be started: "),
        "{job}"
    );
    assert_eq!(hub.history(&id).await, ["SCHEDULING", "ERROR"]);
    assert!(hub.log(&id, "").await.all.is_empty());
}

#[tokio::test]
async fn output_is_kept_to_the_last_byte() {
    let mut executor = ExecutorConfig::default();
    executor.max_line_bytes = 10;
    let hub = TestHub::with(executor, HubClock::real()).await;
    let script =
        r"printf 'a\377b\n'; printf '10%%\r20%%\r\n'; printf '0123456789abcde\n\n'; printf 'no newline'";
    let (_, lines) = hub.run(&sh(script)).await;
    assert_eq!(
        lines,
        ["a\u{fffd}b", "10%\r20%", "0123456789", "abcde", "", "no newline"]
    );
}

#[tokio::test]
async fn a_log_over_its_limit_is_cut_and_the_job_goes_on() {
    let mut executor = ExecutorConfig::default();
    executor.max_log_bytes = 100_000;
    let hub = TestHub::with(executor, HubClock::real()).await;
    let (job, lines) = hub
        .run(&sh(
            "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; exit 4",
        ))
        .await;
    assert_eq!(job["status"]["message"], "Job failed with exit code: 4");
    assert!(lines.len() > 500 && lines.len() < 3000, "{}", lines.len());
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(index, line)| *line == index.to_string())
    );
    let log = hub.log(job["id"].as_str().unwrap(), "?tail=1").await;
    assert!(log.all[0].starts_with("===== Log cut here"), "{:?}", log.all);
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another_in_an_empty_folder() {
    let hub = TestHub::start().await;
    let counter = hub.folder.path().join("counter");
    let script = format!(
        "ls | wc -l | tr -d ' '; touch left; echo x >> {0}; test $(wc -l < {0}) -ge 3",
        counter.display()
    );
    let mut job = sh(&script);
    job["attempts"] = 5.into();
    let (job, lines) = hub.run(&job).await;
    assert_eq!(
        job["status"],
        json!({"stage": "COMPLETED", "message": null, "failureCount": 2})
    );
    assert_eq!(job["retry"], 4);
    assert_eq!(lines, ["0", "0", "0"]);

    let mut job = sh("exit 7");
    job["attempts"] = 3.into();
    let (job, _) = hub.run(&job).await;
    let message = "Job failed with exit code: 7";
    assert_eq!(
        job["status"],
        json!({"stage": "ERROR", "message": message, "failureCount": 3})
    );
    assert_eq!(
        hub.history(job["id"].as_str().unwrap()).await,
        ["SCHEDULING", "RUNNING", "ERROR"]
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_memory_limit_holds() {
    let mut executor = ExecutorConfig::default();
    executor.memory_limit_bytes = Some(256 << 20);
    let hub = TestHub::with(executor, HubClock::real()).await;
    // The limit is set right after the start, so the script looks until it is there.
    let script = "for i in $(seq 1000); do l=$(ulimit -v); [ \"$l\" = unlimited ] || break; done; echo $l";
    let (job, lines) = hub.run(&sh(script)).await;
    assert_eq!(lines, ["262144"], "{job}");
}
