//! `bashgym worker`: what a training job runs. It knows the Hub from its environment alone, as any job does.

use std::path::{Path, PathBuf};

use bashgym_core::trainer::{JOB_CONFIG_VARIABLE, TrainJobConfig};
use bashgym_engine::{StopFlag, TrainOutcome};
use clap::Subcommand;
use hf_core::{HfClient, HuggingFaceSettings, RepoType, SettingsInput};
use hf_datasets::card::{CardFact, ModelCard};
use hf_datasets::{CreateOptions, DownloadOptions, RepoFiles, UploadOptions};
use serde_json::Value;

use crate::context::{Context, no_token};
use crate::error::{CliError, Kind, io_error};
use crate::student::train_config;

/// What a training job runs.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Pull the dataset, train, push the model
    Train,
}

pub(crate) async fn run(command: WorkerCommand, context: &Context) -> Result<(), CliError> {
    let WorkerCommand::Train = command;
    let output = context.output;
    let config = config()?;
    let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
    if settings.token.is_none() {
        return Err(no_token());
    }
    let client = HfClient::from_settings(&settings)?;
    let work = std::env::current_dir()
        .map_err(|error| CliError::new(Kind::Io, "cannot find the working folder").because(error))?;

    let (dataset_dir, model_dir) = (work.join("dataset"), work.join("model"));
    output.line(format!(
        "Pulling {} at {}",
        config.dataset_repo, config.dataset_revision
    ))?;
    let dataset = RepoFiles::new(&client, RepoType::Dataset, config.dataset_repo.parse()?);
    let options = DownloadOptions {
        revision: config.dataset_revision.parse()?,
        ..DownloadOptions::default()
    };
    dataset.download_snapshot(&dataset_dir, &options).await?;

    output.line("Training")?;
    let outcome = train(&config, dataset_dir, model_dir.clone(), output).await?;

    finish_files(&config, &outcome, &model_dir)?;
    output.line(format!("Pushing the model to {}", config.model_repo))?;
    let repo = RepoFiles::new(&client, RepoType::Model, config.model_repo.parse()?);
    repo.create(&CreateOptions::default()).await?;
    let commit = repo.upload_folder(&model_dir, &upload_options(&config)).await?;
    output.line(format!("Pushed as {}", commit.oid))
}

#[expect(clippy::disallowed_methods, reason = "a job is configured by its environment")]
fn config() -> Result<TrainJobConfig, CliError> {
    let text = std::env::var(JOB_CONFIG_VARIABLE).map_err(|_| {
        CliError::new(Kind::Usage, format!("{JOB_CONFIG_VARIABLE} is not set"))
            .hint("this command is what a job runs; people type `bashgym run` or `bashgym train`")
    })?;
    serde_json::from_str(&text).map_err(|error| {
        CliError::new(Kind::Usage, format!("{JOB_CONFIG_VARIABLE} cannot be read")).because(error)
    })
}

async fn train(
    config: &TrainJobConfig,
    dataset: PathBuf,
    out: PathBuf,
    output: crate::output::Output,
) -> Result<TrainOutcome, CliError> {
    let engine = train_config(&config.training);
    let work = tokio::task::spawn_blocking(move || {
        let mut broken = None;
        let outcome = bashgym_engine::train(
            &dataset,
            &out,
            &engine,
            &mut |event| {
                if broken.is_none() {
                    broken = output.line(event.to_line()).err();
                }
            },
            &StopFlag::default(),
        )?;
        broken.map_or(Ok(outcome), Err)
    });
    work.await
        .map_err(|error| CliError::new(Kind::Internal, "training broke off").because(error))?
}

/// Says in the result which job made the model, and writes the card.
fn finish_files(config: &TrainJobConfig, outcome: &TrainOutcome, dir: &Path) -> Result<(), CliError> {
    let path = dir.join("bashgym_result.json");
    let text = std::fs::read(&path).map_err(|error| io_error("read", &path, error))?;
    let mut result: Value = serde_json::from_slice(&text)
        .map_err(|error| CliError::new(Kind::Internal, "the trainer's result is no JSON").because(error))?;
    if let Some(map) = result.as_object_mut() {
        map.insert("dataset_repo".to_owned(), config.dataset_repo.clone().into());
        map.insert(
            "dataset_revision".to_owned(),
            config.dataset_revision.clone().into(),
        );
        if let Some(job) = job_id() {
            map.insert("job_id".to_owned(), job.into());
        }
    }
    let text = serde_json::to_vec_pretty(&result)
        .map_err(|error| CliError::new(Kind::Internal, "the result is no JSON").because(error))?;
    std::fs::write(&path, text).map_err(|error| io_error("write", &path, error))?;

    let card = ModelCard {
        repo_id: config.model_repo.clone(),
        title: config
            .model_repo
            .rsplit('/')
            .next()
            .unwrap_or(&config.model_repo)
            .to_owned(),
        trained_by: format!("bashgym-engine {}", env!("CARGO_PKG_VERSION")),
        dataset: Some(config.dataset_repo.clone()),
        dataset_revision: Some(config.dataset_revision.clone()),
        parameters: Some(outcome.parameters),
        val_loss_before: outcome.val_loss_before,
        val_loss_after: outcome.val_loss_after,
        training: vec![
            CardFact::new("preset", config.training.preset.as_str()),
            CardFact::new("steps", outcome.steps),
            CardFact::new("seed", config.training.seed),
        ],
        ..ModelCard::default()
    };
    let path = dir.join("README.md");
    std::fs::write(&path, card.render()?).map_err(|error| io_error("write", &path, error))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a job learns its name from its environment"
)]
fn job_id() -> Option<String> {
    std::env::var("JOB_ID").ok()
}

/// Checkpoints stay in the job's folder.
fn upload_options(config: &TrainJobConfig) -> UploadOptions {
    UploadOptions {
        commit_message: format!("Student trained on {}", config.dataset_repo),
        ignore_patterns: vec!["checkpoints/**".to_owned()],
        ..UploadOptions::default()
    }
}
