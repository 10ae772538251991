//! The file a download grows in.
//!
//! It lies beside its target as `<name>.<etag>.incomplete`, so that another process finds it and continues. One
//! thread writes and hashes; the network side hands it pieces over a short queue and never waits for the disk
//! longer than the queue is deep.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use hf_core::HfError;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::hash::{ContentHasher, ContentId, feed};
use crate::progress::Progress;
use crate::{invalid, io_error};

/// How many pieces may wait for the disk. A piece is what the network delivered at once, 400 KiB at most.
const QUEUE: usize = 8;
/// Progress is told at most once per this many bytes.
const PROGRESS_STEP: u64 = 4 * 1024 * 1024;
/// The longest file name the common file systems take.
const NAME_MAX: usize = 255;

/// An open partial file, locked against other processes.
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    // A partial file that another process holds is not shared: this download gets a name of its own, gone at the end.
    private: bool,
}

/// Names the partial file of a target.
fn partial_path(target: &Path, etag: &str) -> PathBuf {
    let name = target
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let etag: String = etag
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .take(80)
        .collect();
    let partial = format!("{name}.{etag}.incomplete");
    if partial.len() <= NAME_MAX {
        return target.with_file_name(partial);
    }
    let short = hex::encode(&Sha256::digest(name.as_bytes())[..8]);
    target.with_file_name(format!("{short}.{etag}.incomplete"))
}

impl Partial {
    /// Opens the partial file of `target`, or starts it; `None` while another download holds it. This call blocks.
    pub(crate) fn open(target: &Path, etag: &str) -> Result<Option<Self>, HfError> {
        let path = partial_path(target, etag);
        // Repeated only when a finished download moved the file to its target between opening and locking.
        for _ in 0..3 {
            if std::fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
                return Err(invalid(format!(
                    "{} is not a plain file; remove it",
                    path.display()
                )));
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|error| io_error("create", &path, error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                // Some network file systems have no locks; the hash at the end still catches a mix-up.
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(path = %path.display(), %error, "the partial file cannot be locked");
                }
            }
            if !still_there(&file, &path) {
                continue;
            }
            let length = file
                .metadata()
                .map_err(|error| io_error("look at", &path, error))?
                .len();
            return Ok(Some(Self {
                path,
                file,
                length,
                private: false,
            }));
        }
        Ok(None)
    }

    /// Starts a partial file of this download alone, removed if it does not finish. This call blocks.
    pub(crate) fn private(target: &Path) -> Result<Self, HfError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let process = std::process::id();
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = target.with_file_name(format!(".download-{process}-{number}.incomplete"));
            match OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
            {
                Ok(file) => {
                    return Ok(Self {
                        path,
                        file,
                        length: 0,
                        private: true,
                    });
                }
                // Left by a process of the same number that was killed.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("create", &path, error)),
            }
        }
    }

    /// Writes the whole content at once. This call blocks.
    pub(crate) fn write_whole(&mut self, content: &[u8]) -> Result<(), HfError> {
        self.file
            .write_all(content)
            .map_err(|error| io_error("write", &self.path, error))?;
        self.length = content.len() as u64;
        Ok(())
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Forgets what is there. This call blocks.
    pub(crate) fn clear(&mut self) -> Result<(), HfError> {
        self.file
            .set_len(0)
            .map_err(|error| io_error("shorten", &self.path, error))?;
        self.length = 0;
        Ok(())
    }

    /// Moves the finished file to its target. This call blocks.
    pub(crate) fn publish(mut self, target: &Path) -> Result<(), HfError> {
        std::fs::rename(&self.path, target)
            .map_err(|error| io_error("move the download to", target, error))?;
        self.private = false;
        Ok(())
    }

    /// Removes the file. This call blocks.
    pub(crate) fn discard(mut self) {
        self.private = false;
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.private {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Says whether `path` still names the open `file`: its former owner may have moved it to its target.
#[cfg(unix)]
fn still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.dev() == named.dev() && open.ino() == named.ino(),
        _ => false,
    }
}

#[cfg(not(unix))]
fn still_there(_file: &File, _path: &Path) -> bool {
    // An open file cannot be renamed here.
    true
}

/// The file and the hash of what it holds.
type Written = Result<(Partial, Option<ContentId>), HfError>;

enum Piece {
    Data(Bytes),
    Restart,
}

/// The writing side of a download: a thread that writes and hashes what it is given.
pub(crate) struct Writer {
    // Closed to let the thread come to its end.
    queue: Option<mpsc::Sender<Piece>>,
    task: Option<JoinHandle<Written>>,
    position: u64,
    // Gone when the download is dropped; the thread then stops reading what it would only hash.
    _alive: Arc<()>,
}

impl Writer {
    /// Starts the thread. What the file already holds is hashed first.
    ///
    /// `expected` chooses the hash; without it nothing is hashed. `total` is the file's full length, if known.
    pub(crate) fn start(
        partial: Partial,
        path: String,
        expected: Option<&ContentId>,
        total: u64,
        progress: Progress,
    ) -> Self {
        let (queue, pieces) = mpsc::channel(QUEUE);
        let position = partial.length;
        let expected = expected.cloned();
        let alive = Arc::new(());
        let watch = Arc::downgrade(&alive);
        let task = tokio::task::spawn_blocking(move || {
            write_pieces(
                partial,
                pieces,
                &path,
                expected.as_ref(),
                total,
                &progress,
                &watch,
            )
        });
        Self {
            queue: Some(queue),
            task: Some(task),
            position,
            _alive: alive,
        }
    }

    /// How many bytes the file will hold when all pieces are written.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Hands over a piece; waits while the queue is full. False when the thread gave up.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> bool {
        self.position += bytes.len() as u64;
        self.send(Piece::Data(bytes)).await
    }

    /// Starts again at the beginning. False when the thread gave up.
    pub(crate) async fn restart(&mut self) -> bool {
        self.position = 0;
        self.send(Piece::Restart).await
    }

    async fn send(&self, piece: Piece) -> bool {
        match &self.queue {
            Some(queue) => queue.send(piece).await.is_ok(),
            None => false,
        }
    }

    /// Why the thread gave up.
    pub(crate) async fn failure(&mut self) -> HfError {
        match self.end().await {
            Err(error) => error,
            Ok(_) => HfError::io(
                "write the download",
                std::io::Error::other("the writer ended early"),
            ),
        }
    }

    /// Waits for the last piece, and returns the file with its hash.
    pub(crate) async fn finish(mut self) -> Written {
        self.end().await
    }

    async fn end(&mut self) -> Written {
        self.queue = None;
        let Some(task) = self.task.take() else {
            return Err(HfError::io(
                "write the download",
                std::io::Error::other("the writer ended before"),
            ));
        };
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(HfError::io("write the download", std::io::Error::other(error))),
            },
        }
    }
}

