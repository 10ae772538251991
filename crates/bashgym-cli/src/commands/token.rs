//! `bashgym token`: the stored token, which the official client reads too.

use std::io::{IsTerminal, Read};

use clap::Subcommand;
use hf_core::{HfClient, TokenStore};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Kind};
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
  bashgym token set --token-file token.txt")]
    Set,
    /// Remove the stored token; on the Hub it stays valid
    Rm,
    /// Tell where the token comes from, without showing it
    Show,
}

pub(crate) async fn run(command: TokenCommand, context: &Context) -> Result<(), CliError> {
    match command {
        TokenCommand::Set => set(context).await,
        TokenCommand::Rm => rm(context),
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
    if context.output.is_json() {
        return context.output.json(&json!({
            "set": settings.token.is_some(),
            "token": settings.token,
            "source": source,
            "changeable": store.is_ok(),
            "why": store.as_ref().err().map(ToString::to_string),
            "path": settings.token_path,
        }));
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
