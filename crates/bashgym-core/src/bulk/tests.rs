//! Asking many questions of scripted providers: what is paid once, what stops, what is kept.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bashgym_gate::{GateKey, Inspector, Policy};
use bashgym_traces::{
    ChatMessage, DatasetManifest, Example, ExampleMetadata, Gate, RowKind, Split, estimate_tokens,
};
use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{Clock, HfClient, MicroUsd, RetryPolicy};
use hf_inference::HfInferenceConfig;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::output::{Output, fresh_manifest};
use super::*;
use crate::inference::{InferenceDesk, MemoryCalls, UnknownPrice};
use crate::ledger::{
    Cap, CapScope, EntryFilter, EntryState, Ledger, LedgerStore, MemoryLedger, Service, Window,
};

const HUB: &str = "http://127.0.0.1:1";

struct World {
    transport: ScriptedTransport,
    ledger: Arc<MemoryLedger>,
    clock: Arc<ManualClock>,
    desk: InferenceDesk,
    dir: tempfile::TempDir,
}

/// A Hub whose model `org/m` costs a dollar a million tokens and answers by number of call.
fn world(chat: impl Fn(usize, &Value) -> Reply + Send + Sync + 'static) -> World {
    let asked = AtomicUsize::new(0);
    let transport = ScriptedTransport::answering(move |request: &RecordedRequest| {
        Some(match request.path() {
            "/v1/models" => Reply::json(
                200,
                json!({"data": [{"id": "org/m", "providers": [
                    {"provider": "groq", "status": "live", "pricing": {"input": 1.0, "output": 1.0}}]}]}),
            ),
            path if path.starts_with("/api/models/") => Reply::json(
                200,
                json!({"inferenceProviderMapping": [
                    {"provider": "hf-inference", "providerId": "org/e", "status": "live", "task": "feature-extraction"}]}),
            ),
            _ => chat(asked.fetch_add(1, Ordering::Relaxed), &request.json()),
        })
    });
    let clock = Arc::new(ManualClock::auto());
    let hub = HfClient::builder()
        .transport(Arc::new(transport.clone()))
        .clock(clock.clone())
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    let config = HfInferenceConfig {
        retry: RetryPolicy {
            max_attempts: 2,
            seed: Some(1),
            ..RetryPolicy::default()
        },
        ..HfInferenceConfig::default()
    };
    let budget = Arc::new(Ledger::new(ledger.clone(), clock.clone()));
    let calls = Arc::new(MemoryCalls::default());
    World {
        transport,
        ledger,
        desk: InferenceDesk::new(&hub, config, budget, calls, UnknownPrice::Refuse).unwrap(),
        clock,
        dir: tempfile::tempdir().unwrap(),
    }
}

fn said(text: &str) -> Reply {
    Reply::json(
        200,
        json!({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 10}}),
    )
    .header("x-inference-provider", "groq")
}

impl World {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn generate(&self, prompts: usize) -> Arc<dyn Work> {
        let file = self.path("prompts.txt");
        let lines: Vec<String> = (0..prompts).map(|n| format!("What is {n} and {n}?")).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        Arc::new(Generate {
            prompts: file,
            endpoint: HUB.to_owned(),
            model: "org/m".parse().unwrap(),
            samples: 1,
            system: None,
            max_tokens: 100,
            temperature: 0.7,
            kind: RowKind::Distillation,
            val_fraction: 0.2,
            seed: 42,
        })
    }

    fn journal(&self) -> Arc<Journal> {
        Arc::new(Journal::open(&self.path("journal")).unwrap())
    }

    async fn run_with(
        &self,
        work: &Arc<dyn Work>,
        gate: Option<Inspector>,
        options: RunOptions,
    ) -> Result<Ran, BulkError> {
        let runner = Runner::new(
            self.desk.clone(),
            self.journal(),
            self.clock.clone(),
            gate,
            options,
        );
        runner
            .run(ask_stream(work, 4), &CancellationToken::new(), &|_| {})
            .await
    }

    async fn run(&self, work: &Arc<dyn Work>) -> Ran {
        self.run_with(work, None, RunOptions::default()).await.unwrap()
    }

