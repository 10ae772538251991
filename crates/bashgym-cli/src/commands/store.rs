//! `bashgym store`: everything that is remembered.

use std::path::PathBuf;

use bashgym_store::{BackupError, Restore, StoreInfo};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{bytes, table};

/// Everything that is remembered: back it up, restore it, look at it.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Write everything into one file
    #[command(after_help = "\
Runs, jobs and their logs, the ledger, tasks: as they are at one moment, while others go on working. The file is a SQLite
database whatever the store is, and only you may read it. It holds no token, but it holds what your jobs wrote.

Examples:
  bashgym store backup ~/gym-2026-11-22.backup
  BASHGYM_DATABASE_URL=postgres://gym@db/gym bashgym store backup gym.backup")]
    Backup(BackupArgs),
    /// Put what a backup holds into the store, all of it or nothing
    #[command(after_help = "\
A backup of an older version is brought to today's form first; the file stays as it is. A backup of one kind of database
goes into the other as well: that is how a laptop's work moves to a team's server. End `bashgym serve` before.

Examples:
  bashgym store restore gym.backup
  BASHGYM_DATABASE_URL=postgres://gym@db/gym bashgym store restore gym.backup")]
    Restore(RestoreArgs),
    /// Show where the store is, what is in it, and whether it is whole
    Info,
}

/// Where the backup goes.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not be there yet
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Which backup is restored.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Drop everything that the store holds now
    #[arg(long)]
    replace: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    event: &'static str,
    #[serde(flatten)]
    info: &'a StoreInfo,
}

pub(crate) async fn run(command: StoreCommand, context: &Context) -> Result<(), CliError> {
    let store = context.store().await?;
    let (event, info) = match command {
        StoreCommand::Backup(args) => ("backup", store.backup(&args.file).await.map_err(refused)?),
        StoreCommand::Restore(args) => {
            let how = if args.replace {
                Restore::Replace
            } else {
                Restore::IntoEmpty
            };
            ("restore", store.restore(&args.file, how).await.map_err(refused)?)
        }
        StoreCommand::Info => ("info", store.info().await?),
    };
    show(event, &info, context)?;
    if info.damage.is_empty() {
        return Ok(());
    }
    let damage = info.damage.join("; ");
    Err(
        CliError::new(Kind::Io, format!("{} is damaged: {damage}", info.place))
            .hint("restore the last backup: `bashgym store restore FILE --replace`"),
    )
}

fn show(event: &'static str, info: &StoreInfo, context: &Context) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(&Shown { event, info });
    }
    if !context.output.is_human() {
        return context.output.line(&info.place);
    }
    let mut shown = table(&["table", "rows"]);
    for rows in &info.rows {
        shown.add_row([rows.table.to_owned(), rows.rows.to_string()]);
    }
    context.output.line(shown)?;
    context.output.line(format!(
        "{}: {}, {}, form {}",
        info.place,
        info.kind,
        bytes(info.size_bytes),
        info.schema
    ))
}

fn refused(error: BackupError) -> CliError {
    let error = match error {
        BackupError::Store(error) => return error.into(),
        error => error,
    };
    let (kind, hint) = match &error {
        BackupError::Exists(_) => (Kind::Conflict, Some("name a file that is not there")),
        BackupError::NoFile(_) => (Kind::NotFound, None),
        BackupError::NotEmpty { .. } => (
            Kind::Conflict,
            Some("back up what is there with `bashgym store backup FILE`, then add --replace"),
        ),
        BackupError::InUse { .. } => (
            Kind::Conflict,
            Some("end the server and every command that follows a job, or wait a minute if they were killed"),
        ),
        BackupError::Damaged { .. } => (Kind::Io, Some("use another backup")),
        _ => (Kind::Io, None),
    };
    let message = error.to_string();
    let error = CliError::new(kind, message).because(error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
