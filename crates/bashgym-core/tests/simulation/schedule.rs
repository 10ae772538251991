//! One schedule: what a seed makes of the world, played to its end.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::launch::{
    CancelCause, JobState, LaunchContext, LaunchError, LaunchEvent, LaunchPolicy, LaunchPrice, LaunchRecord,
    LaunchRequest, LaunchService, LaunchSink, Observation, WatchAction, WatchPolicy, WatchRule,
    read_train_line,
};
use bashgym_core::store::MemoryStore;
use hf_core::{Clock, HfClient, Namespace, RetryPolicy};
use hf_jobs::{JobSpec, KeepOptions, SubmitPolicy};

use super::hub::{SimHub, Weather};
use super::job::PRICE_PER_MINUTE;
use super::money::SimBudget;
use super::promise::{after, during, one_goes_on, told};
use super::store::SimStore;
use super::world::{Process, Rng, SimClock, run, turn};

/// How long each job may run.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(2);

/// What happened in a schedule.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) jobs: u64,
    pub(crate) lines: u64,
    pub(crate) crashes: u64,
    pub(crate) faults: u64,
    pub(crate) requests: u64,
    pub(crate) steps: u64,
    pub(crate) canceled: u64,
    /// Intents of which no job came.
    pub(crate) refused: u64,
    pub(crate) two_machines: u64,
}

/// A machine: its store, its ledger, and what its processes told.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) store: SimStore,
    pub(crate) budget: SimBudget,
    pub(crate) ended: Rc<std::cell::RefCell<BTreeMap<String, u64>>>,
    pub(crate) told: Arc<Mutex<Told>>,
    pub(crate) stuck: Rc<std::cell::RefCell<Vec<String>>>,
}

#[derive(Default)]
pub(crate) struct Told {
    /// The ends that were told of each intent, in order.
    pub(crate) ended: BTreeMap<String, Vec<JobState>>,
    /// How many times an end by refusal can have been told: once for each call that may send or look up.
    pub(crate) attempts: BTreeMap<String, usize>,
    /// By process and intent.
    pub(crate) lines: BTreeMap<(String, String), Vec<String>>,
}

struct Sink {
    intent: String,
    process: String,
    told: Arc<Mutex<Told>>,
}

impl Sink {
    fn attempt(&self) {
        let mut told = self.told.lock().unwrap();
        *told.attempts.entry(self.intent.clone()).or_default() += 1;
    }
}

#[async_trait]
impl LaunchSink for Sink {
    async fn tell(&self, event: LaunchEvent) {
        {
            let mut told = self.told.lock().unwrap();
            match event {
                LaunchEvent::Ended(state) => told.ended.entry(self.intent.clone()).or_default().push(state),
                LaunchEvent::Line(line) => {
                    let key = (self.process.clone(), self.intent.clone());
                    told.lines.entry(key).or_default().push(line.text);
                }
                _ => {}
            }
        }
        turn().await;
    }
}

fn weather(rng: &mut Rng) -> Weather {
    let pick = |rng: &mut Rng, from: &[u64]| from[usize::try_from(rng.below(from.len() as u64)).unwrap()];
    Weather {
        post: pick(rng, &[0, 50, 80]),
        get: pick(rng, &[0, 10, 30]),
        logs: pick(rng, &[0, 30, 60]),
        list_lag: pick(rng, &[1, 5_000, 25_000]),
        in_flight: 20_000,
        rotates: rng.percent(15),
        drifts: rng.percent(4),
        keeps_timeout: true,
        gpu_percent: rng.percent(3).then_some(80.0),
    }
}

fn service(machine: &Machine, hub: &SimHub, clock: &SimClock, seed: u64, holder: String) -> LaunchService {
    service_on(&machine.store, &machine.budget, hub, clock, seed, holder)
}

