//! The shapes of the Hub's answers. Fields the crate does not use are not read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{RepoInfo, Sibling, TreeEntry, TreeKind};

#[derive(Debug, Deserialize)]
pub(super) struct Created {
    pub(super) url: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    id: String,
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    last_modified: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    used_storage: Option<u64>,
    #[serde(default)]
    siblings: Option<Vec<InfoSibling>>,
}

#[derive(Debug, Deserialize)]
struct InfoSibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
}

impl From<Info> for RepoInfo {
    fn from(info: Info) -> Self {
        Self {
            id: info.id,
            sha: info.sha,
            private: info.private,
            last_modified: info.last_modified,
            tags: info.tags.unwrap_or_default(),
            used_storage_bytes: info.used_storage,
            siblings: info
                .siblings
                .unwrap_or_default()
                .into_iter()
                .map(|sibling| Sibling {
                    path: sibling.rfilename,
                    size_bytes: sibling.size,
                })
                .collect(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tree {
    #[serde(rename = "type")]
    kind: String,
    pub(super) path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    #[serde(default)]
    lfs: Option<TreeLfs>,
    #[serde(default)]
    xet_hash: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TreeLfs {
    oid: String,
}

impl From<Tree> for TreeEntry {
    fn from(entry: Tree) -> Self {
        Self {
            kind: if entry.kind == "directory" {
                TreeKind::Folder
            } else {
                TreeKind::File
            },
            path: entry.path,
            size_bytes: entry.size,
            oid: entry.oid,
            sha256: entry.lfs.map(|lfs| lfs.oid),
            xet_hash: entry.xet_hash,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preupload {
    pub(super) files: Vec<PreuploadFile>,
    #[serde(default)]
    pub(super) commit_oid: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PreuploadFile {
    pub(super) path: String,
    pub(super) upload_mode: String,
    #[serde(default)]
    pub(super) should_ignore: bool,
    #[serde(default)]
    pub(super) oid: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Committed {
    pub(super) commit_oid: String,
    #[serde(default)]
    pub(super) commit_url: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HistoryEntry {
    pub(super) id: String,
    #[serde(default)]
    pub(super) title: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct YamlCheck {
    #[serde(default)]
    pub(super) warnings: Vec<YamlMessage>,
    #[serde(default)]
    pub(super) errors: Vec<YamlMessage>,
}

#[derive(Debug, Deserialize)]
pub(super) struct YamlMessage {
    pub(super) message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct LfsBatch {
    #[serde(default)]
    pub(super) transfer: Option<String>,
    pub(super) objects: Vec<LfsObject>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LfsObject {
    pub(super) oid: String,
    #[serde(default)]
    pub(super) actions: Option<LfsActions>,
    #[serde(default)]
    pub(super) error: Option<LfsError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LfsActions {
    #[serde(default)]
    pub(super) upload: Option<LfsAction>,
    #[serde(default)]
    pub(super) verify: Option<LfsAction>,
}

#[derive(Debug, Deserialize, Clone)]
pub(super) struct LfsAction {
    pub(super) href: String,
    #[serde(default, deserialize_with = "texts")]
    pub(super) header: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LfsError {
    #[serde(default)]
    pub(super) code: u32,
    #[serde(default)]
    pub(super) message: String,
}

/// Reads a map whose values are texts or numbers.
fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let map = Option::<BTreeMap<String, serde_json::Value>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(map
        .into_iter()
        .map(|(key, value)| match value {
            serde_json::Value::String(text) => (key, text),
            other => (key, other.to_string()),
        })
        .collect())
}
