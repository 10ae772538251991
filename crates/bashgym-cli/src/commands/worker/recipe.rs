//! A recipe's script as a job of a Hub without mounts: fetched at its commit, run by uv.

use std::path::Path;

use bashgym_core::trainer::{PinnedCode, TrainJobConfig};
use hf_core::{HfClient, RepoType};
use hf_datasets::{DownloadOptions, RepoFiles};

use crate::error::{CliError, Kind};

pub(super) async fn recipe(client: &HfClient, config: &TrainJobConfig, work: &Path) -> Result<(), CliError> {
    let (Some(code), Some(options)) = (&config.code, &config.training.trl) else {
        return Err(CliError::new(
            Kind::Usage,
            "the job's configuration names no script",
        ));
    };
    let place = work.join("code");
    let repo = RepoFiles::new(client, RepoType::Model, code.repo_id.parse()?);
    let download = DownloadOptions {
        revision: code.revision.parse()?,
        allow_patterns: vec![format!("{}/*", PinnedCode::FOLDER)],
        ..DownloadOptions::default()
    };
    repo.download_snapshot(&place, &download).await?;
    let script = place.join(PinnedCode::FOLDER).join(options.recipe.script_name());
    run_script(&script, &place.join(PinnedCode::CONFIG), work).await
}

/// Runs a recipe's script with uv, and ends with it.
pub(crate) async fn run_script(script: &Path, config: &Path, work: &Path) -> Result<(), CliError> {
    let status = tokio::process::Command::new("uv")
        .args(["run", "--script"])
        .arg(script)
        .arg("--config")
        .arg(config)
        .current_dir(work)
        .kill_on_drop(true)
        .status()
        .await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(CliError::new(
            Kind::JobFailed,
            format!("the recipe's script ended with {status}"),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(CliError::new(
            Kind::NotFound,
            "uv is not installed, or not in the PATH",
        )
        .hint("install it: pip install uv")
        .hint("without --model the embedded engine trains, which needs no Python")),
        Err(error) => Err(CliError::new(Kind::Io, "uv cannot be started").because(error)),
    }
}
