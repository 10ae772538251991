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
    /// The session meant, where one file holds many (OpenCode's database); `None` takes all that is in the file.
    pub session_id: Option<String>,
    /// What tells that a session of a database has changed.
    pub(crate) stamp: Option<u64>,
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
            session_id: None,
            stamp: None,
        })
    }
}

impl SessionFile {
    /// Stands for an input that is no file.
    pub(crate) fn unread(name: &Path, size_bytes: u64) -> Self {
        Self {
            path: name.to_owned(),
            size_bytes,
            started_at: None,
            session_id: None,
            stamp: None,
        }
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

/// Where the agents keep their things on this machine; whoever reads the environment fills it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentHomes {
    /// The person's home folder.
    pub home: PathBuf,
    /// `CLAUDE_CONFIG_DIR`, in place of `~/.claude`.
    pub claude_config_dir: Option<PathBuf>,
    /// `CODEX_HOME`, in place of `~/.codex`.
    pub codex_home: Option<PathBuf>,
    /// `GEMINI_CLI_HOME`: the folder that holds `.gemini`, in place of the home folder.
    pub gemini_cli_home: Option<PathBuf>,
    /// `XDG_DATA_HOME`, in place of `~/.local/share`; OpenCode keeps its data under it.
    pub xdg_data_home: Option<PathBuf>,
    /// `COPILOT_HOME`, in place of `~/.copilot`.
    pub copilot_home: Option<PathBuf>,
    /// `PI_CODING_AGENT_DIR`, in place of `~/.pi/agent`.
    pub pi_agent_dir: Option<PathBuf>,
}

impl AgentHomes {
    /// The defaults under a home folder.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            ..Self::default()
        }
    }

    /// Returns the agents' own folders, those that exist.
    ///
    /// # Source
    ///
    /// Claude Code keeps `projects`; Codex `sessions` and `archived_sessions`; Gemini CLI `.gemini/tmp/<project>/chats`;
    /// OpenCode `opencode/storage` and, since 2026, `opencode/opencode*.db`; Copilot CLI `session-state`; Pi `sessions`.
    pub fn folders(&self) -> Vec<AgentFolder> {
        let or =
            |named: &Option<PathBuf>, default: &str| named.clone().unwrap_or_else(|| self.home.join(default));
        let codex = or(&self.codex_home, ".codex");
        let opencode = or(&self.xdg_data_home, ".local/share").join("opencode");
        let mut paths = vec![
            (
                Agent::ClaudeCode,
                or(&self.claude_config_dir, ".claude").join("projects"),
            ),
            (Agent::Codex, codex.join("sessions")),
            (Agent::Codex, codex.join("archived_sessions")),
        ];
        let gemini = self
            .gemini_cli_home
            .as_ref()
            .unwrap_or(&self.home)
            .join(".gemini/tmp");
        for project in children(&gemini) {
            paths.push((Agent::GeminiCli, project.join("chats")));
        }
        paths.push((Agent::OpenCode, opencode.join("storage")));
        for file in children(&opencode) {
            if is_store_name(&file) {
                paths.push((Agent::OpenCode, file));
            }
        }
        paths.push((
            Agent::CopilotCli,
            or(&self.copilot_home, ".copilot").join("session-state"),
        ));
        paths.push((Agent::Pi, or(&self.pi_agent_dir, ".pi/agent").join("sessions")));
        paths
            .into_iter()
            .map(|(agent, path)| AgentFolder { agent, path })
            .filter(|folder| folder.path.is_dir() || is_store_name(&folder.path))
            .collect()
    }
}

/// Returns the agents' own folders under a home directory, those that exist, by their default names.
pub fn agent_folders(home: &Path) -> Vec<AgentFolder> {
    AgentHomes::new(home).folders()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    found.sort();
    found
}

