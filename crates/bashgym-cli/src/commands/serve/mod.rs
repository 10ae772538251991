//! `bashgym serve` and `bashgym up`: the server, in the foreground.

mod composition;
mod models;

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;

use bashgym_core::ledger::Ledger;
use bashgym_server::remote::Remote;
use bashgym_server::{BindError, GatewayParts, Roots, Server, ServerConfig, ServerKey, ServerParts};
use clap::Args;
use serde::{Deserialize, Serialize};

use self::composition::HomeComposition;
use crate::context::Context;
use crate::ending::asked_to_end;
use crate::error::{CliError, Kind, io_error};
use crate::files::{SESSION_ARCHIVE, SESSION_INDEX, write_whole};
use crate::gate::HomeGate;
use crate::inputs::agent_homes;
use crate::kept::Kept;
use crate::telemetry;

/// Serves the API, live events and pages.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bashgym serve                            at a free port of this machine
  bashgym --format json serve --port 8420  prints one line with address and key once it accepts

The key is made once and kept in the home folder; only this user can read it. SIGTERM and Ctrl-C let requests end.")]
pub(crate) struct ServeArgs {
    /// The address to listen on; 127.0.0.1 where nobody says
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
    /// The port; 0, which picks a free one, where nobody says
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Let other machines reach it, where `--host` is not this machine alone; put TLS in front of it
    #[arg(long)]
    allow_remote: bool,
    /// A name the server is reached by, beside localhost; other names are refused
    #[arg(long = "allow-host", value_name = "NAME")]
    hosts: Vec<String>,
    /// A folder that requests may name paths in, beside the agents' own
    #[arg(long = "root", value_name = "DIR")]
    roots: Vec<PathBuf>,
    /// A file with the key to use, instead of the home folder's
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    models: models::ModelArgs,
}

impl ServeArgs {
    /// With what the config file says where a flag says nothing.
    fn filled_in(mut self, context: &Context) -> Result<Self, CliError> {
        self.host = configured(self.host, "serve.host", context)?;
        self.port = configured(self.port, "serve.port", context)?;
        if self.hosts.is_empty() {
            self.hosts = context.file.texts("serve.allow_hosts").to_vec();
        }
        if self.roots.is_empty() {
            self.roots = context
                .file
                .texts("serve.roots")
                .iter()
                .map(PathBuf::from)
                .collect();
        }
        self.key_file = configured(self.key_file, "serve.key_file", context)?;
        Ok(self)
    }
}

/// A flag's value, or what the environment or the config file says, read as the flag's would be.
fn configured<T>(flag: Option<T>, name: &str, context: &Context) -> Result<Option<T>, CliError>
where
    T: FromStr<Err: Display>,
{
    let read = |text: &str| text.parse::<T>().map_err(|error| error.to_string());
    configured_by(flag, name, context, read)
}

/// The same, with the flag's own way to read.
fn configured_by<T>(
    flag: Option<T>,
    name: &str,
    context: &Context,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, CliError> {
    if flag.is_some() {
        return Ok(flag);
    }
    let wrong = |why| {
        let place = context.source_of_own(name);
        CliError::new(Kind::Usage, format!("{name} ({place}): {why}"))
    };
    context
        .own(name)
        .map(|text| read(&text).map_err(wrong))
        .transpose()
}

/// Serves and opens the browser; on this machine's own Hub where there is no token.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print the link instead of opening a browser
    #[arg(long)]
    no_browser: bool,
}

/// What is printed once the server accepts.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    url: &'a str,
    key: &'a str,
}

/// Where the last server of this home listens. The key is not in it.
#[derive(Serialize, Deserialize)]
struct Record {
    pid: u32,
    address: SocketAddr,
}

pub(crate) async fn serve(args: ServeArgs, context: &Context) -> Result<(), CliError> {
    let args = args.filled_in(context)?;
    let key = key(&args, context)?;
    let server = bind(args, key.clone(), context).await?;
    ready(&server, &key, context)?;
    run(server, context).await
}

/// Serves, or finds the server that runs already, and opens the browser there.
pub(crate) async fn up(mut args: UpArgs, context: &Context) -> Result<(), CliError> {
    args.serve = args.serve.filled_in(context)?;
    let key = key(&args.serve, context)?;
    if let Some(running) = running(context, &key).await? {
        let link = running.login_url().await.map_err(|error| {
            CliError::new(Kind::Unreachable, "the running server made no link").because(error)
        })?;
        context.output.note("The server runs already.");
        return open(&link, args.no_browser, context);
    }
    let settings = context.settings()?;
    if context.is_embedded(&settings) {
        context.connect().await?;
    }
    let no_browser = args.no_browser;
    let server = bind(args.serve, key.clone(), context).await?;
    ready(&server, &key, context)?;
    let link = server.login_url();
    open(&link, no_browser, context)?;
    run(server, context).await
}

fn key(args: &ServeArgs, context: &Context) -> Result<ServerKey, CliError> {
    if let Some(path) = &args.key_file {
        let text = std::fs::read_to_string(path).map_err(|error| io_error("read", path, error))?;
        return ServerKey::parse(&text).map_err(|error| io_error("take the key of", path, error));
    }
    let path = context.home()?.join("server.key");
    ServerKey::open_or_create(&path).map_err(|error| io_error("read or make the key", &path, error))
}

