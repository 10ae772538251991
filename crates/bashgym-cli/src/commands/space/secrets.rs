//! `bashgym space secrets`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{NameArgs, Spaces};
use crate::commands::jobs::options::secrets;
use crate::error::CliError;

/// Secrets: names, set, remove.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// List the names; values never come back
    Ls(NameArgs),
    /// Set secrets; the app restarts
    Set(SetArgs),
    /// Remove secrets; the app restarts
    Rm(RmArgs),
}

/// Sets secrets.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// The secrets; without a value, that of this environment; NAME=- reads it from standard input
    #[arg(value_name = "NAME[=VALUE]", required = true)]
    secrets: Vec<String>,
}

/// Removes secrets.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// Their names
    #[arg(value_name = "NAME", required = true)]
    keys: Vec<String>,
}

pub(super) async fn run(command: &SecretsCommand, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let output = spaces.context.output;
    let (id, action, keys) = match command {
        SecretsCommand::Ls(args) => {
            let id = spaces.id(&args.name)?;
            for (key, secret) in spaces.manager.list_secrets(&id).await? {
                if output.is_json() {
                    output.json(&json!({
                        "key": key, "description": secret.description, "updated_at": secret.updated_at,
                    }))?;
                } else {
                    output.line(crate::output::plain(&key))?;
                }
            }
            return Ok(());
        }
        SecretsCommand::Set(args) => {
            let id = spaces.id(&args.name)?;
            let given = secrets(&args.secrets, None)?;
            for (key, value) in &given {
                spaces.manager.set_secret(&id, key, value, None).await?;
            }
            (id, "set", given.into_keys().collect::<Vec<_>>())
        }
        SecretsCommand::Rm(args) => {
            let id = spaces.id(&args.name)?;
            for key in &args.keys {
                spaces.manager.delete_secret(&id, key).await?;
            }
            (id, "removed", args.keys.clone())
        }
    };
    if output.is_json() {
        return output.json(&json!({"space_id": id, action: keys}));
    }
    output.note(format!("{}: {action}.", keys.join(", ")));
    Ok(())
}
