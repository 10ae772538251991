//! `bashgym data`: build, scan, review, push, pull, list, remove.

mod build;
mod review;
pub(crate) mod scan;
mod show;

use std::path::PathBuf;

use bashgym_core::publish::PublishGate;
use clap::{Args, Subcommand};
use hf_core::RepoType;
use hf_datasets::{DatasetConfig, HfDatasetManager, RepoFiles};
use serde_json::json;

use crate::commands::bulk;
use crate::commands::stages;
use crate::context::{Connection, Context};
use crate::error::{CliError, Kind};
use crate::gate::HomeGate;
use crate::inputs::share;
use crate::output::bytes;
use crate::progress::short;
use crate::transfer::TransferScreen;

/// Datasets: build from sessions, scan for secrets, review, push, pull, list, remove.
#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Build a dataset folder from sessions
    Build(BuildArgs),
    /// Look for secrets and personal data; exit code 3 when something is found
    Scan(scan::ScanArgs),
    /// Look at each finding, masked, and decide about it
    Review(review::ReviewArgs),
    /// First stage: read session logs into a work folder
    Import(stages::ImportArgs),
    /// Second stage: take secrets out
    Redact(stages::RedactArgs),
    /// Judge the rows of a dataset with a model; or, with --work, the third stage: make rows, judge the tasks, and say why
    Score(Box<bulk::ScoreArgs>),
    /// Find rows that say the same with an embedder; or, with --work, the fourth stage: find repetition and items of
    /// evaluation sets
    Dedup(Box<bulk::DedupArgs>),
    /// Ask for the same tasks in other words, with a model
    Augment(bulk::AugmentArgs),
    /// Make rows of prompts, with a model
    Generate(bulk::GenerateArgs),
    /// Last stage: divide the rows and write the dataset folder
    Split(stages::SplitArgs),
    /// Push a dataset folder to a repository, as one commit; every file is scanned first
    Push(PushArgs),
    /// Pull a dataset repository into a folder; goes on where a killed pull stopped
    Pull(PullArgs),
    /// Show rows of a pushed dataset, as Data Studio does
    Show(show::ShowArgs),
    /// List dataset repositories
    Ls(LsArgs),
    /// Delete a dataset repository
    Rm(RmArgs),
}

/// Builds a dataset folder from sessions.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym data build ~/.claude/projects --out ./dataset")]
pub(crate) struct BuildArgs {
    /// Session logs, or folders of them; without any, the agents' own folders on this machine
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder to write: train.jsonl, val.jsonl, metadata.json, README.md
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The repository it is meant for: its card says how to load it, and placeholders are like those of no other dataset
    #[arg(long, value_name = "NAMESPACE/NAME")]
    repo: Option<hf_core::RepoId>,
    /// Decides which sessions are held out
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// The share of rows held out for validation
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    val_fraction: f64,
    #[command(flatten)]
    flags: stages::RowFlags,
    /// A folder in which stages leave their output, so that the next build redoes only what changed
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

/// Pushes a dataset folder.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// The folder with train.jsonl, val.jsonl, metadata.json and README.md
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The repository, with or without its namespace
    #[arg(value_name = "REPO")]
    repo: String,
    /// Send the rows as Parquet, in the place of JSON Lines
    #[arg(long)]
    parquet: bool,
    #[command(flatten)]
    card: CardArgs,
}

/// How a dataset presents itself, and who may read it.
#[derive(Debug, Args)]
pub(crate) struct CardArgs {
    /// Let everybody read it; otherwise only you can
    #[arg(long)]
    pub(crate) public: bool,
    /// The licence, by the Hub's name for it: mit, apache-2.0, cc-by-4.0, other, ..
    #[arg(long, value_name = "LICENSE", value_parser = license)]
    license: Option<String>,
    /// Its title
    #[arg(long, value_name = "TITLE")]
    title: Option<String>,
    /// A language of its texts, by code
    #[arg(long, value_name = "CODE")]
    language: Vec<String>,
    /// A tag to find it by
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Agree to pay for private storage beyond what the plan includes
    #[arg(long)]
    pub(crate) extra_storage: bool,
}

impl CardArgs {
    pub(crate) fn config(&self, repo: &hf_core::RepoId) -> DatasetConfig {
        DatasetConfig {
            private: !self.public,
            license: self.license.clone(),
            pretty_name: self.title.clone(),
            languages: self.language.clone(),
            tags: self.tag.clone(),
            ..DatasetConfig::new(repo.to_string())
        }
    }
}

/// Reads a licence's name: what the Hub knows is lower case, with digits, points and hyphens.
fn license(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    if !text.is_empty() && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("a licence is named as on the Hub, such as mit, apache-2.0 or cc-by-4.0".to_owned())
    }
}

/// Pulls a dataset repository.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// The repository, with or without its namespace
    #[arg(value_name = "REPO")]
    repo: String,
    /// The folder to write to
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// A branch, tag or commit
    #[arg(long, value_name = "REVISION", default_value = "main")]
    revision: String,
}

/// Lists dataset repositories.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only those whose name begins so
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,
}

