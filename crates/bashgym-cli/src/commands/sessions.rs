//! `bashgym sessions`: find, show, import.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bashgym_traces::{
    ImportEvent, ImportOptions, ImportSummary, Problem, SessionFile, SessionSummary, Trace,
    find_session_files, import,
};
use clap::{Args, Subcommand};
use owo_colors::OwoColorize;
use serde_json::json;

use crate::commands::run::inputs;
use crate::context::Context;
use crate::error::{CliError, Kind, io_error};
use crate::files::write_whole;
use crate::output::{Output, bytes, plain, table};
use crate::progress::one_line;

/// Problems shown to a person one by one.
const SHOWN_PROBLEMS: usize = 10;

/// Sessions of coding agents: find, show, import.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List session files
    Ls(PathsArgs),
    /// Read sessions, count what they hold, and remember where they are
    Import(PathsArgs),
    /// Show one session, message by message
    Show(ShowArgs),
}

/// Names session logs.
#[derive(Debug, Args)]
pub(crate) struct PathsArgs {
    /// Session logs, or folders of them; without any, the agents' own folders on this machine
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Shows one session.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bashgym sessions show ~/.claude/projects/app/2f6c.jsonl\n  bashgym sessions show 2f6c   (after `bashgym sessions import`)"
)]
pub(crate) struct ShowArgs {
    /// A session's file, or the beginning of the id of an imported one
    #[arg(value_name = "SESSION")]
    session: String,
}

pub(crate) fn run(command: SessionsCommand, context: &Context) -> Result<(), CliError> {
    // Reading files is blocking work from end to end.
    tokio::task::block_in_place(|| match command {
        SessionsCommand::Ls(args) => list(&args, context.output),
        SessionsCommand::Import(args) => import_all(&args, context),
        SessionsCommand::Show(args) => show(&args, context),
    })
}

fn list(args: &PathsArgs, output: Output) -> Result<(), CliError> {
    let files = find_session_files(&inputs(&args.paths)?)?;
    let mut shown = table(&["agent", "size", "begun", "file"]);
    for file in &files {
        let agent = agent_of(file);
        if output.is_json() {
            output.json(&json!({
                "agent": agent, "file": file.path, "size_bytes": file.size_bytes, "started_at": file.started_at,
            }))?;
        } else if output.is_human() {
            shown.add_row([
                agent.unwrap_or("unknown").to_owned(),
                bytes(file.size_bytes),
                file.started_at.map_or_else(
                    || "-".to_owned(),
                    |time| time.strftime("%Y-%m-%d %H:%M").to_string(),
                ),
                plain(&file.path.display().to_string()),
            ]);
        } else {
            output.line(file.path.display())?;
        }
    }
    if output.is_human() {
        output.line(shown)
    } else {
        Ok(())
    }
}

fn agent_of(file: &SessionFile) -> Option<&'static str> {
    bashgym_traces::detect_agent(&file.path)
        .ok()
        .flatten()
        .map(bashgym_traces::Agent::as_str)
}

fn import_all(args: &PathsArgs, context: &Context) -> Result<(), CliError> {
    let files = find_session_files(&inputs(&args.paths)?)?;
    let mut index = Vec::new();
    let mut problems = Vec::new();
    let summary = read(&files, &mut problems, &mut |trace| {
        let summary = SessionSummary::from(trace);
        if context.output.is_json() {
            context.output.json(&summary)?;
        }
        index.push(summary);
        Ok(())
    })?;
    remember(&index, context)?;
    report(&index, &problems, &summary, context.output)?;
    if summary.sessions == 0 {
        return Err(CliError::new(Kind::Data, "no session could be read")
            .hint("Bash Gym reads the logs of Claude Code and Codex"));
    }
    Ok(())
}

