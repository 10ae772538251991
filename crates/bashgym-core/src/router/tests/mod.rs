//! The router over models whose quality and price are known.

mod knowledge;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use hf_core::testing::ManualClock;
use hf_core::{Clock, MicroUsd};
use hf_inference::{
    Attempt, AttemptEnd, BreakerState, CallReport, ChatAnswer, ChatChunk, ChatRequest, Cost, InferenceError,
    Message, NanoUsd, TokenPrice, Usage,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::backend::{AnswerStream, BackendRole, BackendStream, ModelBackend};
use crate::inference::InferenceFailure;
use crate::ledger::LedgerError;

/// What a model does next.
#[derive(Debug, Clone)]
enum Act {
    /// Says this, each token with this log-probability if one is given.
    Say(&'static str, Option<f64>),
    /// Calls a tool with these arguments.
    Call(&'static str),
    /// Breaks off after its first word.
    Break,
    Refuse,
    Fail,
}

#[derive(Debug)]
struct Model {
    role: BackendRole,
    name: &'static str,
    price: Option<TokenPrice>,
    acts: Mutex<VecDeque<Act>>,
    usual: Act,
    asked: AtomicU32,
    is_open: AtomicU64,
}

impl Model {
    fn new(role: BackendRole, name: &'static str, output: Option<f64>, usual: Act) -> Arc<Self> {
        Arc::new(Self {
            role,
            name,
            price: output.map(|output| TokenPrice { input: 0.0, output }),
            acts: Mutex::default(),
            usual,
            asked: AtomicU32::new(0),
            is_open: AtomicU64::new(0),
        })
    }

    fn next(&self) -> Result<Act, InferenceFailure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let act = self.acts.lock().unwrap().pop_front();
        match act.unwrap_or_else(|| self.usual.clone()) {
            Act::Refuse => Err(LedgerError::UnknownPrice {
                service: crate::ledger::Service::Inference,
                purpose: String::new(),
            }
            .into()),
            Act::Fail => Err(InferenceError::invalid("down").into()),
            act => Ok(act),
        }
    }

    fn report(&self) -> CallReport {
        CallReport {
            model: self.name.to_owned(),
            task: "conversational".to_owned(),
            provider: None,
            attempts: vec![Attempt {
                provider: None,
                end: AttemptEnd::Answered,
                status: Some(200),
                error: None,
                millis: 3,
                may_be_billed: true,
            }],
            usage: Some(Usage {
                prompt_tokens: 10,
                completion_tokens: 100,
            }),
            cost: self.price.map_or(Cost::Unknown, |price| {
                Cost::RoutePrice(NanoUsd::from_usd(price.output * 100.0 / 1e6).unwrap())
            }),
            millis: 3,
        }
    }
}

fn logprobs(text: &str, logprob: Option<f64>) -> Value {
    logprob.map_or(Value::Null, |logprob| {
        let tokens: Vec<Value> = text
            .split(' ')
            .map(|token| json!({"token": token, "logprob": logprob}))
            .collect();
        json!({"content": tokens})
    })
}

#[async_trait]
impl ModelBackend for Model {
    fn role(&self) -> BackendRole {
        self.role
    }

    fn model(&self) -> &str {
        self.name
    }

    async fn price(&self) -> Option<TokenPrice> {
        self.price
    }

    async fn worst_case(&self, _: &ChatRequest) -> Result<Option<MicroUsd>, InferenceFailure> {
        Ok(None)
    }

    fn breaker(&self) -> BreakerState {
        match self.is_open.load(Ordering::Relaxed) {
            0 => BreakerState::Closed { failures: 0 },
            retry_in_seconds => BreakerState::Open { retry_in_seconds },
        }
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, InferenceFailure> {
        let act = self.next()?;
        let told = request.options.logprobs == Some(true);
        let (message, scores) = match act {
            Act::Say(text, logprob) => (
                json!({"role": "assistant", "content": text}),
                logprobs(text, logprob.filter(|_| told)),
            ),
            Act::Call(arguments) => (
                json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function",
                    "function": {"name": "ls", "arguments": arguments}}]}),
                logprobs("x", Some(0.0)),
            ),
            _ => return Err(InferenceError::invalid("broke off").into()),
        };
        let reply = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": scores}]});
        Ok(ChatAnswer {
            reply: serde_json::from_value(reply).unwrap(),
            report: self.report(),
        })
    }

    async fn chat_stream(&self, request: &ChatRequest) -> Result<BackendStream, InferenceFailure> {
        let act = self.next()?;
        let told = request.options.logprobs == Some(true);
        let (text, logprob, breaks) = match act {
            Act::Say(text, logprob) => (text, logprob.filter(|_| told), false),
            Act::Break => ("half an", None, true),
            _ => unreachable!("no tools in streams here"),
        };
        let words = text.split_inclusive(' ').map(|word| {
            let json = json!({"choices": [{"index": 0, "delta": {"content": word}, "logprobs": logprobs("x", logprob)}]});
            Ok(ChatChunk {
                body: serde_json::from_value(json.clone()).unwrap(),
                json: json.to_string(),
            })
        });
        let end = breaks.then(|| Err(InferenceError::invalid("broke off").into()));
        Ok(BackendStream::new(Scripted {
            items: words.chain(end).collect(),
            report: (!breaks).then(|| self.report()),
        }))
    }
}

