//! `bashgym sessions`: find, show, import, follow, label, keep.

mod archive;
mod import;
mod ls;
mod push;
mod remembered;
mod scratch;
mod show;
mod watch;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::commands::labels::{LabelArgs, label};
use crate::context::Context;
use crate::error::CliError;

/// Sessions of coding agents: find, show, import, follow, label, keep.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List session files
    Ls(PathsArgs),
    /// Read sessions, count what they hold, and remember where they are
    Import(import::ImportArgs),
    /// Follow sessions live: what is new is told as the agents write it
    Watch(watch::WatchArgs),
    /// Show one session, message by message
    Show(show::ShowArgs),
    /// Say whether a session did what it should; datasets heed it
    Label(LabelArgs),
    /// Push sessions as traces, as the agents wrote them but for secrets; the Hub shows them step by step
    Push(push::PushArgs),
    /// Keep the originals, since agents delete theirs: compressed, each part once
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
}

/// Names session logs.
#[derive(Debug, Args)]
pub(crate) struct PathsArgs {
    /// Session logs, or folders of them; without any, the agents' own folders on this machine
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

pub(crate) async fn run(command: SessionsCommand, context: &Context) -> Result<(), CliError> {
    if let SessionsCommand::Watch(args) = command {
        return watch::run(&args, context).await;
    }
    if let SessionsCommand::Push(args) = command {
        return push::run(&args, context).await;
    }
    // Reading files is blocking work from end to end.
    tokio::task::block_in_place(|| match command {
        SessionsCommand::Ls(args) => ls::list(&args, context.output),
        SessionsCommand::Import(args) => import::run(&args, context),
        SessionsCommand::Show(args) => show::show(&args, context),
        SessionsCommand::Label(args) => {
            let known = remembered::known(context).load()?;
            let mut begins = known
                .iter()
                .map(|session| session.session_id.as_str())
                .filter(|id| id.starts_with(args.session()));
            // A session that was not imported may be labelled by its whole id.
            let id = match (begins.next(), begins.next()) {
                (Some(only), None) => only,
                _ => args.session(),
            };
            label(&args, id, context)
        }
        SessionsCommand::Archive(command) => archive::run(command, context),
        SessionsCommand::Watch(_) | SessionsCommand::Push(_) => Ok(()),
    })
}
