//! What the router knows keeps up with the store, and no call waits for it.

use std::time::Duration;

use futures::FutureExt;
use tokio::sync::Notify;

use super::*;
use crate::store::StoreError;

/// A store that can be made to answer no question, and remembers from where verdicts were read.
#[derive(Default)]
struct Slow {
    inner: MemoryRoutes,
    is_stuck: std::sync::atomic::AtomicBool,
    freed: Notify,
    read_from: Mutex<Vec<Option<u64>>>,
}

impl Slow {
    async fn wait(&self) {
        while self.is_stuck.load(Ordering::Relaxed) {
            self.freed.notified().await;
        }
    }

    fn stick(&self) {
        self.is_stuck.store(true, Ordering::Relaxed);
    }

    fn free(&self) {
        self.is_stuck.store(false, Ordering::Relaxed);
        self.freed.notify_waiters();
    }

    fn reads(&self) -> Vec<Option<u64>> {
        self.read_from.lock().unwrap().clone()
    }
}

#[async_trait]
impl RouteStore for Slow {
    async fn add_decisions(&self, all: &[(DecisionRecord, Option<Exchange>)]) -> Result<(), StoreError> {
        self.inner.add_decisions(all).await
    }

    async fn find_decision(&self, id: DecisionId) -> Result<Option<DecisionRecord>, StoreError> {
        self.inner.find_decision(id).await
    }

    async fn find_exchange(&self, id: DecisionId) -> Result<Option<Exchange>, StoreError> {
        self.inner.find_exchange(id).await
    }

    async fn list_decisions(
        &self,
        filter: &DecisionFilter,
        before: Option<DecisionId>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, StoreError> {
        self.wait().await;
        self.inner.list_decisions(filter, before, limit).await
    }

    async fn list_verdicts(
        &self,
        from: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, DecisionRecord)>, StoreError> {
        self.wait().await;
        self.read_from.lock().unwrap().push(from);
        self.inner.list_verdicts(from, limit).await
    }

    async fn judge_decision(
        &self,
        id: DecisionId,
        outcome: &VerifiedOutcome,
    ) -> Result<DecisionRecord, StoreError> {
        self.inner.judge_decision(id, outcome).await
    }

    async fn prune_decisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.prune_decisions(before).await
    }

    async fn put_route_note(&self, name: &str, note: &Value) -> Result<(), StoreError> {
        self.inner.put_route_note(name, note).await
    }

    async fn change_route_note(
        &self,
        name: &str,
        change: &(dyn Fn(Option<Value>) -> Value + Send + Sync),
    ) -> Result<Value, StoreError> {
        self.inner.change_route_note(name, change).await
    }

    async fn route_notes(&self) -> Result<Vec<(String, Value)>, StoreError> {
        self.wait().await;
        self.inner.route_notes().await
    }
}

struct Two {
    store: Arc<Slow>,
    clock: Arc<ManualClock>,
    student: Arc<Model>,
    teacher: Arc<Model>,
}

impl Two {
    fn new() -> Self {
        Self {
            store: Arc::default(),
            clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
            student: student(Act::Say("yes", None)),
            teacher: teacher(),
        }
    }

    /// A process of its own, over the same store.
    fn router(&self) -> Router {
        let policy = RouterPolicy {
            explore: 0.0,
            ..RouterPolicy::default()
        };
        let store = Arc::clone(&self.store) as Arc<dyn RouteStore>;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Router::new(backends(&[&self.student, &self.teacher]), policy, store, clock)
    }
}

async fn ask_student(router: &Router) -> DecisionId {
    let routed = router.chat(&ask(), Wish::Role(BackendRole::Student)).await;
    routed.unwrap().decision
}

/// What is believed of the student.
async fn believed(router: &Router) -> Belief {
    let id = ask_student(router).await;
    kept(router, id).await.candidates[0].belief
}

/// Lets tasks behind the calls run.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_call_waits_while_what_is_new_is_read() {
    let two = Two::new();
    let (here, elsewhere) = (two.router(), two.router());
    assert!(believed(&here).await.verdicts.abs() < 1e-9);
    settle().await;
    for _ in 0..20 {
        let id = ask_student(&elsewhere).await;
        verdict(&elsewhere, id, true).await;
    }
    two.store.stick();
    two.clock.advance(Duration::from_secs(31));
    let wish = || Wish::Role(BackendRole::Student);
    for _ in 0..3 {
        let routed = here.chat(&ask(), wish()).now_or_never();
        assert!(routed.expect("nobody waits for the store").is_ok());
    }
    settle().await;
    two.store.free();
    settle().await;
    let belief = believed(&here).await;
    assert!(belief.verdicts > 14.0, "{belief:?}");
    assert_eq!(
        two.store.reads(),
        [None, None, Some(0)],
        "each once, and what is new"
    );

    let again = ask_student(&elsewhere).await;
    verdict(&elsewhere, again, false).await;
    two.clock.advance(Duration::from_secs(31));
    ask_student(&here).await;
    settle().await;
    let after = believed(&here).await;
    assert!(after.mean < belief.mean, "{after:?}");
    let reads = two.store.reads();
    assert!(
        reads.ends_with(&[Some(20)]) && !reads[3..].contains(&None),
        "from the last verdict on: {reads:?}"
    );

    let worse = VerifiedOutcome {
        good: false,
        source: OutcomeSource::Person,
        at: Timestamp::UNIX_EPOCH,
    };
    elsewhere.report(again, worse.clone()).await.unwrap();
    assert_eq!(
        two.store.reads().last(),
        Some(&None),
        "a replaced verdict is counted anew"
    );
    let good = VerifiedOutcome { good: true, ..worse };
    elsewhere.report(again, good).await.unwrap();
    two.clock.advance(Duration::from_secs(31));
    ask_student(&here).await;
    settle().await;
    let changed = believed(&here).await;
    let own = believed(&elsewhere).await;
    assert!(
        changed.mean > after.mean && (changed.mean - own.mean).abs() < 1e-9,
        "{changed:?} {own:?}"
    );
}

