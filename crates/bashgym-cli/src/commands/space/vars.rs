//! `bashgym space vars`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use hf_spaces::SpaceVariable;
use serde_json::json;

use super::{NameArgs, Spaces};
use crate::commands::jobs::options::variables;
use crate::error::CliError;

/// Variables, which whoever sees the Space can read: list, set, remove.
#[derive(Debug, Subcommand)]
pub(crate) enum VarsCommand {
    /// List the variables with their values
    Ls(NameArgs),
    /// Set variables; the app restarts
    Set(SetArgs),
    /// Remove variables; the app restarts
    Rm(RmArgs),
}

/// Sets variables.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// The variables; without a value, that of this environment
    #[arg(value_name = "NAME[=VALUE]", required = true)]
    variables: Vec<String>,
}

/// Removes variables.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// Their names
    #[arg(value_name = "NAME", required = true)]
    keys: Vec<String>,
}

pub(super) async fn run(command: &VarsCommand, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let manager = &spaces.manager;
    let found = match command {
        VarsCommand::Ls(args) => manager.list_variables(&spaces.id(&args.name)?).await?,
        VarsCommand::Set(args) => {
            let id = spaces.id(&args.name)?;
            let given = variables(&args.variables, "a variable")?;
            spaces.check_variables(&given)?;
            let mut found = BTreeMap::new();
            for (key, value) in &given {
                found = manager.set_variable(&id, key, value, None).await?;
            }
            found
        }
        VarsCommand::Rm(args) => {
            let id = spaces.id(&args.name)?;
            let mut found = BTreeMap::new();
            for key in &args.keys {
                found = manager.delete_variable(&id, key).await?;
            }
            found
        }
    };
    shown(&found, spaces)
}

/// The variables that stand now.
fn shown(found: &BTreeMap<String, SpaceVariable>, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let output = spaces.context.output;
    for (key, variable) in found {
        if output.is_json() {
            output.json(&json!({
                "key": key, "value": variable.value, "description": variable.description,
                "updated_at": variable.updated_at,
            }))?;
        } else {
            output.line(crate::output::plain(&format!("{key}={}", variable.value)))?;
        }
    }
    Ok(())
}