fn write_pieces(
    mut partial: Partial,
    mut pieces: mpsc::Receiver<Piece>,
    path: &str,
    expected: Option<&ContentId>,
    total: u64,
    progress: &Progress,
    watch: &Weak<()>,
) -> Written {
    let failed = |partial: &Partial, error| io_error("write", &partial.path, error);
    let start = || expected.map(|id| ContentHasher::like(id, total));
    let mut hasher = start();
    partial
        .file
        .seek(SeekFrom::Start(0))
        .map_err(|error| failed(&partial, error))?;
    if partial.length > 0 {
        if let Some(hasher) = &mut hasher {
            let limit = partial.length;
            feed(&mut partial.file, hasher, limit, |_| watch.strong_count() > 0)
                .map_err(|error| io_error("read", &partial.path, error))?;
        }
        partial
            .file
            .seek(SeekFrom::Start(partial.length))
            .map_err(|error| failed(&partial, error))?;
        progress.advanced(path, partial.length, total);
    }
    let mut told = partial.length;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Data(bytes) => {
                partial
                    .file
                    .write_all(&bytes)
                    .map_err(|error| failed(&partial, error))?;
                if let Some(hasher) = &mut hasher {
                    hasher.update(&bytes);
                }
                partial.length += bytes.len() as u64;
                if partial.length - told >= PROGRESS_STEP {
                    told = partial.length;
                    progress.advanced(path, partial.length, total);
                }
            }
            Piece::Restart => {
                partial.clear()?;
                partial
                    .file
                    .seek(SeekFrom::Start(0))
                    .map_err(|error| failed(&partial, error))?;
                hasher = start();
                told = 0;
            }
        }
    }
    Ok((partial, hasher.map(ContentHasher::finish)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::git_blob_id;

    #[tokio::test]
    async fn a_file_grows_over_two_downloads() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("f.bin");
        let content = b"hello\n";
        let id = ContentId::GitBlob(git_blob_id(content));

        let partial = Partial::open(&target, "e1").unwrap().unwrap();
        assert_eq!(partial.length(), 0);
        let mut writer = Writer::start(partial, "f.bin".to_owned(), Some(&id), 6, Progress::none());
        assert!(writer.write(Bytes::from_static(b"hel")).await);
        let (partial, hash) = writer.finish().await.unwrap();
        assert_ne!(hash.as_ref(), Some(&id));
        drop(partial);
        assert!(folder.path().join("f.bin.e1.incomplete").exists());

        let partial = Partial::open(&target, "e1").unwrap().unwrap();
        assert_eq!(partial.length(), 3);
        let mut writer = Writer::start(partial, "f.bin".to_owned(), Some(&id), 6, Progress::none());
        assert_eq!(writer.position(), 3);
        assert!(writer.write(Bytes::from_static(b"lo\n")).await);
        let (partial, hash) = writer.finish().await.unwrap();
        assert_eq!(hash.as_ref(), Some(&id));
        partial.publish(&target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), content);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_restart_forgets_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("f.bin");
        let id = ContentId::GitBlob(git_blob_id(b"new"));
        let partial = Partial::open(&target, "e").unwrap().unwrap();
        let mut writer = Writer::start(partial, "f.bin".to_owned(), Some(&id), 3, Progress::none());
        assert!(writer.write(Bytes::from_static(b"something old")).await);
        assert!(writer.restart().await);
        assert!(writer.write(Bytes::from_static(b"new")).await);
        let (partial, hash) = writer.finish().await.unwrap();
        assert_eq!(hash, Some(id));
        assert_eq!(partial.length(), 3);
    }

    #[test]
    fn two_downloads_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("f.bin");
        let first = Partial::open(&target, "e").unwrap().unwrap();
        assert!(Partial::open(&target, "e").unwrap().is_none());
        let second = Partial::private(&target).unwrap();
        assert_ne!(first.path, second.path);
        let private = second.path.clone();
        drop(second);
        assert!(!private.exists());
        drop(first);
        assert!(Partial::open(&target, "e").unwrap().is_some());
    }

    #[test]
    fn long_and_odd_names_get_a_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(250));
        let partial = Partial::open(&long, &"a".repeat(64)).unwrap().unwrap();
        partial.publish(&long).unwrap();
        let odd = partial_path(Path::new("/d/f"), "W/\"a/../b\"");
        assert_eq!(odd.parent(), Some(Path::new("/d")));
    }
}
