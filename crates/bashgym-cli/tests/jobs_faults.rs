//! Jobs on a real local Hub that fails in every way: one job for an intent, each line once, no cap passed.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

mod common;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::launch::{
    LaunchContext, LaunchPolicy, LaunchPrice, LaunchRecord, LaunchRequest, LaunchService, NoSink,
    read_train_line,
};
use bashgym_core::ledger::{Cap, CapScope, EntryFilter, EntryState, Ledger, MicroUsd, Service, Window};
use bashgym_core::store::{JobLineStore, JobStream};
use bashgym_core::trainer::INTENT_LABEL;
use bashgym_store::SqlStore;
use futures::StreamExt;
use hf_core::{Clock, HfClient, Namespace, RetryPolicy, SystemClock, Token};
use hf_jobs::{HfJobRunner, JobSpec};
use hf_local::{AccountConfig, FaultKind, FaultRule, LocalHub, LocalHubConfig, Plan};
use jiff::Timestamp;
use serde_json::json;

use common::{Environment, Hub, assert_success, json_lines, wait_until};

/// How many schedules are played.
const SCHEDULES: u64 = 24;
/// How many of them at once.
const AT_ONCE: usize = 4;
/// Lines a job writes.
const LINES: usize = 300;
/// What a minute of `cpu-basic` costs in millionths of a dollar, and what a job may run.
const PRICE: u64 = 167;
const MINUTES: u64 = 3;
const TOKEN: &str = "hf_ada_all";

/// The machine's time, run fast: what waits minutes waits seconds, and what is on its way still takes its own time.
#[derive(Debug)]
struct FastClock {
    begun: Timestamp,
    machine: SystemClock,
}

const SPEED: u32 = 40;

#[async_trait]
impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let passed = self.machine.now().duration_since(self.begun);
        self.begun + passed * i32::try_from(SPEED).unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed() * SPEED
    }

    async fn sleep(&self, duration: Duration) {
        self.machine.sleep(duration / SPEED).await;
    }
}

/// Random numbers that a seed decides (`SplitMix64`).
struct Rng(u64);

impl Rng {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// A process that dies after so many turns, in the middle of whatever it does.
struct Dying<F> {
    work: Pin<Box<F>>,
    turns: u64,
}

impl<F: Future> Future for Dying<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.turns == 0 {
            return Poll::Ready(None);
        }
        self.turns -= 1;
        self.work.as_mut().poll(context).map(Some)
    }
}

fn fault(rng: &mut Rng) -> FaultRule {
    let submit = |kind| FaultRule::new(kind).method("POST").path_contains("/api/jobs/ada");
    let log = |kind| FaultRule::new(kind).method("GET").path_contains("/logs");
    let look = |kind| FaultRule::new(kind).method("GET").path_contains("/api/jobs/ada");
    let status = |code| FaultKind::Status {
        code,
        retry_after: None,
    };
    match rng.next(10) {
        0 => submit(FaultKind::CreatedBut500),
        1 => submit(FaultKind::ResetAfterBytes { n: rng.next(200) }),
        2 => submit(FaultKind::Truncate { n: rng.next(60) }),
        3 => submit(FaultKind::ResetBefore),
        4 => submit(status(502)),
        5 => submit(FaultKind::HoldReply { ms: rng.next(300) }),
        6 => log(FaultKind::ResetAfterBytes {
            n: 200 + rng.next(6000),
        })
        .times(1 + rng.next(3)),
        7 => log(FaultKind::Truncate { n: rng.next(6000) }).times(1 + rng.next(3)),
        8 => look(status(503)).times(1 + rng.next(4)),
        _ => look(FaultKind::ResetBefore).times(1 + rng.next(4)),
    }
}

/// One process with the common store.
async fn process(
    hub: &LocalHub,
    folder: &Path,
    clock: &Arc<FastClock>,
    name: &str,
) -> (LaunchService, Ledger) {
    let client = HfClient::builder()
        .endpoint(hub.endpoint().parse().unwrap())
        .token(Token::parse(TOKEN).unwrap())
        .clock(clock.clone())
        .retry(RetryPolicy {
            seed: Some(1),
            ..RetryPolicy::default()
        })
        .build()
        .unwrap();
    let store = Arc::new(SqlStore::open(&folder.join("bashgym.db")).await.unwrap());
    let ledger = Ledger::new(store.clone(), clock.clone());
    let launches = LaunchService::new(LaunchContext {
        client,
        store,
        budget: Some(Arc::new(ledger.clone())),
        hub: "local".to_owned(),
        holder: name.to_owned(),
        label: INTENT_LABEL.to_owned(),
        read_line: read_train_line,
        policy: LaunchPolicy::default(),
    });
    (launches, ledger)
}

