//! What an import remembers of the files it read, and where that is kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::TracesError;
use crate::report::SessionSummary;

/// What an incremental import remembers.
///
/// # Shape
///
/// `version, files{<path>: FileState}`; the key of a session in a database is `<path>#<session>`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportState {
    /// The version of this form; a state of another version is not used.
    pub version: u32,
    /// What is known of each file.
    pub files: BTreeMap<String, FileState>,
}

impl ImportState {
    /// The version written today.
    pub const VERSION: u32 = 1;

    /// Returns a state that knows nothing.
    pub fn new() -> Self {
        Self {
            version: Self::VERSION,
            files: BTreeMap::new(),
        }
    }
}

/// What is known of one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FileState {
    /// What the file system says of it: device, file number, size and time of change, hashed.
    pub stamp: u64,
    /// Bytes taken, up to the end of the last whole line; 0 where a file is always read whole.
    pub read_bytes: u64,
    /// Lines taken.
    pub lines: u64,
    /// BLAKE3 of the bytes taken, in hexadecimal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix_hash: String,
    /// The sessions in it.
    pub sessions: Vec<SessionState>,
}

/// What is known of one session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionState {
    /// Its numbers when it was read last.
    pub summary: SessionSummary,
    /// A hash for each message, to tell those that changed.
    #[serde(with = "hex_keys")]
    pub messages: Vec<u64>,
    /// Identities of its records, to tell copies in other files.
    #[serde(with = "hex_keys")]
    pub records: Vec<u64>,
    /// Identities of the API answers counted for it.
    #[serde(with = "hex_keys")]
    pub usage: Vec<u64>,
}

/// Many numbers in one string, 16 digits each.
mod hex_keys {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(keys: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_be_bytes()).collect();
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        let (keys, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(D::Error::custom("a key is cut"));
        }
        Ok(keys.iter().map(|key| u64::from_be_bytes(*key)).collect())
    }
}

/// Keeps an [`ImportState`] between two runs.
pub trait ImportStateStore {
    /// Gives the state kept last; an empty one when there is none or it is of another version.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when it is there and cannot be read.
    fn load(&self) -> Result<ImportState, TracesError>;

    /// Keeps the state, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when it cannot be written.
    fn save(&self, state: &ImportState) -> Result<(), TracesError>;
}

/// An [`ImportStateStore`] in one JSON file.
#[derive(Debug, Clone)]
pub struct JsonStateFile {
    path: PathBuf,
}

impl JsonStateFile {
    /// Names the file; its folder must be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl ImportStateStore for JsonStateFile {
    fn load(&self) -> Result<ImportState, TracesError> {
        match fs::read(&self.path) {
            // A state that cannot be understood costs one full import, no session.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)
                .ok()
                .filter(|state: &ImportState| state.version == ImportState::VERSION)
                .unwrap_or_else(ImportState::new)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(ImportState::new()),
            Err(e) => Err(TracesError::io("reading", &self.path, e)),
        }
    }

    fn save(&self, state: &ImportState) -> Result<(), TracesError> {
        write_json(&self.path, state).map_err(|e| TracesError::io("writing", &self.path, e))
    }
}

/// Writes a JSON file whole or not at all.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    {
        let mut out = io::BufWriter::new(&mut file);
        serde_json::to_writer(&mut out, value)?;
        out.flush()?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