struct Scripted {
    items: VecDeque<Result<ChatChunk, InferenceFailure>>,
    report: Option<CallReport>,
}

impl Stream for Scripted {
    type Item = Result<ChatChunk, InferenceFailure>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.items.pop_front())
    }
}

impl AnswerStream for Scripted {
    fn report(&self) -> Option<&CallReport> {
        self.report.as_ref().filter(|_| self.items.is_empty())
    }

    fn text(&self) -> &'static str {
        ""
    }
}

const SURE: Act = Act::Say("yes it is", Some(-0.01));
const UNSURE: Act = Act::Say("maybe it is", Some(-1.5));

fn student(usual: Act) -> Arc<Model> {
    Model::new(BackendRole::Student, "me/student", Some(0.0), usual)
}

fn teacher() -> Arc<Model> {
    Model::new(
        BackendRole::Teacher,
        "teacher",
        Some(10.0),
        Act::Say("surely", None),
    )
}

fn router(models: &[&Arc<Model>], policy: RouterPolicy) -> Router {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    Router::new(backends(models), policy, Arc::new(MemoryRoutes::default()), clock)
}

fn backends(models: &[&Arc<Model>]) -> Vec<Arc<dyn ModelBackend>> {
    let each = models.iter();
    each.map(|model| Arc::clone(model) as Arc<dyn ModelBackend>)
        .collect()
}

fn ask() -> ChatRequest {
    ChatRequest::new("bashgym/auto".parse().unwrap(), [Message::user("hi")])
}

fn by(word: &str) -> Wish {
    Wish::Strategy(word.parse().unwrap())
}

async fn kept(router: &Router, id: DecisionId) -> DecisionRecord {
    router.flush().await.unwrap();
    router.store().find_decision(id).await.unwrap().unwrap()
}

async fn verdict(router: &Router, id: DecisionId, good: bool) {
    let outcome = VerifiedOutcome {
        good,
        source: OutcomeSource::Test,
        at: Timestamp::UNIX_EPOCH,
    };
    router.report(id, outcome).await.unwrap();
}

