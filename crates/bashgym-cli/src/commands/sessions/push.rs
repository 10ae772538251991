//! `bashgym sessions push`: sessions as the agents wrote them, cleaned, where the Hub shows them as traces.

use std::path::PathBuf;

use bashgym_core::publish::{PublishGate, clean_traces};
use bashgym_traces::find_session_files;
use clap::Args;
use serde_json::json;

use super::scratch::Scratch;
use crate::commands::data::{CardArgs, manager};
use crate::context::Context;
use crate::error::{CliError, io_error};
use crate::gate::HomeGate;
use crate::inputs::inputs;
use crate::output::plain;
use crate::progress::short;
use crate::transfer::TransferScreen;

/// Pushes sessions as traces.
#[derive(Debug, Args)]
#[command(after_help = "\
Logs of Claude Code, Codex and Pi stay the agent's own lines; those of other agents are written in the Hub's simple format.
Secrets and personal data are replaced first, and what is sent is scanned again.

Example: bashgym sessions push my-traces ~/.claude/projects")]
pub(crate) struct PushArgs {
    /// The dataset repository, with or without its namespace
    #[arg(value_name = "REPO")]
    repo: String,
    /// Session logs, or folders of them; without any, the agents' own folders on this machine
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    card: CardArgs,
}

pub(super) async fn run(args: &PushArgs, context: &Context) -> Result<(), CliError> {
    let files = find_session_files(&inputs(&args.paths)?)?;
    let connection = context.connect().await?;
    let repo = connection.repo_id(&args.repo)?;
    let home_gate = HomeGate::open(context)?;
    let mut cleaner = home_gate.gate()?.for_dataset(repo.as_str());
    let home = context.home()?;
    let folder = Scratch::create(home).map_err(|error| io_error("make a folder in", home, error))?;
    let clean = tokio::task::block_in_place(|| clean_traces(&files, &mut cleaner, folder.path()))?;
    for (path, why) in &clean.skipped {
        context.output.note(format!(
            "{} is left out: {}",
            plain(&path.display().to_string()),
            plain(why)
        ));
    }
    let owner = repo
        .namespace()
        .unwrap_or(connection.namespace.as_str())
        .to_owned();
    let storage = crate::storage::check(
        &connection,
        &owner,
        !args.card.public,
        clean.size_bytes,
        args.card.extra_storage,
        context,
    )
    .await?;
    let gate = PublishGate::new(home_gate.inspector());
    let screen = TransferScreen::new(context.output);
    let mut config = args.card.config(&repo);
    config.progress = screen.progress();
    let uploaded = manager(&connection, repo.namespace())?
        .with_gate(gate.upload_gate())
        .upload_traces(&clean.files, &config)
        .await
        .map_err(|error| match gate.refusal() {
            Some(refused) => CliError::from(refused),
            None => CliError::from(error),
        })?;
    screen.finish();
    if context.output.is_json() {
        return context.output.json(&json!({
            "repo_id": uploaded.repo_id.to_string(), "revision": uploaded.revision, "url": uploaded.url,
            "private": config.private, "sessions": clean.files.len(), "traces": clean, "storage": storage,
        }));
    }
    context.output.line(&uploaded.repo_id)?;
    context.output.note(format!(
        "{} sessions, {} replacements, at {}; {}",
        clean.files.len(),
        clean.redactions.values().sum::<u64>(),
        short(&uploaded.revision),
        uploaded.url
    ));
    Ok(())
}
