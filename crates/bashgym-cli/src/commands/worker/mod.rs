//! `bashgym worker`: what a training job runs, or the container of a Space. It knows the Hub from its environment alone.

mod app;
mod checkpoints;
mod recipe;

use std::path::{Path, PathBuf};

use bashgym_core::publish::PublishGate;
use bashgym_core::trainer::{JOB_CONFIG_VARIABLE, TrainJobConfig};
use bashgym_engine::{StopFlag, TrainEvent, TrainOutcome};
use clap::Subcommand;
use hf_core::{HfClient, HuggingFaceSettings, RepoType, SettingsInput};
use hf_datasets::card::{CardFact, ModelCard};
use hf_datasets::{CreateOptions, DownloadOptions, RepoFiles, UploadOptions};
use serde_json::Value;

use crate::context::{Context, no_token};
use crate::error::{CliError, Kind, io_error};
use crate::gate::HomeGate;
use crate::student::train_config;
use checkpoints::{CHECKPOINT_DIR, Checkpoints};
use recipe::recipe;
pub(crate) use recipe::run_script;

/// What a training job runs, or the container of a Space.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkerCommand {
    /// Pull the dataset, train, push the model
    Train,
    /// Fetch a recipe's script and configuration at their commit, and run them with uv
    Recipe,
    /// Fetch the model that a Space's space.json names, and answer Gradio's HTTP API with it
    App(app::AppArgs),
}

pub(crate) async fn run(command: WorkerCommand, context: &Context) -> Result<(), CliError> {
    let output = context.output;
    if let WorkerCommand::App(args) = &command {
        return app::run(args, output).await;
    }
    let config = config()?;
    let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
    if settings.token.is_none() {
        return Err(no_token());
    }
    let client = HfClient::from_settings(&settings)?;
    let work = std::env::current_dir()
        .map_err(|error| CliError::new(Kind::Io, "cannot find the working folder").because(error))?;

    if let WorkerCommand::Recipe = command {
        return recipe(&client, &config, &work).await;
    }
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

    let mut repo = RepoFiles::new(&client, RepoType::Model, config.model_repo.parse()?);
    let gate = PublishGate::new(HomeGate::open(context)?.inspector());
    if !client.endpoint().is_loopback() {
        repo = repo.with_gate(gate.upload_gate());
    }
    repo.create(&CreateOptions::default()).await?;
    let run = config.run_id.clone().unwrap_or_default();
    let checkpoints = Checkpoints::new(repo.clone(), run, &model_dir);
    checkpoints.fetch(output).await?;

    output.line("Training")?;
    let outcome = train(&config, dataset_dir, model_dir.clone(), output, &checkpoints).await?;

    finish_files(&config, &outcome, &model_dir)?;
    output.line(format!("Pushing the model to {}", config.model_repo))?;
    let commit = repo.upload_folder(&model_dir, &upload_options(&config)).await;
    let commit = commit.map_err(|error| {
        gate.refusal()
            .map_or_else(|| CliError::from(error), CliError::from)
    })?;
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
    checkpoints: &Checkpoints,
) -> Result<TrainOutcome, CliError> {
    let engine = train_config(&config.training);
    let (newest, wanted) = tokio::sync::watch::channel(None);
    let work = tokio::task::spawn_blocking(move || {
        let mut broken = None;
        let outcome = bashgym_engine::train(
            &dataset,
            &out,
            &engine,
            &mut |event| {
                if let TrainEvent::Checkpoint { step, path } = &event {
                    newest.send_replace(Some((*step, path.clone())));
                }
                if broken.is_none() {
                    broken = output.line(event.to_line()).err();
                }
            },
            &StopFlag::default(),
        )?;
        broken.map_or(Ok(outcome), Err)
    });
    let (done, ()) = tokio::join!(work, checkpoints.push_all(wanted, output));
    done.map_err(|error| CliError::new(Kind::Internal, "training broke off").because(error))?
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

/// The checkpoints have done their work: they leave the repository with the commit that brings the model.
fn upload_options(config: &TrainJobConfig) -> UploadOptions {
    UploadOptions {
        commit_message: format!("Student trained on {}", config.dataset_repo),
        ignore_patterns: vec![format!("{CHECKPOINT_DIR}/*")],
        delete_patterns: vec![format!("{CHECKPOINT_DIR}/*")],
        ..UploadOptions::default()
    }
}
