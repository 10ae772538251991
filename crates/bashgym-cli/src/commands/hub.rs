//! `bashgym hub`: the embedded Hub.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use hf_local::{AccountConfig, ExecutorConfig, LocalHub, LocalHubConfig, LocalHubError};
use serde_json::json;

use crate::context::Context;
use crate::embedded_hub::{Ready, ReadyAccount};
use crate::ending::asked_to_end;
use crate::error::{CliError, Kind};
use crate::inference::LocalEngine;

/// The embedded Hub of this machine.
#[derive(Debug, Subcommand)]
pub(crate) enum HubCommand {
    /// Serve a Hub in the foreground until Ctrl-C or SIGTERM
    Serve(ServeArgs),
    /// Start the Hub that commands without a token share, in the background
    Start,
    /// Stop it; running jobs are cancelled
    Stop,
    /// Tell whether it runs, and where
    Status,
}

/// Serves a Hub in the foreground.
#[derive(Debug, Args)]
#[command(after_help = "\
Once it accepts, one line of JSON is printed on standard output:
  {\"event\":\"ready\",\"endpoint\":\"http://127.0.0.1:N\",\"inference_endpoint\":\"...\",\"accounts\":[{\"name\":\"...\",\"token\":\"hf_...\"}]}

Examples:
  bashgym hub serve --data ./hub --port 8123
  HF_ENDPOINT=http://127.0.0.1:8123 HF_TOKEN=hf_... hf upload my-dataset ./data --repo-type dataset")]
pub(crate) struct ServeArgs {
    /// The folder that holds everything; made if it is not there
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// The port on 127.0.0.1; 0 picks a free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,

    /// Accounts as JSON; without it one PRO account is made
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,

    /// Do not run the code of gradio Spaces, also where uv is there to build it: their stages are simulated
    #[arg(long)]
    no_apps: bool,
}

pub(crate) async fn run(command: HubCommand, context: &Context) -> Result<(), CliError> {
    match command {
        HubCommand::Serve(args) => serve(args, context).await,
        HubCommand::Start => {
            let (running, started) = start(context).await?;
            if context.output.is_json() {
                return context.output.json(&json!({
                    "running": true, "started": started, "endpoint": running.ready.endpoint, "pid": running.pid,
                }));
            }
            context.output.line(&running.ready.endpoint)
        }
        HubCommand::Stop => {
            let stopped = context.embedded_hub().stop().await?;
            if context.output.is_json() {
                return context.output.json(&json!({ "stopped": stopped }));
            }
            context.output.note(if stopped {
                "The embedded Hub is stopped."
            } else {
                "The embedded Hub was not running."
            });
            Ok(())
        }
        HubCommand::Status => status(context).await,
    }
}

async fn start(context: &Context) -> Result<(crate::embedded_hub::Running, bool), CliError> {
    context.home()?;
    context.embedded_hub().ensure().await
}

async fn status(context: &Context) -> Result<(), CliError> {
    let hub = context.embedded_hub();
    let found = hub.find().await?;
    if context.output.is_json() {
        return context.output.json(&json!({
            "running": found.is_some(),
            "endpoint": found.as_ref().map(|hub| &hub.ready.endpoint),
            "pid": found.as_ref().map(|hub| hub.pid),
            "data": hub.data_dir(),
            "log": hub.log_file(),
        }));
    }
    match found {
        Some(running) => {
            context.output.line(&running.ready.endpoint)?;
            context.output.note(format!(
                "process {}, data in {}",
                running.pid,
                hub.data_dir().display()
            ));
        }
        None => context
            .output
            .note("The embedded Hub is not running; any command that needs it starts it."),
    }
    Ok(())
}

async fn serve(args: ServeArgs, context: &Context) -> Result<(), CliError> {
    let mut config = LocalHubConfig::new(&args.data)
        .port(args.port)
        .executor(executor(&args.data)?)
        .engine(Arc::new(LocalEngine));
    if let Some(folder) = uv_folder().filter(|_| !args.no_apps) {
        config = config.uv(folder.join("uv"), uv_environment());
    }
    if let Some(path) = &args.accounts {
        config = config.accounts(AccountConfig::read_file(path).map_err(hub_error)?);
    }
    // Listen for the end before saying that we began.
    let end = asked_to_end()?;

    let hub = LocalHub::start(config).await.map_err(hub_error)?;
    let ready = Ready {
        event: "ready".to_owned(),
        endpoint: hub.endpoint().to_owned(),
        inference_endpoint: hub.inference_endpoint().to_owned(),
        accounts: hub
            .accounts()
            .iter()
            .map(|account| ReadyAccount {
                name: account.name.clone(),
                token: account.token.clone(),
            })
            .collect(),
    };
    context.output.json(&ready)?;
    end.await;
    context.output.note("Stopping; running jobs are cancelled.");
    hub.shutdown().await;
    Ok(())
}

/// Jobs find this very program as `bashgym`, and the `uv` of whoever started the Hub, whose packages are kept between jobs.
fn executor(data: &std::path::Path) -> Result<ExecutorConfig, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::new(Kind::Io, "cannot find this program's own file").because(error))?;
    let folder = program
        .parent()
        .map(std::path::Path::to_path_buf)
        .unwrap_or_default();
    let mut config = ExecutorConfig::default();
    config.path_prepend.push(folder);
    // Last, so that what else lies beside uv does not take the place of the system's own.
    if let Some(folder) = uv_folder() {
        config.base_path = format!("{}:{}", config.base_path, folder.display());
    }
    let cache = std::path::absolute(data)
        .map_err(|error| crate::error::io_error("find", data, error))?
        .join("uv-cache");
    config
        .environment
        .insert("UV_CACHE_DIR".to_owned(), cache.to_string_lossy().into_owned());
    Ok(config)
}

/// What `uv` needs of this environment: where packages come from and how they are reached.
#[expect(
    clippy::disallowed_methods,
    reason = "settings of another program, passed on as they are"
)]
fn uv_environment() -> BTreeMap<String, String> {
    const NEEDED: [&str; 4] = ["HOME", "XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    std::env::vars()
        .filter(|(name, _)| {
            NEEDED.contains(&name.as_str())
                || name.starts_with("UV_")
                || name.to_ascii_uppercase().ends_with("_PROXY")
        })
        .collect()
}

/// Where the `uv` of whoever started the Hub is.
fn uv_folder() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find(|folder| folder.join("uv").is_file())
}

fn hub_error(error: LocalHubError) -> CliError {
    let kind = match &error {
        LocalHubError::Account { .. } | LocalHubError::AccountsFile { .. } => Kind::Usage,
        _ => Kind::Io,
    };
    let message = error.to_string();
    CliError::new(kind, message).because(error)
}
