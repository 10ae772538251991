//! `bashgym status`: account, Hub and state at a glance. It works without token and without network.

use clap::Args;
use hf_core::{Availability, HuggingFaceSettings};
use serde_json::{Map, Value, json};

use crate::account::Look;
use crate::commands::wallet;
use crate::context::Context;
use crate::error::CliError;
use crate::output::{plain, table};

/// Account, Hub and state at a glance.
#[derive(Debug, Args)]
#[command(after_help = "\
It never fails because a Hub is away: the last known account is then shown, marked stale.

Examples:
  bashgym status                                     what can be done now, why not more, how to unlock it
  bashgym --format json status | jq .capabilities    for scripts
  bashgym doctor                                     what needs to be done")]
pub(crate) struct StatusArgs {}

/// How the reason of every feature begins that only lacks a token.
const NO_TOKEN: &str = "no token is set";

pub(crate) async fn run(_: StatusArgs, context: &Context) -> Result<(), CliError> {
    let look = Look::take(context).await?;
    let wallet = look.wallet().await;
    // After the wallet, whose refusals count too.
    let capabilities = look.capabilities();
    let account = look.account_json();
    if !context.output.is_human() {
        let hub = look.hub.as_ref();
        return context.output.json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "endpoint": look.endpoint,
            "embedded": look.embedded,
            "account": account,
            "capabilities": capabilities,
            "wallet": wallet,
            "settings": settings_with_sources(&look.settings),
            "home": context.home_path(),
            "hub": { "running": hub.is_some(), "endpoint": hub.map(|hub| &hub.ready.endpoint), "pid": hub.map(|hub| hub.pid) },
        }));
    }
    let output = context.output;
    output.line(account_table(&look, &account))?;
    output.line("")?;
    let mut rows = table(&["feature", "state", "limit", "why, and how to unlock it"]);
    // What nearly every row would say without a token is said once.
    let mut needs_token = None;
    for row in &capabilities {
        let state = match row.availability {
            Availability::Available => "yes",
            Availability::Limited { .. } => "limited",
            Availability::Unavailable { .. } => "no",
        };
        let about = match (row.why().unwrap_or_default(), row.unlock()) {
            (why, Some(unlock)) if why.starts_with(NO_TOKEN) => {
                needs_token.get_or_insert_with(|| (why.to_owned(), unlock.to_owned()));
                let scope = unlock
                    .rsplit_once("(it needs ")
                    .map(|(_, scope)| scope.trim_end_matches(')'));
                scope.map_or_else(|| "a token".to_owned(), |scope| format!("a token with {scope}"))
            }
            (why, Some(unlock)) => format!("{why}; to unlock: {unlock}"),
            (why, None) => why.to_owned(),
        };
        rows.add_row([
            row.feature.title().to_owned(),
            state.to_owned(),
            row.limit().unwrap_or("-").to_owned(),
            plain(&about),
        ]);
    }
    output.line(rows)?;
    if let Some((why, unlock)) = needs_token {
        let unlock = unlock.split(" (it needs ").next().unwrap_or_default();
        output.line(plain(&format!("\n {why}; to unlock: {unlock}")))?;
    }
    if look.embedded {
        output.line(
            "\n On this machine, without any of these: datasets, training, inference and Spaces on the embedded Hub, at no cost",
        )?;
    }
    output.line("")?;
    output.line(wallet::shown(&wallet))?;
    output.line("")?;
    output.line(settings_table(&look.settings, context))?;
    output.note(
        "Whatever is pushed is scanned for secrets first: bashgym data scan PATH shows what the gate sees.",
    );
    Ok(())
}

fn account_table(look: &Look, account: &Value) -> comfy_table::Table {
    let mut shown = table(&["what", "value", "from"]);
    let where_to = if look.embedded {
        "the embedded Hub of this machine"
    } else {
        "the configured Hub"
    };
    shown.add_row([
        "Hub",
        look.endpoint.as_deref().unwrap_or("not running yet"),
        where_to,
    ]);
    let text = |key: &str| plain(account.get(key).and_then(Value::as_str).unwrap_or_default());
    shown.add_row([
        "account".to_owned(),
        format!("{} {}", text("name"), text("why")).trim().to_owned(),
        text("state"),
    ]);
    if !text("plan").is_empty() {
        let from = if account["stale"] == true {
            format!("as of {}: the Hub can not be reached now", text("checked_at"))
        } else {
            "whoami".to_owned()
        };
        shown.add_row(["plan".to_owned(), text("plan"), from]);
    }
    if let Some(orgs) = account.get("org_plans").and_then(Value::as_object) {
        for (name, plan) in orgs {
            let plan = plan.as_str().unwrap_or_default();
            shown.add_row(["organisation".to_owned(), plain(name), plain(plan)]);
        }
    }
    if let Some(role) = account["token"]["role"].as_str() {
        let source = account["token"]["source"].as_str().unwrap_or_default();
        let end = match account["token"]["expires_at"].as_str() {
            Some(end) => format!("{role}, until {end}"),
            None => role.to_owned(),
        };
        shown.add_row(["token".to_owned(), plain(&end), plain(source)]);
    }
    shown
}

fn settings_table(settings: &HuggingFaceSettings, context: &Context) -> comfy_table::Table {
    let mut shown = table(&["setting", "value", "from"]);
    for (name, setting) in settings_with_sources(settings) {
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
    shown
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