#[tokio::test]
async fn a_verdict_is_counted_once_however_it_comes() {
    let two = Two::new();
    let router = two.router();
    for _ in 0..5 {
        let id = ask_student(&router).await;
        verdict(&router, id, true).await;
    }
    let before = believed(&router).await;
    for _ in 0..3 {
        two.clock.advance(Duration::from_secs(31));
        ask_student(&router).await;
        settle().await;
    }
    let after = believed(&router).await;
    // Two minutes fade next to nothing.
    assert!(
        (before.verdicts - after.verdicts).abs() < 0.01,
        "{before:?} {after:?}"
    );
    let fresh = believed(&two.router()).await;
    assert!((fresh.mean - after.mean).abs() < 1e-6, "{fresh:?} {after:?}");
}

#[tokio::test]
async fn a_price_is_waited_for_only_where_it_decides() {
    let store: Arc<dyn RouteStore> = Arc::new(MemoryRoutes::default());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let (silent, student): (Arc<dyn ModelBackend>, _) = (Arc::new(Silent), student(SURE));
    let router = Router::new(vec![student, silent], RouterPolicy::default(), store, clock);
    for word in ["student_only", "confidence_based:0.5", "student_only"] {
        let routed = router.chat(&ask(), by(word)).now_or_never();
        assert!(routed.expect("nobody waits for a price").is_ok(), "{word}");
    }
    assert!(router.chat(&ask(), by("cost_optimized")).now_or_never().is_none());
}

#[tokio::test]
async fn verdicts_that_several_processes_take_all_move_the_share() {
    let two = Two::new();
    let (here, elsewhere) = (two.router(), two.router());
    let mut to_student = 0;
    while to_student < 6 {
        for router in [&here, &elsewhere] {
            let routed = router.chat(&ask(), by("progressive:0.7")).await.unwrap();
            if routed.role == BackendRole::Student {
                verdict(router, routed.decision, true).await;
                to_student += 1;
            }
        }
    }
    let notes = two.store.route_notes().await.unwrap();
    let share = notes.iter().find(|(name, _)| name == "share me/student");
    assert_eq!(share.unwrap().1["verdicts"], to_student);
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_first_piece_leaves_a_decision() {
    let store: Arc<dyn RouteStore> = Arc::new(MemoryRoutes::default());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let silent: Arc<dyn ModelBackend> = Arc::new(Silent);
    let router = Router::new(vec![silent], RouterPolicy::default(), Arc::clone(&store), clock);
    assert!(router.chat_stream(&ask(), Wish::Auto).now_or_never().is_none());
    assert!(router.chat(&ask(), Wish::Auto).now_or_never().is_none());
    router.flush().await.unwrap();
    let all = store.list_decisions(&DecisionFilter::default(), None, 9).await;
    let all = all.unwrap();
    assert_eq!(all.len(), 2);
    for record in all {
        assert!(!record.succeeded && record.tries.len() == 1, "{record:?}");
        assert_eq!(record.tries[0].end, TryEnd::Dropped);
        assert_eq!(record.cost(), (0, false), "what it cost is not known");
    }
}

#[tokio::test]
async fn a_doubted_answer_that_was_not_waited_for_may_be_paid() {
    let (student, teacher) = (student(UNSURE), teacher());
    let policy = RouterPolicy {
        buffer_bytes: 0,
        explore: 0.0,
        ..RouterPolicy::default()
    };
    let router = router(&[&student, &teacher], policy);
    let routed = router.chat_stream(&ask(), by("confidence_based:0.9")).await;
    let mut routed = routed.unwrap();
    while routed.answer.next().await.is_some() {}
    let record = kept(&router, routed.decision).await;
    assert_eq!(
        (record.tries[0].end, record.tries[0].cost),
        (TryEnd::Escalated, Some(Cost::Unknown))
    );
    assert_eq!(record.cost(), (1_000_000, false), "the teacher's, and more");
}

#[tokio::test]
async fn whoever_is_tried_is_one_of_those_that_could_have_been() {
    let (student, teacher) = (student(UNSURE), teacher());
    let hf = Model::new(BackendRole::Hf, "a/one", Some(1.0), UNSURE);
    let policy = RouterPolicy {
        explore: 1.0,
        ..RouterPolicy::default()
    };
    let router = router(&[&student, &hf, &teacher], policy);
    let mut tried = std::collections::BTreeMap::new();
    for _ in 0..40 {
        let routed = router.chat(&ask(), by("confidence_based:0.95")).await.unwrap();
        let record = kept(&router, routed.decision).await;
        assert!(
            record.explored && (record.propensity - 0.5).abs() < 1e-9,
            "{record:?}"
        );
        *tried.entry(routed.model).or_insert(0) += 1;
    }
    assert!(
        tried.len() == 2 && tried.values().all(|count| *count > 8),
        "{tried:?}"
    );
}
