//! Making, moving and describing repos.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::repos::Visibility;
use crate::spaces::Pair;

/// `POST /api/repos/create`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateRepo {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) organization: Option<String>,
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) visibility: Option<Visibility>,
    #[serde(default)]
    pub(crate) private: Option<bool>,
    #[serde(default)]
    pub(crate) sdk: Option<String>,
    #[serde(default)]
    pub(crate) license: Option<String>,
    #[serde(default)]
    pub(crate) files: Vec<InitialFile>,
    /// Of a Space, as the fields below.
    #[serde(default)]
    pub(crate) hardware: Option<String>,
    #[serde(default)]
    pub(crate) sleep_time_seconds: Option<i64>,
    #[serde(default)]
    pub(crate) secrets: Vec<Pair>,
    #[serde(default)]
    pub(crate) variables: Vec<Pair>,
    #[serde(default)]
    pub(crate) dev_mode_enabled: Option<bool>,
}

/// A file of the first commit.
#[derive(Debug, Deserialize)]
pub(crate) struct InitialFile {
    pub(crate) path: String,
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) encoding: Option<String>,
}

/// The reply to a creation.
#[derive(Debug, Serialize)]
pub(crate) struct Created {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) id: String,
}

/// 409: the reply to a creation of what is there.
#[derive(Debug, Serialize)]
pub(crate) struct AlreadyThere {
    pub(crate) error: String,
    pub(crate) url: String,
}

/// `DELETE /api/repos/delete`
#[derive(Debug, Deserialize)]
pub(crate) struct DeleteRepo {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) organization: Option<String>,
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
}

/// `POST /api/repos/move`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MoveRepo {
    pub(crate) from_repo: String,
    pub(crate) to_repo: String,
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
}

/// The description of a repo. Fields are there when they were asked for and the kind of repo has them.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RepoInfo {
    #[serde(rename = "_id")]
    pub(crate) oid: String,
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) private: Option<bool>,
    #[serde(rename = "pipeline_tag", skip_serializing_if = "Option::is_none")]
    pub(crate) pipeline_tag: Option<String>,
    #[serde(rename = "library_name", skip_serializing_if = "Option::is_none")]
    pub(crate) library_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) downloads: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) downloads_all_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) likes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trending_score: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gated: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disabled: Option<bool>,
    #[serde(rename = "model-index", skip_serializing_if = "Option::is_none")]
    pub(crate) model_index: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) card_data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sdk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subdomain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runtime: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) siblings: Option<Vec<Sibling>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spaces: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inference: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inference_provider_mapping: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) used_storage: Option<u64>,
}

/// A file of a repo, in its description.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sibling {
    pub(crate) rfilename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blob_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lfs: Option<SiblingLfs>,
}

/// A large file, in the description of its repo.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SiblingLfs {
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) pointer_size: u64,
}

/// `GET /api/settings/repositories`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RepoStorage {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) updated_at: String,
    pub(crate) visibility: &'static str,
    pub(crate) storage: u64,
    pub(crate) storage_percent: f64,
}
