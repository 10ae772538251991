//! `bashgym train`: plans that spend nothing, and checkpoints that outlive their job.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bashgym_core::plan::{ChatRenderer, LoadedChat, PlanRequest, TrainPlan, make_plan};
use bashgym_core::run::{
    BuiltDataset, PublishedDataset, RunRecord, RunSpec, RunState, SubmittedJob, Target, VerifiedModel,
};
use bashgym_core::store::{MemoryStore, RunStore};
use bashgym_core::trainer::{Launch, RESULT_FILE, Recipe, TrainerConfig, TrlOptions};
use bashgym_engine::HubChat;
use common::{Environment, Hub, assert_success, fixtures, json_lines, stderr};
use hf_core::{HfClient, HttpRequest, HttpResponse, HttpTransport, ReqwestTransport, Token, TransportError};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Writes down each method that goes over the wire.
#[derive(Debug, Default)]
struct Recording {
    inner: ReqwestTransport,
    methods: Mutex<Vec<String>>,
}

#[async_trait]
impl HttpTransport for Recording {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        self.methods.lock().unwrap().push(request.method.to_string());
        self.inner.send(request).await
    }
}

struct Chat;

struct Loaded(HubChat);

impl ChatRenderer for Chat {
    fn load(&self, dir: &Path) -> Result<Box<dyn LoadedChat>, String> {
        Ok(Box::new(Loaded(
            HubChat::load(dir).map_err(|error| error.to_string())?,
        )))
    }
}

impl LoadedChat for Loaded {
    fn render(&self, messages: &Value, tools: &Value, prompt: bool) -> Result<String, String> {
        self.0
            .render(messages, tools, prompt)
            .map_err(|error| error.to_string())
    }

    fn count_tokens(&self, text: &str) -> Result<usize, String> {
        self.0.count_tokens(text).map_err(|error| error.to_string())
    }
}

/// A Hub with a dataset and a base model on it.
struct World {
    environment: Environment,
    hub: Hub,
}

fn world() -> World {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let (dataset, model) = (environment.path("dataset"), environment.path("model"));
    let built = environment
        .bashgym(["data", "build"])
        .arg(fixtures())
        .arg("--out")
        .arg(&dataset)
        .output()
        .unwrap();
    assert_success(&built);
    let trained = environment
        .bashgym(["train"])
        .arg(&dataset)
        .arg("--out")
        .arg(&model)
        .args(["--preset", "tiny", "--max-steps", "2"])
        .output()
        .unwrap();
    assert_success(&trained);
    let pushed = hub
        .bashgym(&environment, ["data", "push"])
        .arg(&dataset)
        .arg("sessions")
        .output()
        .unwrap();
    assert_success(&pushed);
    let world = World { environment, hub };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let id = format!("{}/base", world.hub.name).parse().unwrap();
        let repo = hf_datasets::RepoFiles::new(&world.hub.client(), hf_core::RepoType::Model, id);
        repo.create(&hf_datasets::CreateOptions::default()).await.unwrap();
        repo.upload_folder(&model, &hf_datasets::UploadOptions::default())
            .await
            .unwrap();
    });
    world
}

impl World {
    fn target(&self) -> Target {
        Target {
            hub: self.hub.endpoint.clone(),
            namespace: self.hub.name.clone(),
        }
    }

    fn training(&self) -> TrainerConfig {
        TrainerConfig {
            trl: Some(TrlOptions::new(Recipe::Sft, format!("{}/base", self.hub.name))),
            ..TrainerConfig::default()
        }
    }

