//! Dataset repositories of one namespace.

mod facts;
mod layout;
mod rows;
mod traces;

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use hf_core::{HfClient, HfError, Namespace, RepoId, RepoType, UploadGate};
use serde::Deserialize;

use crate::card::DatasetCard;
use crate::pattern::Patterns;
use crate::progress::Progress;
use crate::repo::{CommitInfo, CommitOperation, CommitOptions, CreateOptions, RepoFiles};
use crate::{DownloadOptions, Snapshot, blocking, invalid};

use self::layout::TrainingFolder;
use self::rows::RowFiles;
use self::traces::TraceSet;

pub use self::layout::{CARD_FILE, METADATA_FILE, TRAIN_FILE, VAL_FILE};

/// Uploads, downloads, lists and deletes the dataset repositories of a namespace.
#[derive(Debug, Clone)]
pub struct HfDatasetManager {
    client: HfClient,
    namespace: Namespace,
    gate: UploadGate,
    xet_cache: Option<PathBuf>,
}

/// What is uploaded, and how it presents itself.
#[derive(Debug, Clone)]
pub struct DatasetConfig {
    /// The repository: a name in the manager's namespace, or `namespace/name`.
    pub repo_name: String,
    /// Whether only its owner sees it. On by default.
    pub private: bool,
    /// Whether the Hub may show the rows. On by default.
    pub enable_viewer: bool,
    /// The card's title; the repository's name if `None`.
    pub pretty_name: Option<String>,
    /// One paragraph for the card.
    pub summary: Option<String>,
    /// A licence identifier of the Hub.
    pub license: Option<String>,
    /// Language codes.
    pub languages: Vec<String>,
    /// Tags beside the card's own.
    pub tags: Vec<String>,
    /// Whether the rows of a training dataset are uploaded as Parquet, in the place of JSON Lines.
    pub parquet: bool,
    /// The commit's title.
    pub commit_message: Option<String>,
    /// The commit the branch must be at; see [`CommitOptions::parent_commit`].
    pub parent_commit: Option<String>,
    /// Who is told how far it is.
    pub progress: Progress,
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self {
            repo_name: String::new(),
            private: true,
            enable_viewer: true,
            pretty_name: None,
            summary: None,
            license: None,
            languages: Vec::new(),
            tags: Vec::new(),
            parquet: false,
            commit_message: None,
            parent_commit: None,
            progress: Progress::none(),
        }
    }
}

impl DatasetConfig {
    /// A private dataset with the viewer on.
    pub fn new(repo_name: impl Into<String>) -> Self {
        Self {
            repo_name: repo_name.into(),
            ..Self::default()
        }
    }

    /// Starts a card.
    fn card(&self, repo_id: &str) -> DatasetCard {
        let mut card = DatasetCard {
            repo_id: repo_id.to_owned(),
            pretty_name: self
                .pretty_name
                .clone()
                .unwrap_or_else(|| repo_id.rsplit('/').next().unwrap_or_default().to_owned()),
            summary: self.summary.clone().unwrap_or_default(),
            license: self.license.clone(),
            languages: self.languages.clone(),
            viewer: self.enable_viewer,
            ..DatasetCard::default()
        };
        card.tags.extend(self.tags.iter().cloned());
        card
    }
}

/// A dataset repository after an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedDataset {
    /// The repository.
    pub repo_id: RepoId,
    /// The commit that holds what was uploaded.
    pub revision: String,
    /// The repository's page.
    pub url: String,
    /// Whether a commit was made; false when the repository already held everything.
    pub changed: bool,
}

/// A dataset repository as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetSummary {
    /// The repository.
    pub repo_id: String,
    /// Whether only its owner sees it.
    pub private: bool,
    /// When it last changed, as ISO 8601, when the Hub says so.
    pub last_modified: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// How often it was downloaded lately.
    pub downloads: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSummary {
    id: String,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    last_modified: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    downloads: Option<u64>,
}