/// Reads files and hands each session on; a failure of the receiver ends the reading.
fn read(
    files: &[SessionFile],
    problems: &mut Vec<Problem>,
    take: &mut dyn FnMut(&Trace) -> Result<(), CliError>,
) -> Result<ImportSummary, CliError> {
    let mut failed = None;
    let summary = import(files, &ImportOptions::default(), &mut |event| {
        match event {
            ImportEvent::Session(trace) => {
                if let Err(error) = take(&trace) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ImportEvent::Problem(problem) => problems.push(problem),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(summary), Err)
}

fn report(
    sessions: &[SessionSummary],
    problems: &[Problem],
    summary: &ImportSummary,
    output: Output,
) -> Result<(), CliError> {
    if output.is_json() {
        for problem in problems {
            output.json(&json!({ "event": "problem", "problem": problem }))?;
        }
        return output.json(&json!({ "event": "summary", "summary": summary }));
    }
    if !output.is_human() {
        return sessions
            .iter()
            .try_for_each(|session| output.line(plain(&session.session_id)));
    }
    let mut shown = table(&[
        "session",
        "agent",
        "prompts",
        "calls",
        "errors",
        "tokens in",
        "tokens out",
    ]);
    for session in sessions {
        let tokens_in = session.tokens.input + session.tokens.cache_creation + session.tokens.cache_read;
        shown.add_row([
            plain(&session.session_id),
            session.agent.to_string(),
            session.prompts.to_string(),
            session.tool_calls.to_string(),
            session.tool_errors.to_string(),
            tokens_in.to_string(),
            format!("≥ {}", session.tokens.output),
        ]);
    }
    output.line(shown)?;
    for problem in problems.iter().take(SHOWN_PROBLEMS) {
        let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
        let place = plain(&format!("{}{line}", problem.file.display()));
        output.note(format!(
            "{} {place}: {}",
            problem.kind.to_string().yellow(),
            plain(&problem.reason)
        ));
    }
    if problems.len() > SHOWN_PROBLEMS {
        output.note(format!(
            "and {} more; --format json lists them",
            problems.len() - SHOWN_PROBLEMS
        ));
    }
    output.note(format!(
        "{} sessions from {} files, {} read. Tokens out are a lower bound: logs often hold a snapshot.",
        summary.sessions,
        summary.files,
        bytes(summary.bytes)
    ));
    Ok(())
}

/// Keeps the list of what was imported last, whole or not at all.
fn remember(sessions: &[SessionSummary], context: &Context) -> Result<(), CliError> {
    let path = context.home()?.join("sessions.json");
    let mut known = remembered(context)?;
    known.retain(|old| {
        !sessions
            .iter()
            .any(|new| new.session_id == old.session_id && new.file == old.file)
    });
    known.extend_from_slice(sessions);
    let text = serde_json::to_vec(&known)
        .map_err(|error| CliError::new(Kind::Internal, "the list of sessions is no JSON").because(error))?;
    write_whole(&path, &text)
}

fn remembered(context: &Context) -> Result<Vec<SessionSummary>, CliError> {
    let path = context.home_path().join("sessions.json");
    match std::fs::read(&path) {
        // A list of another version is rebuilt by the next import.
        Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io_error("read", &path, error)),
    }
}

fn show(args: &ShowArgs, context: &Context) -> Result<(), CliError> {
    let named = PathBuf::from(&args.session);
    let (file, id) = if named.is_file() {
        (named, None)
    } else {
        let found: Vec<SessionSummary> = remembered(context)?
            .into_iter()
            .filter(|session| session.session_id.starts_with(&args.session))
            .collect();
        match found.as_slice() {
            [one] => (one.file.clone(), Some(one.session_id.clone())),
            [] => {
                return Err(
                    CliError::new(Kind::NotFound, format!("no session {}", args.session))
                        .hint("name its file, or import the folder it is in: bashgym sessions import PATH"),
                );
            }
            several => {
                return Err(CliError::new(
                    Kind::Usage,
                    format!("{} sessions begin with {}", several.len(), args.session),
                )
                .hint("give more of the id"));
            }
        }
    };
    let files = find_session_files(&[file])?;
    let mut problems = Vec::new();
    read(&files, &mut problems, &mut |trace| {
        if id.as_ref().is_none_or(|id| *id == trace.session_id) {
            print(trace, context.output)
        } else {
            Ok(())
        }
    })?;
    Ok(())
}

fn print(trace: &Trace, output: Output) -> Result<(), CliError> {
    if !output.is_human() {
        return output.json(trace);
    }
    output.line(format!(
        "{} {} {}",
        trace.agent.bold(),
        plain(&trace.session_id),
        trace.model().map(plain).unwrap_or_default()
    ))?;
    for message in &trace.messages {
        let time = message
            .timestamp
            .map(|time| time.strftime("%H:%M:%S").to_string())
            .unwrap_or_default();
        if !message.text.is_empty() {
            output.line(format!(
                "{:>8} {:<9} {}",
                time.dimmed(),
                message.role.as_str(),
                one_line(&message.text, 300)
            ))?;
        }
        for call in &message.tool_calls {
            let arguments = one_line(call.arguments.get(), 160);
            output.line(format!(
                "{:>8} {:<9} {} {}",
                time.dimmed(),
                "call".cyan(),
                plain(&call.name),
                arguments
            ))?;
        }
        if let Some(result) = &message.tool_result {
            let mark = if result.is_error {
                "failed".red().to_string()
            } else {
                "result".green().to_string()
            };
            output.line(format!(
                "{:>8} {mark:<9} {}",
                time.dimmed(),
                one_line(&result.content, 160)
            ))?;
        }
    }
    Ok(())
}
