//! `bashgym config`: every setting, and where its value came from.

use bashgym_server::SettingView;
use clap::Args;
use hf_core::Source;
use serde_json::Value;

use crate::config_file::{self, Setting};
use crate::context::Context;
use crate::error::CliError;
use crate::output::{plain, table};

/// Shows every setting and where its value came from: a flag, the environment, the config file, or the default. Secrets
/// are shown as set or unset. The config file is config.toml in the home folder, or the one that --config names.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bashgym --format json config
  bashgym --config team.toml config        what would hold with this file")]
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
            changeable: name == "default_org" && matches!(source, Source::Default | Source::Kept { .. }),
            source: source.to_string(),
        })
        .collect();
    shown.push(SettingView {
        name: "home".to_owned(),
        value: Value::String(context.home_path().display().to_string()),
        source: "BASHGYM_HOME, else ~/.bashgym".to_owned(),
        changeable: false,
    });
    let database = if context.has_database_url() {
        "PostgreSQL"
    } else {
        "SQLite"
    };
    shown.push(SettingView {
        name: "database".to_owned(),
        value: Value::String(database.to_owned()),
        source: if context.has_database_url() {
            context.source_of_own("database_url")
        } else {
            "default: bashgym.db in the home folder".to_owned()
        },
        changeable: false,
    });
    // The address of a database may hold a password.
    let own = config_file::OWN
        .iter()
        .filter(|setting| setting.name != "database_url");
    shown.extend(own.map(|setting| of_own(setting, context)));
    let source = context.config_path().map_or_else(
        || format!("there is no {} in the home folder", config_file::NAME),
        |path| path.display().to_string(),
    );
    shown.push(SettingView {
        name: "config_file".to_owned(),
        value: Value::Bool(context.config_path().is_some()),
        source,
        changeable: false,
    });
    Ok(shown)
}

fn of_own(setting: &Setting, context: &Context) -> SettingView {
    let list = context.file.texts(setting.name);
    let value = match context.own(setting.name) {
        Some(_) if list.len() > 1 => Value::String(list.join(", ")),
        Some(text) => Value::String(text),
        None => setting
            .default
            .map_or(Value::Null, |text| Value::String(text.to_owned())),
    };
    SettingView {
        name: setting.name.to_owned(),
        value,
        source: context.source_of_own(setting.name),
        changeable: false,
    }
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