impl HfDatasetManager {
    /// Makes a manager of the dataset repositories in `namespace`.
    pub fn new(client: HfClient, namespace: Namespace) -> Self {
        Self {
            client,
            namespace,
            gate: UploadGate::default(),
            xet_cache: None,
        }
    }

    /// Says what is known about the data to upload; see [`UploadGate`].
    #[must_use]
    pub fn with_gate(mut self, gate: UploadGate) -> Self {
        self.gate = gate;
        self
    }

    /// Keeps Xet's cache in `folder`; see [`RepoFiles::with_xet_cache`].
    #[must_use]
    pub fn with_xet_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.xet_cache = Some(folder.into());
        self
    }

    /// Returns the handle of a repository: a name in this namespace, or `namespace/name`.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] when the Hub allows no such name.
    pub fn repo(&self, name: &str) -> Result<RepoFiles, HfError> {
        let repo_id = if name.contains('/') {
            RepoId::parse(name)?
        } else {
            RepoId::new(&self.namespace, name)?
        };
        let mut repo = RepoFiles::new(&self.client, RepoType::Dataset, repo_id).with_gate(self.gate.clone());
        if let Some(folder) = &self.xet_cache {
            repo = repo.with_xet_cache(folder);
        }
        Ok(repo)
    }

    /// Uploads the training dataset in `local_path` as one commit; the repository is created if it is missing.
    ///
    /// The folder must hold `train.jsonl` with at least one row, `val.jsonl` and `metadata.json`. Its `README.md` is
    /// uploaded too, or one is written from what the files say, and so are folders with a `train.jsonl` and a
    /// `val.jsonl` of another kind of rows. Everything is checked before anything is sent. With
    /// [`DatasetConfig::parquet`] the rows travel as `train.parquet`, `val.parquet` and so on, and the card names those.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] names the file, the line and the problem; it also stands for an address the gate
    /// forbids, and for a repository that is public although the config says private. Those of
    /// [`RepoFiles::commit`] besides.
    pub async fn upload_training_data(
        &self,
        local_path: &Path,
        config: &DatasetConfig,
    ) -> Result<UploadedDataset, HfError> {
        self.gate.check(self.client.endpoint())?;
        let repo = self.repo(&config.repo_name)?;
        let folder = local_path.to_path_buf();
        let checked = blocking(move || TrainingFolder::check(&folder)).await?;
        let card = checked.card(repo.repo_id().as_str(), config)?;
        let as_parquet = config.parquet;
        let (checked, rows) = blocking(move || {
            let rows = if as_parquet {
                RowFiles::as_parquet(&checked, &card)?
            } else {
                RowFiles::as_they_are(&checked, card)
            };
            Ok((checked, rows))
        })
        .await?;
        let mut operations = vec![
            CommitOperation::add_bytes(CARD_FILE, rows.card),
            match rows.metadata {
                Some(text) => CommitOperation::add_bytes(METADATA_FILE, text),
                None => CommitOperation::add_file(METADATA_FILE, &checked.metadata),
            },
        ];
        operations.extend(
            rows.files
                .iter()
                .map(|(path, source)| CommitOperation::add_file(path.as_str(), source)),
        );
        let message = format!(
            "Upload {} training and {} validation rows",
            checked.train_rows.rows, checked.val_rows.rows
        );
        self.upload(&repo, operations, &rows.stale, &message, config)
            .await
    }

    /// Uploads raw session files as one commit, laid out so that the Hub shows them as agent traces.
    ///
    /// A file goes to `traces/<agent>/<its name>.jsonl`; the agent is read from its first line. Each agent is a config
    /// of its own, because its files have columns of their own.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] names the file, the line and the problem. Those of [`RepoFiles::commit`] besides.
    ///
    /// # Source
    ///
    /// The Hub's agent trace documentation: raw JSONL, one file a session.
    pub async fn upload_traces(
        &self,
        files: &[PathBuf],
        config: &DatasetConfig,
    ) -> Result<UploadedDataset, HfError> {
        self.gate.check(self.client.endpoint())?;
        let repo = self.repo(&config.repo_name)?;
        let files = files.to_vec();
        let set = blocking(move || TraceSet::check(&files)).await?;
        let card = set.card(repo.repo_id().as_str(), config).render()?;
        let message = format!("Upload {} sessions", set.files.len());
        let mut operations = vec![CommitOperation::add_bytes(CARD_FILE, card)];
        operations.extend(
            set.files
                .into_iter()
                .map(|file| CommitOperation::add_file(file.path, file.source)),
        );
        self.upload(&repo, operations, &[], &message, config).await
    }

    async fn upload(
        &self,
        repo: &RepoFiles,
        operations: Vec<CommitOperation>,
        stale: &[String],
        message: &str,
        config: &DatasetConfig,
    ) -> Result<UploadedDataset, HfError> {
        let options = CommitOptions {
            message: config
                .commit_message
                .clone()
                .unwrap_or_else(|| message.to_owned()),
            parent_commit: config.parent_commit.clone(),
            progress: config.progress.clone(),
            ..CommitOptions::default()
        };
        // The gate speaks before the Hub hears anything, the repository's name included.
        let cleared = repo.clear(operations, &options).await?;
        let created = repo
            .create(&CreateOptions {
                private: config.private,
                exist_ok: true,
            })
            .await?;
        if created.existed && config.private && !repo.info(None).await?.private {
            return Err(invalid(format!(
                "{} exists and is public, but the upload was to be private; make the repository private, choose another \
                 name, or ask for a public upload",
                repo.repo_id()
            )));
        }
        let stale = (created.existed && !stale.is_empty())
            .then(|| Patterns::parse(stale))
            .transpose()?;
        let CommitInfo { oid, changed, .. } = repo.commit_cleared(cleared, stale, &options).await?;
        Ok(UploadedDataset {
            repo_id: repo.repo_id().clone(),
            revision: oid,
            url: repo.url(),
            changed,
        })
    }

    /// Downloads a dataset repository into `local_path`; see [`RepoFiles::download_snapshot`].
    ///
    /// # Errors
    ///
    /// As [`RepoFiles::download_snapshot`].
    pub async fn download_dataset(
        &self,
        repo_id: &str,
        local_path: &Path,
        options: &DownloadOptions,
    ) -> Result<Snapshot, HfError> {
        self.repo(repo_id)?.download_snapshot(local_path, options).await
    }

    /// Lists the dataset repositories of the namespace whose name starts with `prefix`. `GET /api/datasets`
    ///
    /// # Errors
    ///
    /// Any [`HfError`].
    ///
    /// # Source
    ///
    /// Hub OpenAPI: there is no prefix parameter, so `author` and `search` narrow the list and the rest is done here.
    pub async fn list_datasets(&self, prefix: &str) -> Result<Vec<DatasetSummary>, HfError> {
        let mut query = vec![
            ("author", self.namespace.as_str()),
            ("limit", "1000"),
            ("full", "true"),
        ];
        if !prefix.is_empty() {
            query.push(("search", prefix));
        }
        let start = format!("{}/{prefix}", self.namespace);
        let mut pages = self.client.pages::<WireSummary>("/api/datasets", &query);
        let mut found = Vec::new();
        while let Some(item) = pages.next().await.transpose()? {
            if item.id.starts_with(&start) {
                found.push(DatasetSummary {
                    repo_id: item.id,
                    private: item.private,
                    last_modified: item.last_modified,
                    tags: item.tags.unwrap_or_default(),
                    downloads: item.downloads.unwrap_or(0),
                });
            }
        }
        found.sort_by(|a, b| a.repo_id.cmp(&b.repo_id));
        Ok(found)
    }

    /// Deletes a dataset repository with everything in it.
    ///
    /// # Errors
    ///
    /// As [`RepoFiles::delete`].
    pub async fn delete_dataset(&self, repo_id: &str) -> Result<(), HfError> {
        self.repo(repo_id)?.delete().await
    }
}