fn request(intent: &str) -> LaunchRequest {
    let script = format!("i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); done");
    let mut spec = JobSpec::docker("alpine", ["sh", "-c", script.as_str()]);
    spec.timeout = Some(Duration::from_mins(MINUTES));
    LaunchRequest {
        intent: intent.to_owned(),
        namespace: Namespace::parse("ada").unwrap(),
        spec,
        run: None,
        purpose: "a test".to_owned(),
        leaves_model: false,
        price: LaunchPrice {
            micro_usd_per_minute: Some(PRICE),
            timeout_secs: Some(MINUTES * 60),
            ..LaunchPrice::default()
        },
    }
}

/// Launches and follows until it is done; an answer that did not come is asked for again.
async fn to_the_end(launches: LaunchService) -> LaunchRecord {
    let request = request("intent");
    let mut last = String::new();
    for _ in 0..40 {
        match launches.launch(&request, &NoSink).await {
            Ok(_) => {}
            Err(error) => {
                last = error.to_string();
                continue;
            }
        }
        match launches.follow(&request.intent, &NoSink).await {
            Ok(record) if record.is_finished() => return record,
            Ok(_) => {}
            Err(error) => last = error.to_string(),
        }
    }
    panic!("no end in sight: {last}");
}

/// Plays one schedule; says how many faults came up, and whether a process died.
async fn play(seed: u64) -> (u64, bool) {
    let mut rng = Rng(seed);
    let folder = tempfile::tempdir().unwrap();
    let accounts = vec![AccountConfig::new("ada", TOKEN).plan(Plan::Pro)];
    let hub = LocalHub::start(LocalHubConfig::new(folder.path().join("hub")).accounts(accounts))
        .await
        .unwrap();
    let machine = SystemClock::new();
    let clock = Arc::new(FastClock {
        begun: machine.now(),
        machine,
    });
    let (first, ledger) = process(&hub, folder.path(), &clock, "first").await;
    let cap = MicroUsd::new(PRICE * MINUTES).unwrap();
    ledger
        .set_cap(Cap {
            scope: CapScope::One(Service::Jobs),
            window: Window::Total,
            amount: cap,
        })
        .await
        .unwrap();
    for _ in 0..=rng.next(3) {
        hub.faults().add(fault(&mut rng));
    }
    let planned: u64 = hub.faults().list().iter().map(|rule| rule.times).sum();
    let dies = rng.next(3) > 0;
    let both = rng.next(3) == 0;
    let turns = rng.next(120);
    let died = AtomicBool::new(false);
    let work = async {
        if dies {
            let work = Box::pin(to_the_end(first.clone()));
            if let Some(record) = (Dying { work, turns }).await {
                return record;
            }
            died.store(true, Ordering::Relaxed);
            let (second, _) = process(&hub, folder.path(), &clock, "after the crash").await;
            to_the_end(second).await
        } else {
            to_the_end(first.clone()).await
        }
    };
    let (record, other) = if both {
        let (other, _) = process(&hub, folder.path(), &clock, "at the same time").await;
        let (record, other) = tokio::join!(work, to_the_end(other));
        (record, Some(other))
    } else {
        (work.await, None)
    };
    let job_id = record.job_id().unwrap().clone();
    if let Some(other) = other {
        assert_eq!(other.job_id(), Some(&job_id), "seed {seed}: one intent, two jobs");
    }
    let left: u64 = hub.faults().list().iter().map(|rule| rule.times).sum();
    // What is left of the faults is no concern of the look at what became of it.
    hub.faults().clear();
    let jobs = HfJobRunner::new(
        &HfClient::builder()
            .endpoint(hub.endpoint().parse().unwrap())
            .token(Token::parse(TOKEN).unwrap())
            .build()
            .unwrap(),
        Namespace::parse("ada").unwrap(),
    );
    assert_eq!(
        jobs.count_jobs(&[]).await.unwrap(),
        1,
        "seed {seed}: one intent, one job"
    );
    let store = SqlStore::open(&folder.path().join("bashgym.db")).await.unwrap();
    let kept = store
        .list_job_lines(job_id.as_str(), JobStream::Log, 0, 10_000)
        .await
        .unwrap();
    let own: Vec<String> = kept
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line.text).unwrap())
        .filter_map(|line| line["data"].as_str().map(str::to_owned))
        .filter(|text| text.starts_with("line "))
        .collect();
    let wanted: Vec<String> = (0..LINES).map(|number| format!("line {number}")).collect();
    assert_eq!(own, wanted, "seed {seed}: each line once and in order");
    let entries = ledger.entries(&EntryFilter::default(), None, 10).await.unwrap();
    assert_eq!(entries.len(), 1, "seed {seed}");
    let EntryState::Settled { amount, .. } = &entries[0].state else {
        panic!("seed {seed}: {:?} is not settled", entries[0]);
    };
    assert!(amount.unwrap() <= cap, "seed {seed}: the cap is passed");
    hub.shutdown().await;
    (planned - left, died.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeded_faults_of_a_real_hub_cost_no_job_no_line_and_no_dollar() {
    let played = futures::stream::iter(0..SCHEDULES)
        .map(play)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let faults: u64 = played.iter().map(|(faults, _)| faults).sum();
    let deaths = played.iter().filter(|(_, died)| *died).count();
    assert!(
        faults >= SCHEDULES && deaths > 3,
        "{faults} faults, {deaths} deaths"
    );
    println!(
        "{SCHEDULES} schedules over HTTP with {faults} faults and {deaths} deaths: 0 duplicate jobs, 0 lost or doubled lines, 0 caps passed"
    );
}

/// A second intent finds no room under the cap while the first holds it, whoever asks.
#[tokio::test]
async fn two_processes_cannot_pass_a_cap_together() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = vec![AccountConfig::new("ada", TOKEN).plan(Plan::Pro)];
    let hub = LocalHub::start(LocalHubConfig::new(folder.path().join("hub")).accounts(accounts))
        .await
        .unwrap();
    let machine = SystemClock::new();
    let clock = Arc::new(FastClock {
        begun: machine.now(),
        machine,
    });
    let (first, ledger) = process(&hub, folder.path(), &clock, "first").await;
    let (second, _) = process(&hub, folder.path(), &clock, "second").await;
    ledger
        .set_cap(Cap {
            scope: CapScope::One(Service::Jobs),
            window: Window::Total,
            amount: MicroUsd::new(PRICE * MINUTES).unwrap(),
        })
        .await
        .unwrap();
    let (one, two) = (request("one"), request("two"));
    let (a, b) = tokio::join!(first.launch(&one, &NoSink), second.launch(&two, &NoSink));
    assert_eq!(
        usize::from(a.is_ok()) + usize::from(b.is_ok()),
        1,
        "exactly one fits: {a:?} {b:?}"
    );
    hub.shutdown().await;
}

