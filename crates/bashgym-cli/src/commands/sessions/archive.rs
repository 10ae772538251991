//! `bashgym sessions archive`: keep the originals, list them, give them back, check them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

use bashgym_traces::{Added, AddedFile, Archive, ArchivedFile, find_session_files};
use clap::{Args, Subcommand};
use serde_json::json;

use super::PathsArgs;
use crate::context::Context;
use crate::error::{CliError, Kind, io_error};
use crate::files::SESSION_ARCHIVE;
use crate::inputs::inputs;
use crate::output::{bytes, plain, table};

/// Keeps the originals of sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum ArchiveCommand {
    /// Keep session files as they are now; of a file that grew only the rest is stored
    Add(PathsArgs),
    /// List the files that are kept
    Ls,
    /// Write files back, byte for byte
    Restore(RestoreArgs),
    /// Check that everything kept can be given back
    Verify,
}

/// Writes files back.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct RestoreArgs {
    /// A kept file: its path, or the beginning of its id; without one, all of them
    #[arg(value_name = "FILE")]
    file: Option<String>,

    /// The folder to write to; the old folders are made under it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Which version of a rewritten file, counted from 1; the last without it
    #[arg(long, value_name = "N", requires = "file")]
    version: Option<usize>,
}

pub(super) fn open(context: &Context) -> Result<Archive, CliError> {
    Ok(Archive::open(context.home()?.join(SESSION_ARCHIVE))?)
}

pub(super) fn run(command: ArchiveCommand, context: &Context) -> Result<(), CliError> {
    let archive = open(context)?;
    match command {
        ArchiveCommand::Add(args) => add(archive, &args, context),
        ArchiveCommand::Ls => list(&archive, context),
        ArchiveCommand::Restore(args) => restore(&archive, &args, context),
        ArchiveCommand::Verify => verify(&archive, context),
    }
}

fn word(added: Added) -> &'static str {
    match added {
        Added::New => "new",
        Added::Grown => "grown",
        Added::Unchanged => "unchanged",
        Added::Rewritten => "rewritten",
    }
}

