//! The app of a Space whose container runs this very program: fetch the model that `space.json` names, load it, answer.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use futures::TryStreamExt;
use hf_core::{HfClient, HuggingFaceSettings, RepoType, Revision, SettingsInput};
use hf_datasets::{Progress, RepoFiles, TreeEntry, TreeKind};
use hf_local::{
    InferenceEngine, InferenceTask, LoadedModel, ModelListing, ModelPlan, SpaceAddress, SpaceApp,
    SpaceAppError, SpaceFile,
};
use tokio::net::TcpListener;

use crate::ending::asked_to_end;
use crate::error::{CliError, Kind, io_error};
use crate::inference::LocalEngine;
use crate::output::Output;

/// The port a docker Space is expected to answer on.
const PORT: u16 = 7860;

/// What the container of a Space runs.
#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    /// The folder with the Space's files
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The address to answer on; inside a container 0.0.0.0
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,
    /// The port to answer on; 0 picks a free one
    #[arg(long, value_name = "N", default_value_t = PORT)]
    port: u16,
}

pub(super) async fn run(args: &AppArgs, output: Output) -> Result<(), CliError> {
    let mut end = Box::pin(asked_to_end()?);

    let path = args.dir.join(SpaceFile::NAME);
    let text = std::fs::read_to_string(&path).map_err(|error| io_error("read", &path, error))?;
    let file = SpaceFile::parse(&text).map_err(refused)?;
    let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
    let framed_by = settings.endpoint.to_string();
    let client = HfClient::from_settings(&settings)?;
    let model = tokio::select! {
        model = load(&client, &file, output) => model?,
        () = &mut end => return Ok(()),
    };

    let wanted = SocketAddr::new(args.host, args.port);
    let listen = |error| CliError::new(Kind::Io, format!("cannot listen on {wanted}")).because(error);
    let listener = TcpListener::bind(wanted).await.map_err(listen)?;
    let at = listener.local_addr().map_err(listen)?;
    let address = SpaceAddress {
        space_id: variable("SPACE_ID").unwrap_or_default(),
        root: variable("SPACE_HOST").map_or_else(|| format!("http://{at}"), |host| format!("https://{host}")),
        framed_by: Some(framed_by.trim_end_matches('/').to_owned()),
    };
    let app = SpaceApp::new(file, model, address, log);
    app.first_answer().await.map_err(refused)?;
    output.line(format!("It answers on http://{at}"))?;
    app.serve(listener, end).await.map_err(refused)
}

/// Fetches the model at its commit, and loads it. Its files are gone from the disk afterwards.
async fn load(client: &HfClient, file: &SpaceFile, output: Output) -> Result<Arc<dyn LoadedModel>, CliError> {
    let (name, commit) = file.model().map_err(refused)?;
    let revision: Revision = commit.parse()?;
    let repo = RepoFiles::new(client, RepoType::Model, name.parse()?);
    let folder = tempfile::tempdir()
        .map_err(|error| CliError::new(Kind::Io, "cannot make a folder for the model").because(error))?;
    let began = Instant::now();
    let plan = plan(&repo, &revision, folder.path()).await?.ok_or_else(|| {
        CliError::new(Kind::Usage, format!("bashgym does not run {name}")).hint(
            "it takes a Llama (config.json, tokenizer.json, model.safetensors) or a GGUF file; serve others \
             with `bashgym space create --app gradio`",
        )
    })?;
    output.line(format!("Fetching {name} at {commit}: {}", plan.files.join(", ")))?;
    for path in &plan.files {
        repo.download_file(path, &revision, &folder.path().join(path), &Progress::none())
            .await?;
    }
    let loaded = tokio::task::spawn_blocking(move || LocalEngine.load(folder.path(), &plan))
        .await
        .map_err(|error| CliError::new(Kind::Internal, "loading the model broke off").because(error))?
        .map_err(|why| {
            CliError::new(
                Kind::JobFailed,
                format!("the model {name} can not be loaded: {why}"),
            )
        })?;
    output.line(format!("Loaded after {:.1} s", began.elapsed().as_secs_f64()))?;
    Ok(loaded)
}

/// How the engine would serve a model; none if it can not.
async fn plan(repo: &RepoFiles, revision: &Revision, dir: &Path) -> Result<Option<ModelPlan>, CliError> {
    const CONFIG: &str = "config.json";
    let entries: Vec<TreeEntry> = repo.list_tree(revision, None, true).try_collect().await?;
    let mut listing = ModelListing::default();
    listing.files = entries
        .into_iter()
        .filter(|entry| entry.kind == TreeKind::File)
        .map(|entry| (entry.path, entry.size_bytes))
        .collect();
    if listing.files.iter().any(|(path, _)| path == CONFIG) {
        let target = dir.join(CONFIG);
        repo.download_file(CONFIG, revision, &target, &Progress::none())
            .await?;
        let text = std::fs::read(&target).map_err(|error| io_error("read", &target, error))?;
        listing.config = serde_json::from_slice(&text).ok();
    }
    let plan = LocalEngine.plan(&listing);
    Ok(plan.filter(|plan| plan.task == InferenceTask::Conversational))
}

/// A line of the app's log; one that can not be written ends nothing.
fn log(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn refused(error: SpaceAppError) -> CliError {
    let message = error.to_string();
    match error {
        SpaceAppError::SpaceFile(why) => CliError::new(Kind::Usage, message).because(why),
        SpaceAppError::Serve(why) => CliError::new(Kind::Io, message).because(why),
        SpaceAppError::NotServable(_) => CliError::new(Kind::Usage, message),
        _ => CliError::new(Kind::JobFailed, message),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the app of a Space learns where it is from its environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