/// The Hub has made the job, its answer is on its way, and the client is killed before it could store it.
#[test]
fn a_client_killed_between_post_and_store_finds_its_job_again() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    hub.control(
        "faults",
        &json!({ "method": "POST", "path_contains": "/api/jobs/", "kind": "hold_reply", "ms": 600_000 }),
    );
    let args = [
        "--format",
        "json",
        "jobs",
        "run",
        "--detach",
        "--retry-key",
        "nightly",
        "--",
        "echo",
        "hello",
    ];
    let mut client = hub
        .bashgym(&environment, args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let jobs = HfJobRunner::new(&hub.client(), Namespace::parse(&hub.name).unwrap());
    let count = || runtime.block_on(jobs.count_jobs(&[])).unwrap();
    wait_until("the Hub has the job", || count() == 1);
    // SIGKILL: nothing of the client runs any more.
    client.kill().unwrap();
    client.wait().unwrap();
    let again = hub.bashgym(&environment, args).output().unwrap();
    assert_success(&again);
    assert_eq!(count(), 1, "nothing is sent a second time");
    let id = json_lines(&again)[0]["job_id"].as_str().unwrap().to_owned();
    let wait = hub
        .bashgym(&environment, ["--format", "json", "jobs", "wait", &id])
        .output()
        .unwrap();
    assert_success(&wait);
    let entries = json_lines(&environment.run(["--format", "json", "budget", "ls"]));
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["state"], "settled");
    assert!(hub.terminate());
}