fn add(mut archive: Archive, args: &PathsArgs, context: &Context) -> Result<(), CliError> {
    let files = find_session_files(&inputs(&args.paths)?)?;
    let output = context.output;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut tell = |kept: AddedFile<'_>| {
        let state = kept.added.as_ref().map_or("failed", |added| word(*added));
        *counts.entry(state).or_default() += 1;
        let failed = kept.added.as_ref().err().map(ToString::to_string);
        if output.is_json() {
            return output
                .json(&json!({ "event": "file", "file": kept.path, "state": state, "reason": failed }));
        }
        if let Some(reason) = failed {
            output.note(plain(&reason));
        }
        if output.is_human() || matches!(kept.added, Err(_) | Ok(Added::Unchanged)) {
            return Ok(());
        }
        output.line(plain(&kept.path.display().to_string()))
    };
    let mut told = Ok(());
    archive.add_sessions(&files, || context.clock.now(), &mut |kept| {
        told = tell(kept);
        if told.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    told?;
    if output.is_json() {
        return output.json(&json!({ "event": "summary", "summary": counts }));
    }
    let said: Vec<String> = counts.iter().map(|(state, n)| format!("{n} {state}")).collect();
    output.note(format!(
        "{} in {}",
        said.join(", "),
        context.home()?.join(SESSION_ARCHIVE).display()
    ));
    Ok(())
}

fn list(archive: &Archive, context: &Context) -> Result<(), CliError> {
    let output = context.output;
    let mut shown = table(&["id", "size", "versions", "kept", "file"]);
    for file in archive.files() {
        let Some(last) = file.versions.last() else {
            continue;
        };
        if output.is_json() {
            output.json(&json!({
                "id": file.id, "file": file.path, "size_bytes": last.size_bytes, "hash": last.hash,
                "versions": file.versions.len(), "archived_at": last.archived_at,
            }))?;
        } else if output.is_human() {
            shown.add_row([
                file.id[..8.min(file.id.len())].to_owned(),
                bytes(last.size_bytes),
                file.versions.len().to_string(),
                last.archived_at.strftime("%Y-%m-%d %H:%M").to_string(),
                plain(&file.path.display().to_string()),
            ]);
        } else {
            output.line(plain(&file.path.display().to_string()))?;
        }
    }
    if output.is_human() {
        output.line(shown)
    } else {
        Ok(())
    }
}

fn restore(archive: &Archive, args: &RestoreArgs, context: &Context) -> Result<(), CliError> {
    let files: Vec<&ArchivedFile> = match &args.file {
        None => archive.files().collect(),
        Some(name) => {
            let absolute =
                std::path::absolute(name).map_err(|error| io_error("find", Path::new(name), error))?;
            let mut found = archive.find(&absolute.to_string_lossy());
            if found.is_empty() {
                found = archive.find(name);
            }
            match found.as_slice() {
                [] => {
                    return Err(
                        CliError::new(Kind::NotFound, format!("the archive does not keep {name}"))
                            .hint("`bashgym sessions archive ls` shows what it keeps"),
                    );
                }
                [_] => found,
                several => {
                    let message = format!("the ids of {} files begin with {name}", several.len());
                    return Err(CliError::new(Kind::Usage, message).hint("give more of the id"));
                }
            }
        }
    };
    for file in files {
        let wanted = args.version.unwrap_or(file.versions.len());
        let version = wanted
            .checked_sub(1)
            .and_then(|n| file.versions.get(n))
            .ok_or_else(|| {
                CliError::new(
                    Kind::NotFound,
                    format!("{} has {} versions", file.path.display(), file.versions.len()),
                )
            })?;
        let target = args.out.join(below(&file.path));
        let write = |error| io_error("write", &target, error);
        let folder = target.parent().unwrap_or(&args.out);
        fs::create_dir_all(folder).map_err(|error| io_error("make the folder", folder, error))?;
        let mut half = target.as_os_str().to_owned();
        half.push(".restoring");
        let half = PathBuf::from(half);
        let mut out = fs::File::create(&half).map_err(write)?;
        if let Err(error) = archive.restore(version, &mut out) {
            // What is half there is of no use to anybody.
            let _ = fs::remove_file(&half);
            return Err(error.into());
        }
        out.flush().and_then(|()| out.sync_all()).map_err(write)?;
        if target.exists() {
            let _ = fs::remove_file(&half);
            return Err(
                CliError::new(Kind::Conflict, format!("{} is there already", target.display()))
                    .hint("restore to an empty folder"),
            );
        }
        fs::rename(&half, &target).map_err(write)?;
        if context.output.is_json() {
            context.output.json(&json!({
                "event": "file", "file": file.path, "restored": target, "size_bytes": version.size_bytes,
            }))?;
        } else {
            context.output.line(plain(&target.display().to_string()))?;
        }
    }
    Ok(())
}

/// A path to hang under another: names only, so that nothing climbs out.
fn below(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

fn verify(archive: &Archive, context: &Context) -> Result<(), CliError> {
    let report = archive.verify()?;
    if context.output.is_json() {
        context
            .output
            .json(&json!({ "event": "summary", "summary": report }))?;
    } else {
        context.output.note(format!(
            "{} files, {} kept in {}",
            report.files,
            bytes(report.size_bytes),
            bytes(report.stored_bytes)
        ));
    }
    if report.damaged.is_empty() {
        return Ok(());
    }
    for (file, reason) in &report.damaged {
        context.output.note(format!(
            "{}: {}",
            plain(&file.display().to_string()),
            plain(reason)
        ));
    }
    let message = format!("{} files cannot be given back", report.damaged.len());
    Err(CliError::new(Kind::Data, message).hint("where the original is still there, add it again"))
}
