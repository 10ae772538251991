//! `bashgym sessions watch`: what is new in sessions, as the agents write it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use bashgym_traces::{
    Archive, FollowEvent, FollowSummary, ImportOptions, ImportStateStore, JsonStateFile, MessageKind,
    SessionFile, SessionFollower, SessionSummary, SessionUpdate, TracesError, find_session_files,
};
use clap::Args;
use owo_colors::OwoColorize;
use serde_json::json;

use super::import::Grown;
use super::remembered::index;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::inputs::inputs;
use crate::output::{Output, plain};
use crate::progress::one_line;

/// Files whose sessions stay in memory, so that only their new lines are read.
const KEPT_IN_MEMORY: usize = 16;

/// Follows sessions.
#[derive(Debug, Args)]
#[command(
    after_help = "The folders are looked at again and again: file notices of the system do not reach network folders and\nrun out on large trees. What was told is remembered; the next watch goes on from there. Ctrl-C ends it."
)]
pub(crate) struct WatchArgs {
    /// Session logs, or folders of them; without any, the agents' own folders on this machine
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,

    /// Look once and end
    #[arg(long)]
    once: bool,

    /// Keep the originals in the archive too, as they grow
    #[arg(long)]
    archive: bool,
}

pub(super) async fn run(args: &WatchArgs, context: &Context) -> Result<(), CliError> {
    let store = JsonStateFile::new(context.home()?.join("watch-state.json"));
    let mut watch = Watch {
        follower: SessionFollower::new(ImportOptions::default(), store.load()?, KEPT_IN_MEMORY),
        archive: if args.archive {
            Some(super::archive::open(context)?)
        } else {
            None
        },
        store,
        context,
    };
    loop {
        let paths = inputs(&args.paths)?;
        tokio::task::block_in_place(|| watch.look(&paths))?;
        if args.once {
            return Ok(());
        }
        tokio::select! {
            () = context.clock.sleep(Duration::from_secs(args.interval)) => {}
            // Everything told is remembered already.
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

struct Watch<'a> {
    follower: SessionFollower,
    archive: Option<Archive>,
    store: JsonStateFile,
    context: &'a Context,
}

impl Watch<'_> {
    fn look(&mut self, paths: &[PathBuf]) -> Result<(), CliError> {
        let files = match find_session_files(paths) {
            // The first session may still come.
            Err(TracesError::NoSessionFiles { .. }) => Vec::new(),
            found => found?,
        };
        if let Some(archive) = &mut self.archive {
            archive.add_sessions(&files, || self.context.clock.now(), &mut |_| {
                ControlFlow::Continue(())
            })?;
        }
        let (summary, seen, failed) = self.poll(&files)?;
        if summary.files_unchanged < summary.files {
            self.store.save(self.follower.state())?;
        }
        if !seen.is_empty() {
            index(self.context)?.add(&seen)?;
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let output = self.context.output;
        if output.is_json() && summary.files_unchanged < summary.files {
            output.json(&json!({ "event": "poll", "summary": summary }))?;
        }
        Ok(())
    }

    fn poll(
        &mut self,
        files: &[SessionFile],
    ) -> Result<(FollowSummary, Vec<SessionSummary>, Option<CliError>), CliError> {
        let output = self.context.output;
        let (mut seen, mut failed) = (Vec::new(), None);
        let summary = self.follower.poll(files, &mut |event| {
            let told = match event {
                FollowEvent::Session(update) => {
                    let summary = SessionSummary::from(&update.trace);
                    let told = tell(&update, &summary, output);
                    seen.push(summary);
                    told
                }
                FollowEvent::Problem(problem) if output.is_json() => {
                    output.json(&json!({ "event": "problem", "problem": problem }))
                }
                FollowEvent::Problem(problem) => {
                    let place = plain(&problem.file.display().to_string());
                    output.note(format!(
                        "{} {place}: {}",
                        problem.kind.to_string().yellow(),
                        plain(&problem.reason)
                    ));
                    Ok(())
                }
                FollowEvent::Rewritten { file } if output.is_json() => {
                    output.json(&json!({ "event": "rewritten", "file": file }))
                }
                FollowEvent::Rewritten { file } => {
                    output.note(format!("{} was written anew", plain(&file.display().to_string())));
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
        // A closed pipe ends the watch as quietly as it ends any command.
        Ok((
            summary,
            seen,
            failed.filter(|error| error.kind != Kind::Interrupted),
        ))
    }
}

fn tell(update: &SessionUpdate, summary: &SessionSummary, output: Output) -> Result<(), CliError> {
    let grown = Grown::of(update, summary);
    if output.is_json() {
        return output.json(&json!({ "event": "session", "session": grown }));
    }
    if !output.is_human() {
        return output.line(plain(&summary.session_id));
    }
    let new = &update.trace.messages[update.first_new..];
    let said = new
        .iter()
        .rev()
        .find(|m| m.kind == MessageKind::Prompt)
        .or(new.last());
    output.line(format!(
        "{} {} {:+} messages  {}",
        summary.agent.bold(),
        plain(&summary.session_id),
        grown.new_messages,
        said.map(|message| one_line(&message.text, 100))
            .unwrap_or_default()
            .dimmed()
    ))
}
