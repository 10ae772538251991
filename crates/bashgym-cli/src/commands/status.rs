//! `bashgym status`: account, Hub and state at a glance. It works without token and without network.

use clap::Args;
use hf_core::{HfClient, HfErrorKind, HuggingFaceSettings};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::CliError;
use crate::output::table;

/// Account, Hub and state at a glance.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(_: StatusArgs, context: &Context) -> Result<(), CliError> {
    let settings = context.settings()?;
    let embedded = context.is_embedded(&settings);
    let hub = context.embedded_hub().find().await?;
    let (endpoint, account) = if embedded {
        match &hub {
            Some(running) => {
                let client = running.client()?;
                (Some(running.ready.endpoint.clone()), account(&client).await)
            }
            None => (
                None,
                json!({ "state": "not_running", "why": "the embedded Hub starts with the first command that needs it" }),
            ),
        }
    } else {
        let client = HfClient::from_settings(&settings)?;
        (Some(settings.endpoint.to_string()), account(&client).await)
    };
    let value = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "endpoint": endpoint,
        "embedded": embedded,
        "account": account,
        "settings": settings_with_sources(&settings),
        "home": context.home_path(),
        "hub": { "running": hub.is_some(), "endpoint": hub.as_ref().map(|hub| &hub.ready.endpoint), "pid": hub.as_ref().map(|hub| hub.pid) },
    });
    if !context.output.is_human() {
        return context.output.json(&value);
    }
    let mut shown = table(&["what", "value", "from"]);
    let where_to = if embedded {
        "the embedded Hub of this machine"
    } else {
        "the configured Hub"
    };
    shown.add_row(["Hub", endpoint.as_deref().unwrap_or("not running yet"), where_to]);
    let text = |key: &str| {
        value["account"]
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    shown.add_row([
        "account".to_owned(),
        format!("{} {}", text("name"), text("why")).trim().to_owned(),
        text("state"),
    ]);
    if !text("plan").is_empty() {
        shown.add_row(["plan".to_owned(), text("plan"), "whoami".to_owned()]);
    }
    for (name, setting) in settings_with_sources(&settings) {
        let read = |key: &str| match setting.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        shown.add_row([name, read("value"), read("source")]);
    }
    shown.add_row([
        "home".to_owned(),
        context.home_path().display().to_string(),
        "BASHGYM_HOME, else ~/.bashgym".to_owned(),
    ]);
    context.output.line(shown)?;
    context
        .output
        .note("Datasets and models go only to a Hub on this machine until the full secret gate is built.");
    Ok(())
}

async fn account(client: &HfClient) -> Value {
    if client.token().is_none() {
        return json!({ "state": "no_token", "why": "public repositories can be read; to do more, set HF_TOKEN" });
    }
    match client.whoami().await {
        Ok(me) => json!({
            "state": "signed_in", "name": me.name, "plan": me.plan().to_string(), "is_pro": me.is_pro,
            "orgs": me.orgs.iter().map(|org| &org.name).collect::<Vec<_>>(),
        }),
        Err(error) if error.kind() == HfErrorKind::Auth => {
            json!({ "state": "refused", "why": error.to_string() })
        }
        Err(error) => json!({ "state": "unreachable", "why": error.to_string() }),
    }
}

fn settings_with_sources(settings: &HuggingFaceSettings) -> Map<String, Value> {
    let values = serde_json::to_value(settings).unwrap_or_default();
    settings
        .sources()
        .iter()
        .map(|(name, source)| {
            let value = values.get(name).cloned().unwrap_or_default();
            (
                name.to_owned(),
                json!({ "value": value, "source": source.to_string() }),
            )
        })
        .collect()
}
