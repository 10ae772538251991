//! Work over many rows with a model, as long work: tasks in other words, judged rows, rows without repetition, rows from prompts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::State;
use bashgym_core::bulk::{
    Augment, BulkError, BulkMeans, BulkRun, Counts, Dedup, Generate, RUBRIC, Ran, RowFolder, RunOptions,
    Score, Stopped, Work, check_output, read_labels, report,
};
use bashgym_core::inference::{InferenceDesk, UnknownPrice};
use bashgym_core::task::{TaskContext, TaskError, TaskHandler, TaskProgress};
use bashgym_traces::RowKind;
use hf_inference::{HfInferenceConfig, ModelRef};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::built::folder_of;
use super::dataset_tasks::same_hub;
use super::datasets::{share, submit};
use super::tasks::{TaskView, failed};
use crate::audit::{Did, note};
use crate::extract::Json;
use crate::parts::{HubConnection, ServerParts};
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::roots::folder_name;
use crate::state::AppState;

/// The kind of the task.
pub(crate) const BULK: &str = "bulk";
/// Calls at a time, at most.
const MOST_AT_A_TIME: u16 = 256;
/// What is told of work that ended early.
const GOES_ON: &str =
    "what was answered is kept: the same request with another Idempotency-Key goes on with what is left";

/// What is done to which rows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum BulkWork {
    /// The same tasks in other words.
    Augment {
        /// The name of a dataset that was built here.
        dataset: String,
        /// New prompts for each row, 1 to 8; 1 without it.
        #[schema(minimum = 1, maximum = 8)]
        variations: Option<u32>,
        /// How much they may differ, 0 to 2; 0.8 without it.
        #[schema(minimum = 0, maximum = 2)]
        temperature: Option<f64>,
    },
    /// Rows judged by a rubric.
    Score {
        /// The name of a dataset that was built here.
        dataset: String,
        /// What the judge goes by, from 5 down to 1; whether the goal was reached without it.
        rubric: Option<String>,
        /// A file of labels below an allowed folder, to measure the judge's agreement.
        labels: Option<String>,
        /// The most characters of a session that the judge gets; 24,000 without it.
        #[schema(minimum = 1)]
        max_chars: Option<usize>,
        /// Leave out rows whose joined score is lower.
        drop_below: Option<f64>,
    },
    /// Rows without those that say the same.
    Dedup {
        /// The name of a dataset that was built here.
        dataset: String,
        /// From which cosine on two rows say the same, above 0.5 and at most 1; 0.95 without it.
        #[schema(exclusive_minimum = 0.5, maximum = 1)]
        threshold: Option<f32>,
    },
    /// Rows from prompts.
    Generate {
        /// A file of prompts below an allowed folder: one a line, JSON with `prompt` or `messages`, or plain text.
        prompts: String,
        /// Answers to each prompt, 1 to 1,000; 1 without it.
        #[schema(minimum = 1, maximum = 1000)]
        samples: Option<u32>,
        /// What the model is told to be.
        system: Option<String>,
        /// The most tokens of an answer; 1,024 without it.
        #[schema(minimum = 1)]
        max_tokens: Option<u32>,
        /// How much answers may differ, 0 to 2; 0.7 without it.
        #[schema(minimum = 0, maximum = 2)]
        temperature: Option<f64>,
        /// `distillation`, or `sft`, which the embedded engine trains on; `distillation` without it.
        rows: Option<String>,
        /// The share of prompts held out for validation, above 0 and below 1; 0.1 without it.
        #[schema(exclusive_minimum = 0, exclusive_maximum = 1)]
        val_fraction: Option<f64>,
        /// Decides which prompts are held out; 42 without it.
        seed: Option<u64>,
    },
}

/// Work over many rows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkRequest {
    /// What is done to which rows.
    work: BulkWork,
    /// The model, with `:fastest`, `:cheapest`, `:preferred` or a provider behind it if you like.
    #[schema(example = "org/name:cheapest")]
    model: String,
    /// The name of the dataset to write: a new one, or that of the same work, which then goes on.
    #[schema(
        min_length = 1,
        max_length = 96,
        pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$"
    )]
    out: String,
    /// Tell how many calls, tokens and dollars it will take, and ask nobody.
    #[serde(default)]
    dry_run: bool,
    /// Calls at a time, 1 to 256; 8 without it.
    #[schema(minimum = 1, maximum = 256)]
    concurrency: Option<u16>,
    /// Ask even if nobody names the price; it counts as unknown.
    #[serde(default)]
    allow_unknown_price: bool,
    /// Send again what was sent before a crash without an answer that is known; it may then be paid twice.
    #[serde(default)]
    retry_unclear: bool,
}

/// What a task is told.
#[derive(Debug, Serialize, Deserialize)]
struct BulkInput {
    /// Which Hub it was asked for on.
    hub: String,
    request: BulkRequest,
}

