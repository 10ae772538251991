//! `bashgym token`: the stored token, which the official client reads too.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use hf_core::{HfClient, TokenStore, token_page};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::job_token;
use crate::output::plain;

/// The longest input that can be a token.
const MOST_BYTES: u64 = 4096;

/// The stored token.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Store a token: from standard input, or from the file of --token-file
    #[command(after_help = "\
The Hub is asked first: a token it refuses does not take the old one's place. Tokens are never arguments, since those can
be seen by others on this machine.

Examples:
  bashgym token set < token.txt
  bashgym token set --token-file token.txt
  bashgym token set --for-jobs < narrow.txt     a fine-grained token with repo.write alone")]
    Set(WhichArgs),
    /// Remove the stored token; on the Hub it stays valid
    Rm(WhichArgs),
    /// Tell where the token comes from, without showing it
    Show,
}

/// Which token is meant.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// The token that jobs get, instead of the one you work with: every package a job installs can read it, so let it do no
    /// more than write the repositories the job needs
    #[arg(long)]
    for_jobs: bool,
}

pub(crate) async fn run(command: TokenCommand, context: &Context) -> Result<(), CliError> {
    match command {
        TokenCommand::Set(args) if args.for_jobs => set_for_jobs(context).await,
        TokenCommand::Set(_) => set(context).await,
        TokenCommand::Rm(args) if args.for_jobs => rm_for_jobs(context),
        TokenCommand::Rm(_) => rm(context),
        TokenCommand::Show => show(context),
    }
}

async fn set(context: &Context) -> Result<(), CliError> {
    // Before anything is read: a token of the environment would win over the new one.
    let store = TokenStore::open(&context.settings_with(None)?)?;
    let text = match context.flag_token()? {
        Some(text) => text,
        None => read_stdin(context)?,
    };
    let settings = context.settings_with(Some(text))?;
    if settings.token.is_none() {
        return Err(CliError::new(Kind::Usage, "there is no token in the input")
            .hint("`bashgym token set < FILE`, or `--token-file FILE`"));
    }
    let client = HfClient::from_settings(&settings)?;
    let me = store.replace(&client).await.map_err(|error| {
        CliError::from(error).hint("the token that was stored before, if any, stays and works")
    })?;
    if context.output.is_json() {
        return context.output.json(&json!({
            "stored": true, "path": store.path(), "name": me.name, "plan": me.plan().to_string(),
            "role": me.token_role().map(ToString::to_string),
        }));
    }
    if context.output.is_human() {
        context
            .output
            .note(format!("The token is stored in {}.", store.path().display()));
    }
    context.output.line(plain(&me.name))
}

/// Stores the token for jobs, if the Hub takes it and it may do what a training job must.
async fn set_for_jobs(context: &Context) -> Result<(), CliError> {
    let text = match context.flag_token()? {
        Some(text) => text,
        None => read_stdin(context)?,
    };
    let settings = context.settings_with(Some(text))?;
    let Some(token) = settings.token.clone() else {
        return Err(CliError::new(Kind::Usage, "there is no token in the input")
            .hint("`bashgym token set --for-jobs < FILE`, or `--token-file FILE`"));
    };
    let client = HfClient::from_settings(&settings)?;
    let me = client.whoami().await.map_err(|error| {
        CliError::from(error).hint("the token for jobs that was stored before, if any, stays")
    })?;
    let namespace = match settings.namespace() {
        Some(namespace) => namespace.to_string(),
        None => me.name.clone(),
    };
    if me.may_write_repos(&namespace) == Some(false) {
        return Err(CliError::new(
            Kind::Auth,
            format!("this token may not write repositories of {namespace}, and a training job has to"),
        )
        .hint(format!(
            "give it `repo.write` on {namespace}: {}",
            token_page(settings.endpoint.as_str(), ["repo.write"])
        ))
        .hint("the token for jobs that was stored before, if any, stays"));
    }
    let path = job_token::store(context, client.endpoint(), &token)?;
    let more = me.beyond_repositories();
    if context.output.is_json() {
        return context.output.json(&json!({
            "stored": true, "for_jobs": true, "path": path, "name": me.name, "endpoint": client.endpoint().to_string(),
            "role": me.token_role().map(ToString::to_string), "beyond_repositories": more,
        }));
    }
    context.output.note(format!(
        "Jobs on {} get this token as HF_TOKEN; it is stored in {}.",
        client.endpoint(),
        path.display()
    ));
    if more.is_some_and(|more| !more.is_empty()) {
        context.output.aside(format!(
            "It may do more than write repositories. One that may do no more: {}",
            token_page(settings.endpoint.as_str(), ["repo.write"])
        ));
    }
    context.output.line(plain(&me.name))
}

fn rm_for_jobs(context: &Context) -> Result<(), CliError> {
    let (removed, path) = job_token::remove(context)?;
    if context.output.is_json() {
        return context
            .output
            .json(&json!({ "removed": removed, "for_jobs": true, "path": path }));
    }
    context.output.note(if removed {
        "The token for jobs is removed here: jobs get the token you work with again."
    } else {
        "No token for jobs was stored."
    });
    Ok(())
}

fn read_stdin(context: &Context) -> Result<String, CliError> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        context
            .output
            .note("Paste the token (it will be seen on the screen), then Enter and Ctrl-D:");
    }
    let mut text = String::new();
    stdin
        .lock()
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| CliError::new(Kind::Io, "cannot read standard input").because(error))?;
    Ok(text)
}

fn rm(context: &Context) -> Result<(), CliError> {
    let store = TokenStore::open(&context.settings_with(None)?)?;
    let removed = store.remove()?;
    if context.output.is_json() {
        return context
            .output
            .json(&json!({ "removed": removed, "path": store.path() }));
    }
    context.output.note(if removed {
        "The token is removed here. Delete it at https://huggingface.co/settings/tokens if nobody needs it any more."
    } else {
        "No token was stored."
    });
    Ok(())
}

fn show(context: &Context) -> Result<(), CliError> {
    let settings = context.settings()?;
    let source = settings.sources().get("token").map(ToString::to_string);
    let store = TokenStore::open(&settings);
    let for_jobs = job_token::find(context, &settings.endpoint)?;
    if context.output.is_json() {
        return context.output.json(&json!({
            "set": settings.token.is_some(),
            "token": settings.token,
            "source": source,
            "changeable": store.is_ok(),
            "why": store.as_ref().err().map(ToString::to_string),
            "path": settings.token_path,
            "for_jobs": for_jobs.as_ref().map(|own| json!({ "token": own.token, "source": own.origin.to_string() })),
        }));
    }
    if let Some(own) = &for_jobs {
        context
            .output
            .note(format!("Jobs get {:?} ({}).", own.token, own.origin));
    }
    if let Some(token) = &settings.token {
        return context
            .output
            .line(format!("{token:?} ({})", source.unwrap_or_default()));
    }
    context
        .output
        .note("No token is set: `bashgym token set` stores one.");
    Ok(())
}