    fn chats(&self) -> usize {
        let is_chat = |request: &&RecordedRequest| request.path() == "/v1/chat/completions";
        self.transport.requests().iter().filter(is_chat).count()
    }

    async fn spent(&self) -> (u64, usize) {
        let entries = self
            .ledger
            .list_entries(&EntryFilter::default(), None, 10_000)
            .await
            .unwrap();
        let mut sum = 0;
        let mut open = 0;
        for entry in entries {
            match entry.state {
                EntryState::Settled { amount, .. } => sum += amount.map_or(0, MicroUsd::get),
                EntryState::Reserved => open += 1,
                EntryState::Released { .. } => {}
            }
        }
        (sum, open)
    }

    fn write(&self, work: &dyn Work, out: &str, complete: bool) -> Value {
        let journal = self.journal();
        let counts = Counts::default();
        let out = self.path(out);
        work.write(Making {
            journal: &journal,
            out: &out,
            gate: &mut Gate::new(),
            complete,
            counts,
        })
        .unwrap()
    }
}

#[tokio::test]
async fn what_was_answered_is_never_asked_again() {
    let world = world(|n, _| said(&format!("answer {n}")));
    let work = world.generate(40);
    let first = world.run(&work).await;
    assert_eq!((first.counts.answered, first.counts.failed), (40, 0));
    assert!(first.stopped.is_none());
    assert_eq!((world.chats(), first.counts.nano_usd), (40, 40 * 20_000));
    let again = world.run(&work).await;
    assert_eq!((again.counts.from_journal, again.counts.answered), (40, 0));
    assert_eq!(world.chats(), 40);
    // More prompts ask for more only.
    let more = world.run(&world.generate(45)).await;
    assert_eq!((more.counts.from_journal, more.counts.answered), (40, 5));
    assert_eq!(world.chats(), 45);
}

#[tokio::test]
async fn what_was_sent_when_the_process_died_may_be_paid_and_is_sent_again_only_when_that_is_asked_for() {
    let world = world(|_, _| said("x"));
    let work = world.generate(5);
    let keys: Vec<CallKey> = work.asks().unwrap().flat_map(|ask| ask.unwrap().keys).collect();
    // Killed after the call went out and before its answer was written: the reservation is open, the journal says sent.
    world.journal().sent(&keys[..2], world.clock.now()).await.unwrap();
    let ran = world.run(&work).await;
    assert_eq!(
        (ran.counts.answered, ran.counts.unclear, world.chats()),
        (3, 2, 3)
    );
    let estimated = estimate(&work, &world.desk, &world.journal(), None, false)
        .await
        .unwrap();
    assert_eq!(
        (estimated.answered, estimated.unclear, estimated.to_ask),
        (3, 2, 0)
    );
    let options = RunOptions {
        retry_unclear: true,
        ..RunOptions::default()
    };
    let ran = world.run_with(&work, None, options).await.unwrap();
    assert_eq!(
        (ran.counts.answered, ran.counts.unclear, world.chats()),
        (2, 0, 5)
    );
}

#[tokio::test]
async fn a_busy_provider_is_waited_for_and_a_broken_reply_costs_one_row() {
    let world = world(|n, _| match n {
        0..6 => Reply::status(429).header("retry-after", "7"),
        9 | 10 => Reply::status(200)
            .header("content-type", "application/json")
            .body("{\"choices\": ["),
        n => said(&format!("answer {n}")),
    });
    let work = world.generate(12);
    let options = RunOptions {
        concurrency: 1,
        rounds: 10,
        ..RunOptions::default()
    };
    let ran = world.run_with(&work, None, options).await.unwrap();
    assert!(ran.stopped.is_none(), "{ran:?}");
    assert_eq!((ran.counts.answered, ran.counts.failed), (11, 1));
    assert_eq!(ran.counts.failed_maybe_paid, 1);
    assert_eq!(ran.failures.len(), 1);
    // Nobody came back before they were told to.
    let waited: std::time::Duration = world.clock.sleeps().iter().sum();
    assert!(waited.as_secs() >= 7, "{waited:?}");
    // The failed one is asked again by the next run, and only that one.
    let before = world.chats();
    let ran = world.run(&work).await;
    assert_eq!((ran.counts.from_journal, ran.counts.answered), (11, 1));
    assert_eq!(world.chats(), before + 1);
}