/// Asks a model about many rows, as a task: rows in other words, judged, without repetition, or made of prompts.
///
/// Within the budget; each answer is kept, so that the same request goes on after a crash, a cap or a cancel without paying twice. With
/// `dry_run` the result is the price. What is sent passes the secret gate, unless the Hub is on this machine.
#[utoipa::path(post, path = "/api/bulk", operation_id = "bulk", tag = "data", request_body = BulkRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn start(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<BulkRequest>,
) -> Result<(StatusCode, axum::Json<TaskView>), Problem> {
    let hub = state.hub().await?;
    // What is wrong with it is told now, not by the task.
    let work = request.work(&state.parts, &hub)?;
    request.out(&state.parts, &*work)?;
    if !(1..=MOST_AT_A_TIME).contains(&request.concurrency.unwrap_or(1)) {
        return Err(invalid(format!("concurrency is 1 to {MOST_AT_A_TIME}")));
    }
    let input = BulkInput {
        hub: hub.target().hub,
        request,
    };
    submit(&state, BULK, json!(input), &headers).await
}

fn invalid(why: impl Into<String>) -> Problem {
    Problem::new(Code::Invalid, why.into())
}

fn within<T: PartialOrd + Copy + std::fmt::Display>(
    what: &str,
    asked: Option<T>,
    usual: T,
    least: T,
    most: T,
) -> Result<T, Problem> {
    let value = asked.unwrap_or(usual);
    if value >= least && value <= most {
        return Ok(value);
    }
    Err(invalid(format!("{what} is {least} to {most}")))
}

/// The Hub, as part of each question's name. The embedded one has another port each time, and is the same.
fn endpoint(hub: &HubConnection) -> String {
    if hub.embedded {
        "embedded".to_owned()
    } else {
        hub.client.endpoint().to_string()
    }
}

fn rows_of(parts: &ServerParts, dataset: &str) -> Result<(PathBuf, RowFolder), Problem> {
    let dir = folder_of(parts, dataset)?;
    let folder = RowFolder::open(&dir)?;
    Ok((dir, folder))
}

impl BulkRequest {
    fn work(&self, parts: &ServerParts, hub: &HubConnection) -> Result<Arc<dyn Work>, Problem> {
        let model: ModelRef = self.model.parse().map_err(|error| invalid(format!("{error}")))?;
        let endpoint = endpoint(hub);
        Ok(match &self.work {
            BulkWork::Augment {
                dataset,
                variations,
                temperature,
            } => {
                let (dir, folder) = rows_of(parts, dataset)?;
                Arc::new(Augment {
                    folder,
                    dir,
                    endpoint,
                    model,
                    variations: within("variations", *variations, 1, 1, 8)?,
                    temperature: within("temperature", *temperature, 0.8, 0.0, 2.0)?,
                })
            }
            BulkWork::Score {
                dataset,
                rubric,
                labels,
                max_chars,
                drop_below,
            } => {
                let (dir, folder) = rows_of(parts, dataset)?;
                let labels = match labels {
                    Some(path) => read_labels(&parts.resolve(path)?)?,
                    None => BTreeMap::new(),
                };
                Arc::new(Score {
                    folder,
                    dir,
                    endpoint,
                    model,
                    rubric: rubric.clone().unwrap_or_else(|| RUBRIC.to_owned()),
                    labels,
                    max_chars: within("max_chars", *max_chars, 24_000, 1, usize::MAX)?,
                    min_score: *drop_below,
                })
            }
            BulkWork::Dedup { dataset, threshold } => {
                let (dir, folder) = rows_of(parts, dataset)?;
                let threshold = threshold.unwrap_or(0.95);
                if !(threshold > 0.5 && threshold <= 1.0) {
                    return Err(invalid("threshold is above 0.5 and at most 1"));
                }
                Arc::new(Dedup {
                    folder,
                    dir,
                    endpoint,
                    model,
                    threshold,
                })
            }
            BulkWork::Generate {
                prompts,
                samples,
                system,
                max_tokens,
                temperature,
                rows,
                val_fraction,
                seed,
            } => {
                let prompts = parts.resolve(prompts)?;
                if !prompts.is_file() {
                    return Err(Problem::new(Code::NotFound, "there is no file of prompts there"));
                }
                let wanted = rows.as_deref().unwrap_or("distillation").parse();
                let Ok(kind @ (RowKind::Sft | RowKind::Distillation)) = wanted else {
                    return Err(invalid("rows are sft or distillation"));
                };
                Arc::new(Generate {
                    prompts,
                    endpoint,
                    model,
                    samples: within("samples", *samples, 1, 1, 1000)?,
                    system: system.clone(),
                    max_tokens: within("max_tokens", *max_tokens, 1024, 1, u32::MAX)?,
                    temperature: within("temperature", *temperature, 0.7, 0.0, 2.0)?,
                    kind,
                    val_fraction: share(*val_fraction)?,
                    seed: seed.unwrap_or(42),
                })
            }
        })
    }

    /// The folder to write.
    fn out(&self, parts: &ServerParts, work: &dyn Work) -> Result<PathBuf, Problem> {
        let out = parts.datasets_dir.join(folder_name(&self.out)?);
        Ok(check_output(work, &out)?)
    }
}