    fn plan(
        &self,
        store: &MemoryStore,
        timeout: Option<u64>,
        flavor: Option<&str>,
    ) -> (TrainPlan, Vec<String>) {
        let transport = Arc::new(Recording::default());
        let client = HfClient::builder()
            .endpoint(self.hub.endpoint.parse().unwrap())
            .token(Token::parse(&self.hub.token).unwrap())
            .transport(transport.clone())
            .build()
            .unwrap();
        let work = tempfile::tempdir().unwrap();
        let request = PlanRequest {
            job_token: None,
            namespace: self.hub.name.parse().unwrap(),
            target: self.target(),
            dataset_repo: format!("{}/sessions", self.hub.name),
            dataset_revision: None,
            model_repo: format!("{}/student", self.hub.name),
            training: self.training(),
            timeout_seconds: timeout,
            flavor: flavor.map(str::to_owned),
            launch: Launch::Mounted,
            work_dir: work.path().to_path_buf(),
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let plan = runtime
            .block_on(make_plan(&client, &request, store, Arc::new(Chat)))
            .unwrap();
        let methods = transport.methods.lock().unwrap().clone();
        (plan, methods)
    }

    /// A store that remembers a run like the planned one, which trained this fast.
    fn measured(&self, tokens_per_second: f64, flavor: &str, dir: &Path) -> MemoryStore {
        let store = MemoryStore::default();
        std::fs::write(
            dir.join(RESULT_FILE),
            json!({ "tokens_per_second": tokens_per_second }).to_string(),
        )
        .unwrap();
        let spec = RunSpec {
            target: self.target(),
            inputs: Vec::new(),
            dataset_repo: "a/b".to_owned(),
            model_repo: "a/c".to_owned(),
            val_fraction: 0.0,
            flavor: flavor.to_owned(),
            training: self.training(),
            samples: 0,
            source: None,
        };
        let mut run = RunRecord::new(spec, Timestamp::UNIX_EPOCH);
        run.state = RunState::Succeeded {
            model: VerifiedModel {
                job: SubmittedJob {
                    dataset: PublishedDataset {
                        built: BuiltDataset {
                            dir: PathBuf::new(),
                            sessions: 1,
                            rows_train: 1,
                            rows_val: 0,
                        },
                        repo_id: "a/b".to_owned(),
                        revision: "0".repeat(40),
                        attempts: 1,
                    },
                    job_id: "j".to_owned(),
                    submitted_at: Timestamp::UNIX_EPOCH,
                },
                repo_id: "a/c".to_owned(),
                revision: "0".repeat(40),
                dir: dir.to_path_buf(),
                val_loss_before: None,
                val_loss_after: None,
            },
            finished_at: Timestamp::UNIX_EPOCH,
        };
        tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(store.create_run(&run))
            .unwrap();
        store
    }
}

/// Acceptance case 16, and: a plan spends nothing, shows the request without secrets, and says what is not known.
#[test]
fn case_16_a_plan_only_reads_and_refuses_a_time_out_that_is_too_short() {
    let world = world();
    let (plan, methods) = world.plan(&MemoryStore::default(), Some(7200), Some("a10g-small"));
    assert!(methods.len() > 4, "{methods:?}");
    assert!(
        methods.iter().all(|method| method == "GET" || method == "HEAD"),
        "{methods:?}"
    );

    assert_eq!(plan.problems, []);
    assert_eq!(plan.fits, Some(true));
    let dataset = plan.dataset.as_ref().unwrap();
    assert_eq!(dataset.samples.len(), 3);
    assert!(
        dataset.samples[0].text.contains("<|im_start|>user"),
        "{}",
        dataset.samples[0].text
    );
    assert_eq!(
        dataset.histogram.iter().map(|bucket| bucket.rows).sum::<u64>(),
        dataset.rows_measured
    );
    assert!(dataset.rows_measured > 10 && dataset.rows_val > 0);
    assert!(plan.steps.unwrap() > 0 && plan.tokens.unwrap() > 0);
    // Nothing like it was measured: no time, no expected price; the worst is known exactly.
    assert_eq!(
        (plan.throughput, plan.seconds_expected, plan.price_expected_usd),
        (None, None, None)
    );
    assert_eq!(plan.price_worst_micro_usd, Some(120 * 16667));
    let request = plan.request.as_ref().unwrap();
    assert_eq!(request["body"]["secrets"]["HF_TOKEN"], "***");
    assert!(!request.to_string().contains(&world.hub.token));
    assert_eq!(request["body"]["timeoutSeconds"], 7200);
    assert_eq!(request["body"]["volumes"][0]["readOnly"], true);

    // Without a measurement and without a word, a time-out is asked for: never the provider's half hour.
    let (plan, _) = world.plan(&MemoryStore::default(), None, Some("a10g-small"));
    assert_eq!(plan.problems[0].code, "timeout_needed");
    assert_eq!((plan.timeout_seconds, plan.request), (None, None));

    // Measured: derived with slack, or refused when it is too short.
    let dir = tempfile::tempdir().unwrap();
    let store = world.measured(10.0, "a10g-small", dir.path());
    let (plan, _) = world.plan(&store, None, Some("a10g-small"));
    let (expected, timeout) = (plan.seconds_expected.unwrap(), plan.timeout_seconds.unwrap());
    assert!(
        timeout > expected && timeout.is_multiple_of(60),
        "{expected} {timeout}"
    );
    assert_eq!(plan.problems, []);
    assert!(plan.price_expected_usd.unwrap() < plan.price_worst_usd.unwrap());
    let (plan, _) = world.plan(&store, Some(expected - 1), Some("a10g-small"));
    assert_eq!(plan.problems[0].code, "timeout_too_short");
    let (plan, _) = world.plan(&store, Some(expected + 1), Some("a10g-small"));
    assert!(
        plan.warnings
            .iter()
            .any(|warning| warning.code == "timeout_close"),
        "{:?}",
        plan.warnings
    );

    // The command says the same, with its exit code, and `start` refuses.
    let base = format!("{}/base", world.hub.name);
    let output = world
        .hub
        .bashgym(
            &world.environment,
            ["--format", "json", "train", "plan", "sessions", "--model", &base],
        )
        .args(["--output", "student", "--flavor", "auto", "--timeout", "2h"])
        .output()
        .unwrap();
    assert_success(&output);
    let shown = &json_lines(&output)[0];
    for key in [
        "fits",
        "flavor",
        "price_expected_usd",
        "price_worst_usd",
        "problems",
        "request",
    ] {
        assert!(shown.get(key).is_some(), "{key} in {shown}");
    }
    let codes = |list: &Value| -> Vec<String> {
        let all = list.as_array().into_iter().flatten();
        all.filter_map(|one| one["code"].as_str().map(str::to_owned))
            .collect()
    };
    assert!(
        codes(&shown["warnings"]).contains(&"job_carries_broad_token".to_owned()),
        "the job would get a token that may do everything: {}",
        shown["warnings"]
    );
    let unknown = world
        .hub
        .bashgym(
            &world.environment,
            ["--format", "json", "train", "plan", "sessions", "--model", &base],
        )
        .args(["--output", "student", "--flavor", "auto", "--timeout", "2h"])
        .env("BASHGYM_JOB_TOKEN", "hf_nobodyknowsthistokenhere")
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(3), "{}", stderr(&unknown));
    assert_eq!(codes(&json_lines(&unknown)[0]["problems"]), ["job_token_refused"]);
    let refused = world
        .hub
        .bashgym(
            &world.environment,
            ["train", "start", "sessions", "--model", &base, "--yes"],
        )
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    let unasked = world
        .hub
        .bashgym(
            &world.environment,
            ["train", "start", "sessions", "--model", &base, "--timeout", "2h"],
        )
        .output()
        .unwrap();
    assert_eq!(unasked.status.code(), Some(2), "{}", stderr(&unasked));
    assert!(stderr(&unasked).contains("--yes"), "{}", stderr(&unasked));
}

