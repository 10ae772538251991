//! From a commit of a Space to a process that answers.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncRead;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::build::{Build, MAX_LINE_BYTES};
use super::{MARKER, Process, forward, marker, root};
use crate::jobs::{JobProcess, Launch, LinePipe, Tree, make_folder};
use crate::repos::{Commit, Repo, RepoKind, export};
use crate::spaces::run::{AppRun, Phase, Served};
use crate::spaces::{limits, routes, store};
use crate::state::AppState;
use crate::wire;

/// How long an app may take to answer for the first time.
///
/// # Source
/// The Hub's documentation of the front matter of Spaces: `startup_duration_timeout`, 30 minutes.
const START: Duration = Duration::from_mins(30);
/// How often it is asked whether it answers.
const POLL: Duration = Duration::from_millis(100);
/// How long it may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Brings a run to an answer or to a failure; gives back what answered before, once it is not needed any more.
pub(in crate::spaces) async fn start(
    hub: &AppState,
    run: &Arc<AppRun>,
    repo: &Repo,
    head: &Commit,
) -> Option<Served> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let folder = root(hub).join(&id);
    let attempt = Attempt {
        hub,
        run,
        repo,
        head,
        id: &id,
        folder: &folder,
    };
    let stopped = async {
        tokio::select! {
            () = hub.closing.cancelled() => {}
            () = run.stop.cancelled() => {}
        }
    };
    let outcome = tokio::select! {
        () = stopped => None,
        outcome = attempt.begin() => Some(outcome),
    };
    match outcome {
        Some(Ok(process)) => {
            run.touch(hub.clock.now_ms());
            run.go(Phase::Running(Served::Process(process)))
        }
        Some(Err(why)) => {
            clean_up(&id, None, &folder).await;
            let now = hub.clock.now_ms();
            if matches!(run.phase(), Phase::Building) {
                run.build_line(now, format!("ERROR: {why}"));
                run.go(Phase::Unbuilt(why))
            } else {
                run.run_line(now, format!("ERROR: {why}"));
                run.go(Phase::Failed(why))
            }
        }
        None => {
            clean_up(&id, None, &folder).await;
            None
        }
    }
}

/// Ends what a run left, and removes its folder. `leader` is its first process, where that is still there.
async fn clean_up(id: &str, leader: Option<i32>, folder: &Path) {
    let left = Tree::new(leader, marker(id)).end(GRACE).await;
    if left > 0 {
        tracing::error!(run = id, left, "processes of an app could not be killed");
    }
    if let Err(error) = tokio::fs::remove_dir_all(folder).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(run = id, %error, "the folder of an app could not be removed");
    }
}

struct Attempt<'a> {
    hub: &'a AppState,
    run: &'a Arc<AppRun>,
    repo: &'a Repo,
    head: &'a Commit,
    id: &'a str,
    folder: &'a Path,
}

