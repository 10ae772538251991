//! The long work on datasets: building one from sessions, sending one to the Hub, fetching one. Each goes on after a crash.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bashgym_core::publish::{BuildConfig, BuildProgress, DatasetBuild, PublishGate, build_dataset_dir};
use bashgym_core::task::{TaskContext, TaskError, TaskHandler, TaskProgress};
use hf_core::{Namespace, RepoId, RepoType, Revision};
use hf_datasets::{DatasetConfig, DownloadOptions, HfDatasetManager, Progress, RepoFiles, TransferEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::tasks::{apart, failed};
use crate::audit::{Did, note};
use crate::parts::{HubConnection, ServerParts};
use crate::problem::{Code, Problem};
use crate::roots::folder_name;

/// The kind of a build.
pub(crate) const BUILD: &str = "dataset_build";
/// The kind of an upload.
pub(crate) const UPLOAD: &str = "dataset_upload";
/// The kind of a pull.
pub(crate) const PULL: &str = "dataset_pull";

/// What a build is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BuildInput {
    pub(crate) name: String,
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) val_fraction: f64,
}

/// Builds a dataset folder from sessions.
pub(crate) struct Build(pub(crate) ServerParts);

#[async_trait]
impl TaskHandler for Build {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        let input: BuildInput = task.input()?;
        let gate = self.0.composition.gate().map_err(|problem| failed(&problem))?;
        let name = folder_name(&input.name).map_err(|problem| failed(&problem))?;
        let build = DatasetBuild {
            inputs: input.inputs,
            out_dir: self.0.datasets_dir.join(name),
            seed: input.seed,
            val_fraction: input.val_fraction,
            repo_id: None,
            config: BuildConfig::default(),
        };
        let (progress, mut updates) = mpsc::channel::<BuildProgress>(16);
        let told = async {
            while let Some(update) = updates.recv().await {
                let progress = TaskProgress {
                    done: update.files_done,
                    total: Some(update.files_total),
                    unit: "files".to_owned(),
                    message: Some(format!("{} rows", update.rows)),
                };
                task.progress(progress).await;
            }
        };
        let (built, ()) = tokio::join!(build_dataset_dir(build, gate.into(), progress), told);
        let (built, manifest) = built.map_err(|error| failed(&Problem::from(error)))?;
        Ok(json!({
            "name": input.name, "sessions": built.sessions, "rows_train": built.rows_train,
            "rows_val": built.rows_val, "manifest": manifest,
        }))
    }
}

/// What an upload is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UploadInput {
    pub(crate) dir: PathBuf,
    pub(crate) repo_id: String,
    pub(crate) private: bool,
    /// Which Hub it was asked for on.
    pub(crate) hub: String,
}

/// Sends a dataset folder to the Hub, behind the secret gate.
pub(crate) struct Upload(pub(crate) ServerParts);

/// How far a transfer is, out of its events.
#[derive(Debug, Default)]
struct Sent {
    by_file: std::collections::BTreeMap<String, u64>,
    total: Option<u64>,
}

#[async_trait]
impl TaskHandler for Upload {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        let input: UploadInput = task.input()?;
        let parts = self.0.clone();
        let sending = apart(task, move |told| send(parts, input, told));
        sending.await.map_err(|problem| failed(&problem))
    }
}

impl Sent {
    fn take(&mut self, event: &TransferEvent) -> TaskProgress {
        match event {
            TransferEvent::Started { bytes, .. } => self.total = Some(*bytes),
            TransferEvent::Advanced { path, done_bytes, .. } => {
                self.by_file.insert(path.clone(), *done_bytes);
            }
            TransferEvent::FileDone {
                path, total_bytes, ..
            } => {
                self.by_file.insert(path.clone(), *total_bytes);
            }
            _ => {}
        }
        TaskProgress {
            done: self.by_file.values().sum(),
            total: self.total,
            unit: "bytes".to_owned(),
            message: None,
        }
    }
}

/// Tells a task how far a transfer is.
fn telling(told: mpsc::Sender<TaskProgress>) -> Progress {
    let sent = Mutex::new(Sent::default());
    Progress::new(move |event: &TransferEvent| {
        let progress = sent.lock().unwrap_or_else(PoisonError::into_inner).take(event);
        // One that is not heard is followed by another.
        let _ = told.try_send(progress);
    })
}

