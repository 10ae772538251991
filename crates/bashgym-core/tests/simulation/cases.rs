//! The acceptance cases of launching and following, each on its own, against the simulated Hub.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::launch::{
    CancelCause, JobState, LaunchError, LaunchEvent, LaunchRecord, LaunchService, LaunchSink, NoSink,
    Observation,
};
use bashgym_core::ledger::EntryState;
use bashgym_core::store::{JobLineStore, JobStream, LaunchStore, MemoryStore};
use hf_core::Clock;

use super::hub::{SimHub, Weather};
use super::job::{PRICE_PER_MINUTE, SimJob};
use super::money::SimBudget;
use super::schedule::{TIMEOUT, request, service_on};
use super::store::SimStore;
use super::world::{SimClock, drive};

const CALM: Weather = Weather {
    post: 0,
    get: 0,
    logs: 0,
    list_lag: 1,
    in_flight: 1,
    rotates: false,
    drifts: false,
    keeps_timeout: true,
    gpu_percent: None,
};

struct Place {
    clock: SimClock,
    hub: SimHub,
    store: SimStore,
    budget: SimBudget,
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<LaunchEvent>>>);

#[async_trait]
impl LaunchSink for Heard {
    async fn tell(&self, event: LaunchEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    fn count(&self, wanted: impl Fn(&LaunchEvent) -> bool) -> usize {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|event| wanted(event))
            .count()
    }

    fn ends(&self) -> usize {
        self.count(|event| matches!(event, LaunchEvent::Ended(_)))
    }
}

impl Place {
    fn new(weather: Weather, seed: u64, cap: u64) -> Self {
        let clock = SimClock::default();
        let hub = SimHub::new(&clock, seed, weather);
        Self {
            store: SimStore {
                inner: Arc::new(MemoryStore::default()),
                hub: hub.clone(),
            },
            budget: SimBudget::new(&clock, cap),
            clock,
            hub,
        }
    }

    /// Another machine with the same time and Hub, which shares nothing else.
    fn elsewhere(&self) -> Self {
        let hub = self.hub.on_machine("there");
        hub.state().machines = 2;
        Self {
            store: SimStore {
                inner: Arc::new(MemoryStore::default()),
                hub: hub.clone(),
            },
            budget: SimBudget::new(&self.clock, 100 * PRICE_PER_MINUTE),
            clock: self.clock.clone(),
            hub,
        }
    }

    fn service(&self, holder: &str) -> LaunchService {
        service_on(
            &self.store,
            &self.budget,
            &self.hub,
            &self.clock,
            1,
            holder.to_owned(),
        )
    }

    fn finish<T>(&self, future: impl Future<Output = T>) -> T {
        drive(&self.clock, future, || false).unwrap()
    }

    fn lines(&self, job: &str) -> Vec<String> {
        let lines = self.store.inner.list_job_lines(job, JobStream::Log, 0, u32::MAX);
        let lines = futures::executor::block_on(lines).unwrap();
        let kept = lines
            .iter()
            .map(|line| serde_json::from_str::<serde_json::Value>(&line.text).unwrap());
        kept.map(|kept| kept["data"].as_str().unwrap().to_owned())
            .collect()
    }

    fn record(&self, intent: &str) -> LaunchRecord {
        futures::executor::block_on(self.store.inner.find_launch(intent))
            .unwrap()
            .unwrap()
    }

    /// Launches with a job that goes on for minutes, from some seed.
    fn running(cap: Option<u64>) -> (Self, LaunchRecord) {
        Self::running_in(CALM, cap)
    }

    fn running_in(weather: Weather, cap: Option<u64>) -> (Self, LaunchRecord) {
        for seed in 0..500 {
            let place = Self::new(weather, seed, 100 * PRICE_PER_MINUTE);
            let launched = place
                .finish(place.service("a").launch(&request("one", cap), &NoSink))
                .unwrap();
            let now = place.clock.elapsed();
            let long = |job: &SimJob| job.stage(now + Duration::from_secs(100)) == "RUNNING";
            if place.hub.state().jobs.iter().all(long) {
                return (place, launched);
            }
        }
        panic!("no seed gives a long job");
    }
}