#[tokio::test]
async fn a_provider_that_dies_halfway_ends_the_work_and_what_was_answered_stays() {
    let world = world(|n, _| if n < 20 { said("x") } else { Reply::status(503) });
    let work = world.generate(200);
    let ran = world.run(&work).await;
    assert!(matches!(ran.stopped, Some(Stopped::Failing(_))), "{ran:?}");
    assert_eq!(ran.counts.answered, 20);
    assert!(ran.counts.failed < 40, "{:?}", ran.counts);
    assert!(world.chats() < 150, "{}", world.chats());
}

#[tokio::test]
async fn a_token_that_is_refused_ends_the_work_at_once() {
    let world = world(|_, _| Reply::status(401));
    let work = world.generate(200);
    let ran = world.run(&work).await;
    assert!(matches!(ran.stopped, Some(Stopped::Failing(_))));
    assert!(world.chats() <= 8, "{}", world.chats());
    assert_eq!(ran.counts.failed_maybe_paid, 0);
}

#[tokio::test]
async fn the_cap_is_never_passed_and_all_that_fits_below_it_is_asked() {
    let world = world(|_, _| said("x"));
    let work = world.generate(100);
    // A call costs 20 millionths and reserves about 300: eight at a time reserve far more than they cost.
    let cap = Cap {
        scope: CapScope::One(Service::Inference),
        window: Window::Day,
        amount: MicroUsd::new(1_000).unwrap(),
    };
    world.ledger.set_cap(cap).await.unwrap();
    let ran = world.run(&work).await;
    assert!(matches!(ran.stopped, Some(Stopped::Budget(_))), "{ran:?}");
    let (spent, open) = world.spent().await;
    assert!(spent <= 1_000 && open == 0, "{spent} {open}");
    // It went on until a single call would no longer fit.
    assert_eq!(spent, ran.counts.answered * 20);
    assert!(ran.counts.answered >= 30, "{:?}", ran.counts);
    // What the budget refused was not sent, so nothing of it is unclear.
    assert_eq!(world.journal().unclear(), 0);
    assert_eq!(world.chats() as u64, ran.counts.answered);
    let written = world.write(&*work, "out", false);
    assert_eq!(written["rows"]["without_answer"], 100 - ran.counts.answered);
}

