//! A repository's files: what is there, and how it changes.

mod body;
mod commit;
mod large;
mod upload;
mod wire;
mod xet;

use std::path::PathBuf;

use futures::Stream;
use futures::StreamExt as _;
use hf_core::{HfClient, HfError, RepoId, RepoType, Resource, Revision, UploadGate, encode_path};
use serde_json::json;

pub use commit::{CommitInfo, CommitOperation, CommitOptions, LargeFiles, Source};
pub use upload::UploadOptions;

/// How often a call that met another operation on the same repository is repeated.
const BUSY_ATTEMPTS: u32 = 6;

/// A handle on one repository.
///
/// Cloning is cheap. Nothing is asked until a method is called.
#[derive(Debug, Clone)]
pub struct RepoFiles {
    pub(crate) client: HfClient,
    pub(crate) repo_type: RepoType,
    pub(crate) repo_id: RepoId,
    pub(crate) gate: UploadGate,
    pub(crate) xet_cache: Option<PathBuf>,
}

/// How a repository is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// Whether only its owner sees it. On by default.
    pub private: bool,
    /// Whether a repository that exists already is fine. On by default.
    pub exist_ok: bool,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            private: true,
            exist_ok: true,
        }
    }
}

/// The outcome of [`RepoFiles::create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedRepo {
    /// The repository's page.
    pub url: String,
    /// Whether it was there before.
    pub existed: bool,
}

/// What the Hub says about a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoInfo {
    /// The repository's id, as the Hub spells it.
    pub id: String,
    /// The commit the asked revision is at; `None` for a repository without commits.
    pub sha: Option<String>,
    /// Whether only its owner sees it.
    pub private: bool,
    /// When it last changed, as ISO 8601.
    pub last_modified: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// How much it stores, all revisions together, when the Hub says so.
    pub used_storage_bytes: Option<u64>,
    /// Its files.
    pub siblings: Vec<Sibling>,
}

/// A file as [`RepoInfo`] lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// The file's path.
    pub path: String,
    /// Its size, when the Hub says so.
    pub size_bytes: Option<u64>,
}

/// What a [`TreeEntry`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TreeKind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// A file or folder of a repository at some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// What it is.
    pub kind: TreeKind,
    /// Its path.
    pub path: String,
    /// Its size; 0 for a folder.
    pub size_bytes: u64,
    /// Git's id of the blob or tree; for a large file that of its pointer.
    pub oid: String,
    /// The SHA-256 of a large file's content.
    pub sha256: Option<String>,
    /// The Xet hash of a large file.
    pub xet_hash: Option<String>,
}

impl RepoFiles {
    /// Makes a handle. Uploads are refused toward every address but loopback until [`RepoFiles::with_gate`] says that
    /// the data passed the secret scan.
    pub fn new(client: &HfClient, repo_type: RepoType, repo_id: RepoId) -> Self {
        Self {
            client: client.clone(),
            repo_type,
            repo_id,
            gate: UploadGate::default(),
            xet_cache: None,
        }
    }

    /// Says what is known about the data to upload.
    #[must_use]
    pub fn with_gate(mut self, gate: UploadGate) -> Self {
        self.gate = gate;
        self
    }

