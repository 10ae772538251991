//! What is mounted into a job.

use hf_core::{HfError, RepoId, Revision};
use serde::{Deserialize, Serialize};

use crate::info::JobInfo;

/// A repository or bucket mounted into a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: VolumeKind,
    /// Its id, `namespace/name`.
    pub source: String,
    /// Where it appears, an absolute path.
    pub mount_path: String,
    /// The revision of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Whether a bucket is not to be written; repositories never are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// The folder inside that is mounted, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A storage bucket.
    Bucket,
    /// A model repository.
    Model,
    /// A dataset repository.
    Dataset,
    /// A Space's repository.
    Space,
}

impl Volume {
    /// Reads the official client's way to write a volume: `hf://[TYPE/]ID[@REVISION][/PATH]:/MOUNT[:ro|:rw]`.
    ///
    /// A model needs no type. A revision with a slash is written with `%2F`, except `refs/pr/N` and `refs/convert/NAME`.
    ///
    /// ```
    /// let volume = hf_jobs::Volume::parse("hf://datasets/ada/words@v1/train:/data:ro").unwrap();
    /// assert_eq!((volume.source.as_str(), volume.mount_path.as_str()), ("ada/words", "/data"));
    /// assert_eq!((volume.revision.as_deref(), volume.path.as_deref()), (Some("v1"), Some("train")));
    /// ```
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] naming what is wrong with it.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `utils/_hf_uris.py`, `parse_hf_mount`.
    pub fn parse(text: &str) -> Result<Self, HfError> {
        let wrong = |why: &str| {
            HfError::invalid(format!(
                "the volume {text:?} {why}; expected hf://[models/|datasets/|spaces/|buckets/]NAMESPACE/NAME[@REVISION][/PATH]:/MOUNT[:ro|:rw]"
            ))
        };
        let body = text
            .strip_prefix("hf://")
            .ok_or_else(|| wrong("does not begin with hf://"))?;
        let (body, read_only) = match (body.strip_suffix(":ro"), body.strip_suffix(":rw")) {
            (Some(body), _) => (body, Some(true)),
            (_, Some(body)) => (body, Some(false)),
            _ => (body, None),
        };
        let at = body.rfind(":/").ok_or_else(|| wrong("names no mount path"))?;
        let (location, mount_path) = (&body[..at], &body[at + 1..]);
        let (first, rest) = location.split_once('/').unwrap_or((location, ""));
        let (kind, location) = match first {
            "models" | "model" => (VolumeKind::Model, rest),
            "datasets" | "dataset" => (VolumeKind::Dataset, rest),
            "spaces" | "space" => (VolumeKind::Space, rest),
            "buckets" | "bucket" => (VolumeKind::Bucket, rest),
            _ => (VolumeKind::Model, location),
        };
        let (namespace, rest) = location
            .split_once('/')
            .ok_or_else(|| wrong("names no namespace and name"))?;
        let (name, revision, path) = match rest.split_once('@') {
            Some((name, rest)) if !name.contains('/') => {
                let (revision, path) = split_revision(rest);
                (name, Some(revision), path)
            }
            _ => {
                let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
                (name, None, path)
            }
        };
        let source = RepoId::parse(&format!("{namespace}/{name}"))?.to_string();
        if let Some(revision) = &revision {
            if kind == VolumeKind::Bucket {
                return Err(wrong("names a revision, which a bucket has not"));
            }
            Revision::parse(revision)?;
        }
        Ok(Self {
            kind,
            source,
            mount_path: mount_path.to_owned(),
            revision,
            read_only,
            path: Some(path.trim_matches('/').to_owned()).filter(|path| !path.is_empty()),
        })
    }
}

/// Takes a revision off the beginning of a path.
fn split_revision(text: &str) -> (String, &str) {
    let parts = if text.starts_with("refs/pr/") || text.starts_with("refs/convert/") {
        3
    } else {
        1
    };
    let end = text
        .match_indices('/')
        .nth(parts - 1)
        .map_or(text.len(), |(at, _)| at);
    let path = text.get(end + 1..).unwrap_or_default();
    (text[..end].replace("%2F", "/").replace("%2f", "/"), path)
}

impl JobInfo {
    /// What is mounted, as far as this version knows it; [`JobInfo::volumes`] has all as the Hub writes it.
    pub fn mounted(&self) -> Vec<Volume> {
        self.volumes
            .iter()
            .filter_map(|volume| serde_json::from_value(volume.clone()).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn volumes_are_read_as_the_official_client_reads_them() {
        let read = |text: &str| {
            let volume = Volume::parse(text).unwrap();
            serde_json::to_value(volume).unwrap()
        };
        assert_eq!(
            read("hf://org/model:/data:ro"),
            serde_json::json!({"type": "model", "source": "org/model", "mountPath": "/data", "readOnly": true})
        );
        assert_eq!(
            read("hf://buckets/org/b/sub/dir:/mnt:rw"),
            serde_json::json!({"type": "bucket", "source": "org/b", "mountPath": "/mnt", "readOnly": false, "path": "sub/dir"})
        );
        assert_eq!(
            read("hf://datasets/org/d@refs/pr/3/train:/d"),
            serde_json::json!({"type": "dataset", "source": "org/d", "mountPath": "/d", "revision": "refs/pr/3", "path": "train"})
        );
        assert_eq!(read("hf://spaces/org/s@a%2Fb:/s")["revision"], "a/b");
        for text in [
            "org/model:/data",
            "hf://org/model",
            "hf://model:/data",
            "hf://buckets/a/b@main:/d",
            "hf://:/d",
        ] {
            assert!(Volume::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = Volume::parse(&text);
            let _ = Volume::parse(&format!("hf://{text}:/x"));
        }
    }
}
