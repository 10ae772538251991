//! Making the plan: every question the Hub can answer without spending anything.

use std::path::PathBuf;
use std::sync::Arc;

use hf_core::{HfClient, HfErrorKind, Namespace, RepoType, Revision, Token, WhoAmI};
use hf_datasets::{DownloadOptions, RepoFiles};
use hf_jobs::{HfJobRunner, JobHardware};

use super::data::{self, ChatRenderer};
use super::flavor::choose_flavor;
use super::model::{self, FoundBase};
use super::price::{price_for, usd};
use super::request::describe_request;
use super::throughput::measured_throughput;
use super::{DatasetFacts, Problem, TrainPlan};
use crate::CoreError;
use crate::run::Target;
use crate::store::RunStore;
use crate::trainer::{Launch, Recipe, TrainerConfig, TrlOptions, find_split_files};

/// Seconds for the image, the packages and the base model, before training begins.
const SETUP_SECONDS: u64 = 300;
/// A time-out that is derived leaves half as much again, and this.
const SLACK_SECONDS: u64 = 300;
/// The time-out of the embedded engine, which ends by itself.
const EMBEDDED_TIMEOUT_SECONDS: u64 = 2 * 60 * 60;

/// What is to be planned.
pub struct PlanRequest {
    /// Who owns and pays for the job.
    pub namespace: Namespace,
    /// How the Hub is remembered with runs.
    pub target: Target,
    /// The dataset, `namespace/name`.
    pub dataset_repo: String,
    /// Its revision; the newest commit where absent.
    pub dataset_revision: Option<Revision>,
    /// The output repository, `namespace/name`.
    pub model_repo: String,
    /// How to train; its time-out is replaced.
    pub training: TrainerConfig,
    /// Seconds after which the job is ended; derived from what earlier runs measured where absent.
    pub timeout_seconds: Option<u64>,
    /// The flavor; the cheapest that fits where absent.
    pub flavor: Option<String>,
    /// How the job gets its script.
    pub launch: Launch,
    /// The token that the job gets; none is the client's own.
    pub job_token: Option<Token>,
    /// A folder for what must be looked at here.
    pub work_dir: PathBuf,
}

/// Makes a plan. Only reads go to the Hub.
///
/// # Errors
/// [`CoreError::Hub`] if the Hub cannot be asked. What speaks against the training is no error but a problem of the plan.
pub async fn make_plan(
    client: &HfClient,
    request: &PlanRequest,
    store: &dyn RunStore,
    renderer: Arc<dyn ChatRenderer>,
) -> Result<TrainPlan, CoreError> {
    let mut plan = TrainPlan::empty(request);
    let account = check_token(client, request, &mut plan).await?;
    check_job_token(client, request, &account, &mut plan).await?;
    if request
        .training
        .trl
        .as_ref()
        .is_some_and(|options| options.recipe == Recipe::Grpo)
    {
        let place = if client.endpoint().is_loopback() {
            "on the machine of this Hub, with the rights of its user"
        } else {
            "in the job's container"
        };
        plan.warnings.push(Problem::new(
            "runs_model_commands",
            format!("grpo runs shell commands that the model writes, {place}"),
            "they get a fresh folder, no secrets, limits on time and size, and no network where the kernel allows it; that is no jail",
        ));
    }
    let Some(mut dataset) = find_dataset(client, request, &mut plan.problems).await? else {
        return Ok(plan);
    };
    let hardware = HfJobRunner::new(client, request.namespace.clone())
        .hardware()
        .await
        .map_err(CoreError::hub("list its hardware"))?;

    let mut shape = None;
    if let Some(options) = request.training.trl.clone() {
        let base = look_at_base(client, request, &options, &mut dataset, renderer, &mut plan).await?;
        shape = base.shape;
        plan.training.trl = Some(TrlOptions {
            base_revision: base.facts.revision.clone(),
            ..options
        });
        plan.base_model = Some(base.facts);
    }
    choose_flavor(request, shape.as_ref(), &hardware, &mut plan);
    foretell(request, store, &dataset, &hardware, &mut plan).await?;
    plan.dataset = Some(dataset);
    if plan.timeout_seconds.is_some() && plan.flavor.is_some() {
        describe_request(client, request, &mut plan)?;
    }
    Ok(plan)
}

