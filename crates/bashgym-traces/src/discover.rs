//! Finds session logs: in the paths a person names, and where the agents keep them.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use memchr::memmem;
use walkdir::WalkDir;

use crate::error::TracesError;
use crate::model::Agent;

/// A file that may hold a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFile {
    /// The path.
    pub path: PathBuf,
    /// Its size on disk when it was found.
    pub size_bytes: u64,
    /// The first time written in it, as far as its head tells.
    pub started_at: Option<Timestamp>,
}

impl SessionFile {
    /// Describes one file.
    ///
    /// # Errors
    ///
    /// [`TracesError::PathNotFound`] when it is not there, [`TracesError::Io`] when the system does not tell about it. A file
    /// that cannot be read is for [`crate::import`] to report.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, TracesError> {
        let path = path.into();
        let meta = fs::metadata(&path).map_err(|e| not_found_or(&path, e))?;
        let started_at = if meta.is_file() {
            head_timestamp(&path)
        } else {
            None
        };
        Ok(Self {
            path,
            size_bytes: meta.len(),
            started_at,
        })
    }
}

fn not_found_or(path: &Path, e: io::Error) -> TracesError {
    if e.kind() == io::ErrorKind::NotFound {
        TracesError::PathNotFound {
            path: path.to_owned(),
        }
    } else {
        TracesError::io("reading", path, e)
    }
}

/// A folder in which an agent keeps its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentFolder {
    /// The agent.
    pub agent: Agent,
    /// The folder.
    pub path: PathBuf,
}

/// Returns the agents' own folders under a home directory, those that exist.
///
/// # Source
///
/// Claude Code keeps `~/.claude/projects`, Codex `~/.codex/sessions` and `~/.codex/archived_sessions`.
pub fn agent_folders(home: &Path) -> Vec<AgentFolder> {
    [
        (Agent::ClaudeCode, ".claude/projects"),
        (Agent::Codex, ".codex/sessions"),
        (Agent::Codex, ".codex/archived_sessions"),
    ]
    .into_iter()
    .map(|(agent, folder)| AgentFolder {
        agent,
        path: home.join(folder),
    })
    .filter(|folder| folder.path.is_dir())
    .collect()
}

/// Finds the session files under the paths, oldest session first.
///
/// A file that is named is taken whatever its name; in folders, files ending in `.jsonl`, `.json`, `.jsonl.zst` or
/// `.json.zst` are. Links to files are followed, links to folders inside a folder are not, and a file that is reached
/// twice is taken once. Whether a file really is a session is for [`crate::import`] to say.
///
/// # Errors
///
/// [`TracesError::PathNotFound`] for a path that does not exist, [`TracesError::NoSessionFiles`] when nothing was found,
/// [`TracesError::Io`] when a folder cannot be read.
pub fn find_session_files<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<SessionFile>, TracesError> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let meta = fs::metadata(path).map_err(|e| not_found_or(path, e))?;
        if !meta.is_dir() {
            take(path, &mut seen, &mut files)?;
            continue;
        }
        for entry in WalkDir::new(path).follow_links(false).sort_by_file_name() {
            let entry = entry.map_err(|e| {
                let at = e.path().unwrap_or(path).to_owned();
                let source = e
                    .into_io_error()
                    .unwrap_or_else(|| io::Error::other("a loop of links"));
                TracesError::io("reading", at, source)
            })?;
            // `Path::is_file` follows a link, so links to files count and links to folders do not.
            if is_session_name(entry.path()) && entry.path().is_file() {
                take(entry.path(), &mut seen, &mut files)?;
            }
        }
    }
    if files.is_empty() {
        let paths = paths.iter().map(|p| p.as_ref().to_owned()).collect();
        return Err(TracesError::NoSessionFiles { paths });
    }
    // An original comes before the copy that resumes it: both start with the same record, and the copy is longer.
    files.sort_by(|a, b| (a.started_at, a.size_bytes, &a.path).cmp(&(b.started_at, b.size_bytes, &b.path)));
    Ok(files)
}

fn take(path: &Path, seen: &mut HashSet<PathBuf>, files: &mut Vec<SessionFile>) -> Result<(), TracesError> {
    let real = fs::canonicalize(path).map_err(|e| not_found_or(path, e))?;
    if seen.insert(real) {
        files.push(SessionFile::new(path)?);
    }
    Ok(())
}

fn is_session_name(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".zst").unwrap_or(&name);
    let by_extension = Path::new(name)
        .extension()
        .is_some_and(|e| e == "jsonl" || e == "json");
    by_extension && !name.ends_with(".meta.json")
}

/// Finds the first `"timestamp":"…"` near the start of a file, as far as it can be read.
fn head_timestamp(path: &Path) -> Option<Timestamp> {
    const HEAD: u64 = 32 * 1024;
    let mut head = Vec::new();
    let mut input = crate::importers::open(File::open(path).ok()?).ok()?.take(HEAD);
    // What was read before an error will do.
    let _ = input.read_to_end(&mut head);
    first_timestamp(&head)
}

fn first_timestamp(head: &[u8]) -> Option<Timestamp> {
    let key = b"\"timestamp\"";
    memmem::find_iter(head, key).find_map(|at| {
        let rest = head[at + key.len()..]
            .trim_ascii_start()
            .strip_prefix(b":")?
            .trim_ascii_start();
        let text = rest.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', &text[..text.len().min(64)])?;
        std::str::from_utf8(&text[..end]).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_path_is_named() {
        let e = find_session_files(&["/no/such/place"]).unwrap_err();
        assert!(matches!(&e, TracesError::PathNotFound { path } if path == Path::new("/no/such/place")));
        assert!(e.to_string().contains("/no/such/place"));
    }

    #[test]
    fn an_empty_folder_is_an_error_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let e = find_session_files(&[dir.path()]).unwrap_err();
        assert!(matches!(e, TracesError::NoSessionFiles { .. }));
        assert!(e.to_string().contains(".jsonl"));
    }

    #[test]
    fn walks_folders_once_oldest_first() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        fs::create_dir(&sub).unwrap();
        fs::write(sub.join("new.jsonl"), r#"{"timestamp":"2026-02-01T00:00:00Z"}"#).unwrap();
        fs::write(
            dir.path().join("old.JSONL"),
            r#"{"timestamp": "2026-01-01T00:00:00Z"}"#,
        )
        .unwrap();
        fs::write(dir.path().join("notes.txt"), "x").unwrap();
        fs::write(dir.path().join("agent-1.meta.json"), "{}").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path(), sub.join("loop")).unwrap();
            std::os::unix::fs::symlink(sub.join("new.jsonl"), sub.join("again.jsonl")).unwrap();
        }
        let files = find_session_files(&[dir.path(), &sub]).unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|f| f.path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(names[0], "old.JSONL");
        // A file that is named is taken whatever it is called.
        assert_eq!(
            find_session_files(&[dir.path().join("notes.txt")]).unwrap().len(),
            1
        );
    }

    #[test]
    fn only_existing_agent_folders_are_listed() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(agent_folders(home.path()), []);
        fs::create_dir_all(home.path().join(".codex/sessions/2026")).unwrap();
        let found = agent_folders(home.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].agent, Agent::Codex);
    }
}