async fn send(
    parts: ServerParts,
    input: UploadInput,
    told: mpsc::Sender<TaskProgress>,
) -> Result<Value, Problem> {
    let hub = parts.composition.connect().await?;
    same_hub(&hub, &input.hub)?;
    let repo = RepoId::parse(&input.repo_id)?;
    let gate = PublishGate::new(parts.composition.inspector()?);
    let mut config = DatasetConfig::new(repo.to_string());
    config.private = input.private;
    config.progress = telling(told);
    let namespace = match repo.namespace() {
        Some(namespace) => Namespace::parse(namespace)?,
        None => hub.namespace.clone(),
    };
    let uploaded = HfDatasetManager::new(hub.client.clone(), namespace)
        .with_gate(gate.upload_gate())
        .upload_training_data(&input.dir, &config)
        .await
        .map_err(|error| match gate.refusal() {
            Some(refused) => Problem::from(refused),
            None => Problem::from(error),
        })?;
    note(&*parts.events, Did::Sent, "dataset_uploaded", &uploaded.repo_id).await;
    Ok(json!({
        "repo_id": uploaded.repo_id.to_string(), "revision": uploaded.revision, "url": uploaded.url,
        "private": input.private,
    }))
}

/// What a pull is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PullInput {
    pub(crate) repo_id: RepoId,
    pub(crate) revision: Revision,
    /// The dataset's name here.
    pub(crate) name: String,
    /// Which Hub it was asked for on.
    pub(crate) hub: String,
}

/// Fetches a dataset from the Hub. It is there under its name when all of it is; begun again, it goes on where it stopped.
pub(crate) struct Pull(pub(crate) ServerParts);

#[async_trait]
impl TaskHandler for Pull {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        let input: PullInput = task.input()?;
        let parts = self.0.clone();
        let fetching = apart(task, move |told| fetch(parts, input, told));
        fetching.await.map_err(|problem| failed(&problem))
    }
}

async fn fetch(
    parts: ServerParts,
    input: PullInput,
    told: mpsc::Sender<TaskProgress>,
) -> Result<Value, Problem> {
    let hub = parts.composition.connect().await?;
    same_hub(&hub, &input.hub)?;
    let name = folder_name(&input.name)?;
    let of = blake3::hash(format!("{name}\n{}\n{}", input.repo_id, input.revision).as_bytes()).to_hex();
    let half = parts.datasets_dir.join(".pulls").join(&of[..32]);
    let storage = |error: std::io::Error| {
        tracing::error!(%error, "a pulled dataset could not be put in its place");
        Problem::new(Code::Storage, "the dataset could not be put in its place")
    };
    tokio::fs::create_dir_all(&half).await.map_err(storage)?;
    let options = DownloadOptions {
        revision: input.revision,
        progress: telling(told),
        ..DownloadOptions::default()
    };
    let snapshot = RepoFiles::new(&hub.client, RepoType::Dataset, input.repo_id.clone())
        .download_snapshot(&half, &options)
        .await?;
    let place = parts.datasets_dir.join(name);
    if place.exists() {
        return Err(taken(name));
    }
    tokio::fs::rename(&half, &place).await.map_err(storage)?;
    let received: u64 = snapshot.files.iter().map(|file| file.received_bytes).sum();
    Ok(json!({
        "name": input.name, "repo_id": input.repo_id, "revision": snapshot.revision, "files": snapshot.files.len(),
        "bytes_received": received, "is_of_sessions": place.join("metadata.json").is_file(),
    }))
}

/// There is a dataset of this name.
pub(crate) fn taken(name: &str) -> Problem {
    Problem::new(Code::Conflict, format!("there is a dataset {name} here already"))
        .hint("give it another `name`")
}

/// Refuses to do on one Hub what was asked for on another.
pub(crate) fn same_hub(hub: &HubConnection, asked: &str) -> Result<(), Problem> {
    if hub.target().hub == asked {
        return Ok(());
    }
    Err(Problem::new(
        Code::Conflict,
        "this was asked for on another Hub than the one that is configured now",
    ))
}
