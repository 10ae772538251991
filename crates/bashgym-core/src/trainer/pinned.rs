//! What a job runs is committed before it runs, so that afterwards one can see what ran.
//!
//! The files go to the output repository, in the folder `training`: the job's token must be able to write there
//! anyway, no second repository needs a permission, and whoever gets the model gets the script and the decisions that made it.

use hf_core::{HfClient, RepoType};
use hf_datasets::{CommitOperation, CommitOptions, CreateOptions, RepoFiles};
use serde::{Deserialize, Serialize};

use crate::CoreError;
use crate::publish::PublishGate;

/// A file that a job runs or reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFile {
    /// Its path in the repository.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Where the committed files are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedCode {
    /// The model repository, `namespace/name`.
    pub repo_id: String,
    /// The commit, 40 hex digits.
    pub revision: String,
}

impl PinnedCode {
    /// The folder of the repository that holds the files.
    pub const FOLDER: &'static str = "training";
    /// The file with everything that was decided.
    pub const CONFIG: &'static str = "training/config.json";
}

/// Commits the files, in one commit, once the gate has passed them; the same files again make none.
pub(crate) async fn commit(
    client: &HfClient,
    repo_id: &str,
    files: Vec<CodeFile>,
    gate: &PublishGate,
) -> Result<PinnedCode, CoreError> {
    let id = repo_id
        .parse()
        .map_err(CoreError::hub("take the repository's name"))?;
    let repo = RepoFiles::new(client, RepoType::Model, id).with_gate(gate.upload_gate());
    repo.create(&CreateOptions::default())
        .await
        .map_err(CoreError::hub("make the output repository"))?;
    let operations: Vec<CommitOperation> = files
        .into_iter()
        .map(|file| CommitOperation::add_bytes(file.path, file.text.into_bytes()))
        .collect();
    let options = CommitOptions {
        message: "What the training job runs".to_owned(),
        ..CommitOptions::default()
    };
    let commit = repo.commit(operations, &options).await.map_err(|error| {
        gate.refusal()
            .unwrap_or_else(|| CoreError::hub("take the training script")(error))
    })?;
    Ok(PinnedCode {
        repo_id: repo_id.to_owned(),
        revision: commit.oid,
    })
}
