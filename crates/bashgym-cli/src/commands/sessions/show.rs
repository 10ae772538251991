//! `bashgym sessions show`: one session, message by message.

use std::path::PathBuf;

use bashgym_traces::quality::Labels;
use bashgym_traces::{ScoredTask, SessionSummary, Trace, find_session_files, score_session};
use clap::Args;
use owo_colors::OwoColorize;
use serde_json::value::RawValue;

use super::import::read;
use super::remembered::known;
use crate::commands::labels::labels_file;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{Output, plain};
use crate::progress::one_line;

/// Shows one session.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bashgym sessions show ~/.claude/projects/app/2f6c.jsonl\n  bashgym sessions show 2f6c   (after `bashgym sessions import`)"
)]
pub(crate) struct ShowArgs {
    /// A session's file, or the beginning of the id of an imported one
    #[arg(value_name = "SESSION")]
    pub(super) session: String,
}

pub(super) fn show(args: &ShowArgs, context: &Context) -> Result<(), CliError> {
    let named = PathBuf::from(&args.session);
    let (file, id) = if named.is_file() {
        (named, None)
    } else {
        let all = known(context).load()?;
        let found: Vec<&SessionSummary> = all
            .iter()
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
    let mut files = find_session_files(&[file])?;
    // A database holds many sessions; only the one that was named is read.
    files.retain(|file| id.is_none() || file.session_id.is_none() || file.session_id == id);
    let mut problems = Vec::new();
    read(&files, &mut problems, &mut |_| {}, &mut |trace| {
        if id.as_ref().is_none_or(|id| *id == trace.session_id) {
            let label = Labels::read(&labels_file(context))?.get(&trace.session_id);
            print(trace, &score_session(trace, label)?, context.output)
        } else {
            Ok(())
        }
    })?;
    Ok(())
}

fn print(trace: &Trace, scores: &[ScoredTask], output: Output) -> Result<(), CliError> {
    if !output.is_human() {
        return output.json(&with_scores(trace, scores)?);
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
    for task in scores {
        output.line(format!(
            "{:>8} {:<9} task {}: {}",
            "",
            "score".yellow(),
            task.segment,
            task.score
        ))?;
    }
    Ok(())
}

/// Adds the scores to the session's own keys and leaves every byte of the session as it is.
fn with_scores(trace: &Trace, scores: &[ScoredTask]) -> Result<Box<RawValue>, CliError> {
    let encode =
        |error| CliError::new(Kind::Internal, "the session cannot be written as JSON").because(error);
    let mut text = serde_json::to_string(trace).map_err(encode)?;
    text.pop();
    text.push_str(",\"scores\":");
    text.push_str(&serde_json::to_string(scores).map_err(encode)?);
    text.push('}');
    RawValue::from_string(text).map_err(encode)
}
