//! `bashgym space ls`, `status`, `logs`, `events`, `metrics`, `open`: looking at Spaces.

use std::time::Duration;

use clap::Args;
use futures::TryStreamExt;
use hf_core::RepoId;
use hf_spaces::{SpaceFeed, SpaceHardware, SpaceLog, SpaceLogOptions, SpaceRuntime};
use serde_json::{Value, json};

use super::{NameArgs, Spaces};
use crate::error::{CliError, Kind};
use crate::output::{plain, table};

/// How long the key lives that opens a private app in a browser.
const KEY_LIFE: Duration = Duration::from_mins(10);

/// Prints a log.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// The log of the build instead of the app's
    #[arg(long)]
    build: bool,
    /// Go on until it can not grow any more
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
}

/// What a Hub says under a name of its own.
fn said<'a>(runtime: &'a SpaceRuntime, name: &str) -> Option<&'a str> {
    runtime.more.get(name).and_then(Value::as_str)
}

/// What a Hub of this machine says of how it runs an app, or that it does not.
pub(super) fn told(runtime: &SpaceRuntime) -> Option<&str> {
    said(runtime, "embedded")
        .or_else(|| said(runtime, "process"))
        .or_else(|| said(runtime, "simulated"))
}

pub(super) async fn list(spaces: &Spaces<'_>) -> Result<(), CliError> {
    let output = spaces.context.output;
    let mut listed = spaces.manager.list_spaces();
    let mut shown = table(&["space", "stage", "hardware", "sdk", "changed"]);
    let mut count = 0_usize;
    while let Some(space) = listed.try_next().await? {
        count += 1;
        let runtime = space.runtime.clone().unwrap_or_default();
        let stage = space.runtime.as_ref().map(|runtime| runtime.stage.to_string());
        let hardware = runtime.hardware.current.or(runtime.hardware.requested);
        if output.is_json() {
            output.json(&json!({
                "space_id": space.id, "stage": stage, "hardware": hardware, "sdk": space.sdk, "private": space.private,
                "sha": space.sha, "last_modified": space.last_modified,
            }))?;
        } else if output.is_human() {
            shown.add_row([
                plain(&space.id),
                stage.unwrap_or_else(|| "-".to_owned()),
                hardware.unwrap_or_else(|| "-".to_owned()),
                space.sdk.unwrap_or_else(|| "-".to_owned()),
                space.last_modified.map_or_else(
                    || "-".to_owned(),
                    |time| time.strftime("%Y-%m-%d %H:%M").to_string(),
                ),
            ]);
        } else {
            output.line(&space.id)?;
        }
    }
    if !output.is_human() {
        return Ok(());
    }
    if count == 0 {
        output.note("No Spaces. Make one: bashgym space create MODEL_REPO --name NAME");
        return Ok(());
    }
    output.line(shown)
}

pub(super) async fn status(args: &NameArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let info = spaces.manager.get_space(&id).await?;
    let runtime = spaces.manager.get_space_status(&id).await?;
    // A Space of another making is shown too.
    let serves = spaces.manager.space_file(&id, "main").await.ok().flatten();
    let on_zero = runtime.hardware.requested.as_deref().is_some_and(|name| {
        name.parse::<SpaceHardware>()
            .is_ok_and(|hardware| hardware.is_zero_gpu())
    });
    let quota = if on_zero {
        spaces.manager.zero_gpu_quota().await.ok()
    } else {
        None
    };
    let measured = match serves {
        // A log that can not be read tells nothing.
        Some(_) => spaces.manager.measured_requests(&id).await.ok().flatten(),
        None => None,
    };
    let proposed = measured
        .zip(serves.as_ref())
        .and_then(|(measured, file)| measured.propose(file.limits))
        .map(
            |limits| json!({"ms_per_token": limits.ms_per_token, "max_gpu_seconds": limits.max_gpu_seconds}),
        );
    let shown = json!({
        "space_id": id, "url": spaces.manager.page_url(&id), "app_url": info.app_url(),
        "app": serves.as_ref().map(|file| file.app), "stage": runtime.stage,
        "hardware": runtime.hardware.current.as_ref().or(runtime.hardware.requested.as_ref()),
        "hardware_requested": runtime.hardware.requested, "sleep_time_s": runtime.sleep_time_s, "dev_mode": runtime.dev_mode,
        "commit": runtime.sha, "error": runtime.error_message, "simulated": said(&runtime, "simulated"),
        "embedded": said(&runtime, "embedded"), "process": said(&runtime, "process"), "measured": measured, "proposed": proposed,
        "model_repo": serves.as_ref().map(|file| &file.shown.repo_id),
        "model_revision": serves.as_ref().map(|file| &file.shown.revision),
        "previous": serves.as_ref().and_then(|file| file.previous.as_ref()),
        "zero_gpu": quota,
    });
    let output = spaces.context.output;
    if output.is_json() {
        return output.json(&shown);
    }
    if !output.is_human() {
        return output.line(&runtime.stage);
    }
    let mut rows = table(&["what", "is"]);
    if let Some(fields) = shown.as_object() {
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            rows.add_row([name.replace('_', " "), plain(&in_words(name, value))]);
        }
    }
    output.line(rows)
}