/// Does work over many rows. Begun again after a crash, it asks only what the journal does not know.
pub(crate) struct Bulk(pub(crate) ServerParts);

#[async_trait]
impl TaskHandler for Bulk {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        let input: BulkInput = task.input()?;
        self.carry_out(task, &input)
            .await
            .map_err(|problem| failed(&problem))
    }
}

fn progress(counts: Counts, questions: u64) -> TaskProgress {
    TaskProgress {
        done: counts.settled(),
        total: Some(questions),
        unit: "questions".to_owned(),
        message: Some(format!("${:.4} known cost", counts.nano_usd as f64 / 1e9)),
    }
}

impl Bulk {
    async fn carry_out(&self, task: &TaskContext, input: &BulkInput) -> Result<Value, Problem> {
        let (parts, request) = (&self.0, &input.request);
        let hub = parts.composition.connect().await?;
        same_hub(&hub, &input.hub)?;
        let work = request.work(parts, &hub)?;
        let out = request.out(parts, &*work)?;
        let desk = InferenceDesk::new(
            &hub.client,
            HfInferenceConfig::default(),
            Arc::new(parts.ledger.at(hub.client.endpoint())),
            Arc::clone(&parts.calls),
            UnknownPrice::at(hub.embedded, request.allow_unknown_price),
        )?;
        // On this machine's own Hub nothing leaves it.
        let gate = if hub.client.endpoint().is_loopback() {
            None
        } else {
            Some(parts.composition.inspector()?)
        };
        let options = RunOptions {
            concurrency: request.concurrency.unwrap_or(8).into(),
            // Where nothing is paid, nothing is paid twice.
            retry_unclear: request.retry_unclear || desk.is_free(),
            ..RunOptions::default()
        };
        let means = BulkMeans {
            desk,
            clock: Arc::clone(&parts.clock),
            gate,
            options,
        };
        let run = BulkRun::open(work, &out, &parts.bulk_dir, means)?;
        let estimate = run.estimate().await?;
        if request.dry_run {
            return Ok(json!({"estimate": estimate}));
        }
        let ran = ask(&run, task, estimate.questions).await?;
        let result = run.finish(&ran, parts.composition.gate()?.into()).await?;
        note(&*parts.events, Did::Spent, "bulk_asked", run.work().command()).await;
        let counts = ran.counts;
        let mut told = report(&ran, result.as_ref());
        told["estimate"] = json!(estimate);
        told["name"] = json!(result.is_some().then_some(&request.out));
        match ran.stopped {
            None if counts.answered + counts.from_journal == 0 && counts.failed > 0 => {
                let why = ran.failures.first().map_or("", String::as_str);
                Err(
                    Problem::new(Code::HubUnreachable, format!("no question was answered: {why}"))
                        .hint("the same request asks again"),
                )
            }
            None => Ok(told),
            Some(Stopped::Budget(error)) => Err(Problem::from(error).hint(GOES_ON)),
            Some(Stopped::Failing(error)) => Err(Problem::from(error).hint(GOES_ON)),
            Some(Stopped::Asked) => Err(Problem::new(Code::Conflict, "it was canceled").hint(GOES_ON)),
        }
    }
}

/// Asks until all is asked or the task is canceled, and tells the task how far it is.
async fn ask(run: &BulkRun, task: &TaskContext, questions: u64) -> Result<Ran, Problem> {
    let (told, mut news) = mpsc::channel(1);
    let asking = async move {
        // One that is not heard is followed by another.
        let show = |counts| {
            let _ = told.try_send(counts);
        };
        run.ask(task.canceled(), &show).await
    };
    let telling = async {
        while let Some(counts) = news.recv().await {
            task.progress(progress(counts, questions)).await;
        }
    };
    Ok(tokio::join!(asking, telling).0?)
}

impl From<BulkError> for Problem {
    fn from(error: BulkError) -> Self {
        let code = match error {
            BulkError::Inference(error) => return error.into(),
            BulkError::Traces(error) => return error.into(),
            BulkError::Core(error) => return error.into(),
            BulkError::Busy { .. } | BulkError::NotOurs { .. } => Code::Conflict,
            BulkError::Refused { .. } => Code::Forbidden,
            BulkError::Data { .. } => Code::Data,
            BulkError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Code::NotFound
            }
            BulkError::Io { .. } => Code::Storage,
            _ => Code::Internal,
        };
        // Paths of this machine belong into the log.
        let told = match &error {
            BulkError::Busy { .. } => "other work goes on with the same output".to_owned(),
            BulkError::NotOurs { .. } => "there is another dataset of this name".to_owned(),
            BulkError::Io { action, .. } => format!("a file could not be read or written ({action})"),
            other => other.to_string(),
        };
        if code == Code::Storage {
            tracing::error!(error = ?error, "work over many rows failed");
        }
        let hint = error.hint();
        Self::new(code, told).with_hint(hint.map(str::to_owned))
    }
}