    /// Keeps Xet's cache of known chunks in `folder`, so that the next upload of similar data sends less.
    ///
    /// Without it the cache lives in a temporary folder for the time of one upload.
    #[must_use]
    pub fn with_xet_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.xet_cache = Some(folder.into());
        self
    }

    /// The repository's id.
    pub fn repo_id(&self) -> &RepoId {
        &self.repo_id
    }

    /// The repository's type.
    pub fn repo_type(&self) -> RepoType {
        self.repo_type
    }

    /// The address of the repository's page.
    pub fn url(&self) -> String {
        format!(
            "{}/{}{}",
            self.client.endpoint(),
            self.repo_type.url_prefix(),
            self.repo_id
        )
    }

    pub(crate) fn api_path(&self) -> String {
        self.repo_id.api_path(self.repo_type)
    }

    /// Creates the repository. `POST /api/repos/create`
    ///
    /// # Errors
    ///
    /// [`HfError::Conflict`] when it exists and `exist_ok` is off; [`HfError::Forbidden`] when the token may not write
    /// in the namespace.
    ///
    /// # Source
    ///
    /// `huggingface_hub` 2.4.0 `hf_api.py` `create_repo`: with `exist_ok` a 409 is success, and so is a refusal for a
    /// repository that can be read.
    pub async fn create(&self, options: &CreateOptions) -> Result<CreatedRepo, HfError> {
        let body = json!({
            "name": self.repo_id.name(),
            "organization": self.repo_id.namespace(),
            "type": self.repo_type.as_str(),
            "visibility": if options.private { "private" } else { "public" },
        });
        let mut unclear = false;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answer: Result<wire::Created, HfError> =
                self.client.post_json("/api/repos/create", &body).await;
            let error = match answer {
                Ok(created) => {
                    return Ok(CreatedRepo {
                        url: created.url,
                        existed: false,
                    });
                }
                Err(error) => error,
            };
            let busy = is_busy(&error);
            if matches!(error, HfError::Conflict { .. }) && !busy {
                // After an unclear answer the repository that is there is the one this call made.
                if options.exist_ok || unclear {
                    return Ok(CreatedRepo {
                        url: self.url(),
                        existed: !unclear,
                    });
                }
                return Err(error);
            }
            if options.exist_ok
                && matches!(
                    error,
                    HfError::Auth { .. }
                        | HfError::Forbidden { .. }
                        | HfError::ProRequired { .. }
                        | HfError::QuotaExceeded { .. }
                )
                && self.info(None).await.is_ok()
            {
                return Ok(CreatedRepo {
                    url: self.url(),
                    existed: true,
                });
            }
            unclear |= error.is_ambiguous() && !busy;
            if attempt >= BUSY_ATTEMPTS || !(busy || error.is_transient()) {
                return Err(error);
            }
            self.client.clock().sleep(self.client.backoff(attempt)).await;
        }
    }

    /// Asks about the repository. `GET /api/{type}s/{id}[/revision/{rev}]`
    ///
    /// # Errors
    ///
    /// [`HfError::NotFound`] when the repository or the revision is missing or hidden.
    pub async fn info(&self, revision: Option<&Revision>) -> Result<RepoInfo, HfError> {
        let mut path = self.api_path();
        if let Some(revision) = revision {
            path.push_str("/revision/");
            path.push_str(&revision.encoded());
        }
        let info: wire::Info = self.client.get_json(&path, &[]).await?;
        Ok(info.into())
    }

    /// Says whether the repository is there and visible.
    ///
    /// # Errors
    ///
    /// Any [`HfError`] but the one that says it is missing. Without a token the Hub does not tell a missing repository
    /// from a private one; that is [`HfError::Auth`].
    pub async fn exists(&self) -> Result<bool, HfError> {
        match self.info(None).await {
            Ok(_) => Ok(true),
            Err(HfError::NotFound {
                resource: Resource::Repository,
                ..
            }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists the files of `folder` (the root if `None`), page by page. `GET /api/{type}s/{id}/tree/{rev}[/{path}]`
    ///
    /// # Errors
    ///
    /// Items are [`HfError::NotFound`] for a missing revision or folder, and others.
    pub fn list_tree(
        &self,
        revision: &Revision,
        folder: Option<&str>,
        recursive: bool,
    ) -> impl Stream<Item = Result<TreeEntry, HfError>> + Send + Unpin + use<> {
        let mut path = format!("{}/tree/{}", self.api_path(), revision.encoded());
        if let Some(folder) = folder
            .map(|folder| folder.trim_matches('/'))
            .filter(|folder| !folder.is_empty())
        {
            path.push('/');
            path.push_str(&encode_path(folder));
        }
        let recursive = if recursive { "true" } else { "false" };
        self.client
            .pages::<wire::Tree>(&path, &[("recursive", recursive)])
            .map(|entry| entry.map(TreeEntry::from))
    }

    /// Deletes the repository with everything in it. `DELETE /api/repos/delete`
    ///
    /// # Errors
    ///
    /// [`HfError::NotFound`] when it is missing; [`HfError::Forbidden`] when the token may not delete it.
    pub async fn delete(&self) -> Result<(), HfError> {
        let body = json!({
            "name": self.repo_id.name(),
            "organization": self.repo_id.namespace(),
            "type": self.repo_type.as_str(),
        });
        self.client.delete_json("/api/repos/delete", &body).await
    }
}

/// Says whether the Hub asks to wait for another operation on the same repository.
fn is_busy(error: &HfError) -> bool {
    matches!(error, HfError::Conflict { context }
        if context.server_message.as_deref().is_some_and(|text| text.contains("conflicting operation")))
}
