//! Volumes: repositories and buckets in the folder of a job.
//!
//! A process on this machine has no container to mount into, so a volume's files are copied below the job's own folder when an
//! attempt starts. Words of the command and values of the environment that are the mount path, or begin with it, are changed to that
//! place; what has the path inside (a script's text) finds nothing there. Repositories are read-only. What a job writes into a bucket's
//! volume stays in its folder and is not sent to the bucket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::environment::make_folder;
use super::spec::{JobSpec, Problems};
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::repos::{RepoId, RepoKind, RepoPath, export, write_file};
use crate::state::Hub;

const MAX_MOUNT_PATH: usize = 1024;

/// A volume as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VolumeSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) mount_path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

impl VolumeSpec {
    fn name(&self) -> Option<(&str, &str)> {
        self.source.split_once('/')
    }

    fn repo(&self) -> Option<RepoId> {
        let kind = RepoKind::parse(&self.kind)?;
        let (namespace, name) = self.name()?;
        Some(RepoId::new(kind, namespace, name))
    }

    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    fn is_read_only(&self) -> bool {
        self.kind != "bucket" || self.read_only == Some(true)
    }

    fn place(&self, root: &Path) -> PathBuf {
        root.join(self.mount_path.trim_matches('/'))
    }
}

/// Reads the field `volumes` of a submission.
pub(super) fn parse(problems: &mut Problems, body: &Map<String, Value>) -> Vec<VolumeSpec> {
    let items = match body.get("volumes") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            problems.add("Invalid input: expected array", "volumes");
            return Vec::new();
        }
    };
    let mut volumes: Vec<VolumeSpec> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let at = |field: &str| format!("volumes[{index}].{field}");
        let Ok(volume) = serde_json::from_value::<VolumeSpec>(item.clone()) else {
            problems.add(
                "Invalid input: expected an object with type, source and mountPath",
                &format!("volumes[{index}]"),
            );
            continue;
        };
        let kinds = ["bucket", "model", "dataset", "space"];
        if !kinds.contains(&volume.kind.as_str()) {
            problems.no_option(&kinds, &at("type"));
        }
        if volume
            .name()
            .is_none_or(|(namespace, name)| namespace.is_empty() || name.is_empty() || name.contains('/'))
        {
            problems.add("Invalid string: expected namespace/name", &at("source"));
        }
        let parts = volume.mount_path.trim_matches('/').split('/');
        let plain = volume.mount_path.len() <= MAX_MOUNT_PATH
            && parts
                .into_iter()
                .all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
        if !volume.mount_path.starts_with('/') || !plain {
            problems.add("Invalid string: expected an absolute path", &at("mountPath"));
        }
        let same = |other: &VolumeSpec| {
            other.mount_path.trim_end_matches('/') == volume.mount_path.trim_end_matches('/')
        };
        if volumes.iter().any(same) {
            problems.add("Invalid input: two volumes have one mount path", &at("mountPath"));
        }
        volumes.push(volume);
    }
    volumes
}

/// Refuses volumes that the caller may not read, or that are not there.
pub(super) async fn check(hub: &Hub, caller: &Caller, spec: &JobSpec) -> HubResult<()> {
    for volume in &spec.volumes {
        if let Some(id) = volume.repo() {
            let repo = caller.require_read(hub, &id).await?;
            hub.revision(&repo, volume.revision()).await?;
        } else {
            crate::buckets::require_read(hub, caller, &volume.source).await?;
        }
    }
    Ok(())
}

/// Where the volumes of a job are.
#[derive(Clone, Debug, Default)]
pub(super) struct Mounts(Vec<(String, String)>);

impl Mounts {
    /// A word with the mount path it names changed to the real place; `--flag=/data/x` too.
    pub(super) fn map(&self, word: &str) -> String {
        if let Some(mapped) = self.map_path(word) {
            return mapped;
        }
        if let Some((flag, value)) = word.split_once('=')
            && let Some(mapped) = self.map_path(value)
        {
            return format!("{flag}={mapped}");
        }
        word.to_owned()
    }

