//! The walk from stage to stage. Each step is saved before the next begins, so that whoever comes after a crash
//! finds out what is true and goes on from there.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bashgym_gate::{Gate, Inspector};
use hf_core::{Clock, HfClient, HfErrorKind, RepoId, RepoType, SecretValue, Token};
use hf_datasets::{DatasetConfig, HfDatasetManager, RepoFiles};
use hf_jobs::HfJobRunner;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::follow::{self, JobEnd};
use super::model::{RunId, RunRecord, RunSpec, SubmittedJob};
use super::state::{RunState, Stage};
use super::verify;
use crate::CoreError;
use crate::events::{EventSink, RunEvent, RunResult, StageStatus};
use crate::launch::{
    LaunchContext, LaunchError, LaunchPolicy, LaunchPrice, LaunchRequest, LaunchService, NoSink, Observation,
    read_train_line,
};
use crate::ledger::Budget;
use crate::publish::{BuildConfig, DatasetBuild, PublishGate, build_dataset_dir, check_target};
use crate::store::{JobStore, Store};
use crate::trainer::{self, INTENT_LABEL, PinnedCode, RUN_LABEL, TrainJobConfig, TrainingBackend};

/// A completion that a student gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The last thing the person said.
    pub prompt: String,
    /// What the student answered.
    pub completion: String,
    /// Tokens of the answer.
    pub tokens: u64,
}

/// Lets a student answer, so that a run can show what it made.
#[async_trait]
pub trait StudentSampler: Send + Sync {
    /// Samples answers to prompts of the held-out rows in `dataset_dir`.
    ///
    /// # Errors
    /// [`CoreError::Sampling`].
    async fn sample(
        &self,
        model_dir: &Path,
        dataset_dir: &Path,
        count: u32,
        seed: u64,
    ) -> Result<Vec<Completion>, CoreError>;
}

/// What a run works with. The composition root makes it.
#[derive(Clone)]
pub struct RunContext {
    /// The Hub.
    pub client: HfClient,
    /// The token that the job gets as its secret.
    pub token: Token,
    /// Where runs are remembered.
    pub store: Arc<dyn Store>,
    /// Where jobs and their lines are remembered; the same store, as a rule.
    pub jobs: Arc<dyn JobStore>,
    /// What is asked before money is spent; none where jobs cost nothing.
    pub budget: Option<Arc<dyn Budget>>,
    /// What the job runs.
    pub backend: Arc<dyn TrainingBackend>,
    /// Who lets the student answer.
    pub sampler: Arc<dyn StudentSampler>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The folder for what runs keep on this machine.
    pub runs_dir: PathBuf,
    /// What cleans the sessions.
    pub gate: Gate,
    /// What scans the dataset before it is sent.
    pub inspector: Inspector,
}

/// Drives runs.
pub struct RunService {
    context: RunContext,
}

