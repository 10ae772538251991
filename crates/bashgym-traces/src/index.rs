//! The list of the sessions that were imported: what each holds, without reading it again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::error::TracesError;
use crate::incremental::write_json;
use crate::report::SessionSummary;

/// The sessions that were imported, in one JSON file that several processes may add to. Cloning shares what was read.
#[derive(Debug, Clone)]
pub struct SessionIndex {
    path: PathBuf,
    read: Arc<Mutex<Option<Read>>>,
}

/// What was read, and of which version of the file.
#[derive(Debug, Clone)]
struct Read {
    version: (Option<SystemTime>, u64),
    sessions: Arc<Vec<SessionSummary>>,
}

impl SessionIndex {
    /// Names the file; its folder must be there before something is added.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            read: Arc::default(),
        }
    }

    /// The sessions, in the order of their imports. The file is read when it changed since.
    ///
    /// # Errors
    /// [`TracesError::Io`] when it is there and cannot be read.
    pub fn load(&self) -> Result<Arc<Vec<SessionSummary>>, TracesError> {
        let failed = |error| TracesError::io("reading", &self.path, error);
        let version = match fs::metadata(&self.path) {
            Ok(known) => (known.modified().ok(), known.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(failed(error)),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = &*read
            && read.version == version
        {
            return Ok(Arc::clone(&read.sessions));
        }
        let text = fs::read(&self.path).map_err(failed)?;
        // A list of another version is rebuilt by the next import.
        let sessions: Arc<Vec<SessionSummary>> = Arc::new(serde_json::from_slice(&text).unwrap_or_default());
        *read = Some(Read {
            version,
            sessions: Arc::clone(&sessions),
        });
        Ok(sessions)
    }

    /// Adds sessions, whole or not at all; one that is known by its file and id is replaced.
    ///
    /// # Errors
    /// [`TracesError::Io`] when the file cannot be written.
    pub fn add(&self, new: &[SessionSummary]) -> Result<(), TracesError> {
        let _turn = self.take_turn()?;
        let key = |session: &SessionSummary| (session.file.clone(), session.session_id.clone());
        let replaced: HashSet<_> = new.iter().map(key).collect();
        let mut all: Vec<SessionSummary> = self.load()?.to_vec();
        all.retain(|old| !replaced.contains(&key(old)));
        all.extend_from_slice(new);
        write_json(&self.path, &all).map_err(|error| TracesError::io("writing", &self.path, error))
    }

    /// Waits until no other process adds; the turn is over when the file is closed.
    fn take_turn(&self) -> Result<File, TracesError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let path = Path::new(&path);
        let file = File::create(path).map_err(|error| TracesError::io("writing", path, error))?;
        file.lock()
            .map_err(|error| TracesError::io("locking", path, error))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Agent;
    use crate::model::TokenUsage;

    fn session(file: &str, id: &str, prompts: u64) -> SessionSummary {
        SessionSummary {
            agent: Agent::Codex,
            session_id: id.to_owned(),
            parent_session_id: None,
            file: file.into(),
            started_at: None,
            model: None,
            prompts,
            tool_calls: 0,
            tool_errors: 0,
            thinking_blocks: 0,
            api_calls: 0,
            tokens: TokenUsage::default(),
            lost: BTreeMap::new(),
        }
    }

    #[test]
    fn a_session_is_known_once_as_it_was_read_last() {
        let folder = tempfile::tempdir().unwrap();
        let index = SessionIndex::new(folder.path().join("sessions.json"));
        assert!(index.load().unwrap().is_empty());
        index.add(&[session("a", "1", 1), session("a", "2", 1)]).unwrap();
        let other = SessionIndex::new(folder.path().join("sessions.json"));
        other.add(&[session("a", "1", 7), session("b", "1", 1)]).unwrap();
        let found = index.load().unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|it| (it.file.to_str().unwrap(), it.session_id.as_str(), it.prompts))
            .collect();
        assert_eq!(told, [("a", "2", 1), ("a", "1", 7), ("b", "1", 1)]);
    }

    #[test]
    fn many_that_add_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.json");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let index = SessionIndex::new(&path);
                scope.spawn(move || {
                    for number in 0..10 {
                        index
                            .add(&[session("a", &format!("{writer}-{number}"), 1)])
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(SessionIndex::new(&path).load().unwrap().len(), 40);
    }
}
