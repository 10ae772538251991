//! Real processes share the followers of one store. One is killed in the middle of a job, one is told to end.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed; who skips says so"
)]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bashgym_core::SystemClock;
use bashgym_core::events::{EventLog, EventReader, Topics};
use bashgym_core::launch::{
    FollowerPolicy, FollowerService, LaunchContext, LaunchPolicy, LaunchPrice, LaunchRequest, LaunchService,
    NoSink, read_train_line,
};
use bashgym_core::ledger::Ledger;
use bashgym_core::store::{JobLineStore, JobStream, LaunchStore, LeaseStore};
use bashgym_store::SqlStore;
use hf_core::{Clock, HfClient, Namespace, RetryPolicy, Token};
use hf_jobs::JobSpec;
use hf_local::{AccountConfig, LocalHub, LocalHubConfig, Plan};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const TEST: &str = "followers_are_shared_and_taken_over_without_losing_a_line";
/// How a process of this test learns that it is a follower: the store, the Hub and its name.
const FOLLOWER: &str = "BASHGYM_TEST_FOLLOWER";
const POSTGRES: &str = "BASHGYM_TEST_POSTGRES";
const TOKEN: &str = "hf_ada_all";
const LINES: usize = 400;
const DEADLINE: Duration = Duration::from_mins(2);

#[test]
fn followers_are_shared_and_taken_over_without_losing_a_line() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match variable(FOLLOWER) {
            Some(task) => follow(&task).await,
            None => tokio::time::timeout(DEADLINE, watch()).await.unwrap(),
        }
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "the way from this test to its own processes, and to the server of the tests"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn open(address: &str) -> SqlStore {
    if address.starts_with("postgres://") {
        SqlStore::connect(address).await.unwrap()
    } else {
        SqlStore::open(&PathBuf::from(address)).await.unwrap()
    }
}

fn launches(store: &SqlStore, endpoint: &str, holder: &str) -> LaunchService {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let client = HfClient::builder()
        .endpoint(endpoint.parse().unwrap())
        .token(Token::parse(TOKEN).unwrap())
        .clock(Arc::clone(&clock))
        .retry(RetryPolicy {
            base: Duration::from_millis(20),
            seed: Some(1),
            ..RetryPolicy::default()
        })
        .build()
        .unwrap();
    LaunchService::new(LaunchContext {
        client,
        store: Arc::new(store.clone()),
        budget: Some(Arc::new(Ledger::new(Arc::new(store.clone()), clock))),
        hub: "embedded".to_owned(),
        holder: holder.to_owned(),
        label: "bashgym-intent".to_owned(),
        read_line: read_train_line,
        policy: LaunchPolicy {
            tick: Duration::from_millis(200),
            lease: Duration::from_secs(2),
            ..LaunchPolicy::default()
        },
    })
}

/// What a process of this test does: it follows until it is killed or told to end.
async fn follow(task: &str) {
    let [address, endpoint, holder] = task.split('|').collect::<Vec<_>>()[..] else {
        panic!("{task}")
    };
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let store = open(address).await;
    let policy = FollowerPolicy {
        scan: Duration::from_millis(100),
        ..FollowerPolicy::default()
    };
    let followers = FollowerService::new(
        launches(&store, endpoint, holder),
        Arc::new(store.clone()),
        policy,
    );
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        stopper.cancel();
    });
    followers.run(stop).await;
    store.close().await;
}

/// Ends with the test, also with one that fails.
struct Process(Child);