/// Removes its claim on a run when dropped, also by a crash: the lock lives in the open file.
struct Claim(#[expect(dead_code, reason = "held for the lock it carries")] File);

impl RunService {
    /// Makes a service.
    pub fn new(context: RunContext) -> Self {
        Self { context }
    }

    /// The folder of a run on this machine.
    pub fn run_dir(&self, id: RunId) -> PathBuf {
        self.context.runs_dir.join(id.to_string())
    }

    /// Finds the unfinished run of a specification, or makes a new one.
    ///
    /// # Errors
    /// [`CoreError::Store`].
    pub async fn find_or_create(
        &self,
        spec: RunSpec,
        always_new: bool,
    ) -> Result<(RunRecord, bool), CoreError> {
        if !always_new && let Some(found) = self.context.store.find_unfinished_run(&spec).await? {
            return Ok((found, true));
        }
        let record = RunRecord::new(spec, self.context.clock.now());
        self.context.store.create_run(&record).await?;
        Ok((record, false))
    }

    /// Walks a run to its end, from wherever it stands.
    ///
    /// Dropping the future at any point leaves a run that a later call continues; a job that was submitted goes
    /// on meanwhile.
    ///
    /// # Errors
    /// The error of the stage that failed. Where the stage itself may be well and only could not be seen, the run
    /// stays as it was; otherwise it is saved as failed, with the state it resumes from.
    pub async fn drive(
        &self,
        id: RunId,
        continued: bool,
        sink: &dyn EventSink,
    ) -> Result<RunResult, CoreError> {
        let started = self.context.clock.elapsed();
        let claim = self.claim(id)?;
        let mut record = self
            .context
            .store
            .find_run(id)
            .await?
            .ok_or(crate::store::StoreError::Missing { id })?;
        // A dataset that is on the Hub already is not sent there again.
        if record.spec.source.is_none() {
            check_target(self.context.client.endpoint())?;
        }
        let events = Recorder {
            context: &self.context,
            run: id,
            sink,
        };
        let state = record.state.as_str().to_owned();
        events
            .emit(RunEvent::Run {
                run_id: id,
                continued,
                state,
            })
            .await?;

        record.state = record.state.resumed();
        if continued {
            record.state = self.still_true(record.state).await?;
        }
        let model = loop {
            let stage = match &record.state {
                RunState::Succeeded { model, .. } => break model.clone(),
                RunState::Queued => Stage::Import,
                RunState::Built(_) => Stage::Publish,
                RunState::Published(_) | RunState::Submitting(_) => Stage::Submit,
                RunState::Submitted(_) => Stage::Train,
                RunState::Unverified(_) => Stage::Verify,
                RunState::Failed { .. } | RunState::Canceled { .. } => {
                    return Err(CoreError::Internal {
                        message: "a finished run was walked on".to_owned(),
                    });
                }
            };
            match Box::pin(self.step(stage, &mut record, &events)).await {
                Ok(()) => {}
                Err(error) => {
                    if self.next_attempt(&mut record, &events, &error).await? {
                        continue;
                    }
                    self.step_failed(stage, &mut record, &events, &error).await?;
                    return Err(error);
                }
            }
        };
        self.sample(&record, &model.dir, &model.job.dataset.built.dir, &events)
            .await?;
        drop(claim);

        let dataset = &model.job.dataset;
        let result = RunResult {
            run_id: id,
            dataset_repo: dataset.repo_id.clone(),
            dataset_revision: dataset.revision.clone(),
            rows_train: dataset.built.rows_train,
            rows_val: dataset.built.rows_val,
            job_id: model.job.job_id.clone(),
            model_repo: model.repo_id.clone(),
            model_revision: model.revision.clone(),
            model_dir: model.dir.clone(),
            val_loss_before: model.val_loss_before,
            val_loss_after: model.val_loss_after,
            seconds: (self.context.clock.elapsed().saturating_sub(started)).as_secs_f64(),
        };
        events.emit(RunEvent::Result(Box::new(result.clone()))).await?;
        Ok(result)
    }

    /// Takes one step and saves where it led.
    async fn step(
        &self,
        stage: Stage,
        record: &mut RunRecord,
        events: &Recorder<'_>,
    ) -> Result<(), CoreError> {
        let state = record.state.clone();
        // A decided submission is announced once: the state before it announced the stage.
        if !matches!(state, RunState::Submitting(_)) {
            events.stage(stage, StageStatus::Started, json!({})).await?;
        }
        let next = match state {
            RunState::Queued if record.spec.source.is_some() => {
                let built =
                    super::source::find(&self.context, record, &self.run_dir(record.id), events).await?;
                RunState::Queued.built(built)?
            }
            RunState::Queued => self.import(record, events).await?,
            RunState::Built(built) if record.spec.source.is_some() => {
                super::source::publish(record, built, events).await?
            }
            RunState::Built(built) => {
                let (repo_id, revision) = self.publish(&record.spec, &built.dir, events).await?;
                RunState::Built(built).published(repo_id, revision)?
            }
            RunState::Published(dataset) => {
                let id = record.id;
                let code = self.pin_code(record, &dataset, events).await?;
                RunState::Published(dataset).submitting(code, |attempt| intent_label(id, attempt))?
            }
            RunState::Submitting(intent) => {
                let job = Box::pin(self.submit(record, &intent, events)).await?;
                RunState::Submitting(intent).submitted(job, self.context.clock.now())?
            }
            RunState::Submitted(job) => {
                Box::pin(self.follow(record, &job, events)).await?;
                RunState::Submitted(job).completed()?
            }
            RunState::Unverified(job) => {
                let dir = self.run_dir(record.id).join("model");
                let found = verify::model(&self.context, &record.spec, &job, &dir).await?;
                let seen = Observation::Pushed {
                    revision: found.revision.clone(),
                };
                let label = intent_label(record.id, job.dataset.attempts);
                self.launches(record).observe(&label, seen, &NoSink).await?;
                events.stage(Stage::Verify, StageStatus::Finished, json!({
                    "model_repo": found.repo_id, "model_revision": found.revision, "files": found.files,
                    "val_loss_before": found.val_loss_before, "val_loss_after": found.val_loss_after,
                    "dir": dir,
                })).await?;
                RunState::Unverified(job)
                    .verified(self.context.clock.now(), |job| found.into_model(job, dir))?
            }
            finished => finished,
        };
        self.save(record, next).await
    }

    async fn step_failed(
        &self,
        stage: Stage,
        record: &mut RunRecord,
        events: &Recorder<'_>,
        error: &CoreError,
    ) -> Result<(), CoreError> {
        let unseen = error.leaves_run_as_it_was();
        let explained = error.explanation();
        let mut detail = json!({ "reason": error.to_string(), "run_goes_on": unseen });
        if let Some(explained) = &explained {
            detail["cause"] = json!(explained.cause);
            detail["evidence"] = json!(explained.evidence);
            detail["next"] = json!(explained.next);
        }
        events.stage(stage, StageStatus::Failed, detail).await?;
        if unseen {
            return Ok(());
        }
        let state = match (record.state.clone(), error) {
            // Another attempt is another intent: this one's job was made, and canceled.
            (
                RunState::Submitting(intent),
                CoreError::Launch(LaunchError::Drifted { canceled: true, .. }),
            ) => RunState::Published(intent.dataset),
            (state, _) => state,
        };
        let next = match error {
            CoreError::Canceled { .. } => state.canceled()?,
            _ => state.failed(
                stage,
                error.to_string(),
                explained.map(|explained| explained.cause),
            )?,
        };
        self.save(record, next).await
    }

    /// Whether the job only ended before its training did, and may have a successor. The run is then ready to submit it.
    async fn next_attempt(
        &self,
        record: &mut RunRecord,
        events: &Recorder<'_>,
        error: &CoreError,
    ) -> Result<bool, CoreError> {
        let Some(explained) = error.explanation().filter(|explained| explained.resumable) else {
            return Ok(false);
        };
        let (attempt, most) = (record.state.attempts(), record.spec.training.max_attempts);
        if attempt >= most || !matches!(record.state, RunState::Submitted(_)) {
            return Ok(false);
        }
        let detail = json!({
            "reason": error.to_string(), "cause": explained.cause, "evidence": explained.evidence,
            "attempt": attempt, "attempts": most, "run_goes_on": true,
        });
        events.stage(Stage::Train, StageStatus::Failed, detail).await?;
        let next = record.state.clone().retried()?;
        self.save(record, next).await?;
        Ok(true)
    }

    /// Commits what the job runs, so that it runs exactly that.
    async fn pin_code(
        &self,
        record: &RunRecord,
        dataset: &super::model::PublishedDataset,
        events: &Recorder<'_>,
    ) -> Result<Option<PinnedCode>, CoreError> {
        let request = TrainJobConfig::of(record.id, &record.spec, dataset, None);
        let files = self.context.backend.code(&request)?;
        let gate = PublishGate::new(self.context.inspector.clone());
        if files.is_empty() {
            return Ok(None);
        }
        let code = trainer::commit_code(&self.context.client, &record.spec.model_repo, files, &gate).await?;
        let detail = json!({ "code_repo": code.repo_id, "code_revision": code.revision });
        events.stage(Stage::Submit, StageStatus::Progress, detail).await?;
        Ok(Some(code))
    }

    async fn save(&self, record: &mut RunRecord, state: RunState) -> Result<(), CoreError> {
        record.state = state;
        record.updated_at = self.context.clock.now();
        record.version = self.context.store.update_run(record).await?;
        Ok(())
    }

    fn claim(&self, id: RunId) -> Result<Claim, CoreError> {
        let dir = self.run_dir(id);
        std::fs::create_dir_all(&dir).map_err(CoreError::io("make the folder", &dir))?;
        let path = dir.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(CoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Claim(file)),
            Err(std::fs::TryLockError::WouldBlock) => Err(CoreError::Busy { id }),
            Err(std::fs::TryLockError::Error(source)) => Err(CoreError::io("lock", &path)(source)),
        }
    }

    /// Goes back as far as needed to a state that the disk and the Hub still bear out.
    async fn still_true(&self, state: RunState) -> Result<RunState, CoreError> {
        let state = match state {
            RunState::Published(dataset) => {
                let repo = self.repo(RepoType::Dataset, &dataset.repo_id)?;
                match repo.info(Some(&verify::revision(&dataset.revision)?)).await {
                    Ok(_) => RunState::Published(dataset),
                    Err(error) if error.kind() == HfErrorKind::NotFound => RunState::Built(dataset.built),
                    Err(error) => return Err(CoreError::hub("tell whether the dataset is there")(error)),
                }
            }
            other => other,
        };
        Ok(match state {
            RunState::Built(built) if !built.dir.join("train.jsonl").exists() => RunState::Queued,
            other => other,
        })
    }

    async fn import(&self, record: &RunRecord, events: &Recorder<'_>) -> Result<RunState, CoreError> {
        let build = DatasetBuild {
            inputs: record.spec.inputs.clone(),
            out_dir: self.run_dir(record.id).join("dataset"),
            seed: record.spec.training.seed,
            val_fraction: record.spec.val_fraction,
            repo_id: Some(record.spec.dataset_repo.clone()),
            config: BuildConfig::default(),
        };
        let (progress, mut updates) = tokio::sync::mpsc::channel(16);
        let work = build_dataset_dir(build, self.context.gate.clone().into(), progress);
        let told = async {
            while let Some(update) = updates.recv().await {
                events
                    .stage(Stage::Import, StageStatus::Progress, json!(update))
                    .await?;
            }
            Ok::<(), CoreError>(())
        };
        let (done, told) = tokio::join!(work, told);
        told?;
        let (built, report) = done?;
        events.stage(Stage::Import, StageStatus::Finished, report).await?;
        Ok(record.state.clone().built(built)?)
    }

    async fn publish(
        &self,
        spec: &RunSpec,
        dir: &Path,
        events: &Recorder<'_>,
    ) -> Result<(String, String), CoreError> {
        let repo: RepoId = spec
            .dataset_repo
            .parse()
            .map_err(CoreError::hub("take the dataset's name"))?;
        let namespace = spec
            .target
            .namespace
            .parse()
            .map_err(CoreError::hub("take the namespace"))?;
        let gate = PublishGate::new(self.context.inspector.clone());
        let manager =
            HfDatasetManager::new(self.context.client.clone(), namespace).with_gate(gate.upload_gate());
        let config = DatasetConfig::new(repo.to_string());
        let uploaded = manager
            .upload_training_data(dir, &config)
            .await
            .map_err(|error| {
                gate.refusal()
                    .unwrap_or_else(|| CoreError::hub("take the dataset")(error))
            })?;
        events
            .stage(
                Stage::Publish,
                StageStatus::Finished,
                json!({
                    "dataset_repo": uploaded.repo_id.to_string(),
                    "dataset_revision": uploaded.revision,
                    "private": config.private,
                }),
            )
            .await?;
        Ok((uploaded.repo_id.to_string(), uploaded.revision))
    }

    /// The label is looked up before anything is sent, and again after an unclear answer: nothing is sent twice.
    async fn submit(
        &self,
        record: &RunRecord,
        intent: &super::model::SubmitIntent,
        events: &Recorder<'_>,
    ) -> Result<String, CoreError> {
        let spec = &record.spec;
        let request = TrainJobConfig::of(record.id, spec, &intent.dataset, intent.code.clone());
        let mut job = self.context.backend.job_spec(&request, &spec.flavor)?;
        job.labels.insert(RUN_LABEL.to_owned(), record.id.to_string());
        job.secrets
            .insert("HF_TOKEN".to_owned(), SecretValue::from(&self.context.token));
        let price = LaunchPrice {
            micro_usd_per_minute: self.price(spec).await?,
            timeout_secs: job.timeout.map(|timeout| timeout.as_secs()),
            ..LaunchPrice::default()
        };
        let request = LaunchRequest {
            intent: intent.label.clone(),
            namespace: self.runner(spec)?.namespace().clone(),
            spec: job,
            run: Some(record.id),
            purpose: format!("training on {}", spec.flavor),
            leaves_model: true,
            price,
        };
        let launches = self.launches(record);
        let launched = Box::pin(launches.launch(&request, &NoSink)).await?;
        let job_id = launched.job_id().map(ToString::to_string);
        let job_id = job_id.ok_or_else(|| CoreError::Internal {
            message: "a launch went well without a job".to_owned(),
        })?;
        let detail = json!({ "job_id": job_id, "flavor": spec.flavor });
        events.stage(Stage::Submit, StageStatus::Finished, detail).await?;
        Ok(job_id)
    }

    async fn follow(
        &self,
        record: &RunRecord,
        job: &SubmittedJob,
        events: &Recorder<'_>,
    ) -> Result<(), CoreError> {
        let launches = self.launches(record);
        let label = intent_label(record.id, job.dataset.attempts);
        let followed = Box::pin(follow::job(&launches, &record.spec, &label, job, events)).await?;
        match followed {
            JobEnd::Completed { seconds } => {
                let detail =
                    json!({ "job_id": job.job_id, "job_stage": "COMPLETED", "running_seconds": seconds });
                events.stage(Stage::Train, StageStatus::Finished, detail).await
            }
            JobEnd::Canceled => Err(CoreError::Canceled {
                job_id: job.job_id.clone(),
            }),
            JobEnd::Failed {
                stage,
                message,
                last_lines,
            } => Err(CoreError::JobFailed {
                job_id: job.job_id.clone(),
                stage,
                message,
                last_lines,
            }),
        }
    }

    /// The model is there; that a sample cannot be drawn is told, and takes nothing away from it.
    async fn sample(
        &self,
        record: &RunRecord,
        model_dir: &Path,
        dataset_dir: &Path,
        events: &Recorder<'_>,
    ) -> Result<(), CoreError> {
        if record.spec.samples == 0 {
            return Ok(());
        }
        events
            .stage(Stage::Sample, StageStatus::Started, json!({}))
            .await?;
        let seed = record.spec.training.seed;
        match self
            .context
            .sampler
            .sample(model_dir, dataset_dir, record.spec.samples, seed)
            .await
        {
            Ok(completions) => {
                events
                    .stage(
                        Stage::Sample,
                        StageStatus::Finished,
                        json!({ "completions": completions }),
                    )
                    .await
            }
            Err(error) => {
                events
                    .stage(
                        Stage::Sample,
                        StageStatus::Failed,
                        json!({ "reason": error.to_string() }),
                    )
                    .await
            }
        }
    }

    /// The flavor's price for a minute, where somebody keeps count. Unknown is none, which the ledger does not take for zero.
    async fn price(&self, spec: &RunSpec) -> Result<Option<u64>, CoreError> {
        if self.context.budget.is_none() {
            return Ok(None);
        }
        let hardware = self.runner(spec)?.hardware().await;
        let hardware = hardware.map_err(CoreError::hub("tell the price of its hardware"))?;
        let flavor = hardware.iter().find(|flavor| flavor.name == spec.flavor);
        Ok(flavor.and_then(hf_jobs::JobHardware::micro_usd_per_minute))
    }

    /// The jobs of a run. Only one process drives a run, so whoever takes it up again is the same holder.
    fn launches(&self, record: &RunRecord) -> LaunchService {
        LaunchService::new(LaunchContext {
            client: self.context.client.clone(),
            store: self.context.jobs.clone(),
            budget: self.context.budget.clone(),
            hub: record.spec.target.hub.clone(),
            holder: format!("run {}", record.id),
            label: INTENT_LABEL.to_owned(),
            read_line: read_train_line,
            policy: LaunchPolicy::default(),
        })
    }

    fn runner(&self, spec: &RunSpec) -> Result<HfJobRunner, CoreError> {
        let namespace = spec
            .target
            .namespace
            .parse()
            .map_err(CoreError::hub("take the namespace"))?;
        Ok(HfJobRunner::new(&self.context.client, namespace))
    }

    fn repo(&self, kind: RepoType, repo_id: &str) -> Result<RepoFiles, CoreError> {
        verify::repo(&self.context.client, kind, repo_id)
    }
}

/// The name of a run's submission: each attempt has its own.
fn intent_label(run: RunId, attempt: u32) -> String {
    format!("{run}.{attempt}")
}

/// Stores each event, then hands it on: what was seen can be seen again.
pub(crate) struct Recorder<'a> {
    context: &'a RunContext,
    run: RunId,
    sink: &'a dyn EventSink,
}

impl Recorder<'_> {
    pub(crate) async fn emit(&self, event: RunEvent) -> Result<(), CoreError> {
        self.context.store.append_event(self.run, &event).await?;
        self.sink.emit(event).await;
        Ok(())
    }

    pub(crate) async fn stage(
        &self,
        stage: Stage,
        status: StageStatus,
        detail: serde_json::Value,
    ) -> Result<(), CoreError> {
        self.emit(RunEvent::stage_with(stage, status, detail)).await
    }

    /// Hands on what is already kept elsewhere, such as the lines of a job's log.
    pub(crate) async fn pass_on(&self, stage: Stage, detail: serde_json::Value) {
        self.sink
            .emit(RunEvent::stage_with(stage, StageStatus::Progress, detail))
            .await;
    }
}
