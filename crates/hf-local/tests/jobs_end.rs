//! How jobs end before they do by themselves: cancel, time-out, shutdown.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod jobs_support;

use std::time::Duration;

use hf_local::{ExecutorConfig, HubClock};
use jobs_support::{TestHub, eventually, is_alive, sh};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

fn short_grace() -> ExecutorConfig {
    let mut executor = ExecutorConfig::default();
    executor.grace = Duration::from_millis(300);
    executor
}

/// Starts processes of every kind that is hard to end, prints their pids, and waits.
const TREE: &str = "
    sleep 1000 & echo $!
    (trap '' TERM; echo $(sh -c 'echo $PPID'); while :; do sleep 0.05; done) &
    setsid sh -c 'echo $$; exec sleep 1000' &
    env -i setsid sh -c 'echo $$; exec sleep 1000' &
    wait";

async fn pids(hub: &TestHub, id: &str) -> Vec<i32> {
    let lines = hub.lines_so_far(id, 4).await;
    let pids: Vec<i32> = lines.iter().map(|line| line.parse().unwrap()).collect();
    assert!(pids.iter().all(|&pid| is_alive(pid)), "{pids:?}");
    pids
}

async fn all_gone(pids: &[i32]) {
    eventually("the end of all processes", || async {
        pids.iter().all(|&pid| !is_alive(pid)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cancel_ends_the_whole_tree() {
    let hub = TestHub::with(short_grace(), HubClock::real()).await;
    let id = hub.submit(&sh(TREE)).await;
    let pids = pids(&hub, &id).await;
    let job = hub.cancel(&id).await;
    assert_eq!(
        job["status"],
        json!({"stage": "CANCELED", "message": null, "failureCount": 0})
    );
    // The answer comes when the tree is gone, not before.
    assert!(pids.iter().all(|&pid| !is_alive(pid)), "{pids:?}");
    assert_eq!(hub.history(&id).await, ["SCHEDULING", "RUNNING", "CANCELED"]);
    // Once more changes nothing.
    assert_eq!(hub.cancel(&id).await, job);
}

#[tokio::test]
async fn a_time_out_ends_the_whole_tree() {
    let clock = HubClock::real();
    let hub = TestHub::with(short_grace(), clock.clone()).await;
    let mut job = sh(TREE);
    job["timeoutSeconds"] = 3600.into();
    let id = hub.submit(&job).await;
    let pids = pids(&hub, &id).await;
    assert_eq!(hub.stage(&id).await, "RUNNING");
    clock.advance(Duration::from_hours(1));
    let job = hub.finished(&id).await;
    assert_eq!(job["status"]["stage"], "ERROR");
    assert_eq!(job["status"]["message"], "Job timeout");
    assert!(job["durations"]["runningSecs"].as_u64().unwrap() >= 3600);
    all_gone(&pids).await;
}

#[tokio::test]
async fn what_the_command_leaves_behind_ends_with_it() {
    let hub = TestHub::start().await;
    // The one left behind holds the job's output open.
    let (job, lines) = hub
        .run(&sh(
            "setsid sh -c 'echo $$ | tee pid; exec sleep 1000' & while [ ! -s pid ]; do sleep 0.02; done; echo done",
        ))
        .await;
    assert_eq!(job["status"]["stage"], "COMPLETED");
    let (numbers, words): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.parse::<i32>().is_ok());
    assert_eq!(words, ["done"]);
    all_gone(&[numbers[0].parse().unwrap()]).await;
}

#[tokio::test]
async fn a_process_that_ends_in_good_order_is_let() {
    let hub = TestHub::start().await;
    let script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.02; done";
    let id = hub.submit(&sh(script)).await;
    hub.lines_so_far(&id, 1).await;
    assert_eq!(hub.cancel(&id).await["status"]["stage"], "CANCELED");
    // The shell may tell of its child in between.
    let lines = hub.log(&id, "").await.lines;
    assert_eq!(
        (lines[0].as_str(), lines[lines.len() - 1].as_str()),
        ("ready", "saved"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_job_that_waits_can_be_canceled_and_gives_its_place_up() {
    let mut executor = short_grace();
    executor.max_running = 1;
    let hub = TestHub::with(executor, HubClock::real()).await;
    let first = hub.submit(&sh("echo up; sleep 1000")).await;
    hub.lines_so_far(&first, 1).await;
    let second = hub.submit(&sh("echo never")).await;
    let third = hub.submit(&sh("echo third")).await;
    assert_eq!(hub.stage(&second).await, "SCHEDULING");
    let canceled = hub.cancel(&second).await;
    assert_eq!(canceled["status"]["stage"], "CANCELED");
    assert!(canceled.get("startedAt").is_none() && canceled["durations"].get("runningSecs").is_none());
    assert_eq!(hub.history(&second).await, ["SCHEDULING", "CANCELED"]);
    assert!(hub.log(&second, "").await.all.is_empty());
    hub.cancel(&first).await;
    assert_eq!(hub.finished(&third).await["status"]["stage"], "COMPLETED");
}

#[tokio::test]
async fn jobs_start_in_the_order_they_came() {
    let mut executor = ExecutorConfig::default();
    executor.max_running = 1;
    let hub = TestHub::with(executor, HubClock::real()).await;
    let order = hub.folder.path().join("order");
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(
            hub.submit(&sh(&format!("echo {number} >> {}", order.display())))
                .await,
        );
    }
    let mut started = Vec::new();
    for id in &ids {
        started.push(hub.finished(id).await["startedAt"].as_str().unwrap().to_owned());
    }
    assert!(started.is_sorted(), "{started:?}");
    let order = std::fs::read_to_string(order).unwrap();
    assert_eq!(
        order.lines().collect::<Vec<_>>(),
        (0..12).map(|number| number.to_string()).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn whatever_races_with_a_cancel_there_is_one_end() {
    let mut executor = short_grace();
    executor.max_running = 5;
    let hub = TestHub::with(executor, HubClock::real()).await;
    let mut random = StdRng::seed_from_u64(7);
    let mut jobs = Vec::new();
    for _ in 0..40 {
        let script = format!(
            "sleep 0.0{}; exit {}",
            random.random_range(0..6),
            random.random_range(0..2)
        );
        let mut job = sh(&script);
        job["attempts"] = random.random_range(1..3).into();
        jobs.push((job, random.random_range(0..4), random.random_range(0..60)));
    }
    // One that can only be canceled.
    jobs.push((sh("sleep 1000"), 3, 10));
    let ends = jobs.iter().map(|(job, cancels, wait_ms)| {
        let hub = &hub;
        async move {
            let id = &hub.submit(job).await;
            tokio::time::sleep(Duration::from_millis(*wait_ms)).await;
            futures::future::join_all((0..*cancels).map(|_| hub.cancel(id))).await;
            let job = hub.finished(id).await;
            let history = hub.history(id).await;
            let end = job["status"]["stage"].as_str().unwrap().to_owned();
            assert_eq!(history.last(), Some(&end), "{history:?}");
            let before: Vec<&str> = history[..history.len() - 1].iter().map(String::as_str).collect();
            assert!(
                before == ["SCHEDULING", "RUNNING"] || (before == ["SCHEDULING"] && end == "CANCELED"),
                "{history:?}"
            );
            assert!(*cancels > 0 || end != "CANCELED", "{history:?}");
            // The end stays.
            assert_eq!(hub.cancel(id).await["status"], job["status"]);
            end
        }
    });
    let ends = futures::future::join_all(ends).await;
    assert!(
        ends.iter().any(|end| end == "CANCELED") && ends.iter().any(|end| end != "CANCELED"),
        "{ends:?}"
    );
}

#[test]
fn a_hub_that_is_dropped_leaves_no_process() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let (hub, pids) = first.block_on(async {
        let hub = TestHub::start().await;
        let id = hub.submit(&sh(TREE)).await;
        let pids = pids(&hub, &id).await;
        (hub, pids)
    });
    drop(hub);
    // The tasks that own the jobs go with it.
    first.shutdown_background();
    runtime().block_on(all_gone(&pids));
}

#[tokio::test]
async fn a_shutdown_cancels_what_runs_and_keeps_what_waits() {
    let mut executor = short_grace();
    executor.max_running = 1;
    let hub = TestHub::with(executor.clone(), HubClock::real()).await;
    let running = hub.submit(&sh(TREE)).await;
    let waiting = hub.submit(&sh("echo later")).await;
    let mut secret = sh("echo never");
    secret["secrets"] = json!({"TOKEN": "x"});
    let with_secret = hub.submit(&secret).await;
    let pids = pids(&hub, &running).await;
    let hub = hub.restart(executor).await;
    assert!(pids.iter().all(|&pid| !is_alive(pid)), "{pids:?}");
    let job = hub.inspect(&running).await;
    assert_eq!(job["status"]["stage"], "CANCELED");
    assert_eq!(
        job["status"]["message"],
        "The hub was shut down while the job ran"
    );
    assert_eq!(hub.finished(&waiting).await["status"]["stage"], "COMPLETED");
    assert_eq!(hub.log(&waiting, "").await.lines, ["later"]);
    let job = hub.inspect(&with_secret).await;
    assert_eq!(job["status"]["stage"], "ERROR");
    assert!(
        job["status"]["message"]
            .as_str()
            .unwrap()
            .contains("secrets were kept in memory only")
    );
}