#[test]
fn case_09_one_intent_is_one_job_also_after_a_crash_between_post_and_store() {
    let place = Place::new(CALM, 3, 100 * PRICE_PER_MINUTE);
    let wanted = request("one", None);
    // The process dies at the moment at which the Hub has made the job and nobody here knows.
    let dead = drive(&place.clock, place.service("a").launch(&wanted, &NoSink), || {
        !place.hub.state().jobs.is_empty()
    });
    assert!(dead.is_none());
    assert!(place.record("one").job_id().is_none(), "it was not stored");
    for holder in ["b", "c"] {
        let found = place
            .finish(place.service(holder).launch(&wanted, &NoSink))
            .unwrap();
        assert_eq!(found.job_id().unwrap().as_str(), place.hub.state().jobs[0].id);
    }
    assert_eq!(place.hub.state().jobs.len(), 1);
}

#[test]
fn case_10_after_a_restart_every_job_is_followed_again_and_no_line_comes_twice() {
    let (place, launched) = Place::running(None);
    let job = launched.job_id().unwrap().to_string();
    let dead = drive(&place.clock, place.service("a").follow("one", &NoSink), || {
        place.lines(&job).len() >= 2
    });
    assert!(dead.is_none(), "the follower died in mid-job");
    let heard = Heard::default();
    let sinks = |_: &LaunchRecord| -> Box<dyn LaunchSink> { Box::new(heard.clone()) };
    let ended = place.finish(place.service("b").resume_all(&sinks)).unwrap();
    let [(intent, Ok(record))] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(intent, "one");
    assert!(record.view.ended && record.settled, "{record:?}");
    assert_eq!(place.lines(&job), place.hub.state().jobs[0].final_lines());
    assert_eq!(
        place.finish(place.service("c").resume_all(&sinks)).unwrap().len(),
        0
    );
    assert_eq!(place.hub.state().jobs.len(), 1);
}

#[test]
fn case_15_a_running_job_is_canceled_and_one_that_is_over_says_so() {
    let (place, _) = Place::running(None);
    let heard = Heard::default();
    place
        .finish(place.service("b").cancel("one", CancelCause::User, &heard))
        .unwrap();
    let record = place.finish(place.service("a").follow("one", &heard)).unwrap();
    assert_eq!(
        record.view.state,
        JobState::Canceled {
            by: CancelCause::User
        }
    );
    assert_eq!(heard.ends(), 1);
    let again = place.finish(place.service("b").cancel("one", CancelCause::User, &heard));
    let Err(LaunchError::AlreadyOver { state, .. }) = again else {
        panic!("{again:?}");
    };
    assert_eq!(*state, record.view.state);
}

#[test]
fn case_15_a_cancel_that_races_the_end_gives_one_terminal_event() {
    for moment in 0..120 {
        let place = Place::new(CALM, 7, 100 * PRICE_PER_MINUTE);
        let heard = Heard::default();
        place
            .finish(place.service("a").launch(&request("one", None), &heard))
            .unwrap();
        let (follower, canceler) = (place.service("a"), place.service("b"));
        let cancel = async {
            place.clock.sleep(Duration::from_secs(moment)).await;
            canceler.cancel("one", CancelCause::User, &heard).await
        };
        let (record, canceled) =
            place.finish(async { futures::join!(follower.follow("one", &heard), cancel) });
        let (record, stage) = (
            record.unwrap(),
            place.hub.state().jobs[0].stage(place.clock.elapsed()),
        );
        if record.view.state == JobState::Unverified {
            let revision = "0123456789abcdef".to_owned();
            let seen = Observation::Pushed { revision };
            place
                .finish(place.service("a").observe("one", seen, &heard))
                .unwrap();
        }
        assert_eq!(heard.ends(), 1, "at {moment} s");
        assert_eq!(
            matches!(record.view.state, JobState::Canceled { .. }),
            stage == "CANCELED"
        );
        assert_eq!(canceled.is_ok(), stage == "CANCELED", "{canceled:?}");
    }
}