pub(crate) fn service_on(
    store: &SimStore,
    budget: &SimBudget,
    hub: &SimHub,
    clock: &SimClock,
    seed: u64,
    holder: String,
) -> LaunchService {
    let retry = RetryPolicy {
        seed: Some(seed),
        ..RetryPolicy::default()
    };
    let client = HfClient::builder()
        .transport(Arc::new(hub.clone()))
        .clock(Arc::new(clock.clone()))
        .retry(retry)
        .build()
        .unwrap();
    let watch = WatchPolicy {
        idle_gpu: WatchRule {
            after: Duration::from_secs(45),
            action: if hub.state().weather.gpu_percent.is_some() {
                WatchAction::Cancel
            } else {
                WatchAction::Ignore
            },
        },
        ..WatchPolicy::default()
    };
    LaunchService::new(LaunchContext {
        client,
        store: Arc::new(store.clone()),
        budget: Some(Arc::new(budget.clone())),
        hub: "simulated".to_owned(),
        holder,
        label: "bashgym-intent".to_owned(),
        read_line: read_train_line,
        policy: LaunchPolicy {
            submit: SubmitPolicy {
                patience: Duration::from_secs(90),
                pause: Duration::from_secs(10),
                ..SubmitPolicy::default()
            },
            keep: KeepOptions::default(),
            watch,
            ..LaunchPolicy::default()
        },
    })
}

pub(crate) fn request(intent: &str, cap: Option<u64>) -> LaunchRequest {
    let mut spec = JobSpec::docker("python:3.12", ["python", "train.py"]);
    spec.timeout = Some(TIMEOUT);
    "a10g-small".clone_into(&mut spec.flavor);
    spec.environment.insert("EPOCHS".to_owned(), "3".to_owned());
    spec.secrets.insert("HF_TOKEN".to_owned(), "simulated".into());
    LaunchRequest {
        intent: intent.to_owned(),
        namespace: Namespace::parse("ada").unwrap(),
        spec,
        run: None,
        purpose: "training".to_owned(),
        leaves_model: true,
        price: LaunchPrice {
            micro_usd_per_minute: Some(PRICE_PER_MINUTE),
            timeout_secs: Some(TIMEOUT.as_secs()),
            cap_micro_usd: cap,
            allow_unknown: false,
        },
    }
}

/// A process that wants one job: it launches, follows, and after an error tries again.
async fn live(
    service: LaunchService,
    machine: Machine,
    clock: SimClock,
    request: LaunchRequest,
    process: String,
    resumes: bool,
) {
    let sink = Sink {
        intent: request.intent.clone(),
        process: process.clone(),
        told: machine.told.clone(),
    };
    if resumes {
        // As after a restart: whatever is unfinished is taken up, whoever began it.
        let (process, told) = (process.clone(), machine.told.clone());
        let sinks = move |record: &LaunchRecord| -> Box<dyn LaunchSink> {
            let sink = Sink {
                intent: record.intent.clone(),
                process: process.clone(),
                told: told.clone(),
            };
            sink.attempt();
            Box::new(sink)
        };
        let _ = service.resume_all(&sinks).await;
    }
    let mut refused = 0;
    for _ in 0..200 {
        sink.attempt();
        let ended = match service.launch(&request, &sink).await {
            Ok(_) => Box::pin(service.follow(&request.intent, &sink)).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(record) => {
                if record.view.state == JobState::Unverified {
                    let revision = "0123456789abcdef".to_owned();
                    let seen = Observation::Pushed { revision };
                    service.observe(&request.intent, seen, &sink).await.unwrap();
                }
                *machine
                    .ended
                    .borrow_mut()
                    .entry(request.intent.clone())
                    .or_default() += 1;
                return;
            }
            Err(LaunchError::Budget(_) | LaunchError::Drifted { canceled: true, .. }) => return,
            Err(LaunchError::NotCreated(_)) => {
                refused += 1;
                if refused > 3 {
                    return;
                }
            }
            Err(_) => {}
        }
        clock.sleep(Duration::from_secs(30)).await;
    }
    machine.stuck.borrow_mut().push(process);
}

