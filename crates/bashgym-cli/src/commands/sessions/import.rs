//! `bashgym sessions import`: read sessions, count what they hold, remember where they are.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    FollowEvent, ImportEvent, ImportOptions, ImportProgress, ImportStateStore, ImportSummary, JsonStateFile,
    Problem, SessionFile, SessionFollower, SessionSummary, SessionUpdate, Trace, find_session_files, import,
    import_reader,
};
use clap::Args;
use indicatif::ProgressBar;
use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::json;

use super::remembered;
use crate::bar::bar;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::inputs::inputs;
use crate::output::{Output, bytes, plain, table};

/// Problems shown to a person one by one.
const SHOWN_PROBLEMS: usize = 10;

/// Reads sessions.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bashgym sessions import                    what the agents of this machine keep\n  bashgym sessions import --new              only what is new or grew since the last time\n  zstdcat log.zst | bashgym sessions import -"
)]
pub(crate) struct ImportArgs {
    /// Session logs, or folders of them; `-` for standard input; without any, the agents' own folders
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Only sessions that are new or grew since the last import with this option
    #[arg(long)]
    new: bool,
}

/// A session with what is new in it.
#[derive(Serialize)]
pub(super) struct Grown<'a> {
    #[serde(flatten)]
    pub(super) summary: &'a SessionSummary,
    pub(super) is_new: bool,
    pub(super) first_new: usize,
    pub(super) new_messages: usize,
    pub(super) changed: &'a [usize],
}

impl<'a> Grown<'a> {
    pub(super) fn of(update: &'a SessionUpdate, summary: &'a SessionSummary) -> Self {
        Self {
            summary,
            is_new: update.is_new,
            first_new: update.first_new,
            new_messages: update.trace.messages.len() - update.first_new,
            changed: &update.changed,
        }
    }
}

pub(super) fn run(args: &ImportArgs, context: &Context) -> Result<(), CliError> {
    if args.paths.iter().any(|path| path == Path::new("-")) {
        return from_stdin(args, context);
    }
    let files = find_session_files(&inputs(&args.paths)?)?;
    if args.new {
        return only_new(&files, context);
    }
    let screen = Screen::new(context.output);
    let mut index = Vec::new();
    let mut problems = Vec::new();
    let summary = read(
        &files,
        &mut problems,
        &mut |progress| screen.show(progress),
        &mut |trace| {
            let summary = SessionSummary::from(trace);
            if context.output.is_json() {
                context.output.json(&summary)?;
            }
            index.push(summary);
            Ok(())
        },
    )?;
    screen.end();
    remembered::index(context)?.add(&index)?;
    report(&index, &problems, &summary, context.output)?;
    nothing_read(&summary)
}

fn nothing_read(summary: &ImportSummary) -> Result<(), CliError> {
    if summary.sessions == 0 {
        return Err(CliError::new(Kind::Data, "no session could be read").hint(
            "Bash Gym reads the logs of Claude Code, Codex, Gemini CLI, OpenCode, Copilot CLI and Pi",
        ));
    }
    Ok(())
}

fn from_stdin(args: &ImportArgs, context: &Context) -> Result<(), CliError> {
    if args.paths.len() > 1 || args.new {
        return Err(CliError::new(Kind::Usage, "`-` stands alone")
            .hint("read standard input and files in two commands"));
    }
    let mut index = Vec::new();
    let mut problems = Vec::new();
    let name = Path::new("-");
    let mut input = io::stdin().lock();
    let summary = deliver(
        &mut |sink| import_reader(&mut input, name, &ImportOptions::default(), sink),
        &mut problems,
        &mut |_| {},
        &mut |trace| {
            let summary = SessionSummary::from(trace);
            if context.output.is_json() {
                context.output.json(&summary)?;
            }
            index.push(summary);
            Ok(())
        },
    )?;
    report(&index, &problems, &summary, context.output)?;
    nothing_read(&summary)
}