impl Attempt<'_> {
    async fn begin(&self) -> Result<Arc<Process>, String> {
        let (hub, run) = (self.hub, self.run);
        let uv = hub.uv.as_ref().ok_or("there is no uv to build it with")?;
        let card = self.card().await?;
        let row = store::find(hub, self.repo.row, false, self.repo.created_ms)
            .await
            .map_err(|error| error.message().to_owned())?;
        let build = Build {
            hub,
            run,
            uv,
            id: self.id,
            folder: self.folder,
            card: &card,
            zero_gpu: row.hardware.as_deref() == Some(limits::ZERO_GPU),
        };
        export(hub, self.head.tree, None, &build.files()).await?;
        for folder in ["home", "tmp"] {
            make_folder(&self.folder.join(folder))
                .await
                .map_err(|error| error.to_string())?;
        }
        build.run().await?;
        run.build_line(hub.clock.now_ms(), "Build done");
        run.go(Phase::Starting);
        let now = hub.clock.now_ms();
        run.run_line(
            now,
            format!("===== Application Startup at {} =====", wire::time(now)),
        );
        self.launch(&build, &card).await
    }

    async fn card(&self) -> Result<Value, String> {
        let facts = self
            .hub
            .facts(RepoKind::Space, self.head)
            .await
            .map_err(|error| error.message().to_owned())?;
        Ok(facts.card.clone().unwrap_or(Value::Null))
    }

    async fn launch(&self, build: &Build<'_>, card: &Value) -> Result<Arc<Process>, String> {
        let port = free_port()
            .await
            .map_err(|error| format!("there is no free port: {error}"))?;
        let environment = self.environment(build, card, port).await?;
        let python = build.environment().join("bin").join("python");
        let file = card["app_file"].as_str().unwrap_or("app.py").to_owned();
        let mut process = JobProcess::spawn(&Launch {
            program: &python.to_string_lossy(),
            arguments: &[file],
            environment: &environment,
            folder: &build.files(),
            memory_limit_bytes: None,
        })
        .map_err(|error| format!("the app could not be started: {error}"))?;
        let (out, err) = (process.stdout.take(), process.stderr.take());
        self.read(out);
        self.read(err);
        let answered = tokio::select! {
            status = process.wait() => Err(exited(&status)),
            answered = tokio::time::timeout(START, answers(port)) => {
                answered.map_err(|_| format!("the app did not answer within {} minutes", START.as_secs() / 60))
            }
        };
        answered?;
        let end = CancellationToken::new();
        let served = Arc::new(Process {
            commit: self.head.oid,
            port,
            pid: process.pid,
            end: end.clone(),
        });
        self.watch(process, end);
        Ok(served)
    }

    /// Keeps a process until its end, which is a failure unless it was asked for.
    fn watch(&self, mut process: JobProcess, end: CancellationToken) {
        let (hub, run) = (Arc::clone(self.hub), Arc::clone(self.run));
        let (id, folder) = (self.id.to_owned(), self.folder.to_owned());
        self.hub.apps.track(async move {
            let status = tokio::select! {
                () = hub.closing.cancelled() => None,
                () = end.cancelled() => None,
                status = process.wait() => Some(status),
            };
            let leader = status.is_none().then_some(process.pid);
            if let Some(status) = status {
                let why = exited(&status);
                run.run_line(hub.clock.now_ms(), format!("ERROR: {why}"));
                run.go(Phase::Failed(why));
            }
            clean_up(&id, leader, &folder).await;
            if let Err(error) = process.wait().await {
                tracing::warn!(run = id, %error, "the process of an app could not be reaped");
            }
        });
    }

    /// Puts what the app says into its log, until nobody holds the pipe any more.
    fn read(&self, pipe: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(pipe) = pipe else { return };
        let (hub, run) = (Arc::clone(self.hub), Arc::clone(self.run));
        tokio::spawn(async move {
            let mut pipe = LinePipe::new(pipe, MAX_LINE_BYTES);
            loop {
                let lines = tokio::select! {
                    () = hub.closing.cancelled() => return,
                    lines = pipe.next() => lines,
                };
                let Some(lines) = lines else { return };
                for line in lines {
                    run.run_line(hub.clock.now_ms(), line);
                }
            }
        });
    }

    /// The variables of the app; later ones win: what every app gets, the Space's variables, its secrets, and what it is reached by.
    ///
    /// # Source
    /// The Hub's documentation of Spaces, "helper environment variables"; `gradio` 6.31.0 `utils.py` `get_space`, `http_server.py`.
    async fn environment(
        &self,
        build: &Build<'_>,
        card: &Value,
        port: u16,
    ) -> Result<BTreeMap<String, String>, String> {
        let (hub, repo) = (self.hub, self.repo);
        let place = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let bin = build.environment().join("bin");
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let address = routes::host(hub, repo);
        let address = address.trim_end_matches('/').to_owned();
        let own = [
            (
                "PATH",
                format!("{}:{}", bin.to_string_lossy(), hub.program_environment["PATH"]),
            ),
            ("VIRTUAL_ENV", build.environment().to_string_lossy().into_owned()),
            ("HOME", place("home")),
            ("TMPDIR", place("tmp")),
            ("LANG", "C.UTF-8".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("HF_ENDPOINT", hub.origins.hub.clone()),
            ("SYSTEM", "spaces".to_owned()),
            ("SPACE_ID", repo.id.path()),
            ("SPACE_AUTHOR_NAME", repo.id.namespace.clone()),
            ("SPACE_REPO_NAME", repo.id.name.clone()),
            (
                "SPACE_TITLE",
                card["title"].as_str().unwrap_or(&repo.id.name).to_owned(),
            ),
            ("ACCELERATOR", "none".to_owned()),
            ("CPU_CORES", cores.to_string()),
            // It is one machine's own app: nobody is told of it, and Node is not needed.
            ("GRADIO_ANALYTICS_ENABLED", "False".to_owned()),
            ("GRADIO_SSR_MODE", "False".to_owned()),
        ];
        let mut all = hub.program_environment.clone();
        all.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let failed = |error: crate::reply::HubError| error.message().to_owned();
        let variables = store::settings(hub, repo.row, store::Kind::Variable)
            .await
            .map_err(failed)?;
        for (key, shown) in variables {
            if let Some(value) = shown["value"].as_str() {
                all.insert(key, value.to_owned());
            }
        }
        let known = hub.apps.secrets(&repo.oid);
        let named = store::settings(hub, repo.row, store::Kind::Secret)
            .await
            .map_err(failed)?;
        let missing: Vec<&str> = named
            .keys()
            .filter(|key| !known.contains_key(*key))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            self.run.run_line(
                hub.clock.now_ms(),
                format!(
                    "The secrets {} were set before this Hub was started; their values are not kept: set them again",
                    missing.join(", ")
                ),
            );
        }
        all.extend(known);
        for (name, value) in [
            (MARKER, self.id.to_owned()),
            ("GRADIO_SERVER_NAME", Ipv4Addr::LOCALHOST.to_string()),
            ("GRADIO_SERVER_PORT", port.to_string()),
            ("GRADIO_ROOT_PATH", address),
            ("PORT", port.to_string()),
        ] {
            all.insert(name.to_owned(), value);
        }
        Ok(all)
    }
}

/// A port that is free now. Another process may take it before the app does: the app ends then, and says so.
async fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    Ok(listener.local_addr()?.port())
}

/// Waits until something answers at a port.
async fn answers(port: u16) {
    while forward::status(port)
        .await
        .is_none_or(|status| status.is_server_error())
    {
        tokio::time::sleep(POLL).await;
    }
}

fn exited(status: &io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => format!("the app ended with {status}; its log says why"),
        Err(error) => format!("the app could not be watched: {error}"),
    }
}