async fn bind(args: ServeArgs, key: ServerKey, context: &Context) -> Result<Server, CliError> {
    let home = context.home()?.to_path_buf();
    let store = Arc::new(context.store().await?);
    let agents = agent_homes();
    let datasets_dir = home.join("datasets");
    std::fs::create_dir_all(&datasets_dir)
        .map_err(|error| io_error("make the folder", &datasets_dir, error))?;
    for root in &args.roots {
        if !root.is_dir() {
            return Err(CliError::new(
                Kind::NotFound,
                format!("there is no folder {}", root.display()),
            ));
        }
    }
    let absolute = args
        .roots
        .iter()
        .map(std::path::absolute)
        .collect::<Result<Vec<_>, _>>();
    let roots = absolute.map_err(|error| CliError::new(Kind::Io, "cannot find a folder").because(error))?;
    let folders = agents.folders().into_iter().map(|folder| folder.path);
    let open = Roots::open(folders.chain(roots).chain([datasets_dir.clone()]));
    open.set_added(Kept::read(&home)?.roots);
    let mut gateway = GatewayParts {
        routes: store.clone(),
        ..args.models.parts(context)?
    };
    if gateway.policy.keep_exchanges {
        gateway.gate = Some(HomeGate::open(context)?.exchanges()?);
    }
    let parts = ServerParts {
        version: env!("CARGO_PKG_VERSION"),
        composition: Arc::new(HomeComposition::new(context.again()?, store.clone())?),
        store: store.clone(),
        jobs: store.clone(),
        seen: store.clone(),
        tasks: store.clone(),
        events: store.clone(),
        calls: store.clone(),
        ledger: Ledger::new(store.clone(), Arc::clone(&context.clock)),
        clock: Arc::clone(&context.clock),
        join_trace: Some(telemetry::join_trace),
        roots: Arc::new(open),
        agents,
        sessions: bashgym_traces::SessionIndex::new(home.join(SESSION_INDEX)),
        datasets_dir,
        bulk_dir: home.join("bulk"),
        archive_dir: home.join(SESSION_ARCHIVE),
        work_dir: home.join("plan"),
        gateway,
    };
    let config = ServerConfig {
        address: SocketAddr::new(
            args.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            args.port.unwrap_or(0),
        ),
        allow_remote: args.allow_remote,
        key,
        hosts: args.hosts,
        head_timeout: None,
    };
    let server = Server::bind(config, parts).await.map_err(not_bound)?;
    let record = Record {
        pid: std::process::id(),
        address: server.address(),
    };
    let text = serde_json::to_vec(&record)
        .map_err(|error| CliError::new(Kind::Internal, "the server's record is no JSON").because(error))?;
    write_whole(&home.join("server.json"), &text)?;
    Ok(server)
}

fn not_bound(error: BindError) -> CliError {
    match error {
        BindError::Remote { address } => CliError::new(
            Kind::Usage,
            format!("{address} can be reached from other machines"),
        )
        .hint("leave --host out to serve this machine alone")
        .hint("if others are meant to reach it, add --allow-remote, and put TLS in front of it"),
        BindError::Listen { address, source } => {
            CliError::new(Kind::Io, format!("cannot listen on {address}")).because(source)
        }
        other => CliError::new(Kind::Internal, other.to_string()),
    }
}

fn ready(server: &Server, key: &ServerKey, context: &Context) -> Result<(), CliError> {
    let url = server.url();
    if context.output.is_human() {
        context.output.line(&url)?;
        context.output.note(
            "Its key is in server.key of the home folder; `bashgym up` in another terminal opens the browser. Ctrl-C ends it.",
        );
        return Ok(());
    }
    context.output.json(&Ready {
        event: "ready",
        url: &url,
        key: key.expose(),
    })
}

async fn run(server: Server, context: &Context) -> Result<(), CliError> {
    let asked = asked_to_end()?;
    let end = async {
        asked.await;
        context.output.note("Ending; requests may finish.");
    };
    server.run(end).await;
    // Another server may have begun here since: its record stays.
    let path = context.home()?.join("server.json");
    if record(&path).is_some_and(|record| record.pid == std::process::id()) {
        std::fs::remove_file(&path).map_err(|error| io_error("remove", &path, error))?;
    }
    Ok(())
}

fn record(path: &std::path::Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The server of this home that runs already, if it proves to have the key.
async fn running(context: &Context, key: &ServerKey) -> Result<Option<Remote>, CliError> {
    let Some(record) = record(&context.home()?.join("server.json")) else {
        return Ok(None);
    };
    Ok(Remote::find(record.address, key).await)
}

/// Opens a link in the browser, or prints it.
fn open(link: &str, print: bool, context: &Context) -> Result<(), CliError> {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let opened = !print
        && Command::new(opener)
            .arg(link)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if opened {
        return Ok(());
    }
    if context.output.is_json() {
        return context
            .output
            .json(&serde_json::json!({ "event": "login", "url": link }));
    }
    context.output.line(link)?;
    context
        .output
        .note("Open this link within a minute; it works once.");
    Ok(())
}