impl TrainPlan {
    fn empty(request: &PlanRequest) -> Self {
        Self {
            backend: if request.training.trl.is_some() {
                "trl"
            } else {
                "embedded"
            }
            .to_owned(),
            training: request.training.clone(),
            model_repo: request.model_repo.clone(),
            base_model: None,
            dataset: None,
            memory: None,
            fits: None,
            flavor: None,
            cheaper_flavors: Vec::new(),
            steps: None,
            tokens: None,
            throughput: None,
            seconds_expected: None,
            timeout_seconds: None,
            price_expected_usd: None,
            price_worst_usd: None,
            price_worst_micro_usd: None,
            problems: Vec::new(),
            warnings: Vec::new(),
            files: Vec::new(),
            config: None,
            request: None,
        }
    }
}

async fn check_token(
    client: &HfClient,
    request: &PlanRequest,
    plan: &mut TrainPlan,
) -> Result<Arc<WhoAmI>, CoreError> {
    let account = client
        .whoami()
        .await
        .map_err(CoreError::hub("tell who you are"))?;
    let output = request.model_repo.split('/').next().unwrap_or_default();
    let asked = [
        (
            "token_cannot_write",
            account.may_write_repos(output),
            output,
            "write repositories",
            "repo.write",
        ),
        (
            "token_cannot_start_jobs",
            account.may_start_jobs(request.namespace.as_str()),
            request.namespace.as_str(),
            "start jobs",
            "job.write",
        ),
    ];
    for (code, may, namespace, what, scope) in asked {
        match may {
            Some(true) => {}
            Some(false) => plan.problems.push(Problem::new(
                code,
                format!("this token may not {what} of {namespace}"),
                format!("make a token with `{scope}` on {namespace}, or take another output"),
            )),
            None => plan.warnings.push(Problem::new(
                code,
                format!("the Hub does not tell whether this token may {what} of {namespace}"),
                "the first refusal will tell, before anything is paid",
            )),
        }
    }
    Ok(account)
}

/// The job's token can be read by every package the job installs, so it should open as little as the job needs.
async fn check_job_token(
    client: &HfClient,
    request: &PlanRequest,
    account: &WhoAmI,
    plan: &mut TrainPlan,
) -> Result<(), CoreError> {
    const FIX: &str =
        "`bashgym token set --for-jobs` stores a fine-grained token with `repo.write` alone for jobs";
    let output = request.model_repo.split('/').next().unwrap_or_default();
    let Some(token) = &request.job_token else {
        let more = account.beyond_repositories().unwrap_or_default();
        if !more.is_empty() && request.target.hub != Target::EMBEDDED {
            let what = beyond(&more);
            plan.warnings.push(Problem::new(
                "job_carries_broad_token",
                format!("the job gets the token you work with, which every package it installs can read and which may {what}"),
                FIX,
            ));
        }
        return Ok(());
    };
    let asked = client
        .with_token(token.clone())
        .map_err(CoreError::hub("use the job's token"))?;
    let job_account = match asked.whoami().await {
        Ok(job_account) => job_account,
        Err(error) if error.kind() == HfErrorKind::Auth => {
            plan.problems.push(Problem::new(
                "job_token_refused",
                "the Hub does not know the token that jobs get",
                "store another: `bashgym token set --for-jobs`, or remove it: `bashgym token rm --for-jobs`",
            ));
            return Ok(());
        }
        Err(error) => return Err(CoreError::hub("tell whose the job's token is")(error)),
    };
    if job_account.may_write_repos(output) == Some(false) {
        plan.problems.push(Problem::new(
            "job_token_cannot_write",
            format!("the token that jobs get may not write repositories of {output}"),
            format!("give it `repo.write` on {output}, or store another: `bashgym token set --for-jobs`"),
        ));
    }
    let more = job_account.beyond_repositories().unwrap_or_default();
    if !more.is_empty() {
        plan.warnings.push(Problem::new(
            "job_carries_broad_token",
            format!("the token that jobs get may {}", beyond(&more)),
            FIX,
        ));
    }
    Ok(())
}

/// What a token may do beyond repositories, in words.
fn beyond(more: &[String]) -> String {
    if more.iter().any(|permission| permission == "*") {
        "do everything its account may".to_owned()
    } else {
        format!("also do this: {}", more.join(", "))
    }
}

