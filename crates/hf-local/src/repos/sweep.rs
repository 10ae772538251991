//! Giving back the room of what no repo holds any more.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;

use crate::large::blocking;
use crate::reply::HubResult;
use crate::state::dirs::Dirs;
use crate::state::{AppState, Hub};

/// How often it is looked, besides after each deletion.
const EVERY: Duration = Duration::from_hours(1);
/// How long to wait for uploads that are running.
const AGAIN: Duration = Duration::from_secs(5);
/// How long an uploaded object waits for the commit that will name it.
const WAITS: Duration = Duration::from_hours(24);

/// What one sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) blobs: usize,
    pub(crate) objects: usize,
}

/// Sweeps after deletions, and from time to time, until the Hub shuts down.
pub(crate) async fn keep_sweeping(hub: AppState) {
    loop {
        let wait = match hub.sweep().await {
            Ok(Some(swept)) => {
                if swept != Swept::default() {
                    tracing::info!(swept.blobs, swept.objects, "removed what no repo holds");
                }
                EVERY
            }
            Ok(None) => AGAIN,
            Err(error) => {
                tracing::warn!(?error, "could not remove what no repo holds");
                EVERY
            }
        };
        tokio::select! {
            () = hub.closing.cancelled() => return,
            () = hub.sweeping.asked.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Keeps uploads and sweeps apart.
#[derive(Debug, Default)]
pub(crate) struct Sweeping {
    /// Held for reading while a commit comes in: its blobs have no repo yet.
    pub(crate) uploads: tokio::sync::RwLock<()>,
    asked: tokio::sync::Notify,
}

impl Sweeping {
    /// Asks for a sweep soon.
    pub(crate) fn ask(&self) {
        self.asked.notify_one();
    }
}

impl Hub {
    /// Removes blobs no repo holds, the large objects only those named, and objects that waited a day for their commit.
    /// Does nothing, and returns `None`, while a commit comes in.
    pub(crate) async fn sweep(self: &AppState) -> HubResult<Option<Swept>> {
        let Ok(_alone) = self.sweeping.uploads.try_write() else {
            return Ok(None);
        };
        let mut tx = self.db.write().await?;
        let gone = sqlx::query(
            "DELETE FROM blobs WHERE NOT EXISTS (SELECT 1 FROM repo_blobs rb WHERE rb.oid = blobs.oid)
             RETURNING lfs_oid",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut named: HashSet<String> = HashSet::new();
        for row in &gone {
            named.extend(row.try_get::<Option<String>, _>("lfs_oid")?);
        }
        let (blobs_dir, lfs_dir) = (self.dirs.blobs(), self.dirs.lfs());
        let (blob_files, lfs_files) = blocking(move || Ok((files(&blobs_dir)?, files(&lfs_dir)?))).await?;
        for oid in blob_files {
            if !self.knows("SELECT 1 FROM blobs WHERE oid = ?", &oid).await? {
                remove(&Dirs::sharded(&self.dirs.blobs(), &oid))?;
            }
        }
        let mut objects = 0;
        for sha256 in lfs_files {
            let path = self.large.lfs.path(&sha256);
            if (named.contains(&sha256) || has_waited(&path))
                && !self.large.lfs.is_promised(&sha256, self.clock.now_ms())
                && !self
                    .knows("SELECT 1 FROM blobs WHERE lfs_oid = ?", &sha256)
                    .await?
            {
                remove(&path)?;
                objects += 1;
            }
        }
        Ok(Some(Swept {
            blobs: gone.len(),
            objects,
        }))
    }

    async fn knows(&self, sql: &'static str, name: &str) -> HubResult<bool> {
        let found: Option<i64> = sqlx::query_scalar(sql)
            .bind(name)
            .fetch_optional(self.db.read())
            .await?;
        Ok(found.is_some())
    }
}

/// Starts the sweeps of a Hub.
pub(crate) fn start(hub: &Arc<Hub>) {
    tokio::spawn(keep_sweeping(Arc::clone(hub)));
}

fn has_waited(path: &Path) -> bool {
    let age = fs::metadata(path)
        .and_then(|data| data.modified())
        .map(|at| at.elapsed().unwrap_or_default());
    age.is_ok_and(|age| age > WAITS)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Lists the names in `aa/bb/`.
fn files(base: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for first in folders(base)? {
        for second in folders(&first)? {
            for entry in fs::read_dir(second)? {
                names.extend(entry?.file_name().into_string().ok());
            }
        }
    }
    Ok(names)
}

fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
