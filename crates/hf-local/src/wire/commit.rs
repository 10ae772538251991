//! Uploading.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `POST .../preupload/{rev}`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preupload {
    pub(crate) files: Vec<PreuploadFile>,
    #[serde(default)]
    pub(crate) git_attributes: Option<String>,
    #[serde(default)]
    pub(crate) git_ignore: Option<String>,
}

/// A file to be uploaded.
#[derive(Debug, Deserialize)]
pub(crate) struct PreuploadFile {
    pub(crate) path: String,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) sample: String,
}

/// How to upload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreuploadReply {
    pub(crate) files: Vec<PreuploadAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit_oid: Option<String>,
}

/// How to upload one file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PreuploadAnswer {
    pub(crate) path: String,
    pub(crate) upload_mode: &'static str,
    pub(crate) should_ignore: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oid: Option<String>,
}

/// A line of a commit.
#[derive(Debug, Deserialize)]
pub(crate) struct CommitLine<'a> {
    #[serde(borrow)]
    pub(crate) key: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) value: &'a RawValue,
}

/// `header`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitHeader {
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) parent_commit: Option<String>,
}

/// `file`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitFile<'a> {
    #[serde(borrow)]
    pub(crate) path: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) content: Cow<'a, str>,
    #[serde(default)]
    pub(crate) encoding: Option<String>,
    #[serde(default)]
    pub(crate) old_path: Option<String>,
}

/// `lfsFile`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitLfsFile {
    pub(crate) path: String,
    pub(crate) oid: String,
    #[serde(default)]
    pub(crate) algo: Option<String>,
    #[serde(default)]
    pub(crate) size: Option<u64>,
    #[serde(default)]
    pub(crate) old_path: Option<String>,
}

/// `deletedFile`, `deletedFolder`, `deletedEntry`
#[derive(Debug, Deserialize)]
pub(crate) struct CommitPath {
    pub(crate) path: String,
}

/// `copyFile`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitCopy {
    pub(crate) path: String,
    #[serde(alias = "srcPath", alias = "oldPath")]
    pub(crate) src_path: String,
    #[serde(default, alias = "srcRevision")]
    pub(crate) src_revision: Option<String>,
}

/// The reply to a commit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitReply {
    pub(crate) success: bool,
    pub(crate) commit_oid: String,
    pub(crate) commit_url: String,
    pub(crate) hook_output: String,
}

/// `POST /api/validate-yaml`
#[derive(Debug, Deserialize)]
pub(crate) struct ValidateYaml {
    #[serde(default)]
    pub(crate) content: String,
}

/// What is wrong with a card.
#[derive(Debug, Serialize)]
pub(crate) struct YamlReport {
    pub(crate) warnings: Vec<YamlMessage>,
    pub(crate) errors: Vec<YamlMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// One thing that is wrong with a card.
#[derive(Debug, Serialize)]
pub(crate) struct YamlMessage {
    pub(crate) message: String,
}

/// `POST .../info/lfs/objects/batch`
#[derive(Debug, Deserialize)]
pub(crate) struct LfsBatch {
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) transfers: Vec<String>,
    pub(crate) objects: Vec<LfsObject>,
    #[serde(default)]
    pub(crate) hash_algo: Option<String>,
    #[serde(default, rename = "ref")]
    pub(crate) reference: Option<LfsRef>,
}

/// The branch an upload is for.
#[derive(Debug, Deserialize)]
pub(crate) struct LfsRef {
    pub(crate) name: String,
}

/// A large file, in LFS calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LfsObject {
    pub(crate) oid: String,
    pub(crate) size: u64,
}

/// The reply to a batch.
#[derive(Debug, Serialize)]
pub(crate) struct LfsBatchReply {
    pub(crate) transfer: &'static str,
    pub(crate) objects: Vec<LfsAnswer>,
}

/// What to do with one object: nothing, if it has neither actions nor an error.
#[derive(Debug, Serialize)]
pub(crate) struct LfsAnswer {
    pub(crate) oid: String,
    pub(crate) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authenticated: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) actions: BTreeMap<&'static str, LfsAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<LfsError>,
}

/// Where to send or fetch.
#[derive(Debug, Serialize)]
pub(crate) struct LfsAction {
    pub(crate) href: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) header: BTreeMap<String, String>,
}

/// Why an object can't be moved.
#[derive(Debug, Serialize)]
pub(crate) struct LfsError {
    pub(crate) code: u16,
    pub(crate) message: String,
}

/// The completion of an upload in parts.
#[derive(Debug, Deserialize)]
pub(crate) struct LfsComplete {
    pub(crate) parts: Vec<LfsPart>,
}

/// One part of an upload.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LfsPart {
    pub(crate) part_number: u64,
    pub(crate) etag: String,
}
