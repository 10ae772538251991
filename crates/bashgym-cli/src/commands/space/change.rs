//! `bashgym space update`, `promote`, `rollback`, `dev`, `rm`: changing Spaces.

use clap::Args;
use hf_core::{RepoId, Revision};
use hf_spaces::SpaceRuntime;
use serde_json::json;

use super::hardware::refused;
use super::{DeployArgs, NameArgs, Spaces};
use crate::commands::data::confirm;
use crate::error::CliError;

/// Serves another model.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// The model repository
    #[arg(value_name = "MODEL_REPO")]
    model: String,
    /// The model's revision; the head of main when not given. It is pinned
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    #[command(flatten)]
    deploy: DeployArgs,
}

/// Serves in a second Space what a first one serves.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The Space where the model was tried
    #[arg(value_name = "FROM")]
    from: String,
    /// The Space that is to serve it
    #[arg(value_name = "TO")]
    to: String,
    #[command(flatten)]
    deploy: DeployArgs,
}

/// Goes back to the model before.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    #[command(flatten)]
    deploy: DeployArgs,
}

/// Fits the limits of the app to what its requests took.
#[derive(Debug, Args)]
pub(crate) struct FitArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    #[command(flatten)]
    deploy: DeployArgs,
}

/// Restarts a Space.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// Build it anew, from nothing that is cached
    #[arg(long)]
    factory: bool,
}

/// Turns Dev Mode on.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// Turn it off
    #[arg(long)]
    off: bool,
}

/// Removes a Space.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// Do not ask for the name
    #[arg(long)]
    yes: bool,
}

pub(super) async fn update(args: &UpdateArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let model = spaces.connection.repo_id(&args.model)?;
    let revision = args.revision.as_deref().map(str::parse::<Revision>).transpose()?;
    let options = spaces.options(&args.deploy)?;
    let updated = spaces
        .manager
        .update_space_model(&id, &model, revision.as_ref(), &options)
        .await;
    let deployment = updated.map_err(|error| spaces.failed(&error))?;
    spaces.deployed(&deployment).await
}

pub(super) async fn promote(args: &PromoteArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let (from, to) = (spaces.id(&args.from)?, spaces.id(&args.to)?);
    let options = spaces.options(&args.deploy)?;
    let promoted = spaces.manager.promote_space(&from, &to, &options).await;
    let deployment = promoted.map_err(|error| spaces.failed(&error))?;
    spaces.deployed(&deployment).await
}

pub(super) async fn rollback(args: &RollbackArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let options = spaces.options(&args.deploy)?;
    let back = spaces.manager.rollback_space(&id, &options).await;
    let deployment = back.map_err(|error| spaces.failed(&error))?;
    spaces.deployed(&deployment).await
}

pub(super) async fn fit(args: &FitArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let options = spaces.options(&args.deploy)?;
    let fitted = spaces.manager.fit_space(&id, &options).await;
    let fitted = fitted.map_err(|error| spaces.failed(&error))?;
    let (measured, before, limits) = fitted.parts();
    let changed = before != limits;
    let output = spaces.context.output;
    if output.is_json() {
        return output.json(&json!({
            "space_id": id, "changed": changed, "measured": measured, "before": before, "limits": limits,
        }));
    }
    let took = format!(
        "{} requests took {:.1} ms a token",
        measured.requests, measured.ms_per_token
    );
    if changed {
        output.note(format!(
            "{took}: {} ms a token and {} s a request at most instead of {} and {}.",
            limits.ms_per_token, limits.max_gpu_seconds, before.ms_per_token, before.max_gpu_seconds
        ));
    } else {
        output.note(format!("{took}: the limits fit already."));
    }
    Ok(())
}

pub(super) async fn pause(args: &NameArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let paused = spaces.books().await?.pause(&id).await;
    let runtime = paused.map_err(|error| refused(error, spaces))?;
    told(&id, &runtime, spaces)
}

pub(super) async fn restart(args: &RestartArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let started = spaces.books().await?.restart(&id, args.factory).await;
    let runtime = started.map_err(|error| refused(error, spaces))?;
    told(&id, &runtime, spaces)
}

/// The stage after a request that the Hub took.
fn told(id: &RepoId, runtime: &SpaceRuntime, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let output = spaces.context.output;
    if output.is_json() {
        return output.json(&json!({"space_id": id, "stage": runtime.stage}));
    }
    output.line(&runtime.stage)
}

pub(super) async fn dev(args: &DevArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let output = spaces.context.output;
    if args.off {
        let runtime = spaces.manager.set_dev_mode(&id, false).await?;
        if output.is_json() {
            return output.json(&json!({"space_id": id, "dev_mode": runtime.dev_mode}));
        }
        output.note(format!("Dev Mode of {id} is off."));
        return Ok(());
    }
    let shell = spaces.manager.enable_dev_mode(&id).await?;
    if output.is_json() {
        return output.json(&json!({
            "space_id": id, "dev_mode": true, "host": shell.host, "user": shell.user, "command": shell.command,
        }));
    }
    output.note(format!(
        "Dev Mode of {id} is on. Your SSH key lets you in; register it at {}",
        shell.keys_page
    ));
    output.line(&shell.command)
}

pub(super) async fn remove(args: &RmArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    spaces.manager.get_space(&id).await?;
    if !args.yes {
        confirm(
            id.as_str(),
            spaces.manager.client().endpoint().as_str(),
            spaces.context,
        )?;
    }
    let removed = spaces.books().await?.remove(&id).await;
    removed.map_err(|error| refused(error, spaces))?;
    if spaces.context.output.is_json() {
        return spaces
            .context
            .output
            .json(&json!({"space_id": id, "deleted": true}));
    }
    spaces.context.output.note(format!("{id} is deleted."));
    Ok(())
}