fn only_new(files: &[SessionFile], context: &Context) -> Result<(), CliError> {
    let store = JsonStateFile::new(context.home()?.join("import-state.json"));
    let mut follower = SessionFollower::new(ImportOptions::default(), store.load()?, 0);
    let screen = Screen::new(context.output);
    let mut failed = None;
    let mut index = Vec::new();
    let output = context.output;
    let summary = follower.poll(files, &mut |event| {
        let told = match event {
            FollowEvent::Session(update) => {
                let summary = SessionSummary::from(&update.trace);
                let told = tell(&update, &summary, output);
                index.push(summary);
                told
            }
            FollowEvent::Problem(problem) if output.is_json() => {
                output.json(&json!({ "event": "problem", "problem": problem }))
            }
            FollowEvent::Rewritten { file } if output.is_json() => {
                output.json(&json!({ "event": "rewritten", "file": file }))
            }
            FollowEvent::Progress(progress) => {
                screen.show(&progress);
                Ok(())
            }
            _ => Ok(()),
        };
        match told {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    screen.end();
    // What was told is not told again, whatever happens to the rest.
    store.save(follower.state())?;
    remembered::index(context)?.add(&index)?;
    if let Some(error) = failed {
        return Err(error);
    }
    if output.is_json() {
        return output.json(&json!({ "event": "summary", "summary": summary }));
    }
    output.note(format!(
        "{} new sessions, {} that grew, {} new messages; {} of {} files had not changed.",
        summary.sessions_new,
        summary.sessions_changed,
        summary.messages_new,
        summary.files_unchanged,
        summary.files
    ));
    Ok(())
}

/// Tells one session with what is new in it.
fn tell(update: &SessionUpdate, summary: &SessionSummary, output: Output) -> Result<(), CliError> {
    let grown = Grown::of(update, summary);
    if output.is_json() {
        return output.json(&grown);
    }
    if !output.is_human() {
        return output.line(plain(&summary.session_id));
    }
    output.line(format!(
        "{} {} {:+} messages",
        summary.agent.bold(),
        plain(&summary.session_id),
        grown.new_messages
    ))
}

/// Draws how far an import is, and when it will be done.
pub(super) struct Screen {
    bar: ProgressBar,
}

impl Screen {
    pub(super) fn new(output: Output) -> Self {
        let style = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {msg} files, {eta} to go";
        let bar = bar(output, style);
        Self { bar }
    }

    pub(super) fn show(&self, progress: &ImportProgress) {
        self.bar.set_length(progress.bytes_total);
        self.bar.set_position(progress.bytes_done);
        self.bar
            .set_message(format!("{}/{}", progress.files_done, progress.files_total));
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Reads files and hands each session on; a failure of the receiver ends the reading.
pub(super) fn read(
    files: &[SessionFile],
    problems: &mut Vec<Problem>,
    progress: &mut dyn FnMut(&ImportProgress),
    take: &mut dyn FnMut(&Trace) -> Result<(), CliError>,
) -> Result<ImportSummary, CliError> {
    let options = ImportOptions::default();
    deliver(
        &mut |sink| import(files, &options, sink),
        problems,
        progress,
        take,
    )
}

type Sink<'s> = &'s mut dyn FnMut(ImportEvent) -> ControlFlow<()>;

fn deliver(
    source: &mut dyn FnMut(Sink<'_>) -> Result<ImportSummary, bashgym_traces::TracesError>,
    problems: &mut Vec<Problem>,
    progress: &mut dyn FnMut(&ImportProgress),
    take: &mut dyn FnMut(&Trace) -> Result<(), CliError>,
) -> Result<ImportSummary, CliError> {
    let mut failed = None;
    let summary = source(&mut |event| {
        match event {
            ImportEvent::Session(trace) => {
                if let Err(error) = take(&trace) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ImportEvent::Problem(problem) => problems.push(problem),
            ImportEvent::Progress(at) => progress(&at),
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
