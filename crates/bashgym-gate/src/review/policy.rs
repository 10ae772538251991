//! Decisions that are remembered: values to let through, and values never to let through.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::replace::GateKey;

/// The form of the file.
const VERSION: u32 = 1;

/// What was decided about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is no secret.
    Allow,
    /// It is one, whether or not a rule finds it.
    Deny,
}

/// A policy file that cannot be used. Nothing may pass then: a lost deny list would let through what was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It cannot be read or written.
    #[error("cannot use the review file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not a policy.
    #[error("the review file {} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    verdict: Verdict,
    kind: String,
    /// The value's length in bytes, so that denied values can be looked for.
    length: usize,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    decisions: BTreeMap<String, Entry>,
}

/// Decisions by keyed hash: the values themselves are not kept.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    key: Option<GateKey>,
    decisions: BTreeMap<String, Entry>,
}

impl Policy {
    /// An empty policy under a key.
    pub fn new(key: GateKey) -> Self {
        Self {
            key: Some(key),
            decisions: BTreeMap::new(),
        }
    }

    /// Reads a policy; a file that is not there is an empty one.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when it is there and cannot be used.
    pub fn read(path: &Path, key: GateKey) -> Result<Self, PolicyError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::new(key)),
            Err(source) => return Err(io(path)(source)),
        };
        let damaged = |problem: String| PolicyError::Damaged {
            path: path.to_owned(),
            problem,
        };
        let stored: Stored = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if stored.version != VERSION {
            return Err(damaged(format!("its version {} is not known", stored.version)));
        }
        Ok(Self {
            key: Some(key),
            decisions: stored.decisions,
        })
    }

    /// A hash over all decisions.
    pub(crate) fn digest(&self) -> blake3::Hash {
        // Entries are plain data; what could not be written would not be read back either.
        blake3::hash(&serde_json::to_vec(&self.decisions).unwrap_or_default())
    }

    /// Writes the policy whole, for this user's eyes only.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), PolicyError> {
        let stored = Stored {
            version: VERSION,
            decisions: self.decisions.clone(),
        };
        let text = serde_json::to_vec_pretty(&stored).map_err(|error| io(path)(error.into()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        // A temporary file is made readable for its owner only.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io(path))?;
        file.write_all(&text)
            .and_then(|()| file.as_file().sync_all())
            .map_err(io(path))?;
        file.persist(path).map_err(|error| io(path)(error.error))?;
        Ok(())
    }

    pub(crate) fn id(&self, value: &[u8]) -> String {
        let public = GateKey::public;
        let key = self.key.clone().unwrap_or_else(public);
        hex::encode(&key.hash("review", value)[..16])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    pub(crate) fn verdict(&self, value: &[u8]) -> Option<Verdict> {
        self.decisions.get(&self.id(value)).map(|entry| entry.verdict)
    }

    pub(crate) fn denied_lengths(&self) -> HashSet<usize> {
        self.decisions
            .values()
            .filter(|entry| entry.verdict == Verdict::Deny)
            .map(|entry| entry.length)
            .collect()
    }

    /// Remembers a decision about a finding, by its id.
    pub fn decide(&mut self, id: &str, kind: &str, length: usize, verdict: Verdict) {
        let entry = Entry {
            verdict,
            kind: kind.to_owned(),
            length,
        };
        self.decisions.insert(id.to_owned(), entry);
    }

    /// Never lets a value through from now on; returns whether that is new. Values too short to look for are left.
    ///
    /// Only a keyed hash and the length are kept.
    pub fn deny(&mut self, kind: &str, value: &str) -> bool {
        let value = value.trim().as_bytes();
        if value.len() < crate::detect::SHORTEST_KNOWN || self.verdict(value) == Some(Verdict::Deny) {
            return false;
        }
        self.decide(&self.id(value), kind, value.len(), Verdict::Deny);
        true
    }

    /// How many values are let through, and how many never.
    pub fn counts(&self) -> (usize, usize) {
        let allowed = self
            .decisions
            .values()
            .filter(|entry| entry.verdict == Verdict::Allow)
            .count();
        (allowed, self.decisions.len() - allowed)
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> PolicyError {
    let path = path.to_owned();
    move |source| PolicyError::Io { path, source }
}