#[test]
fn a_dataset_on_the_hub_becomes_a_verified_student() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    hub.push_sessions(&environment);
    let output = hub
        .bashgym(
            &environment,
            [
                "--format", "json", "train", "start", "sessions", "--output", "student",
            ],
        )
        .args(["--preset", "tiny", "--max-steps", "10", "--yes"])
        .output()
        .unwrap();
    assert_success(&output);
    let events = json_lines(&output);
    assert_eq!(events[0]["event"], "plan");
    let result = events.last().unwrap();
    assert_eq!(result["event"], "result");
    assert_eq!(result["dataset_repo"], format!("{}/sessions", hub.name));
    assert!(result["rows_train"].as_u64().unwrap() > 10);
    let runs = environment.run(["--format", "json", "runs", "ls"]);
    assert_eq!(json_lines(&runs)[0]["state"], "succeeded");
}

/// Acceptance case 18, for the embedded engine: a job that is killed leaves its last checkpoint in the output repository, and
/// the next job of the run goes on from there, in a folder of its own.
#[test]
fn case_18_the_next_job_goes_on_from_the_checkpoint_that_was_pushed() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let pushed = hub.push_sessions(&environment);
    let worker = |run: &str, preset: &str, steps: u64| -> Command {
        let job = tempfile::Builder::new()
            .prefix("job-")
            .tempdir_in(environment.folder.path())
            .unwrap()
            .keep();
        let config = json!({
            "dataset_repo": format!("{}/sessions", hub.name),
            "dataset_revision": pushed["revision"],
            "model_repo": format!("{}/student", hub.name),
            "run_id": run,
            "training": {"preset": preset, "seed": 1, "max_steps": steps, "max_seconds": null, "timeout_seconds": 7200,
                "checkpoint_every_seconds": 0.5},
        });
        let mut command = hub.bashgym(&environment, ["worker", "train"]);
        command
            .env("BASHGYM_JOB_CONFIG", config.to_string())
            .current_dir(job)
            .stdout(Stdio::piped());
        command
    };
    let mut first = worker("run-a", "small", 100_000).spawn().unwrap();
    let mut said = Vec::new();
    let pushed = BufReader::new(first.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .inspect(|line| said.push(line.clone()))
        .find(|line| line.starts_with("Pushed the checkpoint"));
    let Some(pushed) = pushed else {
        let last = &said[said.len().saturating_sub(20)..];
        panic!("a checkpoint leaves the job while it trains: {last:#?}");
    };
    first.kill().unwrap();
    first.wait().unwrap();

    // A job of another run does not take it, and the one of this run does.
    let mut other = worker("run-b", "small", 100_000).spawn().unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.any(|line| line.contains("another run")), "{pushed}");
    other.kill().unwrap();
    other.wait().unwrap();
    let mut second = worker("run-a", "small", 100_000).spawn().unwrap();
    let mut lines = BufReader::new(second.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let start = lines.find(|line| line.contains("\"event\":\"start\"")).unwrap();
    let start: Value = serde_json::from_str(start.strip_prefix("[bashgym] ").unwrap()).unwrap();
    assert!(start["resumed_step"].as_u64().unwrap() > 0, "{start}");
    second.kill().unwrap();
    second.wait().unwrap();

    // The job that ends takes the checkpoints away with the commit that brings the model.
    let last = worker("run-c", "tiny", 5).output().unwrap();
    assert_success(&last);
    let files = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let id = format!("{}/student", hub.name).parse().unwrap();
        let repo = hf_datasets::RepoFiles::new(&hub.client(), hf_core::RepoType::Model, id);
        repo.info(None).await.unwrap().siblings
    });
    assert!(files.iter().any(|file| file.path == "model.safetensors"));
    assert!(
        files.iter().all(|file| !file.path.starts_with("checkpoints/")),
        "{files:?}"
    );
}

#[test]
fn every_recipe_can_be_printed() {
    let environment = Environment::new();
    for recipe in Recipe::ALL {
        let output = environment.run(["train", "script", recipe.as_str()]);
        assert_success(&output);
        assert_eq!(String::from_utf8_lossy(&output.stdout), recipe.script());
    }
}

/// The model's own commands run on nobody's machine unasked.
#[test]
fn grpo_here_asks_before_it_runs_what_the_model_writes() {
    let environment = Environment::new();
    let args = [
        "train",
        "local",
        "dataset",
        "--out",
        "student",
        "--model",
        "somebody/base",
        "--recipe",
        "grpo",
    ];
    let refused = environment.run(args);
    assert_eq!(refused.status.code(), Some(2), "{}", common::stderr(&refused));
    let said = common::stderr(&refused);
    assert!(
        said.contains("nobody is there") && said.contains("--yes"),
        "{said}"
    );
    assert!(!environment.path("student").exists());
}
