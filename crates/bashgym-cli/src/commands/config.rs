//! `bashgym config`: every setting, and where its value came from.

use bashgym_server::SettingView;
use clap::Args;
use serde_json::Value;

use crate::context::Context;
use crate::error::CliError;
use crate::output::{plain, table};

/// Shows every setting and where its value came from. Secrets are shown as set or unset.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym --format json config")]
pub(crate) struct ConfigArgs {}

/// Every setting and where its value came from.
pub(crate) fn settings(context: &Context) -> Result<Vec<SettingView>, CliError> {
    let settings = context.settings()?;
    let values = serde_json::to_value(&settings).unwrap_or_default();
    let mut shown: Vec<SettingView> = settings
        .sources()
        .iter()
        .map(|(name, source)| SettingView {
            name: name.to_owned(),
            value: values.get(name).cloned().unwrap_or_default(),
            source: source.to_string(),
        })
        .collect();
    shown.push(SettingView {
        name: "home".to_owned(),
        value: Value::String(context.home_path().display().to_string()),
        source: "BASHGYM_HOME, else ~/.bashgym".to_owned(),
    });
    let database = if context.has_database_url() {
        "PostgreSQL"
    } else {
        "SQLite"
    };
    shown.push(SettingView {
        name: "database".to_owned(),
        value: Value::String(database.to_owned()),
        source: "BASHGYM_DATABASE_URL, else bashgym.db in the home folder".to_owned(),
    });
    Ok(shown)
}

pub(crate) fn run(_args: &ConfigArgs, context: &Context) -> Result<(), CliError> {
    let all = settings(context)?;
    if context.output.is_json() {
        return all.iter().try_for_each(|setting| context.output.json(setting));
    }
    let mut shown = table(&["setting", "value", "from"]);
    for setting in &all {
        let value = match &setting.value {
            Value::String(text) => text.clone(),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        if context.output.is_human() {
            shown.add_row([setting.name.clone(), plain(&value), setting.source.clone()]);
        } else {
            context
                .output
                .line(format_args!("{}\t{}", setting.name, plain(&value)))?;
        }
    }
    if context.output.is_human() {
        return context.output.line(shown);
    }
    Ok(())
}