/// A job that its user cancels and a machine finds to be the younger of two, at about the same moment.
#[test]
fn case_15_a_cancel_that_races_an_older_job_gives_one_terminal_event() {
    let slow_list = Weather {
        list_lag: 25_000,
        ..CALM
    };
    let (mut pairs, mut replaced) = (0, 0);
    for seed in 0..12 {
        for moment in 0..30 {
            let here = Place::new(slow_list, seed, 100 * PRICE_PER_MINUTE);
            let there = here.elsewhere();
            let heard = Heard::default();
            let wanted = request("one", None);
            let (older, younger) = (here.service("a"), there.service("b"));
            let canceler = there.service("c");
            let first = async {
                older.launch(&wanted, &NoSink).await.unwrap();
                Box::pin(older.follow("one", &NoSink)).await.unwrap();
            };
            let second = async {
                here.clock.sleep(Duration::from_secs(1)).await;
                younger.launch(&wanted, &heard).await.unwrap();
                let cancel = async {
                    here.clock.sleep(Duration::from_secs(moment)).await;
                    let _ = canceler.cancel("one", CancelCause::User, &heard).await;
                };
                let (record, ()) = futures::join!(Box::pin(younger.follow("one", &heard)), cancel);
                if record.unwrap().view.state == JobState::Unverified {
                    let revision = "0123456789abcdef".to_owned();
                    let seen = Observation::Pushed { revision };
                    younger.observe("one", seen, &heard).await.unwrap();
                }
            };
            here.finish(async { futures::join!(first, second) });
            pairs += usize::from(here.hub.state().jobs.len() == 2);
            replaced += usize::from(heard.count(|event| matches!(event, LaunchEvent::Created { .. })) == 2);
            assert_eq!(heard.ends(), 1, "seed {seed} at {moment} s");
        }
    }
    assert!(pairs > 20 && replaced > 20, "{pairs} pairs, {replaced} replaced");
}

#[test]
fn case_17_a_hard_budget_refuses_before_anything_is_sent() {
    let place = Place::new(CALM, 1, PRICE_PER_MINUTE);
    let refused = place.finish(place.service("a").launch(&request("one", None), &NoSink));
    assert!(matches!(refused, Err(LaunchError::Budget(_))), "{refused:?}");
    assert!(place.hub.state().jobs.is_empty() && place.budget.held_in_all() == 0);
}

#[test]
fn case_17_the_worst_case_is_price_by_time_out_and_the_cost_comes_from_the_durations() {
    let (place, _) = Place::running(None);
    let minutes = TIMEOUT.as_secs() / 60;
    assert_eq!(place.budget.held_in_all(), minutes * PRICE_PER_MINUTE);
    place.finish(place.service("a").follow("one", &NoSink)).unwrap();
    let cost = place.hub.state().jobs[0].cost(place.clock.elapsed());
    let settled = place.budget.entries.lock().unwrap()["one"].state.clone();
    assert!(
        matches!(settled, EntryState::Settled { amount: Some(amount), .. } if amount.get() == cost),
        "{settled:?} for {cost}"
    );
}

#[test]
fn case_17_a_running_job_is_canceled_at_its_cap() {
    let (place, _) = Place::running(Some(PRICE_PER_MINUTE));
    let heard = Heard::default();
    let record = place.finish(place.service("a").follow("one", &heard)).unwrap();
    assert_eq!(
        record.view.state,
        JobState::Canceled {
            by: CancelCause::BudgetCap
        }
    );
    assert_eq!(
        heard.count(|event| matches!(event, LaunchEvent::CapReached { .. })),
        1
    );
    assert_eq!(
        place.hub.state().jobs[0].cost(place.clock.elapsed()),
        PRICE_PER_MINUTE
    );
}

#[test]
fn a_running_job_whose_gpus_idle_is_canceled_where_the_policy_says_so() {
    for (percent, canceled) in [(0.0, true), (80.0, false)] {
        let weather = Weather {
            gpu_percent: Some(percent),
            ..CALM
        };
        let (place, _) = Place::running_in(weather, None);
        let heard = Heard::default();
        let record = place.finish(place.service("a").follow("one", &heard)).unwrap();
        let by = CancelCause::Watchdog {
            finding: "idle_gpu".to_owned(),
        };
        assert_eq!(
            record.view.state == JobState::Canceled { by },
            canceled,
            "{record:?}"
        );
        assert_eq!(record.view.gpu_percent, Some(percent));
        let findings = heard.count(|event| matches!(event, LaunchEvent::Finding { .. }));
        assert_eq!(findings, usize::from(canceled));
    }
}

#[test]
fn case_18_a_job_at_its_time_out_is_marked_so_with_the_checkpoint_to_resume_from() {
    for seed in 0..500 {
        let place = Place::new(CALM, seed, 100 * PRICE_PER_MINUTE);
        let service = place.service("a");
        place
            .finish(service.launch(&request("one", None), &NoSink))
            .unwrap();
        let pushed = Observation::Checkpoint {
            step: 40,
            revision: Some("0123456789abcdef".to_owned()),
        };
        place.finish(service.observe("one", pushed, &NoSink)).unwrap();
        let record = place.finish(service.follow("one", &NoSink)).unwrap();
        if let JobState::TimedOut { checkpoint } = record.view.state {
            assert_eq!(checkpoint.unwrap().step, 40);
            return;
        }
    }
    panic!("no seed gives a job that times out");
}