/// Deletes a dataset repository.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The repository, with or without its namespace
    #[arg(value_name = "REPO")]
    repo: String,
    /// Do not ask for the name again
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(command: DataCommand, context: &Context) -> Result<(), CliError> {
    match command {
        DataCommand::Build(args) => build::run(args, context).await,
        DataCommand::Scan(args) => scan::run(&args, context),
        DataCommand::Review(args) => review::run(&args, context),
        DataCommand::Import(args) => stages::import(&args, context),
        DataCommand::Redact(args) => stages::redact(&args, context),
        DataCommand::Score(args) => bulk::score(*args, context).await,
        DataCommand::Dedup(args) => bulk::dedup(*args, context).await,
        DataCommand::Augment(args) => bulk::augment(args, context).await,
        DataCommand::Generate(args) => bulk::generate(args, context).await,
        DataCommand::Split(args) => stages::split(&args, context),
        DataCommand::Push(args) => push(&args, context).await,
        DataCommand::Pull(args) => pull(&args, context).await,
        DataCommand::Show(args) => show::run(&args, context).await,
        DataCommand::Ls(args) => list(&args, context).await,
        DataCommand::Rm(args) => remove(&args, context).await,
    }
}

/// The datasets of a namespace; without one, of the connection's own.
pub(crate) fn manager(
    connection: &Connection,
    namespace: Option<&str>,
) -> Result<HfDatasetManager, CliError> {
    let namespace = match namespace {
        Some(namespace) => namespace.parse()?,
        None => connection.namespace.clone(),
    };
    Ok(HfDatasetManager::new(connection.client.clone(), namespace))
}

async fn push(args: &PushArgs, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let repo = connection.repo_id(&args.repo)?;
    let gate = PublishGate::new(HomeGate::open(context)?.inspector());
    let screen = TransferScreen::new(context.output);
    let mut config = args.card.config(&repo);
    let owner = repo
        .namespace()
        .unwrap_or(connection.namespace.as_str())
        .to_owned();
    let size = folder_bytes(&args.dir);
    let seen_by = if config.private { "private" } else { "public" };
    context.output.note(format!(
        "At most {} go to the dataset {repo} ({seen_by} if it is new).",
        crate::output::bytes(size)
    ));
    let storage = crate::storage::check(
        &connection,
        &owner,
        config.private,
        size,
        args.card.extra_storage,
        context,
    )
    .await?;
    config.parquet = args.parquet;
    config.progress = screen.progress();
    let uploaded = manager(&connection, repo.namespace())?
        .with_gate(gate.upload_gate())
        .upload_training_data(&args.dir, &config)
        .await
        .map_err(|error| match gate.refusal() {
            Some(refused) => CliError::from(refused),
            None => CliError::from(error),
        })?;
    screen.finish();
    if context.output.is_json() {
        return context.output.json(&json!({
            "repo_id": uploaded.repo_id.to_string(), "revision": uploaded.revision, "url": uploaded.url,
            "private": config.private, "storage": storage,
        }));
    }
    context.output.line(&uploaded.repo_id)?;
    context
        .output
        .note(format!("at {}; {}", short(&uploaded.revision), uploaded.url));
    Ok(())
}

/// The bytes of a folder's files; what cannot be seen counts nothing, and is for the upload to report.
fn folder_bytes(dir: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

async fn pull(args: &PullArgs, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let repo = RepoFiles::new(
        &connection.client,
        RepoType::Dataset,
        connection.repo_id(&args.repo)?,
    );
    let screen = TransferScreen::new(context.output);
    let options = screen.download_options(args.revision.parse()?);
    let snapshot = repo.download_snapshot(&args.dir, &options).await?;
    let received: u64 = snapshot.files.iter().map(|file| file.received_bytes).sum();
    screen.finish();
    if context.output.is_json() {
        return context.output.json(&json!({
            "repo_id": repo.repo_id().to_string(), "revision": snapshot.revision, "dir": args.dir,
            "files": snapshot.files.len(), "bytes_received": received,
        }));
    }
    context.output.line(args.dir.display())?;
    context.output.note(format!(
        "{} files, {} received",
        snapshot.files.len(),
        bytes(received)
    ));
    Ok(())
}

async fn list(args: &LsArgs, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let found = manager(&connection, None)?.list_datasets(&args.prefix).await?;
    for repo in &found {
        if context.output.is_json() {
            context.output.json(&json!({ "repo_id": repo.repo_id, "private": repo.private, "last_modified": repo.last_modified }))?;
        } else {
            context.output.line(&repo.repo_id)?;
        }
    }
    if found.is_empty() {
        context
            .output
            .note("No datasets yet. Build one: bashgym data build PATH --out DIR");
    }
    Ok(())
}

async fn remove(args: &RmArgs, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let repo = connection.repo_id(&args.repo)?;
    if !args.yes {
        confirm(repo.as_str(), connection.client.endpoint().as_str(), context)?;
    }
    manager(&connection, repo.namespace())?
        .delete_dataset(repo.as_str())
        .await?;
    if context.output.is_json() {
        return context
            .output
            .json(&json!({ "repo_id": repo.to_string(), "deleted": true }));
    }
    context.output.note(format!("{repo} is deleted."));
    Ok(())
}

/// Deletion asks for the name; where nobody can answer, it asks for `--yes`.
pub(crate) fn confirm(name: &str, endpoint: &str, context: &Context) -> Result<(), CliError> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() || !context.output.is_human() {
        return Err(CliError::new(
            Kind::Usage,
            format!("{name} would be deleted, with all its revisions"),
        )
        .hint("add --yes to delete it"));
    }
    context.output.note(format!(
        "{name} on {endpoint} will be deleted with all its revisions. This cannot be undone."
    ));
    context.output.raw("Type its full name to delete it: ")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| CliError::new(Kind::Io, "cannot read the answer").because(error))?;
    if answer.trim() == name {
        Ok(())
    } else {
        Err(CliError::new(
            Kind::Usage,
            "the name does not match; nothing was deleted",
        ))
    }
}
