//! Trees, refs and history.

use serde::{Deserialize, Serialize};

/// A file or folder of a tree.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TreeItem {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) oid: String,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lfs: Option<TreeLfs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) xet_hash: Option<String>,
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_commit: Option<TreeCommit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) security_file_status: Option<SecurityStatus>,
}

/// A large file of a tree.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TreeLfs {
    pub(crate) oid: String,
    pub(crate) size: u64,
    pub(crate) pointer_size: u64,
}

/// The commit that last changed an item.
#[derive(Debug, Serialize)]
pub(crate) struct TreeCommit {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) date: String,
}

/// What scanners said. No scanner runs here, and the status says so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecurityStatus {
    pub(crate) status: &'static str,
    pub(crate) av_scan: Option<()>,
    pub(crate) pickle_import_scan: Option<()>,
}

impl SecurityStatus {
    /// What the Hub says of a file no scanner has seen.
    pub(crate) const UNSCANNED: Self = Self {
        status: "unscanned",
        av_scan: None,
        pickle_import_scan: None,
    };
}

/// The body of `POST .../paths-info/{rev}` as JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct PathsInfo {
    pub(crate) paths: OneOrMany,
    #[serde(default)]
    pub(crate) expand: bool,
}

/// A list, or its only item.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// `GET .../treesize/{rev}/{path}`
#[derive(Debug, Serialize)]
pub(crate) struct TreeSize {
    pub(crate) path: String,
    pub(crate) size: u64,
}

/// `GET .../refs`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refs {
    pub(crate) branches: Vec<RefItem>,
    pub(crate) converts: Vec<RefItem>,
    pub(crate) tags: Vec<RefItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pull_requests: Option<Vec<RefItem>>,
}

/// A branch or tag.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RefItem {
    pub(crate) name: String,
    #[serde(rename = "ref")]
    pub(crate) full: String,
    pub(crate) target_commit: String,
}

/// `POST .../branch/{name}`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateBranch {
    #[serde(default)]
    pub(crate) starting_point: Option<String>,
    #[serde(default)]
    pub(crate) empty_branch: bool,
    #[serde(default)]
    pub(crate) overwrite: bool,
}

/// `POST .../tag/{rev}`
#[derive(Debug, Deserialize)]
pub(crate) struct CreateTag {
    pub(crate) tag: String,
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// `POST .../super-squash/{rev}`
#[derive(Debug, Deserialize)]
pub(crate) struct SuperSquash {
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// The reply to a squash.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Squashed {
    pub(crate) commit_id: String,
}

/// A commit of the history.
#[derive(Debug, Serialize)]
pub(crate) struct CommitItem {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) message: String,
    pub(crate) authors: Vec<CommitAuthor>,
    pub(crate) date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) formatted: Option<FormattedCommit>,
}

/// Who made a commit.
#[derive(Debug, Serialize)]
pub(crate) struct CommitAuthor {
    pub(crate) user: String,
    pub(crate) avatar: String,
}

/// Title and message as HTML.
#[derive(Debug, Serialize)]
pub(crate) struct FormattedCommit {
    pub(crate) title: String,
    pub(crate) message: String,
}