impl Process {
    fn start(address: &str, endpoint: &str, holder: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([TEST, "--exact", "--nocapture"])
            .env(FOLLOWER, format!("{address}|{endpoint}|{holder}"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn send(&mut self, signal: Signal) -> std::process::ExitStatus {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn watch() {
    let folder = tempfile::tempdir().unwrap();
    let mut places = vec![folder.path().join("bashgym.db").display().to_string()];
    match variable(POSTGRES) {
        Some(url) => places.push(database(&url).await),
        None => {
            eprintln!("skipped: no PostgreSQL ({TEST}); `cargo xtask test` starts one where it is installed");
        }
    }
    let config = LocalHubConfig::new(folder.path().join("hub"))
        .accounts(vec![AccountConfig::new("ada", TOKEN).plan(Plan::Pro)]);
    let hub = LocalHub::start(config).await.unwrap();
    for place in places {
        take_over(&place, hub.endpoint()).await;
    }
    hub.shutdown().await;
}

/// A new database on the server of the tests.
async fn database(url: &str) -> String {
    use sqlx::Connection;
    let name = format!("bashgym_{}", uuid::Uuid::new_v4().simple());
    let mut connection = sqlx::postgres::PgConnection::connect(url).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    let (server, query) = url.split_once('?').unwrap_or((url, ""));
    format!("{}/{name}?{query}", server.rsplit_once('/').unwrap().0)
}

async fn take_over(address: &str, endpoint: &str) {
    let store = open(address).await;
    let launcher = launches(&store, endpoint, "the one who launches");

    // The first follower is killed in the middle; the second goes on.
    let first_job = launch(&launcher, "killed").await;
    let mut first = Process::start(address, endpoint, "first");
    lines(&store, &first_job, 40).await;
    let mut second = Process::start(address, endpoint, "second");
    let status = first.send(Signal::SIGKILL);
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    let kept = store.count_job_lines(&first_job, JobStream::Log).await.unwrap();
    assert!(kept < LINES as u64, "it was killed before the end");
    finished(&store, "killed").await;
    each_line_once(&store, &first_job).await;

    // The second is told to end: it gives back what it follows, and a third goes on.
    let second_job = launch(&launcher, "given-back").await;
    lines(&store, &second_job, 40).await;
    assert!(second.send(Signal::SIGTERM).success());
    let now = SystemClock::new().now();
    let lease = store
        .take_lease("launch given-back", "probe", now, Duration::from_secs(1))
        .await
        .unwrap();
    assert!(lease.is_some(), "nobody has it");
    store.release_lease("launch given-back", "probe").await.unwrap();
    let mut third = Process::start(address, endpoint, "third");
    finished(&store, "given-back").await;
    each_line_once(&store, &second_job).await;
    assert!(third.send(Signal::SIGTERM).success());
    store.close().await;
}

async fn launch(launcher: &LaunchService, intent: &str) -> String {
    let script = format!("i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; sleep 0.005; done");
    let request = LaunchRequest {
        intent: intent.to_owned(),
        namespace: Namespace::parse("ada").unwrap(),
        spec: JobSpec::docker("alpine", ["sh", "-c", &script]),
        run: None,
        purpose: "test".to_owned(),
        leaves_model: false,
        price: LaunchPrice {
            micro_usd_per_minute: Some(167),
            timeout_secs: Some(600),
            ..LaunchPrice::default()
        },
    };
    let record = launcher.launch(&request, &NoSink).await.unwrap();
    record.job_id().unwrap().to_string()
}

/// Waits until so many lines are kept.
async fn lines(store: &SqlStore, job: &str, count: u64) {
    let mut watch = store.watch().await.unwrap();
    while store.count_job_lines(job, JobStream::Log).await.unwrap() < count {
        let newest = store.bounds().await.unwrap().newest;
        if store.count_job_lines(job, JobStream::Log).await.unwrap() < count {
            watch.wait_after(newest).await.unwrap();
        }
    }
}

/// Waits until the launch is over and settled.
async fn finished(store: &SqlStore, intent: &str) {
    let mut watch = store.watch().await.unwrap();
    loop {
        let newest = store.bounds().await.unwrap().newest;
        if store.find_launch(intent).await.unwrap().unwrap().is_finished() {
            return;
        }
        watch.wait_after(newest).await.unwrap();
    }
}

/// Every line of the job is kept once and in order, and told once and in order; so is what became of it.
async fn each_line_once(store: &SqlStore, job: &str) {
    let kept = store
        .list_job_lines(job, JobStream::Log, 0, 10_000)
        .await
        .unwrap();
    let written: Vec<String> = kept
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.text).unwrap())
        .map(|line| line["data"].as_str().unwrap().to_owned())
        .filter(|line| line.starts_with("line "))
        .collect();
    let all: Vec<String> = (1..=LINES).map(|number| format!("line {number}")).collect();
    assert_eq!(written, all);

    let topics = Topics::parse([format!("job:{job}")]).unwrap();
    let reader = EventReader::new(Arc::new(store.clone()), Arc::new(store.clone()));
    let page = reader.read(0, &topics, 10_000).await.unwrap().unwrap();
    let told: Vec<u64> = page
        .events
        .iter()
        .filter(|event| event.kind == "hf:job:log")
        .flat_map(|event| event.data["lines"].as_array().unwrap())
        .map(|line| line["n"].as_u64().unwrap())
        .collect();
    assert_eq!(told, (1..=kept.len() as u64).collect::<Vec<u64>>());
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for event in &page.events {
        *counts.entry(&event.kind).or_default() += 1;
    }
    for kind in [
        "hf:job:created",
        "hf:job:started",
        "hf:job:succeeded",
        "hf:job:settled",
    ] {
        assert_eq!(counts.get(kind), Some(&1), "{kind}: {counts:?}");
    }
}