#[tokio::test]
async fn a_secret_stops_all_of_it_before_anything_is_sent() {
    let world = world(|_, _| said("x"));
    let work = world.generate(3);
    let secret = format!("hf_{}", "aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567");
    let file = world.path("prompts.txt");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\nLog in with {secret}")).unwrap();
    let gate = || Inspector::new(GateKey::public(), Policy::default(), Vec::new());
    let found = estimate(&work, &world.desk, &world.journal(), Some(&gate()), false).await;
    let error = found.unwrap_err();
    assert!(matches!(error, BulkError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains(&secret), "{error}");
    // The gate stands before each call too, whatever the first look saw.
    let ran = world.run_with(&work, Some(gate()), RunOptions::default()).await;
    assert!(matches!(ran, Err(BulkError::Refused { .. })));
    let sent = world
        .transport
        .requests()
        .iter()
        .any(|request| String::from_utf8_lossy(&request.body).contains(&secret));
    assert!(!sent);
}

#[tokio::test]
async fn the_price_is_told_before_and_unknown_is_not_zero() {
    let world = world(|_, _| said("x"));
    let work = world.generate(10);
    let told = estimate(&work, &world.desk, &world.journal(), None, false)
        .await
        .unwrap();
    assert_eq!(
        (told.questions, told.to_ask, told.answer_tokens_at_most),
        (10, 10, Some(1_000))
    );
    // Ten answers of at most a hundred tokens, two tries each, at a dollar a million, and the prompts.
    let worst = told.price_worst_usd.unwrap();
    assert!(worst > 0.002 && worst < 0.01, "{worst}");
    assert_eq!((told.answer_tokens, told.price_expected_usd), (None, None));
    let dedup: Arc<dyn Work> = Arc::new(Dedup {
        folder: dataset(&world.path("in"), &[("a", Split::Train, 0.5, "x")]),
        dir: world.path("in"),
        endpoint: HUB.to_owned(),
        model: "org/e".parse().unwrap(),
        threshold: 0.9,
    });
    let told = estimate(&dedup, &world.desk, &world.journal(), None, false)
        .await
        .unwrap();
    assert_eq!((told.price_expected_usd, told.price_worst_usd), (None, None));
    assert_eq!(world.chats(), 0);
}

/// Writes a dataset of one message each, and opens it.
fn dataset(dir: &Path, rows: &[(&str, Split, f64, &str)]) -> RowFolder {
    let mut output = Output::create(dir).unwrap();
    for split in Split::ALL {
        output.open(split.file_name()).unwrap();
    }
    let message = |role: &str, content: &str| ChatMessage {
        role: role.to_owned(),
        content: content.to_owned(),
        tool_calls: None,
        tool_call_id: None,
        name: None,
    };
    for (id, split, score, prompt) in rows {
        let row = AnyRow::Sft(Example {
            messages: vec![message("user", prompt), message("assistant", "Done.")],
            tools: "[]".to_owned(),
            metadata: ExampleMetadata {
                example_id: (*id).to_owned(),
                session_id: format!("session-{id}"),
                agent: "codex".to_owned(),
                model: "teacher".to_owned(),
                segment: 0,
                started_at: String::new(),
                is_subagent: false,
                score: *score,
                tokens: estimate_tokens(prompt) as u64,
                truncated: false,
            },
        });
        output.row(split.file_name(), &row).unwrap();
    }
    let manifest = fresh_manifest(RowKind::Sft, Gate::new().report());
    output
        .finish(manifest, Vec::new(), json!({"work": "test"}))
        .unwrap();
    RowFolder::open(dir).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn generated_rows_lie_in_both_splits_with_where_each_came_from() {
    let world = world(|n, _| said(if n == 3 { " " } else { "Forty-two." }));
    let work = world.generate(60);
    world.run(&work).await;
    let told = world.write(&*work, "out", true);
    let out = world.path("out");
    let (train, val) = (lines(&out.join("train.jsonl")), lines(&out.join("val.jsonl")));
    assert_eq!(train.len() + val.len(), 59);
    assert!(val.len() >= 4, "{}", val.len());
    assert_eq!(told["rows"]["empty"], 1);
    assert_eq!(train[0]["completion"][0]["content"], "Forty-two.");
    assert_eq!(train[0]["metadata"]["model"], "org/m");
    let provenance = lines(&out.join(PROVENANCE_FILE));
    assert_eq!(provenance.len(), 59);
    assert_eq!(provenance[0]["provider"], "groq");
    assert_eq!(provenance[0]["cost_usd"], 0.000_02);
    let manifest = DatasetManifest::read(&out).unwrap();
    assert_eq!(
        (manifest.rows_train, manifest.rows_val),
        (train.len() as u64, val.len() as u64)
    );
    // What was written can be opened as input, and is written again only by its own work.
    RowFolder::open(&out).unwrap();
    check_output(&*work, &out).unwrap();
    let other = Arc::new(Augment {
        folder: RowFolder::open(&out).unwrap(),
        dir: out.clone(),
        endpoint: HUB.to_owned(),
        model: "org/m".parse().unwrap(),
        variations: 1,
        temperature: 0.8,
    });
    assert!(matches!(
        check_output(&*other, &out),
        Err(BulkError::NotOurs { .. })
    ));
}

#[tokio::test]
async fn the_same_tasks_in_other_words_join_training_only_and_what_does_not_hold_is_counted() {
    let world = world(|_, body| {
        let asked = body["messages"][1]["content"].as_str().unwrap().to_owned();
        said(if asked.contains("first task") {
            r#"{"variations": ["Would you do the task that comes first?", "Do the first task, please", "do the FIRST task, please"]}"#
        } else {
            "I cannot do that."
        })
    });
    let rows = [
        ("a", Split::Train, 0.5, "Please do the first task"),
        ("b", Split::Train, 0.5, "Please do the second task"),
        (
            "c",
            Split::Val,
            0.5,
            "Please do the first task of another session",
        ),
    ];
    let folder = dataset(&world.path("in"), &rows);
    let work: Arc<dyn Work> = Arc::new(Augment {
        folder,
        dir: world.path("in"),
        endpoint: HUB.to_owned(),
        model: "org/m".parse().unwrap(),
        variations: 3,
        temperature: 0.8,
    });
    world.run(&work).await;
    assert_eq!(world.chats(), 2);
    let told = world.write(&*work, "out", true);
    let train = lines(&world.path("out/train.jsonl"));
    let ids: Vec<&str> = train
        .iter()
        .map(|row| row["metadata"]["example_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["a", "a-aug0", "a-aug1", "b"]);
    assert_eq!(
        train[1]["messages"][0]["content"],
        "Would you do the task that comes first?"
    );
    assert_eq!(train[1]["metadata"]["session_id"], "session-a");
    assert_eq!(train[1]["messages"][1], train[0]["messages"][1]);
    assert_eq!(lines(&world.path("out/val.jsonl")).len(), 1);
    let rows = &told["rows"];
    assert_eq!((&rows["rows_added"], &rows["same_words"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&rows["unreadable_answer"], &rows["held_out"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        lines(&world.path("out").join(PROVENANCE_FILE))[0]["source_ids"],
        json!(["a"])
    );
}

#[tokio::test]
async fn a_judge_moves_scores_and_is_measured_where_people_said_something() {
    let world = world(|_, body| {
        let asked = body["messages"][1]["content"].as_str().unwrap().to_owned();
        let score = if asked.contains("good") { 5 } else { 1 };
        said(&json!({"reason": "seen", "score": score}).to_string())
    });
    let rows = [
        ("a", Split::Train, 0.5, "a good one"),
        ("b", Split::Train, 0.5, "a poor one"),
        ("c", Split::Train, 0.5, "a good one at first sight"),
        ("d", Split::Val, 0.5, "another poor one"),
    ];
    let label = bashgym_traces::quality::Label::Good;
    let bad = bashgym_traces::quality::Label::Bad;
    let labels = [
        ("a".to_owned(), label),
        ("session-c".to_owned(), bad),
        ("d".to_owned(), bad),
    ];
    let work: Arc<dyn Work> = Arc::new(Score {
        folder: dataset(&world.path("in"), &rows),
        dir: world.path("in"),
        endpoint: HUB.to_owned(),
        model: "org/m".parse().unwrap(),
        rubric: RUBRIC.to_owned(),
        labels: labels.into_iter().collect(),
        max_chars: 1_000,
        min_score: Some(0.2),
    });
    world.run(&work).await;
    let told = world.write(&*work, "out", true);
    let agreement = &told["agreement"];
    assert_eq!(
        (&agreement["rows"], &agreement["judge_good_only"]),
        (&json!(3), &json!(1))
    );
    assert!(agreement["kappa"].as_f64().unwrap() > 0.0);
    let train = lines(&world.path("out/train.jsonl"));
    // c is labelled bad, which settles it.
    assert_eq!(train.len(), 2);
    assert_eq!(train[0]["metadata"]["score"], 1.0);
    let lowered = train[1]["metadata"]["score"].as_f64().unwrap();
    assert!(lowered > 0.2 && lowered < 0.4, "{lowered}");
    assert_eq!(told["rows"]["below_min_score"], 2);
    assert_eq!(
        lines(&world.path("out").join(PROVENANCE_FILE))[1]["score"]["judge"]["value"],
        0.0
    );
}

#[tokio::test]
async fn a_provider_that_keeps_to_no_schema_is_asked_in_words() {
    let world = world(|_, body| {
        if body.get("response_format").is_some() {
            return Reply::json(422, json!({"error": "no grammar"}));
        }
        said(r#"Sure! {"reason": "seen", "score": 2}"#)
    });
    let rows: Vec<(String, String)> = (0..40).map(|n| (format!("r{n}"), format!("task {n}"))).collect();
    let rows: Vec<_> = rows
        .iter()
        .map(|(id, text)| (id.as_str(), Split::Train, 0.5, text.as_str()))
        .collect();
    let work: Arc<dyn Work> = Arc::new(Score {
        folder: dataset(&world.path("in"), &rows),
        dir: world.path("in"),
        endpoint: HUB.to_owned(),
        model: "org/m".parse().unwrap(),
        rubric: RUBRIC.to_owned(),
        labels: std::collections::BTreeMap::new(),
        max_chars: 1_000,
        min_score: None,
    });
    let ran = world.run(&work).await;
    assert_eq!((ran.counts.answered, ran.counts.failed), (40, 0), "{ran:?}");
    // Those that were under way when the first was refused learned it too; nobody after them.
    assert!(world.chats() <= 48, "{}", world.chats());
    assert_eq!(world.write(&*work, "out", true)["rows"]["judged"], 40);
}

#[tokio::test]
async fn requests_that_are_all_refused_end_the_work_early() {
    let world = world(|_, _| Reply::json(422, json!({"error": "temperature is not for this model"})));
    let ran = world.run(&world.generate(300)).await;
    assert!(matches!(ran.stopped, Some(Stopped::Failing(_))));
    assert!(world.chats() < 50, "{}", world.chats());
}

#[tokio::test]
async fn near_rows_go_the_better_one_stays_and_no_pair_lies_across_the_splits() {
    // The embedder sees only which group a text is of.
    let world = world(|_, body| {
        let texts = body["inputs"].as_array().unwrap();
        let vectors: Vec<Vec<f32>> = texts
            .iter()
            .map(|text| {
                let text = text.as_str().unwrap();
                let mut vector = vec![0.01; 8];
                let place = "uvwxyz".find(text.chars().next().unwrap()).unwrap_or(7);
                vector[place] = 1.0;
                vector
            })
            .collect();
        Reply::json(200, vectors)
    });
    let rows = [
        ("a", Split::Train, 0.3, "u one"),
        ("b", Split::Train, 0.9, "u two"),
        ("c", Split::Train, 0.9, "v one"),
        ("d", Split::Val, 0.1, "v two"),
        ("e", Split::Train, 0.5, "w alone"),
    ];
    let dedup = Dedup {
        folder: dataset(&world.path("in"), &rows),
        dir: world.path("in"),
        endpoint: HUB.to_owned(),
        model: "org/e".parse().unwrap(),
        threshold: 0.95,
    };
    let work: Arc<dyn Work> = Arc::new(dedup);
    let desk = world.desk.clone().with_unknown_price(UnknownPrice::Free);
    let runner = Runner::new(
        desk,
        world.journal(),
        world.clock.clone(),
        None,
        RunOptions::default(),
    );
    let ran = runner
        .run(ask_stream(&work, 4), &CancellationToken::new(), &|_| {})
        .await
        .unwrap();
    drop(runner);
    // Five prompts, and what was done, which is the same in all of them and makes none a duplicate.
    assert_eq!((ran.counts.answered, ran.counts.repeated), (6, 4), "{ran:?}");
    let told = world.write(&*work, "out", true);
    let ids = |name: &str| -> Vec<String> {
        lines(&world.path("out").join(name))
            .iter()
            .map(|row| row["metadata"]["example_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        (ids("train.jsonl"), ids("val.jsonl")),
        (vec!["b".into(), "e".into()], vec!["d".into()])
    );
    assert_eq!(
        (&told["rows"]["removed"], &told["rows"]["removed_across_splits"]),
        (&json!(1), &json!(1))
    );
    let removed = lines(&world.path("out").join(PROVENANCE_FILE));
    assert_eq!(removed[0]["removed"]["kept"], "b");
}

#[tokio::test]
async fn stopping_ends_after_the_calls_under_way() {
    let world = world(|_, _| said("x"));
    let work = world.generate(500);
    let stop = CancellationToken::new();
    let runner = Runner::new(
        world.desk.clone(),
        world.journal(),
        world.clock.clone(),
        None,
        RunOptions::default(),
    );
    let enough = |counts: Counts| {
        if counts.answered >= 10 {
            stop.cancel();
        }
    };
    let ran = runner.run(ask_stream(&work, 4), &stop, &enough).await.unwrap();
    drop(runner);
    assert!(matches!(ran.stopped, Some(Stopped::Asked)));
    assert!((10..40).contains(&ran.counts.answered), "{:?}", ran.counts);
    let journal = world.journal();
    assert_eq!(journal.unclear(), 0);
}