/// Finds the session files under the paths, oldest session first.
///
/// A file that is named is taken whatever its name; in folders, files ending in `.jsonl`, `.json`, `.jsonl.zst` or
/// `.json.zst` are, except those that are known to hold no session (the messages and parts of an OpenCode tree, what
/// Gemini CLI and Copilot CLI keep beside their sessions), and OpenCode's databases. A database gives one entry for each of
/// its sessions. Links to files are followed, links to folders inside a folder are not, and a file that is reached
/// twice is taken once. Whether a file really is a session is for [`crate::import`] to say.
///
/// # Errors
///
/// [`TracesError::PathNotFound`] for a path that does not exist, [`TracesError::NoSessionFiles`] when nothing was found,
/// [`TracesError::Io`] when a folder cannot be read.
pub fn find_session_files<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<SessionFile>, TracesError> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    let mut packed = None;
    for path in paths {
        let path = path.as_ref();
        let meta = fs::metadata(path).map_err(|e| not_found_or(path, e))?;
        if !meta.is_dir() {
            take(path, &mut seen, &mut files)?;
            continue;
        }
        let walk = WalkDir::new(path).follow_links(false).sort_by_file_name();
        for entry in walk
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_beside_sessions(entry.path()))
        {
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
            } else if packed.is_none() && crate::importers::is_packed_name(entry.path()) {
                packed = Some(entry.into_path());
            }
        }
    }
    if files.is_empty() {
        let paths = paths.iter().map(|p| p.as_ref().to_owned()).collect();
        return Err(TracesError::NoSessionFiles { paths, packed });
    }
    // An original comes before the copy that resumes it: both start with the same record, and the copy is longer.
    files.sort_by(|a, b| (a.started_at, a.size_bytes, &a.path).cmp(&(b.started_at, b.size_bytes, &b.path)));
    Ok(files)
}

fn take(path: &Path, seen: &mut HashSet<PathBuf>, files: &mut Vec<SessionFile>) -> Result<(), TracesError> {
    let real = fs::canonicalize(path).map_err(|e| not_found_or(path, e))?;
    if !seen.insert(real) {
        return Ok(());
    }
    let file = SessionFile::new(path)?;
    if crate::importers::is_store(path)
        && let Ok(sessions) = crate::importers::sessions_in(path)
        && !sessions.is_empty()
    {
        let share = file.size_bytes / sessions.len() as u64;
        files.extend(sessions.into_iter().map(|session| SessionFile {
            path: file.path.clone(),
            size_bytes: share,
            started_at: session.created,
            session_id: Some(session.id),
            stamp: Some(session.stamp),
        }));
    } else {
        files.push(file);
    }
    Ok(())
}

/// Lists all files a session is made of: the file itself, the messages and parts of an OpenCode tree, the write-ahead log of
/// a database.
pub fn files_behind(file: &SessionFile) -> Vec<PathBuf> {
    let mut files = vec![file.path.clone()];
    if crate::importers::is_tree_session(&file.path) {
        files.extend(crate::importers::tree_files(&file.path));
    } else if file.session_id.is_some() {
        let mut log = file.path.as_os_str().to_owned();
        log.push("-wal");
        files.push(PathBuf::from(log));
        files.retain(|path| path.is_file());
    }
    files
}

/// Whether a file or folder is one that an agent keeps beside its sessions, as far as its place tells.
fn is_beside_sessions(path: &Path) -> bool {
    let (Some(name), Some(parent)) = (path.file_name().and_then(|n| n.to_str()), path.parent()) else {
        return false;
    };
    let beside = |sibling: &str| parent.join(sibling).is_dir();
    match name {
        // OpenCode's tree: what a session is made of belongs to its file under `session`.
        "message" | "part" | "session_diff" | "todo" | "project" | "share" | "snapshot" => {
            beside("session") && beside("message")
        }
        "logs.json" => beside("chats"),
        "checkpoints" | "files" | "rewind-snapshots" | "research" => parent.join("events.jsonl").is_file(),
        _ => {
            let copilot = parent.parent().and_then(Path::file_name) == Some("session-state".as_ref());
            copilot && name != "events.jsonl" && path.is_file()
        }
    }
}

/// Whether a file is called like a database of OpenCode.
fn is_store_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.starts_with("opencode") && path.extension().is_some_and(|e| e == "db") && path.is_file()
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
    (by_extension && !name.ends_with(".meta.json")) || is_store_name(path)
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
    time_at(head, b"\"timestamp\"")
        .or_else(|| time_at(head, b"\"startTime\""))
        .or_else(|| created_millis(head))
}

/// Finds the `"created": <milliseconds>` of OpenCode's files.
fn created_millis(head: &[u8]) -> Option<Timestamp> {
    let key = b"\"created\"";
    let rest = &head[memmem::find(head, key)? + key.len()..];
    let rest = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let millis = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Timestamp::from_millisecond(millis).ok()
}

fn time_at(head: &[u8], key: &[u8]) -> Option<Timestamp> {
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
    fn packed_logs_are_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes.txt"), "x").unwrap();
        fs::write(dir.path().join("session.jsonl.GZ"), b"\x1f\x8b").unwrap();
        let e = find_session_files(&[dir.path()]).unwrap_err().to_string();
        assert!(e.contains("session.jsonl.GZ is packed: unpack it first"), "{e}");
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
