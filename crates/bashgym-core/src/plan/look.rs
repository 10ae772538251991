//! A look at the dataset and the base model, before anything is paid.

use std::sync::Arc;

use hf_core::{HfClient, HfErrorKind, RepoType};
use hf_datasets::{DownloadOptions, RepoFiles};

use super::data::{self, ChatRenderer};
use super::model::{self, FoundBase};
use super::wanted::PlanRequest;
use super::{DatasetFacts, Problem, TrainPlan};
use crate::CoreError;
use crate::trainer::{TrlOptions, find_split_files};

/// The dataset, if it is there and has the rows that the recipe trains on.
pub(super) async fn find_dataset(
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
pub(super) async fn look_at_base(
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