async fn find_dataset(
    client: &HfClient,
    request: &PlanRequest,
    problems: &mut Vec<Problem>,
) -> Result<Option<DatasetFacts>, CoreError> {
    let repo = dataset_repo(client, request)?;
    let info = match repo.info(request.dataset_revision.as_ref()).await {
        Ok(info) => info,
        Err(error) if error.kind() == HfErrorKind::NotFound => {
            problems.push(Problem::new(
                "dataset_not_found",
                format!(
                    "there is no dataset {} that this token may see",
                    request.dataset_repo
                ),
                "bashgym data ls",
            ));
            return Ok(None);
        }
        Err(error) => return Err(CoreError::hub("show the dataset")(error)),
    };
    let recipe = request
        .training
        .trl
        .as_ref()
        .map(|options| options.recipe)
        .unwrap_or_default();
    let kind = recipe.row_kind();
    let has = |path: &str| info.siblings.iter().any(|file| file.path == path);
    let (Some(files), Some(revision)) = (find_split_files(kind, has), info.sha.clone()) else {
        problems.push(Problem::new(
            "dataset_has_no_rows",
            format!(
                "{} holds no {kind} rows, which {recipe} trains on",
                request.dataset_repo
            ),
            "build a dataset with such rows: bashgym data build",
        ));
        return Ok(None);
    };
    Ok(Some(DatasetFacts {
        repo_id: request.dataset_repo.clone(),
        revision,
        files,
        ..DatasetFacts::default()
    }))
}

fn dataset_repo(client: &HfClient, request: &PlanRequest) -> Result<RepoFiles, CoreError> {
    let id = request
        .dataset_repo
        .parse()
        .map_err(CoreError::hub("take the dataset's name"))?;
    Ok(RepoFiles::new(client, RepoType::Dataset, id))
}

/// The base model's facts; the dataset is rendered through it on the way.
async fn look_at_base(
    client: &HfClient,
    request: &PlanRequest,
    options: &TrlOptions,
    dataset: &mut DatasetFacts,
    renderer: Arc<dyn ChatRenderer>,
    plan: &mut TrainPlan,
) -> Result<FoundBase, CoreError> {
    let base_dir = request.work_dir.join("base");
    let revision = options.base_revision.as_deref();
    let base = model::find(
        client,
        &options.base_model,
        revision,
        &base_dir,
        &mut plan.problems,
    )
    .await?;
    if !base.facts.readable {
        return Ok(base);
    }
    let data_dir = request.work_dir.join("dataset");
    let download = DownloadOptions {
        revision: dataset
            .revision
            .parse()
            .map_err(CoreError::hub("take the revision"))?,
        allow_patterns: dataset.files.values().flatten().cloned().collect(),
        ..DownloadOptions::default()
    };
    dataset_repo(client, request)?
        .download_snapshot(&data_dir, &download)
        .await
        .map_err(CoreError::hub("send the dataset"))?;
    let (recipe, length) = (options.recipe, u64::from(options.sequence_length));
    let mut facts = dataset.clone();
    let measured = tokio::task::spawn_blocking(move || {
        let chat = match renderer.load(&base_dir) {
            Ok(chat) => chat,
            Err(why) => return Ok(Err(why)),
        };
        data::measure(&data_dir, recipe, chat.as_ref(), length, &mut facts)?;
        Ok(Ok(facts))
    })
    .await
    .unwrap_or_else(|error| {
        Err(CoreError::Internal {
            message: format!("counting tokens broke off: {error}"),
        })
    })?;
    match measured {
        Ok(facts) => {
            *dataset = facts;
            judge_rows(dataset, options, plan);
        }
        Err(why) => plan.problems.push(Problem::new(
            "no_chat_template",
            format!("conversations cannot be put to {}: {why}", options.base_model),
            "take its chat or instruct version",
        )),
    }
    Ok(base)
}