#[tokio::test]
async fn fixed_strategies_keep_to_their_role() {
    let (student, teacher) = (student(SURE), teacher());
    let hf = [
        Model::new(BackendRole::Hf, "a/one", Some(1.0), Act::Fail),
        Model::new(BackendRole::Hf, "b/two", Some(1.0), SURE),
    ];
    let router = router(&[&student, &hf[0], &hf[1], &teacher], RouterPolicy::default());
    for (word, model) in [
        ("teacher_only", "teacher"),
        ("student_only", "me/student"),
        ("hf_inference", "b/two"),
    ] {
        let routed = router.chat(&ask(), by(word)).await.unwrap();
        assert_eq!(routed.model, model, "{word}");
    }
    let named = router
        .chat(&ask(), Wish::Model("b/two".to_owned()))
        .await
        .unwrap();
    assert_eq!(kept(&router, named.decision).await.strategy, None);
    student.acts.lock().unwrap().push_back(Act::Fail);
    let failed = router.chat(&ask(), by("student_only")).await.unwrap_err();
    assert!(
        matches!(failed, RouteFailure::Failed { .. }),
        "nobody else is asked: {failed}"
    );
    let record = kept(&router, failed.decision().unwrap()).await;
    assert!(!record.succeeded && record.tries[0].end == TryEnd::Failed && record.cost() == (0, true));
    assert_eq!(teacher.asked.load(Ordering::Relaxed), 1);
    let nobody = router
        .chat(&ask(), Wish::Model("none".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(nobody.to_string(), "no model here is called \"none\"");
}

#[tokio::test]
async fn who_is_not_sure_is_followed_by_the_next() {
    let (student, teacher) = (student(SURE), teacher());
    let policy = RouterPolicy {
        keep_exchanges: true,
        ..RouterPolicy::default()
    };
    let router = router(&[&student, &teacher], policy).with_gate(Arc::new(NoGreeting));
    let sure = router.chat(&ask(), by("confidence_based:0.9")).await.unwrap();
    assert_eq!(sure.model, "me/student");
    assert!(
        !sure.answer.reply.choices[0].extra.contains_key("logprobs"),
        "only the router asked for them"
    );
    student.acts.lock().unwrap().push_back(UNSURE);
    let unsure = router.chat(&ask(), by("confidence_based:0.9")).await.unwrap();
    assert_eq!(unsure.model, "teacher");
    let record = kept(&router, unsure.decision).await;
    assert!(
        record.is_escalated() && record.cost() == (1_000_000, true),
        "{record:?}"
    );
    let confidence = record.tries[0].confidence.unwrap();
    assert!((confidence.raw - (-1.5_f64).exp()).abs() < 1e-9 && !confidence.calibrated);
    let exchange = router
        .store()
        .find_exchange(unsure.decision)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (exchange.messages[0].text(), exchange.answer.text()),
        ("<greeting>".to_owned(), "surely".to_owned()),
        "what is kept has passed the gate"
    );
    assert!(
        !serde_json::to_string(&record).unwrap().contains("surely"),
        "the record holds no text"
    );
    assert_eq!(router.store().find_exchange(sure.decision).await.unwrap(), None);

    student.acts.lock().unwrap().push_back(UNSURE);
    teacher.acts.lock().unwrap().push_back(Act::Fail);
    let alone = router.chat(&ask(), by("confidence_based:0.9")).await.unwrap();
    assert_eq!(alone.model, "me/student", "a doubted answer is more than none");
}

/// A gate for tests.
struct NoGreeting;

impl ExchangeGate for NoGreeting {
    fn clean(&self, mut exchange: Exchange) -> Option<Exchange> {
        for message in &mut exchange.messages {
            *message = Message::user(message.text().replace("hi", "<greeting>"));
        }
        Some(exchange)
    }
}

#[tokio::test]
async fn without_a_gate_nothing_that_was_said_is_kept() {
    let (student, teacher) = (student(UNSURE), teacher());
    let policy = RouterPolicy {
        keep_exchanges: true,
        explore: 0.0,
        ..RouterPolicy::default()
    };
    let router = router(&[&student, &teacher], policy);
    let routed = router.chat(&ask(), by("confidence_based:0.9")).await.unwrap();
    assert!(kept(&router, routed.decision).await.is_escalated());
    let found = router.store().find_exchange(routed.decision).await.unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn a_call_of_a_tool_that_was_not_offered_is_never_sure() {
    let (student, teacher) = (student(Act::Call(r#"{"path":1}"#)), teacher());
    let router = router(&[&student, &teacher], RouterPolicy::default());
    let mut request = ask();
    request.options.tools = Some(vec![
        json!({"type": "function", "function": {"name": "ls", "parameters":
        {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}}}),
    ]);
    assert_eq!(router.chat(&request, Wish::Auto).await.unwrap().model, "teacher");
    student
        .acts
        .lock()
        .unwrap()
        .push_back(Act::Call(r#"{"path":"."}"#));
    assert_eq!(
        router.chat(&request, Wish::Auto).await.unwrap().model,
        "me/student"
    );
}

#[tokio::test]
async fn a_stream_waits_until_it_is_known_who_answers() {
    let (student, teacher) = (student(SURE), teacher());
    let router = router(&[&student, &teacher], RouterPolicy::default());
    let read = async |router: &Router| {
        let routed = router
            .chat_stream(&ask(), by("confidence_based:0.9"))
            .await
            .unwrap();
        let (mut stream, mut text) = (routed.answer, String::new());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.unwrap();
            assert!(
                !chunk.json.contains("-0.01"),
                "only the router asked: {}",
                chunk.json
            );
            text.push_str(chunk.body.text());
        }
        drop(stream);
        (routed.model, text, kept(router, routed.decision).await)
    };
    let (model, text, record) = read(&router).await;
    assert_eq!((model.as_str(), text.as_str()), ("me/student", "yes it is"));
    assert!(record.succeeded && record.tries.len() == 1, "{record:?}");
    assert_eq!(
        record.tries[0].usage.map(|usage| usage.completion_tokens),
        Some(100)
    );
    student.acts.lock().unwrap().push_back(UNSURE);
    let (model, text, record) = read(&router).await;
    assert_eq!((model.as_str(), text.as_str()), ("teacher", "surely"));
    assert!(
        record.is_escalated() && record.tries[1].end == TryEnd::Answered,
        "{record:?}"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_is_dropped_leaves_a_decision() {
    let teacher = teacher();
    teacher.acts.lock().unwrap().push_back(Act::Break);
    let router = router(&[&teacher], RouterPolicy::default());
    let mut routed = router.chat_stream(&ask(), Wish::Auto).await.unwrap();
    while let Some(Ok(_)) = routed.answer.next().await {}
    let record = kept(&router, routed.decision).await;
    assert!(!record.succeeded && record.tries[0].end == TryEnd::BrokeOff && record.tries[0].error.is_some());
    drop(routed);

    let mut routed = router.chat_stream(&ask(), Wish::Auto).await.unwrap();
    routed.answer.next().await.unwrap().unwrap();
    let id = routed.decision;
    drop(routed);
    let record = kept(&router, id).await;
    assert!(!record.succeeded && record.tries[0].end == TryEnd::Dropped);
    assert_eq!(
        record.cost(),
        (1_000_000, true),
        "a stream that was read to its end tells what it cost"
    );
}

#[tokio::test]
async fn whom_the_budget_refuses_is_followed_by_another_and_whom_a_breaker_holds_is_not_asked() {
    let (student, teacher) = (student(SURE), teacher());
    let router = router(&[&student, &teacher], RouterPolicy::default());
    teacher.acts.lock().unwrap().push_back(Act::Refuse);
    student.acts.lock().unwrap().push_back(UNSURE);
    let routed = router.chat(&ask(), Wish::Auto).await.unwrap();
    assert_eq!(routed.model, "me/student");
    let record = kept(&router, routed.decision).await;
    assert_eq!(record.tries[1].end, TryEnd::Refused);
    assert_eq!(record.tries[1].cost, None, "nothing was sent");

    student.is_open.store(30, Ordering::Relaxed);
    let asked = student.asked.load(Ordering::Relaxed);
    let routed = router.chat(&ask(), Wish::Auto).await.unwrap();
    assert_eq!(
        (routed.model.as_str(), student.asked.load(Ordering::Relaxed)),
        ("teacher", asked)
    );
    let record = kept(&router, routed.decision).await;
    assert!(record.candidates[0].left_out.as_ref().unwrap().contains("30 s"));
    teacher.is_open.store(9, Ordering::Relaxed);
    assert!(
        router.chat(&ask(), Wish::Auto).await.is_ok(),
        "where all are held, all are tried"
    );
}

#[tokio::test]
async fn after_ten_failures_a_student_that_is_good_again_gets_its_calls_back() {
    let (student, teacher) = (student(Act::Say("no", None)), teacher());
    let policy = RouterPolicy {
        seed: 7,
        ..RouterPolicy::default()
    };
    let router = router(&[&student, &teacher], policy);
    let wish = || by("confidence_based:0.7");
    for _ in 0..10 {
        let routed = router
            .chat(&ask(), Wish::Role(BackendRole::Student))
            .await
            .unwrap();
        verdict(&router, routed.decision, false).await;
    }
    let mut shares = Vec::new();
    for _ in 0..30 {
        let mut to_student = 0;
        for _ in 0..100 {
            let routed = router.chat(&ask(), wish()).await.unwrap();
            to_student += u32::from(routed.role == BackendRole::Student);
            verdict(&router, routed.decision, true).await;
        }
        shares.push(to_student);
    }
    assert!(
        (1..=15).contains(&shares[0]),
        "a little exploration at first: {shares:?}"
    );
    assert!(*shares.last().unwrap() > 80, "all of it comes back: {shares:?}");
}

#[tokio::test]
async fn the_cheapest_cascade_is_asked_and_says_its_numbers() {
    let (student, teacher) = (student(SURE), teacher());
    let hf = Model::new(BackendRole::Hf, "a/one", None, SURE);
    let router = router(
        &[&student, &hf, &teacher],
        RouterPolicy {
            explore: 0.0,
            ..RouterPolicy::default()
        },
    );
    let first = router.chat(&ask(), by("cost_optimized:0.8")).await.unwrap();
    assert_eq!(first.model, "teacher", "nothing is known of the student");
    let record = kept(&router, first.decision).await;
    assert!(record.reason.starts_with("expected $0."), "{}", record.reason);
    assert_eq!(
        record.candidates[1].left_out.as_deref(),
        Some("its price is not known")
    );
    for _ in 0..60 {
        let routed = router
            .chat(&ask(), Wish::Role(BackendRole::Student))
            .await
            .unwrap();
        verdict(&router, routed.decision, true).await;
    }
    let later = router.chat(&ask(), by("cost_optimized:0.8")).await.unwrap();
    assert_eq!(
        later.model, "me/student",
        "it costs nothing and is good enough now"
    );

    router.flush().await.unwrap();
    let all = router
        .store()
        .list_decisions(&DecisionFilter::default(), None, 1000)
        .await
        .unwrap();
    let replay = Replay::of(&all, "teacher_only".parse().unwrap());
    assert_eq!((replay.done.calls, replay.named), (2, 60));
    assert!(
        replay.would.nano_usd > replay.done.nano_usd && replay.would.student.abs() < 1e-9,
        "{replay:?}"
    );
    let same = Replay::of(&all, "cost_optimized:0.8".parse().unwrap());
    assert!((same.would.student - 0.5).abs() < 1e-9, "{same:?}");
}

#[tokio::test]
async fn a_students_share_moves_only_with_enough_verdicts() {
    let (student, teacher) = (student(SURE), teacher());
    let router = router(
        &[&student, &teacher],
        RouterPolicy {
            seed: 3,
            ..RouterPolicy::default()
        },
    );
    let wish = || by("progressive:0.7");
    let share = async || {
        let notes = router.store().route_notes().await.unwrap();
        notes
            .iter()
            .find(|(name, _)| name == "share me/student")
            .map(|(_, note)| note["share"].as_f64().unwrap())
    };
    let mut to_student = 0;
    let mut first_step_after = None;
    for _ in 0..600 {
        let routed = router.chat(&ask(), wish()).await.unwrap();
        if routed.role == BackendRole::Student {
            to_student += 1;
            verdict(&router, routed.decision, true).await;
            if share().await.is_some_and(|share| share > 0.1) && first_step_after.is_none() {
                first_step_after = Some(to_student);
            }
        }
    }
    let first = first_step_after.unwrap();
    assert!(
        (8..=20).contains(&first),
        "a handful of verdicts is no evidence: {first}"
    );
    assert!(share().await.unwrap() > 0.7, "{:?}", share().await);
    let high = share().await.unwrap();
    for _ in 0..60 {
        let routed = router.chat(&ask(), wish()).await.unwrap();
        if routed.role == BackendRole::Student {
            verdict(&router, routed.decision, false).await;
        }
    }
    assert!(share().await.unwrap() < high / 2.0, "{:?}", share().await);
}

#[tokio::test]
async fn what_was_learnt_is_there_after_a_restart() {
    let (student, teacher) = (student(Act::Say("yes", None)), teacher());
    let backends =
        || -> Vec<Arc<dyn ModelBackend>> { vec![Arc::clone(&student) as _, Arc::clone(&teacher) as _] };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let store: Arc<dyn RouteStore> = Arc::new(MemoryRoutes::default());
    let make = || {
        Router::new(
            backends(),
            RouterPolicy::default(),
            Arc::clone(&store),
            Arc::clone(&clock),
        )
    };
    let before = make();
    for _ in 0..40 {
        let routed = before
            .chat(&ask(), Wish::Role(BackendRole::Student))
            .await
            .unwrap();
        verdict(&before, routed.decision, true).await;
    }
    let samples: Vec<(f64, bool)> = (0..40).map(|it| (f64::from(it) / 40.0, it > 20)).collect();
    before
        .calibrate("me/student", Calibration::fit(&samples).unwrap())
        .await
        .unwrap();
    drop(before);
    let after = make();
    let routed = after.chat(&ask(), by("confidence_based:0.8")).await.unwrap();
    assert_eq!(routed.model, "me/student");
    let record = kept(&after, routed.decision).await;
    assert!(
        record.reason.contains("verdicts show") && record.candidates[0].belief.p50_ms.is_some(),
        "{record:?}"
    );
}

#[tokio::test]
async fn good_verdicts_never_take_calls_away() {
    let (student, teacher) = (student(Act::Say("yes", None)), teacher());
    let router = router(
        &[&student, &teacher],
        RouterPolicy {
            explore: 0.0,
            ..RouterPolicy::default()
        },
    );
    let mut was_given = false;
    for verdicts in 0..40 {
        let routed = router.chat(&ask(), by("confidence_based:0.8")).await.unwrap();
        let is_students = routed.role == BackendRole::Student;
        assert!(is_students || !was_given, "after {verdicts} good verdicts");
        was_given |= is_students;
        let routed = router
            .chat(&ask(), Wish::Role(BackendRole::Student))
            .await
            .unwrap();
        verdict(&router, routed.decision, true).await;
    }
    assert!(was_given);
}

#[tokio::test]
async fn a_model_nobody_judged_yet_is_tried_now_and_then() {
    let (student, teacher) = (student(Act::Say("yes", None)), teacher());
    let router = router(
        &[&student, &teacher],
        RouterPolicy {
            seed: 5,
            ..RouterPolicy::default()
        },
    );
    let mut explored = 0;
    for _ in 0..200 {
        let routed = router.chat(&ask(), by("confidence_based:0.8")).await.unwrap();
        let record = kept(&router, routed.decision).await;
        assert_eq!(record.explored, routed.role == BackendRole::Student);
        explored += u32::from(record.explored);
    }
    assert!((2..30).contains(&explored), "{explored}");
}

/// Never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl ModelBackend for Silent {
    fn role(&self) -> BackendRole {
        BackendRole::Teacher
    }

    fn model(&self) -> &'static str {
        "silent"
    }

    async fn price(&self) -> Option<TokenPrice> {
        std::future::pending().await
    }

    async fn worst_case(&self, _: &ChatRequest) -> Result<Option<MicroUsd>, InferenceFailure> {
        Ok(None)
    }

    fn breaker(&self) -> BreakerState {
        BreakerState::Closed { failures: 0 }
    }

    async fn chat(&self, _: &ChatRequest) -> Result<ChatAnswer, InferenceFailure> {
        std::future::pending().await
    }

    async fn chat_stream(&self, _: &ChatRequest) -> Result<BackendStream, InferenceFailure> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_call_that_is_cut_off_by_the_deadline_may_be_paid() {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::auto());
    let store = Arc::new(MemoryRoutes::default());
    let router = Router::new(vec![Arc::new(Silent)], RouterPolicy::default(), store, clock);
    let late = router.chat(&ask(), Wish::Auto).await.unwrap_err();
    assert!(
        matches!(late, RouteFailure::TooLate { seconds: 600, .. }),
        "{late}"
    );
    let record = kept(&router, late.decision().unwrap()).await;
    assert_eq!(record.tries[0].end, TryEnd::Dropped);
    assert_eq!(record.cost(), (0, false), "what it cost is not known");
    let late = router.chat_stream(&ask(), Wish::Auto).await.unwrap_err();
    assert!(matches!(late, RouteFailure::TooLate { .. }), "{late}");
}

#[tokio::test]
async fn a_calibrated_student_is_asked_first_and_its_doubt_is_worth_a_second_call() {
    let (student, teacher) = (student(SURE), teacher());
    let policy = RouterPolicy {
        explore: 0.0,
        ..RouterPolicy::default()
    };
    let router = router(&[&student, &teacher], policy);
    let wish = || by("cost_optimized:0.85");
    for good in [true, true, true, false].iter().cycle().take(80) {
        let routed = router
            .chat(&ask(), Wish::Role(BackendRole::Student))
            .await
            .unwrap();
        verdict(&router, routed.decision, *good).await;
    }
    let alone = router.chat(&ask(), wish()).await.unwrap();
    assert_eq!(
        alone.model, "teacher",
        "whose doubts mean nothing is not asked first"
    );
    // It is right whenever it is sure, and wrong whenever it is not.
    let samples: Vec<(f64, bool)> = (0..80)
        .map(|at| if at % 4 == 0 { (0.3, false) } else { (0.98, true) })
        .collect();
    let calibration = Calibration::fit(&samples).unwrap();
    assert!(calibration.error < 0.1 && calibration.brier < calibration.brier_interval.1 + 1e-9);
    router.calibrate("me/student", calibration).await.unwrap();
    let sure = router.chat(&ask(), wish()).await.unwrap();
    let record = kept(&router, sure.decision).await;
    assert_eq!(
        (sure.model.as_str(), record.plan.len()),
        ("me/student", 2),
        "{record:?}"
    );
    assert!(record.tries[0].confidence.unwrap().calibrated);
    student.acts.lock().unwrap().push_back(UNSURE);
    let unsure = router.chat(&ask(), wish()).await.unwrap();
    assert_eq!(unsure.model, "teacher", "its doubt is worth a second call");
    let notes = model_notes(&**router.store()).await.unwrap();
    assert_eq!(notes[0].model, "me/student");
    assert!(notes[0].calibration.as_ref().unwrap().at.is_some());

    router.flush().await.unwrap();
    let all = DecisionFilter::default();
    let recorded = Recorded::read(&**router.store(), &all, 1000).await.unwrap();
    let strategy = "cost_optimized:0.85".parse().unwrap();
    let (with, without) = (
        recorded.replay(strategy),
        Replay::of(&recorded.decisions, strategy),
    );
    assert_eq!(with.done, without.done);
    assert!(
        with.would.student > without.would.student,
        "a replay knows what confidence is worth: {with:?}, {without:?}"
    );
}

#[tokio::test]
async fn a_replay_says_how_far_verdicts_carry_it() {
    let (student, teacher) = (student(SURE), teacher());
    let policy = RouterPolicy {
        seed: 11,
        ..RouterPolicy::default()
    };
    let router = router(&[&student, &teacher], policy);
    // Half go to the student: its share is moved by nobody, and explores nothing.
    let note = json!({"share": 0.5, "ratio": 0.0, "verdicts": 0, "steps": 3});
    router
        .store()
        .put_route_note("share me/student", &note)
        .await
        .unwrap();
    let mut of_student = 0;
    for at in 0..200 {
        let routed = router.chat(&ask(), by("progressive:0.9")).await.unwrap();
        if routed.role == BackendRole::Student {
            of_student += 1;
        }
        // The student is right four times of five.
        let good = routed.role == BackendRole::Teacher || of_student % 5 != 0;
        if !(40..100).contains(&at) {
            let outcome = VerifiedOutcome {
                good,
                source: OutcomeSource::Test,
                at: Timestamp::UNIX_EPOCH,
            };
            router.flush().await.unwrap();
            router
                .store()
                .judge_decision(routed.decision, &outcome)
                .await
                .unwrap();
        }
    }
    let all = router
        .store()
        .list_decisions(&DecisionFilter::default(), None, 1000)
        .await
        .unwrap();
    let replay = Replay::of(&all, "student_only".parse().unwrap());
    let seen = replay.seen;
    let (low, high) = seen.quality_interval.unwrap();
    assert!(low < 0.8 && 0.8 < high && high - low < 0.25, "{seen:?}");
    assert!((seen.covered - 0.5).abs() < 0.1 && (seen.effective - seen.verdicts as f64).abs() < 1e-6);
    let few = Replay::of(&all[..30], "student_only".parse().unwrap()).seen;
    assert!(few.is_thin && few.quality_interval.unwrap().1 - few.quality_interval.unwrap().0 > high - low);
    let none = Replay::of(&[], "student_only".parse().unwrap()).seen;
    assert!(none.is_thin && none.quality.is_none());
}