/// A fact of a Space as a person reads it.
fn in_words(name: &str, value: &Value) -> String {
    let number = |key: &str| value[key].as_f64().unwrap_or_default();
    match name {
        "measured" => format!(
            "{} requests, {:.1} ms a token, the longest {:.1} s",
            number("requests"),
            number("ms_per_token"),
            number("longest_s")
        ),
        "proposed" => format!(
            "{} ms a token, {} s a request at most; `bashgym space fit` applies it",
            number("ms_per_token"),
            number("max_gpu_seconds")
        ),
        "previous" => format!(
            "{} at {}",
            value["repo_id"].as_str().unwrap_or("-"),
            value["revision"].as_str().unwrap_or("-")
        ),
        "zero_gpu" => {
            let (left, base) = (number("left_seconds") / 60.0, number("base_seconds") / 60.0);
            let back = value["resets_at"]
                .as_str()
                .map_or_else(String::new, |at| format!(", back in full at {at}"));
            format!("{left:.0} of {base:.0} minutes left today{back}")
        }
        "dev_mode" => if value == &Value::Bool(true) { "on" } else { "off" }.to_owned(),
        "sleep_time_s" => value.to_string(),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

pub(super) async fn logs(args: &LogsArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let log = if args.build {
        SpaceLog::Build
    } else {
        SpaceLog::Run
    };
    let options = SpaceLogOptions {
        follow: args.follow,
        tail: args.tail,
        ..SpaceLogOptions::default()
    };
    let mut lines = spaces.manager.stream_logs(&id, log, options);
    let output = spaces.context.output;
    let print = async {
        while let Some(line) = lines.try_next().await? {
            if output.is_json() {
                output.json(&line)?;
            } else {
                output.line(plain(&line.text))?;
            }
        }
        Ok(())
    };
    tokio::select! {
        printed = print => printed,
        _ = tokio::signal::ctrl_c() => Err(CliError::new(Kind::Interrupted, "stopped following; the Space goes on")),
    }
}

/// Prints a feed, item by item, until the Hub ends it.
pub(super) async fn feed(args: &NameArgs, feed: SpaceFeed, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let mut told = spaces.manager.feed(&spaces.id(&args.name)?, feed);
    let output = spaces.context.output;
    while let Some(item) = told.try_next().await? {
        if output.is_json() {
            output.json(&item)?;
        } else {
            let name = item.event.map_or_else(String::new, |name| format!("{name}: "));
            output.line(plain(&format!("{name}{}", item.data)))?;
        }
    }
    Ok(())
}

pub(super) async fn open(args: &NameArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let info = spaces.manager.get_space(&id).await?;
    let runtime = spaces.manager.get_space_status(&id).await?;
    let url = info.app_url().unwrap_or_else(|| spaces.manager.page_url(&id));
    let output = spaces.context.output;
    if !runtime.stage.is_serving() {
        output.note(format!("{id} is {}; it may not answer", runtime.stage));
    }
    if let Some(told) = told(&runtime) {
        output.note(told);
    }
    if output.is_json() {
        return output.json(&json!({"space_id": id, "url": url, "stage": runtime.stage}));
    }
    output.line(plain(&url))?;
    if output.is_live() && is_web(&url) {
        let signed = signed(&url, info.private, &id, spaces).await;
        browse(signed.as_deref().unwrap_or(&url), &id, spaces);
    }
    Ok(())
}

/// The address of a private app with a key to it, which a browser on its own would not have; never that of the account.
async fn signed(url: &str, private: Option<bool>, id: &RepoId, spaces: &Spaces<'_>) -> Option<String> {
    if private != Some(true) {
        return None;
    }
    let key = spaces.manager.app_key(id, KEY_LIFE).await.ok()?;
    Some(format!("{}/?__sign={}", url.trim_end_matches('/'), key.expose()))
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://127.0.0.1:")
}

fn browse(url: &str, id: &RepoId, spaces: &Spaces<'_>) {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let started = std::process::Command::new(program)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if started.is_err() {
        spaces.context.output.note(format!(
            "There is no {program} here; open the address of {id} in a browser."
        ));
    }
}