fn judge_rows(dataset: &DatasetFacts, options: &TrlOptions, plan: &mut TrainPlan) {
    let lost = dataset.rows_lost;
    if dataset.rows_measured == 0 {
        let why = dataset
            .lost_reasons
            .keys()
            .next()
            .cloned()
            .unwrap_or_else(|| "it is empty".to_owned());
        plan.problems.push(Problem::new(
            "no_row_renders",
            format!("no row of {} can be trained on: {why}", dataset.repo_id),
            "look at the dataset: bashgym data pull",
        ));
    } else if lost > 0 {
        plan.warnings.push(Problem::new(
            "rows_lost",
            format!("{lost} rows do not render and will not be trained on"),
            "the reasons are in dataset.lost_reasons",
        ));
    }
    if dataset.cut_share > 0.1 {
        plan.warnings.push(Problem::new(
            "rows_cut",
            format!(
                "{:.0} % of the rows are longer than {} tokens and will be cut",
                dataset.cut_share * 100.0,
                options.sequence_length
            ),
            "raise --sequence-length, if the memory allows it",
        ));
    }
}

/// Steps, time, time-out and price.
async fn foretell(
    request: &PlanRequest,
    store: &dyn RunStore,
    dataset: &DatasetFacts,
    hardware: &[JobHardware],
    plan: &mut TrainPlan,
) -> Result<(), CoreError> {
    let training = &request.training;
    if let Some(options) = &training.trl
        && dataset.rows_measured > 0
    {
        let batch = u64::from(options.batch_size.max(1)) * u64::from(options.accumulation.max(1));
        let rows = dataset.rows_train.saturating_sub(dataset.rows_lost);
        let steps = whole((rows.div_ceil(batch)) as f64 * options.epochs);
        let steps = training.max_steps.map_or(steps, |most| steps.min(most)).max(1);
        plan.steps = Some(steps);
        let rows_trained = (steps * batch) as f64;
        plan.tokens = Some(whole(
            (rows_trained).min(rows as f64 * options.epochs) * dataset.mean_tokens,
        ));
    }
    let flavor = plan.flavor.clone();
    if let Some(flavor) = &flavor {
        plan.throughput = measured_throughput(store, &request.target, training, flavor).await?;
    }
    if let (Some(tokens), Some(speed)) = (plan.tokens, plan.throughput) {
        plan.seconds_expected = Some(SETUP_SECONDS + whole(tokens as f64 / speed.tokens_per_second));
    }
    plan.timeout_seconds = match (request.timeout_seconds, plan.seconds_expected) {
        (Some(given), _) => Some(given),
        (None, Some(expected)) => Some((expected + expected / 2 + SLACK_SECONDS).div_ceil(60) * 60),
        (None, None) if training.trl.is_none() => Some(EMBEDDED_TIMEOUT_SECONDS),
        (None, None) => None,
    };
    let Some(timeout) = plan.timeout_seconds else {
        plan.problems.push(Problem::new(
            "timeout_needed",
            "no run like this one has been measured yet, so nobody can say how long it takes",
            "say after how long it is to be ended: --timeout 2h; it goes on from its last checkpoint with the same command",
        ));
        return Ok(());
    };
    plan.training.timeout_seconds = timeout;
    if let Some(expected) = plan.seconds_expected {
        let next = format!("give it longer: --timeout {expected}, or --max-steps fewer");
        if expected > timeout {
            plan.problems.push(Problem::new(
                "timeout_too_short",
                format!("it takes about {expected} seconds, and would be ended after {timeout}"),
                next,
            ));
        } else if expected + expected / 4 > timeout {
            plan.warnings.push(Problem::new(
                "timeout_close",
                format!("it takes about {expected} seconds, close to the {timeout} after which it is ended"),
                next,
            ));
        }
    }
    let Some(priced) = hardware.iter().find(|known| Some(&known.name) == flavor.as_ref()) else {
        return Ok(());
    };
    plan.price_worst_micro_usd = price_for(priced, timeout, training.max_attempts);
    plan.price_worst_usd = plan.price_worst_micro_usd.map(usd);
    plan.price_expected_usd = plan
        .seconds_expected
        .and_then(|seconds| price_for(priced, seconds, 1))
        .map(usd);
    if plan.price_worst_micro_usd.is_none() {
        plan.problems.push(Problem::new(
            "price_unknown",
            format!("the Hub names no price for {}", priced.name),
            "take a flavor with a price: bashgym jobs hardware",
        ));
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count that was positive stays so"
)]
fn whole(number: f64) -> u64 {
    number.ceil() as u64
}