/// Plays a seed. An error names the promise that was broken.
pub(crate) fn play(seed: u64) -> Result<Report, String> {
    let mut rng = Rng::new(seed);
    let clock = SimClock::default();
    let hub = SimHub::new(&clock, rng.next(), weather(&mut rng));
    let two_machines = rng.percent(8);
    hub.state().machines = 1 + usize::from(two_machines);
    let intents: Vec<String> = (0..=u64::from(!two_machines && rng.percent(25)))
        .map(|n| format!("intent-{n}"))
        .collect();
    let worst = 2 * PRICE_PER_MINUTE;
    // Sometimes there is money for one of two only.
    let cap = worst * if rng.percent(40) { 1 } else { 2 };
    let job_cap = rng.percent(15).then_some(PRICE_PER_MINUTE);
    let machine = |name| Machine {
        name,
        store: SimStore {
            inner: Arc::new(MemoryStore::default()),
            hub: hub.on_machine(name),
        },
        budget: SimBudget::new(&clock, cap),
        ended: Rc::default(),
        told: Arc::default(),
        stuck: Rc::default(),
    };
    let machines: Vec<Machine> = if two_machines {
        vec![machine("here"), machine("there")]
    } else {
        vec![machine("here")]
    };

    let mut processes = Vec::new();
    let each = 1 + u64::from(!two_machines && rng.percent(40));
    for machine in &machines {
        for intent in &intents {
            for n in 0..each {
                let (machine, hub, clock) = (machine.clone(), machine.store.hub.clone(), clock.clone());
                let (request, seed) = (request(intent, job_cap), rng.next());
                let pause = if rng.percent(50) {
                    Duration::ZERO
                } else {
                    rng.millis(30_000)
                };
                processes.push(Process::new(move |generation| {
                    let name = format!("{}-{n}.{generation}", machine.name);
                    let service = service(&machine, &hub, &clock, seed, name.clone());
                    let resumes = generation % 2 == 1;
                    let life = Box::pin(live(
                        service,
                        machine.clone(),
                        clock.clone(),
                        request.clone(),
                        name,
                        resumes,
                    ));
                    let clock = clock.clone();
                    Box::pin(async move {
                        clock.sleep(pause).await;
                        life.await;
                    })
                }));
            }
        }
    }
    let canceler = rng.percent(15);
    if canceler {
        let (machine, hub, clock) = (machines[0].clone(), hub.clone(), clock.clone());
        let (intent, seed, after) = (intents[0].clone(), rng.next(), rng.millis(200_000));
        processes.push(Process::new(move |generation| {
            let service = service(&machine, &hub, &clock, seed, format!("canceler.{generation}"));
            let (clock, told, intent) = (clock.clone(), machine.told.clone(), intent.clone());
            Box::pin(async move {
                clock.sleep(after).await;
                let process = "canceler".to_owned();
                let sink = Sink {
                    intent,
                    process,
                    told,
                };
                let _ = service.cancel(&sink.intent, CancelCause::User, &sink).await;
            })
        }));
    }

    let crashes = [0, 0, 1, 2, 5][usize::try_from(rng.below(5)).unwrap()];
    let odds = 20 + rng.below(200);
    let steps = {
        let (hub, clock, machines) = (hub.clone(), clock.clone(), machines.clone());
        let time = clock.clone();
        let check = move || during(&hub, clock.elapsed(), &machines, cap);
        run(&time, &mut rng, &mut processes, crashes, odds, check)?
    };
    let crashed: u64 = processes.iter().map(|process| process.crashes).sum();
    // What is still on its way arrives.
    for machine in &machines {
        for intent in &intents {
            after(&hub, &clock, machine, intent, crashed == 0)?;
        }
        told(&hub, machine, crashed == 0 && each == 1 && !two_machines)?;
    }
    let state = hub.state();
    if two_machines {
        one_goes_on(&state, crashed == 0, canceler || job_cap.is_some())?;
    }
    if let Some(job_cap) = job_cap
        && crashed == 0
        && state.faults == 0
        && let Some(job) = state.jobs.iter().find(|job| job.cost(clock.elapsed()) > job_cap)
    {
        return Err(format!("job {} cost more than its cap", job.id));
    }
    let lines: usize = state.jobs.iter().map(|job| job.final_lines().len()).sum();
    Ok(Report {
        jobs: state.jobs.len() as u64,
        lines: lines as u64,
        crashes: crashed,
        faults: state.faults,
        requests: state.requests,
        steps,
        canceled: state.jobs.iter().filter(|job| job.canceled.is_some()).count() as u64,
        refused: intents
            .iter()
            .filter(|intent| !state.jobs.iter().any(|job| job.intent == **intent))
            .count() as u64,
        two_machines: u64::from(two_machines),
    })
}