    fn map_path(&self, path: &str) -> Option<String> {
        self.0.iter().find_map(|(mount, place)| {
            let rest = path.strip_prefix(mount.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{place}{rest}"))
        })
    }
}

/// Copies the volumes of a job below `root`.
///
/// # Errors
/// What to tell whoever reads the log.
pub(super) async fn mount(hub: &Arc<Hub>, spec: &JobSpec, root: &Path) -> Result<Mounts, String> {
    let mut mounts = Vec::new();
    let mut volumes: Vec<&VolumeSpec> = spec.volumes.iter().collect();
    // A volume inside another comes after it.
    volumes.sort_by_key(|volume| volume.mount_path.len());
    for volume in &volumes {
        let place = volume.place(root);
        fill(hub, volume, &place).await.map_err(|why| {
            format!(
                "The volume {} {} at {} could not be mounted: {why}",
                volume.kind, volume.source, volume.mount_path
            )
        })?;
        let mount = volume.mount_path.trim_end_matches('/').to_owned();
        mounts.push((mount, place.to_string_lossy().into_owned()));
    }
    for volume in volumes.iter().filter(|volume| volume.is_read_only()) {
        let place = volume.place(root);
        let nested: Vec<PathBuf> = volumes
            .iter()
            .filter(|other| !other.is_read_only())
            .map(|other| other.place(root))
            .collect();
        let locked = tokio::task::spawn_blocking(move || lock(&place, &nested)).await;
        if !matches!(locked, Ok(Ok(()))) {
            return Err(format!(
                "The volume at {} could not be made read-only",
                volume.mount_path
            ));
        }
    }
    // The innermost mount path is the one that counts.
    mounts.reverse();
    Ok(Mounts(mounts))
}

async fn fill(hub: &Arc<Hub>, volume: &VolumeSpec, place: &Path) -> Result<(), String> {
    let failed = |error: HubError| error.message().to_owned();
    let broken = |error: io::Error| error.to_string();
    make_folder(place).await.map_err(broken)?;
    let inside = volume
        .path
        .as_deref()
        .map(|path| path.trim_matches('/'))
        .filter(|path| !path.is_empty());
    let Some(id) = volume.repo() else {
        let files = crate::buckets::files_below(hub, &volume.source, inside)
            .await
            .map_err(failed)?;
        for (name, hash) in files {
            let bytes = crate::buckets::read(hub, &hash).map_err(failed)?;
            write_file(&place.join(&name), bytes).await.map_err(broken)?;
        }
        return Ok(());
    };
    let repo = hub.find_repo(&id).await.map_err(failed)?.ok_or("it is gone")?;
    let commit = hub.revision(&repo, volume.revision()).await.map_err(failed)?;
    let base = inside.map(RepoPath::parse).transpose().map_err(failed)?;
    let folder = hub
        .folder(commit.tree, base.as_ref())
        .await
        .map_err(failed)?
        .ok_or("there is no such folder in it")?;
    export(hub, folder, base.as_ref(), place).await
}

/// Takes the right to write from everything below a folder, but not from the folders in `except`.
fn lock(folder: &Path, except: &[PathBuf]) -> io::Result<()> {
    if except.iter().any(|other| other == folder) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            lock(&entry.path(), except)?;
        } else {
            set_mode(&entry.path(), 0o444)?;
        }
    }
    set_mode(folder, 0o555)
}

/// Gives the right to write back, so that the folders can be removed.
pub(super) fn unlock(folder: &Path) -> io::Result<()> {
    set_mode(folder, 0o700)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            unlock(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_paths_in_words_become_places() {
        let mounts = Mounts(vec![
            ("/data/in".into(), "/j/mnt/data/in".into()),
            ("/data".into(), "/j/mnt/data".into()),
        ]);
        for (word, mapped) in [
            ("/data", "/j/mnt/data"),
            ("/data/x.py", "/j/mnt/data/x.py"),
            ("/data/in/y", "/j/mnt/data/in/y"),
            ("--from=/data/x", "--from=/j/mnt/data/x"),
            ("/database", "/database"),
            ("x/data", "x/data"),
            ("", ""),
        ] {
            assert_eq!(mounts.map(word), mapped, "{word}");
        }
    }
}
